"""The places for new checkpoints: one of their own, or the one from which running workers take them over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from recommender.checkpoints import checkpoint
from recommender.checkpoints.checkpoint import Checkpoint
from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.errors import RecommenderError
from recommender.journal.replica import Replica
from recommender.retraining import handover
from recommender.retraining.handover import Handover, Offer, Terms
from recommender.settings import Settings


class RetrainingError(RecommenderError):
    """The new checkpoints cannot be put where they are to go."""


class Elsewhere:
    """New checkpoints in a place of their own, for workers that are restarted with it."""

    def __init__(self, config: Settings, to: str, identity: Identity) -> None:
        self._store = CheckpointStore(to, identity)
        if str(self._store.directory) == str(CheckpointStore(config.checkpoints, identity).directory):
            raise RetrainingError(f"--to {to} is where the running checkpoints are: name another place")
        for partition in range(identity.partitions):
            if self._store.names(partition):
                raise RetrainingError(
                    f"--to {to} already has checkpoints of {identity.topic}[{partition}]: name an empty place"
                )

    def meets(self, before: Checkpoint | None) -> None:
        """Check nothing: a worker that is restarted may have any settings."""

    def save(self, replica: Replica) -> None:
        """Save a replica, if it has learned anything, and read it back."""
        if replica.position:
            _save(self._store, replica)

    def finish(self) -> None:
        """Nothing more to do."""

    def withdraw(self) -> None:
        """Delete what was saved."""
        _delete(self._store)


class HandingOver:
    """New checkpoints next to the running ones, which the workers take over once all are there."""

    def __init__(self, config: Settings, identity: Identity) -> None:
        self._config, self._identity = config, identity
        self._before = handover.read(config.checkpoints, identity.topic)
        own = (identity.topic_id, identity.partitions)
        if self._before and (self._before.topic_id, self._before.partitions) != own:
            self._before = None
        last = self._before.slot if self._before else ""
        self._slot = next(slot for slot in handover.SLOTS if slot != last)
        self._name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self._terms = Terms.of(config)
        self._replaced = [self._before.terms, *self._before.replaced] if self._before else []
        self._offers: dict[str, Offer] = {}
        self._published = False
        place = handover.place(config.checkpoints, self._slot)
        self._store = CheckpointStore(place, replace(identity, handover=self._name))
        _delete(self._store)  # what a run that was killed has left

    def meets(self, before: Checkpoint | None) -> None:
        """See whether the worker of a running checkpoint can change to the new settings.

        Raises
        ------
        RetrainingError
            It cannot.
        """
        if before is None:
            return
        terms = Terms.in_header(before.header["settings"])
        why = handover.obstacle(self._terms, terms, self._config)
        if why is not None:
            raise RetrainingError(
                f"{before.path} was learned by a worker that cannot change to this while it runs: {why}. "
                "Learn with --to PLACE, and restart the workers with it"
            )
        self._replaced.append(terms)

    def save(self, replica: Replica) -> None:
        """Save a replica, if it has learned anything, and read it back."""
        offer = Offer(replica.position)
        if replica.position:
            _save(self._store, replica)
            offer = Offer(replica.position, self._store.names(replica.partition)[0])
        self._offers[str(replica.partition)] = offer

    def finish(self) -> None:
        """Let the workers find it, and delete what was handed over before."""
        replaced = handover.replaced_by(self._terms, self._replaced)
        identity = self._identity
        # From here on a worker may be reading them.
        self._published = True
        handover.publish(
            self._config.checkpoints,
            identity.topic,
            Handover(
                self._name,
                self._slot,
                identity.topic_id,
                identity.partitions,
                self._terms,
                replaced,
                self._offers,
            ),
        )
        if self._before:
            place = handover.place(self._config.checkpoints, self._before.slot)
            _delete(CheckpointStore(place, identity))

    def withdraw(self) -> None:
        """Delete what was saved, if it was not handed over."""
        if not self._published:
            _delete(self._store)


def _save(store: CheckpointStore, replica: Replica) -> None:
    place = store.save(replica.partition, replica.position, replica.state())
    checkpoint.read(place)  # raises if what was written is not what was learned


def _delete(store: CheckpointStore) -> None:
    for partition in range(store.identity.partitions):
        for name in store.names(partition):
            store.storage.delete(name)
