"""The shards of the partitions that a worker holds: opened, kept, saved and let go.

Durable first, commit after: a shard's checkpoint holds its state and its next offset, and only once it is on
the disk is that offset committed to Kafka. The commit informs lag tools; the checkpoint is the truth.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

from recommender.checkpoints.store import Checkpoint, CheckpointError, CheckpointMismatch, CheckpointStore
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.shard.snapshot import Snapshot
from recommender.worker.held import Held

logger = logging.getLogger(__name__)

#: Shards loaded at once: a loaded one needs room beside the bytes that it is loaded from.
LOADS = 2

#: Commits next offsets of the ratings topic, by partition.
Commit = Callable[[Mapping[int, int]], Awaitable[object]]


Result = TypeVar("Result")


class Way(NamedTuple):
    """How checkpoints are read and written: what they are learned with, and the store that knows it."""

    options: ShardOptions
    store: CheckpointStore


class LogGap(CheckpointError):
    """The log no longer holds what a shard would have to learn next."""


class Shards:
    """The shards of this worker's partitions.

    Parameters
    ----------
    options : ShardOptions
    store : CheckpointStore
    rebuild : bool
        Set checkpoints that do not match aside and learn anew.
    allow_gap : bool
        Learn on where the log has lost records that no checkpoint holds.
    """

    def __init__(
        self, options: ShardOptions, store: CheckpointStore, *, rebuild: bool = False, allow_gap: bool = False
    ) -> None:
        self.options = options
        self.store = store
        self.rebuild = rebuild
        self.allow_gap = allow_gap
        self.held: dict[int, Held] = {}
        # Faust may ask twice at once, and two shards of one partition would drift apart. Who asked may be
        # gone when one is loaded: after a rebalance, which mostly leaves it here, it is asked for again.
        self._loading: dict[int, asyncio.Task[Held]] = {}
        self._may_load = asyncio.Semaphore(LOADS)
        #: How checkpoints may be read, the best way first: see `recommender.worker.adoption`.
        self.ways: Callable[[], Sequence[Way]] = lambda: [Way(self.options, self.store)]
        #: How long the last checkpoint took to be written, in seconds.
        self.writing_took = 0.0

    def get(self, partition: int) -> Held | None:
        """The shard of a partition, if this worker holds it."""
        return self.held.get(partition)

    @property
    def opening(self) -> bool:
        """Whether a shard is being loaded."""
        return bool(self._loading)

    @property
    def save_error(self) -> str | None:
        """Why checkpoints cannot be written, as long as that is so for any shard."""
        failing = {number: held.save_error for number, held in self.held.items() if held.save_error}
        if not failing:
            return None
        first = failing[min(failing)]
        names = ", ".join(self._name(each) for each in sorted(failing))
        return f"cannot write checkpoints to {self.store.directory}: {first} (concerns {names})"

    def _name(self, partition: int) -> str:
        return f"{self.store.identity.topic}[{partition}]"

    async def open(self, partition: int, earliest: int, end: int, committed: int | None) -> Held:
        """Hold a partition's shard: the one in memory, else from its checkpoint, else a new one.

        Parameters
        ----------
        partition : int
        earliest, end : int
            Where the partition's log begins and ends.
        committed : int or None
            The offset last committed for it; that there is one shows that there was a checkpoint.

        Raises
        ------
        CheckpointError
            The checkpoint is of another topic or other settings, or the log does not continue it.
        """
        held = self.held.get(partition)
        if held is None:
            loaded = await self._load_once(partition)
            held = self.held.setdefault(partition, loaded)
        shard = held.shard
        if shard.offset > end:
            raise LogGap(
                f"{self._name(partition)}: the checkpoint has learned up to offset {shard.offset}, but the "
                f"log ends at {end}: it was truncated. To learn anew from what is left, use another "
                f"directory (RECOMMENDER_CHECKPOINTS)."
            )
        if shard.offset < earliest:
            self.accept_gap(
                partition, shard.offset, earliest, known_before=shard.offset > 0 or bool(committed)
            )
            shard.offset = earliest
        return held

    def accept_gap(self, partition: int, offset: int, earliest: int, *, known_before: bool = True) -> None:
        """Go on although the log no longer has what a shard would have to learn next.

        Raises
        ------
        LogGap
            Nobody has allowed that.
        """
        span = f"{offset} to {earliest - 1}"
        lost = f"{self._name(partition)}: offsets {span} are in no checkpoint and no longer in the log"
        if known_before and not self.allow_gap:
            raise LogGap(
                f"{lost}. Bring the checkpoints back, or accept the loss with "
                f"`recommender worker --allow-gap`."
            )
        logger.warning("%s; learning starts at offset %d", lost, earliest)

    async def _load_once(self, partition: int) -> Held:
        async def load() -> Held:
            async with self._may_load:
                return await asyncio.to_thread(self._load, partition)

        loading = self._loading.get(partition)
        if loading is None:
            loading = self._loading[partition] = asyncio.create_task(load())
            loading.add_done_callback(_seen)
        try:
            return await asyncio.shield(loading)
        finally:
            if loading.done() and self._loading.get(partition) is loading:
                del self._loading[partition]

    def _load(self, partition: int) -> Held:
        started = time.perf_counter()
        name = self._name(partition)
        checkpoint, warnings, way = self._newest(partition)
        for warning in warnings:
            logger.warning("%s: %s", name, warning)
        shard = Shard(way.options)
        if checkpoint is None:
            logger.info("%s: no checkpoint, learning from the start of the log", name)
            return Held(shard, store=way.store)
        shard.restore(checkpoint.state)
        logger.info(
            "%s: continues at offset %d from %s (%d users, %d items, %.2f s)",
            name,
            shard.offset,
            checkpoint.path.name,
            len(shard.users),
            len(shard.items),
            time.perf_counter() - started,
        )
        return Held(shard, saved=shard.offset, store=way.store)

    def _newest(self, partition: int) -> tuple[Checkpoint | None, list[str], Way]:
        """The newest whole checkpoint, by the first way that it fits, and what was wrong with newer ones."""
        ways = self.ways()
        refused = None
        for options, store in ways:
            try:
                checkpoint, warnings = store.load(partition)
            except CheckpointMismatch as error:
                refused = refused or error
                continue
            handover = checkpoint.header.get("handover", "") if checkpoint else ""
            return checkpoint, warnings, Way(options, store.of_handover(handover))
        if not self.rebuild and refused is not None:
            raise refused
        return *ways[0].store.load(partition, rebuild=True), ways[0]

    def handover_of(self, held: Held) -> str:
        """The name of the hand-over that a shard goes back to."""
        return (held.store or self.store).identity.handover

    def reload(self, held: Held) -> None:
        """Put a shard that is in the middle of a record back to its last checkpoint, or to the start.

        The event loop waits for it, so that nobody asks the broken shard.
        """
        loaded = self._load(held.shard.partition)
        held.shard, held.saved, held.store = loaded.shard, loaded.saved, loaded.store

    def keep_only(self, partitions: Collection[int]) -> None:
        """Let go of all shards but these."""
        for partition in [each for each in self.held if each not in partitions]:
            del self.held[partition]
        for partition in [each for each in self._loading if each not in partitions]:
            self._loading.pop(partition).cancel()

    async def save_all(self, commit: Commit, within: float | None = None) -> bool:
        """Save every shard that has learned since it was saved, then commit all that is durable.

        Returns
        -------
        bool
            Whether everything that was learned is now durable.
        """
        failed_before = self.save_error is not None
        await asyncio.gather(*(self._save(held, within) for held in list(self.held.values())))
        self._tell(failed_before)
        durable = {partition: held.saved for partition, held in self.held.items() if held.saved >= 0}
        if durable:
            # Also when nothing was saved just now: the last commit may have failed.
            await commit(durable)
        return not any(held.owed for held in self.held.values())

    async def _save(self, held: Held, within: float | None) -> None:
        """Save one shard, if it has learned and may be saved."""
        async with held.saving:
            if not held.owed:
                return
            snapshot, store = Snapshot(held.shard), held.store or self.store
            offset = await _take(snapshot, held, within)
            if offset is None:
                return
            state = await asyncio.to_thread(snapshot.state)
            started = time.perf_counter()
            try:
                await asyncio.to_thread(store.save, held.shard.partition, offset, state)
            except OSError as error:
                held.save_error = error
                return
            self.writing_took = time.perf_counter() - started
            held.saved = offset
            held.save_error = None

    def _tell(self, failed_before: bool) -> None:
        """Say that saving fails, each time that it does, and once that it is mended.

        Learning and answering go on meanwhile; offsets wait, so that nothing is lost.
        """
        error = self.save_error
        if error is not None:
            logger.error("%s; learning goes on, nothing of it is committed until this is mended", error)
        elif failed_before:
            logger.warning("checkpoints can be written again")


async def _take(snapshot: Snapshot, held: Held, within: float | None) -> int | None:
    """Copy a shard; its next offset, or None if it may not be saved or something does not let go of it."""
    offset = None
    try:
        async with asyncio.timeout(within):
            while offset is None:
                # Learning goes on between two steps.
                async with held.lock:
                    if held.tainted or held.shard is not snapshot.shard:
                        return None
                    offset = await whole(asyncio.to_thread(snapshot.step))
    except TimeoutError:
        return None  # what is being applied waits for the broker; the next turn saves it
    return offset


async def whole(step: Awaitable[Result]) -> Result:
    """Wait for a thread's work, also when cancelled: who then takes the lock must not meet it."""
    work = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def _seen(loading: asyncio.Task[Held]) -> None:
    """Whoever asks next is told why a shard could not be loaded; asyncio need not complain of it."""
    if not loading.cancelled():
        loading.exception()
