"""Requests and their replies, of the partitions that the group gives this worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recommender.experiments.log_writer import LogWriter
from recommender.ingest.ingest import unread_letter
from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import TopicInfo, Topics
from recommender.messages.records import Send, SendKnown
from recommender.settings import Settings
from recommender.worker.answering import Answerer
from recommender.worker.commits import Commits
from recommender.worker.counters import Counters
from recommender.worker.ingestion import log_partitions
from recommender.worker.ingestor import SendAll
from recommender.worker.knowledge import Knowledge
from recommender.worker.pacing import RecentRequests
from recommender.worker.request_consumer import RequestConsumer
from recommender.worker.transport.spans import Span

#: How long what is under way may take when partitions are about to move or the worker stops, in seconds.
HAND_OVER_SECONDS = 2.0
#: How often a member of the group of the requests says that it lives, and hears whether partitions move.
HEARTBEAT_SECONDS = 0.15


class Serving:
    """Answers requests: a consumer of their topic, and what its group's rebalances mean.

    Parameters
    ----------
    config : Settings
    names : Topics
    found : mapping
        What is known of each topic.
    knowledge : Knowledge
    counters : Counters
    send : Send
        For replies.
    send_known : SendKnown
        For replies to topics that are known.
    send_all : SendAll
        For dead letters.
    recent : RecentRequests
        Takes note of requests.
    logs : bool
        Whether recommendations are logged.

    Attributes
    ----------
    consumer : RequestConsumer
    log : LogWriter or None
        Of recommendations.
    """

    def __init__(
        self,
        config: Settings,
        *,
        names: Topics,
        found: Mapping[str, TopicInfo],
        knowledge: Knowledge,
        counters: Counters,
        send: Send,
        send_known: SendKnown,
        send_all: SendAll,
        recent: RecentRequests,
        logs: bool,
    ) -> None:
        self._topic = names.requests
        self._knowledge, self._counters = knowledge, counters
        letters = found[names.dead_letters].partitions
        log = LogWriter(send, names.recommendations, config.experiment, counters.logged)
        self.log = log if logs else None
        self._answerer = Answerer(
            knowledge.answers,
            send,
            requests_topic=names.requests,
            responses_topic=names.responses,
            reply_topics=[config.topic_prefix + each for each in _names(config.reply_topics)],
            request_wait=config.request_wait,
            answered=counters.answered,
            bury=lambda record: send_all(
                names.dead_letters, [unread_letter(record)._replace(partition=record.partition % letters)]
            ),
            log=self.log,
            max_age=config.request_max_age,
            send_known=send_known,
            taken=recent.note,
        )
        self.consumer = RequestConsumer(
            {**client_options(config), "group_id": f"{config.group}-requests", **_group_options(config)},
            names.requests,
            max_age=config.request_max_age,
            start_at=self._start_at,
            take=self._answerer.take,
            passed=self._answerer.passed,
            revoked=self.revoke,
            assigned=self._assigned,
        )
        self._commits = Commits(self.consumer.commit, least=-1)

    def lags(self) -> Mapping[int, int]:
        """The number of requests of each partition that have no reply yet."""
        return self._answerer.progress.lags(self.consumer.ends())

    async def commit(self) -> None:
        """Commit what is answered."""
        await self._commits.advance(self._answerer.progress.done())

    async def revoke(self) -> None:
        """Settle what is under way, and commit nothing more until partitions are assigned."""
        await self._answerer.hand_over(HAND_OVER_SECONDS)
        await self.commit()
        await self._commits.stop()

    def _assigned(self, partitions: set[int]) -> None:
        self._counters.rebalances.labels("requests").inc()
        self._commits.resume()
        self._answerer.progress.keep_only(partitions)
        self._knowledge.following.assign(set(map(self._journal_partition, partitions)))
        log_partitions(self._topic, partitions)

    def _journal_partition(self, partition: int) -> int:
        """The partition of the journal that answers a partition of the requests, if there are several."""
        return partition % self._knowledge.partitions

    async def _start_at(self, partition: int, span: Span) -> int | None:
        if self._knowledge.replicas.get(self._journal_partition(partition)) is None:
            return None  # its replica is still behind
        return self._answerer.progress.start_at(partition, span.committed, span.begins, span.ends, span.young)


def _group_options(config: Settings) -> dict[str, Any]:
    """The time that a worker may be silent before its requests are given to others, in aiokafka's words."""
    return {
        "session_timeout_ms": int(config.session_timeout * 1000),
        # Nobody answers from the moment when the first member hears, by a heartbeat, that partitions move, until
        # the last one has heard.
        "heartbeat_interval_ms": int(min(HEARTBEAT_SECONDS, config.session_timeout / 6) * 1000),
        "rebalance_timeout_ms": int(max(config.session_timeout, 15.0) * 1000),
        "max_poll_interval_ms": 300_000,
    }


def _names(topics: str) -> list[str]:
    return [name for each in topics.split(",") if (name := each.strip())]
