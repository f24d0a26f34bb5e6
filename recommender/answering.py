"""The answering side of the worker: each request gets exactly one reply."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from recommender.bulk import Batch
from recommender.ingest import Outgoing, Record
from recommender.messages import BadMessage, Failure, Request, decode_request, header
from recommender.progress import Progress
from recommender.reply_topics import ReplyTopics
from recommender.routing import partition_of
from recommender.shards import Shards

logger = logging.getLogger(__name__)

CORRELATION = ("kafka_correlationId", "correlation_id")
REPLY_TOPIC = ("kafka_replyTopic", "reply_to")
DEADLINE = "deadline-ms"
ERROR_CODE = "error-code"
#: On a forwarded request: where it was first.
FORWARDED = "recommender-forwarded"

#: Replies under way at once; more requests wait in Kafka.
UNDER_WAY = 1000
#: Requests that wait for learning at once; more fail.
MAX_WAITING = 10_000

#: A reply that Kafka did not take, because it was away, is sent again after so long.
RETRY_SECONDS = 1.0

Send = Callable[[str, Outgoing], Awaitable[asyncio.Future[Any]]]


class Answerer:
    """Answers requests from the shards that the worker holds.

    Parameters
    ----------
    shards : Shards
    send : Send
        Sends a record to a topic.
    requests_topic, responses_topic : str
    partitions : int
        Of the ratings and the request topic.
    reply_topics : iterable of str
        Patterns of the topics that a request may name.
    request_wait : float
        How long a request may wait for learning, in seconds.
    answered : function
        Told of every reply: its code (``ok`` or a failure's) and the seconds from the worker's receipt.
    """

    def __init__(
        self,
        shards: Shards,
        send: Send,
        *,
        requests_topic: str,
        responses_topic: str,
        partitions: int,
        reply_topics: Iterable[str],
        request_wait: float,
        answered: Callable[[str, float], None],
    ) -> None:
        self._shards = shards
        self._send = send
        self._requests_topic = requests_topic
        self._responses_topic = responses_topic
        self._partitions = partitions
        self._reply_topics = ReplyTopics([responses_topic, *reply_topics])
        self._request_wait = request_wait
        self._answered = answered
        self._under_way = asyncio.Semaphore(UNDER_WAY)
        self._tasks: set[asyncio.Task[None]] = set()
        self._learned = asyncio.Condition()
        self._handing_over = False
        #: Set while partitions stay where they are.
        self._settled_down = asyncio.Event()
        self._settled_down.set()
        self._waiting = 0
        self.progress: dict[int, Progress] = {}

    def start_at(self, partition: int, offset: int) -> int:
        """Where to read a partition's requests from; `offset` unless this worker got further already."""
        progress = self.progress.setdefault(partition, Progress(offset))
        if not progress.open:
            progress.next = max(progress.next, offset)
        return progress.next

    def keep_only(self, partitions: set[int]) -> None:
        """These are our partitions from now on: forget the progress of all others, and go on."""
        for partition in [each for each in self.progress if each not in partitions]:
            del self.progress[partition]
        self._settled_down.set()

    def done(self) -> dict[int, int]:
        """For each partition the offset below which every request has its reply: what may be committed."""
        return {partition: progress.done for partition, progress in self.progress.items()}

    async def take(self, batch: Batch) -> None:
        """Begin to answer a partition's requests; from `hand_over` to `keep_only` it waits."""
        for record in batch.records:
            await self._may_begin()
            progress = self.progress.get(batch.partition)
            if progress is None or record.offset < progress.next:
                self._under_way.release()
                continue
            progress.open.add(record.offset)
            progress.next = record.offset + 1
            task = asyncio.create_task(self._settle(progress, record))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0)

    async def _may_begin(self) -> None:
        """Wait for a place among those under way, at a time when partitions stay where they are.

        What is begun after the last commit would be answered once more by the partition's next owner.
        """
        while True:
            await self._settled_down.wait()
            await self._under_way.acquire()
            if self._settled_down.is_set():
                return
            self._under_way.release()

    async def learned(self) -> None:
        """Wake the requests that wait for learning."""
        if self._tasks:
            async with self._learned:
                self._learned.notify_all()

    async def hand_over(self, within: float) -> None:
        """Settle all that is under way, because partitions are about to move or the worker stops.

        Requests that wait for learning go back to the end of their partition, for whoever holds it next. No
        more are begun until `keep_only` says what stays here.
        """
        self._settled_down.clear()
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
            code = await self._reply(record)
            progress.open.discard(record.offset)
            self._answered(code, time.perf_counter() - started)
        except Exception:
            # Unanswered requests hold the committed offset back, so they come again after a restart.
            logger.exception("%s[%d] offset %d has no reply", *_place(record))
        finally:
            self._under_way.release()

    async def _reply(self, record: Record) -> str:
        headers = record.headers or ()
        topic = self._responses_topic
        value: bytes | None = None
        failure: Failure | None = None
        try:
            named = header(headers, *REPLY_TOPIC)
            if named is not None:
                topic = self._reply_topics.allowed(named)
            request = decode_request(record.value, headers)
            # Similar items are asked of whatever partition the request came to.
            owner = record.partition
            if request.user is not None:
                owner = partition_of(str(request.user), self._partitions)
            if owner != record.partition:
                return await self._forward(record, request, owner)
            value = await self._answer(record, request, _deadline(headers))
            if value is None:
                return await self._send_back(record)
        except Failure as error:
            failure = error
        except BadMessage as error:
            failure = Failure("bad_request", str(error))
        except Exception as error:
            logger.exception("%s[%d] offset %d could not be answered", *_place(record))
            failure = Failure("internal_error", f"{type(error).__name__}: {error}", retriable=True)
        reply = value if failure is None else failure.encode()
        assert reply is not None
        return await self._deliver(record, topic, reply, failure)

    async def _answer(self, record: Record, request: Request, deadline: float | None) -> bytes | None:
        """The encoded response, or None if the request must go back to its topic."""
        if deadline is not None and time.time() > deadline:
            raise Failure(
                "deadline_exceeded", "the deadline had passed before the request was read", retriable=True
            )
        held = self._shards.get(record.partition)
        if held is None:
            return None
        if request.after is not None and held.shard.offset <= request.after:
            limit = record.timestamp / 1000 + self._request_wait
            if not await self._wait_for(record, request.after, min(limit, deadline or limit)):
                return None
            held = self._shards.get(record.partition)
            if held is None:
                return None
        return held.shard.recommend(request).encode()

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
        source = f"{record.partition}:{record.offset}".encode()
        headers = [*record.headers, (FORWARDED, source)]
        key = str(request.user).encode()
        await self._await(self._requests_topic, Outgoing(owner, key, record.value, record.timestamp, headers))
        return "forwarded"

    async def _send_back(self, record: Record) -> str:
        again = Outgoing(record.partition, record.key, record.value, record.timestamp, list(record.headers))
        await self._await(self._requests_topic, again)
        return "handed_over"

    async def _deliver(self, record: Record, topic: str, value: bytes, failure: Failure | None) -> str:
        """Send a reply; the code of what was sent in the end."""
        code = "ok" if failure is None else failure.code
        try:
            self._reply_topics.check(topic)
            await self._await(topic, _reply_to(record, value, failure))
            self._reply_topics.found(topic)
        except Exception as error:
            if self._reply_topics.failed(topic, error):
                logger.warning("%s[%d] offset %d: no reply to %s: %s", *_place(record), topic, error)
            what = f"{type(error).__name__}: {error}"
            if topic == self._responses_topic:
                missed = Failure("reply_not_accepted", f"Kafka does not take the reply: {what}")
            else:
                missed = Failure("reply_topic_unavailable", f"cannot reply to topic {topic!r}: {what}")
            await self._await(self._responses_topic, _reply_to(record, missed.encode(), missed))
            code = missed.code
        return code

    async def _await(self, topic: str, outgoing: Outgoing) -> None:
        """Send a record until Kafka has it; to a topic that a request named, once.

        Raises
        ------
        Exception
            It was sent once and failed, or it failed in a way that does not pass.
        """
        ours = topic in (self._responses_topic, self._requests_topic)
        while True:
            try:
                await (await self._send(topic, outgoing))
                return
            except Exception as error:
                if not (ours and getattr(error, "retriable", False)):
                    raise
            await asyncio.sleep(RETRY_SECONDS)


def _reply_to(record: Record, value: bytes, failure: Failure | None) -> Outgoing:
    """A reply with the request's own correlation headers, whatever they hold."""
    headers = [(name, each) for name, each in record.headers or () if name in CORRELATION]
    if failure is not None:
        headers.append((ERROR_CODE, failure.code.encode()))
    return Outgoing(None, record.key, value, int(time.time() * 1000), headers)


def _place(record: Record) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _deadline(headers: Iterable[tuple[str, bytes]]) -> float | None:
    """When the reply is of no more use, in seconds since 1970."""
    text = header(list(headers), DEADLINE)
    if text is None:
        return None
    try:
        return int(text) / 1000
    except (ValueError, OverflowError):
        shown = text[:64].decode("utf-8", "replace")
        raise BadMessage(f"header {DEADLINE} has value {shown!r}: not milliseconds since 1970") from None
