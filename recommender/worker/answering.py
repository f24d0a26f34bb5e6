"""The answering side of the worker: each request gets exactly one reply."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from recommender.experiments.log_writer import LogWriter
from recommender.ingest.ingest import Record
from recommender.messages.partitioning import partition_of
from recommender.messages.ratings import BadMessage, header
from recommender.messages.request_headers import (
    CORRELATION,
    FORWARDED,
    REPLY_TOPIC,
    deadline,
    forwarded,
    identity,
    place,
    returned,
)
from recommender.messages.requests import Request, decode_request
from recommender.messages.responses import Failure, Response
from recommender.messages.unreadable import Unreadable
from recommender.worker.continuity import Continuity, Seek
from recommender.worker.delivery import Delivery, Send
from recommender.worker.progress import Progress
from recommender.worker.shards import Shards
from recommender.worker.transport.batch import Batch

logger = logging.getLogger(__name__)

#: Replies under way at once; more requests wait in Kafka.
UNDER_WAY = 1000
#: Requests that wait for learning at once; more fail.
MAX_WAITING = 10_000


class Answerer:
    """Answers requests from the shards that the worker holds.

    Parameters
    ----------
    shards : Shards
    send : Send
        Sends a record to a topic.
    seek : Seek
        Reads a partition of the request topic again.
    requests_topic, responses_topic : str
    partitions : int
        Of the ratings and the request topic.
    reply_topics : iterable of str
        Patterns of the topics that a request may name.
    request_wait : float
        How long a request may wait for learning, in seconds.
    answered : function
        Told of every reply: its code (``ok`` or a failure's) and the seconds from the worker's receipt.
    log : LogWriter, optional
        Where to log what was recommended.
    bury : function, optional
        Sends what cannot be read to the dead letters; returns when the broker has it.
    """

    def __init__(
        self,
        shards: Shards,
        send: Send,
        seek: Seek,
        *,
        requests_topic: str,
        responses_topic: str,
        partitions: int,
        reply_topics: Iterable[str],
        request_wait: float,
        answered: Callable[[str, float], None],
        log: LogWriter | None = None,
        bury: Callable[[Unreadable], Awaitable[object]] | None = None,
    ) -> None:
        self._shards = shards
        self._delivery = Delivery(send, requests_topic, responses_topic, reply_topics)
        self._continuity = Continuity(requests_topic, seek, self._deleted)
        self._requests_topic = requests_topic
        self._responses_topic = responses_topic
        self._partitions = partitions
        self._request_wait = request_wait
        self._answered = answered
        self._log = log
        self._bury = bury
        self._under_way = asyncio.Semaphore(UNDER_WAY)
        self._tasks: set[asyncio.Task[None]] = set()
        self._learned = asyncio.Condition()
        self._handing_over = False
        self._waiting = 0
        self.progress: dict[int, Progress] = {}

    def start_at(self, partition: int, committed: int, begins: int = 0, ends: int | None = None) -> int:
        """Where to read a partition's requests from: this worker may be ahead of what is committed.

        Its log begins with the offset `begins` and ends before `ends`.
        """
        progress = self.progress.get(partition)
        if progress is not None and ends is not None and progress.next > ends:
            logger.warning(
                "%s[%d] ends at offset %d, but was answered up to %d: it was made again or truncated",
                *(self._requests_topic, partition, ends, progress.next),
            )
            progress, committed = None, min(committed, begins)
        if progress is None:
            progress = self.progress[partition] = Progress(committed)
        progress.catch_up(committed)
        if not progress.open and progress.next < begins:
            if progress.next > 0:
                self._deleted(partition, progress.next, begins)
            progress.next = begins
        return progress.next

    def _deleted(self, partition: int, first: int, begins: int) -> None:
        logger.warning(
            "%s[%d]: offsets %d to %d were deleted from the log before they were answered",
            *(self._requests_topic, partition, first, begins - 1),
        )

    def keep_only(self, partitions: set[int]) -> None:
        """These are our partitions from now on: forget the progress of all others."""
        self.progress = {each: self.progress[each] for each in partitions & self.progress.keys()}

    def done(self) -> dict[int, int]:
        """For each partition the offset below which every request has its reply: what may be committed."""
        return {partition: progress.done for partition, progress in self.progress.items()}

    async def take(self, batch: Batch) -> None:
        """Begin to answer a partition's requests."""
        progress = self.progress.get(batch.partition)
        if progress is None or not progress.current:
            return  # the partition moved while the batch was on its way
        if not await self._continuity.follows(batch, progress.next):
            return
        for record in batch.records:
            await self._under_way.acquire()
            if self.progress.get(batch.partition) is not progress or not progress.current:
                self._under_way.release()
                return  # it moved; if it has come back, it is read from where its last owner got to
            if record.offset < progress.next:
                self._under_way.release()
                continue
            progress.open.add(record.offset)
            progress.next = record.offset + 1
            task = asyncio.create_task(self._settle(progress, record))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0)
        if self.progress.get(batch.partition) is progress and progress.current:
            progress.next = max(progress.next, batch.end)

    async def learned(self) -> None:
        """Wake the requests that wait for learning."""
        if self._tasks:
            async with self._learned:
                self._learned.notify_all()

    async def hand_over(self, within: float) -> None:
        """Settle all that is under way, because partitions are about to move or the worker stops.

        Requests that wait for learning go back to the end of their partition, for whoever holds it next. No
        more are begun, as the next owner would answer them once more, until `start_at` has said from where a
        partition is read that has come back.
        """
        for progress in self.progress.values():
            progress.current = False
        self._handing_over = True
        try:
            await self.learned()
            if self._tasks:
                await asyncio.wait(set(self._tasks), timeout=within)
        finally:
            self._handing_over = False

    async def _settle(self, progress: Progress, record: Record) -> None:
        """One request from beginning to end."""
        started = time.perf_counter()
        try:
            code, response = await self._reply(record)
            self._answered(code, time.perf_counter() - started)
        except Exception:
            # Unanswered requests hold the committed offset back, so they come again after a restart.
            logger.exception("%s[%d] offset %d has no reply", *place(record))
            return
        finally:
            self._under_way.release()
        if response is not None and self._log is not None:
            await self._log.write(record, response)
        progress.open.discard(record.offset)

    async def _reply(self, record: Record) -> tuple[str, Response | None]:
        """Send the reply; its code, and the recommendations for a user that it took there."""
        if isinstance(record, Unreadable):
            logger.warning("%s; it goes to the dead letters", record)
            if self._bury is not None:
                await self._bury(record)
            if header(record.headers, *CORRELATION) is None:
                return "unreadable", None  # nobody could tell whose reply it is
        topic = self._responses_topic
        response: Response | None = None
        try:
            named = header(record.headers or (), *REPLY_TOPIC)
            if named is not None:
                topic = self._delivery.reply_topics.allowed(named)
            if isinstance(record, Unreadable):
                raise BadMessage(record.cause)
            request = decode_request(record.value, record.headers or ())
            # Similar items are asked of whatever partition the request came to.
            owner = record.partition
            if request.user is not None:
                owner = partition_of(str(request.user), self._partitions)
            if owner != record.partition:
                return await self._forward(record, request, owner), None
            response = await self._answer(record, request, deadline(record))
            if response is None:
                await self._delivery.request(returned(record))
                return "handed_over", None
            value, failure = response.encode(), None
        except Failure as error:
            failure = error
        except BadMessage as error:
            failure = Failure("bad_request", str(error))
        except Exception as error:
            logger.exception("%s[%d] offset %d could not be answered", *place(record))
            failure = Failure("internal_error", f"{type(error).__name__}: {error}", retriable=True)
        code = await self._delivery.reply(
            record, topic, value if failure is None else failure.encode(), failure
        )
        shown = response if code == "ok" and response is not None and response.user is not None else None
        return code, shown

    async def _answer(self, record: Record, request: Request, until: float | None) -> Response | None:
        """The response, or None if the request must go back to its topic."""
        if until is not None and time.time() > until:
            raise Failure(
                "deadline_exceeded", "the deadline had passed before the request was read", retriable=True
            )
        held = self._shards.get(record.partition)
        if held is None:
            return None
        if request.after is not None and held.shard.offset <= request.after:
            limit = record.timestamp / 1000 + self._request_wait
            if not await self._wait_for(record, request.after, min(limit, until or limit)):
                return None
            held = self._shards.get(record.partition)
            if held is None:
                return None
        return held.shard.recommend(request, identity(record))

    async def _wait_for(self, record: Record, after: int, limit: float) -> bool:
        """Wait until the shard has learned up to an offset; False if the partition is about to move.

        Raises
        ------
        Failure
            It has not learned so far by `limit`, in seconds since 1970.
        """
        if self._waiting >= MAX_WAITING:
            raise Failure("not_caught_up", f"{MAX_WAITING} requests wait already, try again", retriable=True)

        def settled() -> bool:
            held = self._shards.get(record.partition)
            return self._handing_over or held is None or held.shard.offset > after

        # Whoever waits must not keep others from their answers.
        self._under_way.release()
        self._waiting += 1
        try:
            async with asyncio.timeout(max(0.0, limit - time.time())), self._learned:
                await self._learned.wait_for(settled)
        except TimeoutError:
            held = self._shards.get(record.partition)
            reached = "nothing" if held is None else f"up to offset {held.shard.offset - 1}"
            raise Failure(
                "not_caught_up",
                f"asked to answer after offset {after}, but partition {record.partition} has learned "
                f"{reached}",
                retriable=True,
            ) from None
        finally:
            self._waiting -= 1
            await self._under_way.acquire()
        held = self._shards.get(record.partition)
        return held is not None and held.shard.offset > after

    async def _forward(self, record: Record, request: Request, owner: int) -> str:
        """Hand a request to its user's partition, once."""
        if header(record.headers or (), FORWARDED) is not None:
            raise Failure(
                "wrong_partition",
                f"user {request.user!r} belongs to partition {owner} of {self._partitions}, but the request "
                f"was forwarded to partition {record.partition}",
            )
        await self._delivery.request(forwarded(record, owner, str(request.user)))
        return "forwarded"
