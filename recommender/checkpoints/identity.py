"""The identity of a state: everything it depends on besides its log, and the differences of two in words."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from recommender.errors import RecommenderError
from recommender.models import registry
from recommender.settings import variable
from recommender.shard.feedback import Feedback

#: Of the file's layout, and of how what is in it was learned.
FORMAT = 7
#: In `handover`, between the name of the hand-over and the place where the journal was rewritten.
REWRITTEN = "@"


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything that a checkpoint's state depends on besides its log.

    Attributes
    ----------
    topic, topic_id : str
        The ratings topic; its id tells a topic from one of the same name that was made later.
    partitions : int
        Their number decides which users belong to a partition.
    settings : dict
        Those settings that change what is learned.
    handover : str
        The name of the last hand-over that the state goes back to, see `recommender.retraining.handover`.
        It says nothing about what was learned, so all of them fit.
    """

    topic: str
    topic_id: str
    partitions: int
    settings: dict[str, Any] = field(default_factory=dict)
    handover: str = ""

    def differences(self, header: Mapping[str, Any]) -> list[str]:
        """The differences between a checkpoint's header and what is expected, in words."""
        mine = {**asdict(self), "format": FORMAT}
        found = []
        for name in ("format", "topic", "topic_id", "partitions"):
            was, now = header.get(name), mine[name]
            if was != now and name == "topic_id":
                found.append(
                    f"topic {self.topic!r} was deleted and made again (its id was {was!r}, now {now!r})"
                )
            elif was != now:
                found.append(f"{name} was {was!r}, now {now!r}")
        return found + self._different_settings(header.get("settings", {}))

    def _different_settings(self, settings: Mapping[str, Any]) -> list[str]:
        theirs, mine = canonical(settings), canonical(self.settings)
        return [
            _differences(name, settings, self.settings)
            for name in sorted({*theirs, *mine})
            if theirs.get(name) != mine.get(name) and settings.get(name) != self.settings.get(name)
        ]


def handover_of(header: Mapping[str, Any]) -> str:
    """The name of the hand-over that a checkpoint goes back to, by its header; empty where there was none."""
    return str(header.get("handover", "")).partition(REWRITTEN)[0]


def origin_of(header: Mapping[str, Any]) -> int:
    """The offset where the journal was rewritten that a checkpoint was followed from; -1 where it was not."""
    _, rewritten, origin = str(header.get("handover", "")).partition(REWRITTEN)
    return int(origin) if rewritten else -1


def canonical(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in one spelling: ``graded:4.0`` is ``graded:4``, and a default that is named is not a change.

    What is not understood, as an option that no longer exists, stays as it is.
    """
    same = dict(settings)
    if same.get("repeats") in ("auto", "replace"):  # as where nothing is said
        del same["repeats"]
    for name in ("max_users", "max_items", "max_ratings", "max_ratings_per_user", "user_ttl", "item_ttl"):
        if same.get(name) in ("0", "none", None):
            same.pop(name, None)
    with contextlib.suppress(RecommenderError, KeyError, ValueError):
        low, high = (float(same[name] or "nan") for name in ("rating_min", "rating_max"))
        feedback = Feedback.parse(same["feedback"], low, high)
        same |= {"feedback": str(feedback), "rating_min": feedback.low, "rating_max": feedback.high}
    with contextlib.suppress(RecommenderError, KeyError):
        models = [registry.canonical(each.strip()) for each in str(same["model"]).split(",")]
        same["model"] = sorted(models)
    return same


def _differences(name: str, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
    """One setting that differs, by the variables that hold it: several models are in another one."""
    was, now = (_variable(name, settings) for settings in (theirs, mine))
    if was == now:
        return f"{was} was {_shown(theirs, name)}, now {_shown(mine, name)}"
    return f"{was} was {_shown(theirs, name)}, now {now} is {_shown(mine, name)}"


def _variable(name: str, settings: Mapping[str, Any]) -> str:
    several = name == "model" and "," in str(settings.get(name, ""))
    return variable("arms" if several else name)


def _shown(settings: Mapping[str, Any], name: str) -> str:
    if name not in settings:
        return "not known"
    return repr(settings[name]) if settings[name] != "" else "unset"
