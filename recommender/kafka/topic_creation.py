"""Creates topics, and waits for brokers that cannot take them at the moment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import InvalidReplicationFactorError, KafkaError, TopicAlreadyExistsError, for_code

from recommender.kafka.admin import FIRST_SECONDS, TELL_SECONDS, Tell
from recommender.kafka.topic_names import TopicsError

#: How often a broker is asked again.
AGAIN_SECONDS = 0.2
KNOWN_SECONDS = 30.0


class Patience:
    """A bound on asking again, and a listener that hears of the waiting every few seconds."""

    def __init__(self, until: float, tell: Tell | None) -> None:
        self._until, self._tell = until, tell or (lambda _: None)
        self._told = time.monotonic() + FIRST_SECONDS - TELL_SECONDS

    def wait(self, reason: str) -> bool:
        """Wait for a moment; False if it is over."""
        now = time.monotonic()
        if now >= self._until:
            return False
        if now - self._told >= TELL_SECONDS:
            self._told = now
            self._tell(f"Waiting to create topics for up to {self._until - now:.0f} s: {reason}")
        time.sleep(min(AGAIN_SECONDS, self._until - now))
        return True


def create_topics(admin: KafkaAdminClient, wanted: dict[str, dict[str, Any]], patience: Patience) -> set[str]:
    """Create topics, of which another program may create some at the same time.

    Parameters
    ----------
    admin : KafkaAdminClient
    wanted : dict
        Name to kafka-python's description.
    patience : Patience
        How long to wait while the controller has fenced all brokers, as after a stop of the machine.

    Returns
    -------
    set of str
        The names of those that were created here.

    Raises
    ------
    TopicsError
        The broker refused; says which topic and why.
    """
    created: set[str] = set()
    left = wanted
    try:
        while left:
            answers = admin.create_topics(left, raise_errors=False)["topics"]
            left, reason = _answered(left, answers, created)
            if left and not patience.wait(reason):
                raise TopicsError(f"The broker did not create topic {', '.join(left)}: {reason}")
        admin.wait_for_topics(list(wanted), timeout_ms=int(KNOWN_SECONDS * 1000))
    except KafkaError as error:
        raise TopicsError(f"The broker did not create topic {', '.join(wanted)}: {error}") from error
    return created


def _answered(
    wanted: dict[str, dict[str, Any]], answers: Iterable[Mapping[str, Any]], created: set[str]
) -> tuple[dict[str, dict[str, Any]], str]:
    """The topics that may be created a moment later, and why not now; puts those that were into `created`."""
    left, waiting = {}, ""
    for each in answers:
        name, error_type = each["name"], for_code(each["error_code"])
        reason = reason_of(error_type, each.get("error_message"))
        if each["error_code"] == 0:
            created.add(name)
        elif error_type is InvalidReplicationFactorError and "currently fenced" in reason:
            left[name], waiting = wanted[name], reason
        elif error_type is not TopicAlreadyExistsError:  # else another worker was faster
            raise TopicsError(f"The broker did not create topic {name}: {reason}")
    return left, waiting


def reason_of(error_type: type[KafkaError], message: str | None) -> str:
    """The broker's own words, else what its error means."""
    return (message or str(getattr(error_type, "description", "")) or error_type.__name__).rstrip(".")
