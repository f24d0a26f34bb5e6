"""What a worker's pages say: of a process that a test has started, or of one that runs elsewhere."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from recommender.kafka.local.ports import HOST
from tests.support.kafka import wait_until

#: Generous: the machine may be busy with something else.
PATIENCE = 60.0


class WorkerPages:
    """The pages of a worker on this machine.

    Parameters
    ----------
    port : int

    Attributes
    ----------
    port : int
    """

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def log(self) -> str:
        """All that it has printed, where that is known."""
        return ""

    def page(self, path: str) -> tuple[int, bytes]:
        """The status code and text of one of its pages; 0 where nobody listens."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    def is_ready(self) -> bool:
        """Return True if it says that it is ready."""
        return self.page("readyz")[0] == 200

    def status(self) -> dict[str, Any]:
        """The status page."""
        code, text = self.page("status")
        assert code == 200, f"status page: {code} {text!r}\n{self.log}"
        status: dict[str, Any] = json.loads(text)
        return status

    @property
    def journal(self) -> dict[int, dict[str, Any]]:
        """The status of its replicas, by partition of the journal; none while nobody listens."""
        return _numbered(self._told("journal"))

    @property
    def sources(self) -> dict[int, int]:
        """The next offset to learn of each partition of the ratings topic; none while nobody listens."""
        return _numbered(self._told("sources"))

    def _told(self, what: str) -> dict[str, Any]:
        code, text = self.page("status")
        told: dict[str, Any] = json.loads(text)[what] if code == 200 else {}
        return told

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels; 0 if there are none."""
        families = text_string_to_metric_families(self.page("metrics")[1].decode())
        samples = [each for family in families for each in family.samples]
        return sum(
            each.value for each in samples if each.name == name and labels.items() <= each.labels.items()
        )

    def learned(self, offsets: Mapping[int, int], seconds: float = PATIENCE) -> None:
        """Wait until partitions of the ratings topic are learned up to these offsets."""

        def reached() -> bool:
            found = self.sources
            return all(found.get(partition, 0) >= offset for partition, offset in offsets.items())

        wait_until(reached, seconds, lambda: f"{dict(offsets)}, but {self.sources}\n{self.log}")

    def is_settled(self, positions: Mapping[int, int]) -> bool:
        """Return True if all that it follows of the journal is followed up to there, and saved."""
        found = self.journal
        return bool(found) and all(
            each["position"] == max(each["saved"], 0) == positions[partition]
            for partition, each in found.items()
        )


def _numbered(told: Mapping[str, Any]) -> dict[int, Any]:
    return {int(partition): each for partition, each in told.items()}
