"""The answering side of the worker: each request gets exactly one reply."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from recommender.experiments.log_writer import LogWriter
from recommender.ingest.ingest import Record
from recommender.messages.partitioning import partition_of
from recommender.messages.ratings import BadMessage
from recommender.messages.request_headers import RequestHeaders, forwarded, place, returned
from recommender.messages.requests import Request, decode_request
from recommender.messages.responses import Failure, Response
from recommender.worker.continuity import Continuity, Seek
from recommender.worker.delivery import Delivery, NoReplyError, Send, Target
from recommender.worker.progress import Progress, Progresses
from recommender.worker.shards import Shards
from recommender.worker.transport.batch import Batch
from recommender.worker.transport.refusals import has_ended

logger = logging.getLogger(__name__)

#: Replies under way at once; more requests wait in Kafka.
UNDER_WAY = 1000
#: Requests that wait for learning at once; more fail.
MAX_WAITING = 10_000
#: What a request counts as that not even a failure could be written for.
NO_REPLY = "no_reply"


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
    max_age : float
        How old a request may be where the group has committed nothing, in seconds.
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
        max_age: float = 60.0,
    ) -> None:
        self._shards = shards
        self._delivery = Delivery(send, requests_topic, responses_topic, reply_topics)
        self.progress = Progresses(requests_topic, max_age)
        self._continuity = Continuity(requests_topic, seek, self.progress.deleted)
        self._responses_topic = responses_topic
        self._partitions = partitions
        self._request_wait = request_wait
        self._answered = answered
        self._log = log
        self._under_way = asyncio.Semaphore(UNDER_WAY)
        self._tasks: set[asyncio.Task[None]] = set()
        self._learned = asyncio.Condition()
        self._handing_over = False
        self._waiting = 0

    def start_at(
        self,
        partition: int,
        committed: int | None,
        begins: int = 0,
        ends: int | None = None,
        young: int | None = None,
    ) -> int:
        """Where to read a partition's requests from, see `Progresses.start_at`."""
        return self.progress.start_at(partition, committed, begins, ends, young)

    def keep_only(self, partitions: set[int]) -> None:
        """These are our partitions from now on: forget the progress of all others."""
        self.progress.keep_only(partitions)

    def done(self) -> dict[int, int]:
        """For each partition the offset below which every request has its reply: what may be committed."""
        return self.progress.done()

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
            progress.next = record.offset + 1
            if self.progress.is_old(progress, record):
                self._under_way.release()
                continue
            progress.open.add(record.offset)
            task = asyncio.create_task(self._settle(progress, record))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0)

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
        started, response, identity = time.monotonic(), None, b""
        try:
            asked = RequestHeaders.of(record)
            identity = asked.identity
            code, response = await self._reply(record, asked, started)
        except Exception as error:
            if has_ended(error):
                return  # it is open, so it comes again when a worker is there
            # What cannot succeed is no reason to answer all that comes after it once more.
            code, why = NO_REPLY, str(error) if isinstance(error, NoReplyError) else repr(error)
            logger.error("%s[%d] offset %d can have no reply: %s", *place(record), why)
        finally:
            self._under_way.release()
        self._answered(code, time.monotonic() - started)
        if response is not None and self._log is not None:
            await self._log.write(record, identity, response)
        progress.open.discard(record.offset)

    async def _reply(
        self, record: Record, asked: RequestHeaders, started: float
    ) -> tuple[str, Response | None]:
        """Send the reply; its code, and the recommendations for a user that it took there."""
        target = Target(self._responses_topic)
        response: Response | None = None
        try:
            if asked.reply_topic is not None:
                target = Target(self._delivery.reply_topics.allowed(asked.reply_topic))
            target = target._replace(partition=asked.reply_partition)
            request = decode_request(record.value, record.headers or ())
            # Similar items are asked of whatever partition the request came to.
            owner = record.partition
            if request.user is not None:
                owner = partition_of(str(request.user), self._partitions)
            if owner != record.partition:
                return await self._forward(record, asked, request, owner), None
            response = await self._answer(record, asked, request, started)
            if response is None:
                waited = 0.0 if request.after is None else asked.waited + time.monotonic() - started
                await self._delivery.request(returned(record, waited))
                return "handed_over", None
            value, failure = response.encode(), None
        except Failure as error:
            failure = error
        except BadMessage as error:
            failure = Failure("bad_request", str(error))
        except Exception as error:
            if has_ended(error):
                raise
            logger.exception("%s[%d] offset %d could not be answered", *place(record))
            failure = Failure("internal_error", f"{type(error).__name__}: {error}", retriable=True)
        code = await self._delivery.reply(
            record, asked, target, value if failure is None else failure.encode(), failure
        )
        shown = response if code == "ok" and response is not None and response.user is not None else None
        return code, shown

    async def _answer(
        self, record: Record, asked: RequestHeaders, request: Request, started: float
    ) -> Response | None:
        """The response, or None if the request must go back to its topic.

        How long it waits is measured by our own clock: its record has somebody else's time, if any.
        """
        limit = started + max(0.0, self._request_wait - asked.waited)
        deadline = asked.deadline
        if deadline is not None:
            left = deadline - time.time()
            if left < 0:
                raise Failure(
                    "deadline_exceeded", "the deadline had passed before the request was read", retriable=True
                )
            limit = min(limit, time.monotonic() + left)
        held = self._shards.get(record.partition)
        if held is None:
            return None
        if request.after is not None and held.shard.offset <= request.after:
            if not await self._wait_for(record, request.after, limit):
                return None
            held = self._shards.get(record.partition)
            if held is None:
                return None
        return held.shard.recommend(request, asked.identity)

    async def _wait_for(self, record: Record, after: int, limit: float) -> bool:
        """Wait until the shard has learned up to an offset; False if the partition is about to move.

        Raises
        ------
        Failure
            It has not learned so far by `limit`, by the monotonic clock.
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
            async with asyncio.timeout(max(0.0, limit - time.monotonic())), self._learned:
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

    async def _forward(self, record: Record, asked: RequestHeaders, request: Request, owner: int) -> str:
        """Hand a request to its user's partition, once."""
        if asked.forwarded is not None:
            raise Failure(
                "wrong_partition",
                f"user {request.user!r} belongs to partition {owner} of {self._partitions}, but the request "
                f"was forwarded to partition {record.partition}",
            )
        await self._delivery.request(forwarded(record, owner))
        return "forwarded"
