"""The hand-over of retraining to running workers: new checkpoints, and the settings they were learned with.

Next to the checkpoints lies the folder ``retrained``, with one small file for each ratings topic. It names
the new checkpoints, the settings that are in force with them, and those that they replace. The file is
written last, and all at once: a worker sees all of a hand-over or none. It is the truth about which settings
are in force: a worker that is started with settings that were replaced continues with those that replaced
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import msgspec

from recommender import settings
from recommender.checkpoints.identity import Identity, canonical
from recommender.checkpoints.open_storage import storage
from recommender.errors import RecommenderError
from recommender.settings import Settings
from recommender.shard.options import arms_of, learned_settings, logs_recommendations

FOLDER = "retrained"
#: New checkpoints are built in the one that the last hand-over did not use.
SLOTS = ("a", "b")
#: What decoding a rating depends on; a worker does not change it while it runs.
FIXED = ("feedback", "rating_min", "rating_max")
FORMAT = 1


class HandoverError(RecommenderError):
    """A hand-over cannot be read, or not be made."""


class Terms(msgspec.Struct, frozen=True):
    """The settings with which a worker learns and answers.

    Attributes
    ----------
    learned : dict
        Those settings that change what is learned, as a checkpoint's header has them.
    arms : str
        The models with their shares, as `RECOMMENDER_ARMS` has them; also of one.
    """

    learned: dict[str, Any]
    arms: str

    @classmethod
    def of(cls, config: Settings) -> Terms:
        """The terms that the settings ask for."""
        arms = arms_of(config).arms
        return cls(learned_settings(config), ",".join(f"{arm.name}:{arm.share!r}" for arm in arms))

    @classmethod
    def in_header(cls, learned: dict[str, Any]) -> Terms:
        """The terms of a checkpoint, whose header has no shares: all have the same."""
        models = str(learned["model"]).split(", ")
        return cls(learned, ",".join(f"{model}:1" for model in models))

    def same(self, other: Terms) -> bool:
        """Return True if both learn the same."""
        return canonical(self.learned) == canonical(other.learned)

    def settings(self, config: Settings) -> Settings:
        """A worker's settings with these terms instead of its own."""
        if self.same(Terms.of(config)):
            return config  # also its own shares
        return replace(
            config,
            arms=self.arms,
            seed=int(self.learned["seed"]),
            test_every=int(self.learned["test_every"]),
            test_window=int(self.learned["test_window"]),
        )


class Offer(msgspec.Struct, frozen=True):
    """The new checkpoint of one partition: its file in the slot, and its offset.

    Nothing was rated in a partition without a file.
    """

    offset: int
    file: str = ""


class Handover(msgspec.Struct, frozen=True):
    """All that was handed over at once.

    Attributes
    ----------
    name : str
        Tells it from others; checkpoints that workers save after it have it in their header.
    slot : str
        In which folder the new checkpoints are.
    topic_id : str
    terms : Terms
    replaced : list of Terms
        Which settings give way, the newest first.
    offers : dict of str to Offer
        By partition.
    """

    name: str
    slot: str
    topic_id: str
    partitions: int
    terms: Terms
    replaced: list[Terms]
    offers: dict[str, Offer]
    format: int = FORMAT

    def concerns(self, identity: Identity, config: Settings) -> bool:
        """Return True if the hand-over is for a worker with these settings on this topic."""
        if (self.topic_id, self.partitions) != (identity.topic_id, identity.partitions):
            return False
        own = Terms.of(config)
        return any(own.same(each) for each in (self.terms, *self.replaced))


def place(checkpoints: str | Path, slot: str = "") -> str:
    """The place of hand-overs, or of the checkpoints of one slot."""
    parts = [str(checkpoints).rstrip("/"), FOLDER, *([slot] if slot else [])]
    return "/".join(parts)


def read(checkpoints: str | Path, topic: str) -> Handover | None:
    """The last hand-over of a topic; None if there was none.

    Raises
    ------
    HandoverError
        The file is damaged, or of a later version.
    OSError
        The place cannot be reached.
    """
    store, name = storage(place(checkpoints)), f"{topic}.json"
    try:
        with store.fetch(name) as file:
            found = msgspec.json.decode(file.read(), type=Handover)
    except (FileNotFoundError, NotADirectoryError):
        return None  # saving says what is wrong with a place that is no directory
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise HandoverError(
            f"{store.place(name)} is no hand-over: {error}. Delete it, and retrain again"
        ) from None
    if found.format != FORMAT:
        raise HandoverError(f"{store.place(name)} has format {found.format}: expected {FORMAT}")
    return found


def publish(checkpoints: str | Path, topic: str, handed_over: Handover) -> None:
    """Hand over: from now on the workers find it."""

    def fill(file: IO[bytes]) -> None:
        file.write(msgspec.json.encode(handed_over))

    storage(place(checkpoints)).write(f"{topic}.json", fill)


def begin_again(checkpoints: str | Path, topic: str, topic_id: str, begins: Mapping[int, int]) -> None:
    """Let workers learn what was handed over from where a journal begins that was rewritten.

    The checkpoints that were handed over go back to what is deleted of it, so they are deleted; the settings
    stay in force.

    Parameters
    ----------
    checkpoints : str or Path
    topic, topic_id : str
        The journal.
    begins : mapping of int to int
        Where each partition begins that was rewritten.
    """
    found = read(checkpoints, topic)
    if found is None or found.topic_id != topic_id:
        return
    offers = {**found.offers, **{str(each): Offer(begin) for each, begin in begins.items()}}
    publish(checkpoints, topic, msgspec.structs.replace(found, offers=offers))
    for slot in SLOTS:
        store = storage(place(checkpoints, slot))
        for partition in begins:
            folder = f"{topic}-{partition}"
            for name in store.files(folder):
                store.delete(f"{folder}/{name}")


def replaced_by(terms: Terms, before: Sequence[Terms]) -> list[Terms]:
    """The terms of `before` that `terms` replace, each once."""
    found: list[Terms] = []
    for each in before:
        if not any(each.same(known) for known in (terms, *found)):
            found.append(each)
    return found


def obstacle(terms: Terms, before: Terms, config: Settings) -> str | None:
    """Explain why workers cannot change to `terms` while they run; None if they can."""
    new, old = canonical(terms.learned), canonical(before.learned)
    for name in FIXED:
        if new.get(name) != old.get(name):
            was, now = before.learned.get(name), terms.learned.get(name)
            return f"{settings.variable(name)} was {was!r} and would be {now!r}"
    logged, was_logged = (logs_recommendations(each.settings(config)) for each in (terms, before))
    if logged != was_logged:
        return (
            f"the recommendations log would be turned {'on' if logged else 'off'} "
            "(RECOMMENDER_RECOMMENDATIONS_LOG)"
        )
    return None
