"""A worker's knowledge: replicas that follow the journal, are saved, and are exchanged for retrained ones."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Generic, ParamSpec

from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.errors import RecommenderError
from recommender.items.store import ItemStore
from recommender.journal.block import Source
from recommender.journal.identity import rule_of, topic_id
from recommender.journal.outcome import Followed
from recommender.journal.rule import Rule
from recommender.kafka import topics
from recommender.kafka.admin import security_options
from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import TopicInfo
from recommender.messages.requests import Request
from recommender.messages.responses import Response
from recommender.settings import Settings
from recommender.shard.options import ShardOptions, learned_settings
from recommender.shard.query import Hidden
from recommender.worker.adoption import Adoption
from recommender.worker.answers import Answers
from recommender.worker.checkpointing import Checkpointing
from recommender.worker.following import Following
from recommender.worker.handover_sources import HandoverSources
from recommender.worker.journal_retention import JournalRetention
from recommender.worker.learning import Learner
from recommender.worker.pacing import Pace, RecentRequests
from recommender.worker.replicas import CheckpointSource, HeldReplica, Replicas
from recommender.worker.topic_watch import TopicWatch
from recommender.worker.trends import Trends

Told = ParamSpec("Told")


class Event(Generic[Told]):
    """Calls all that have subscribed, in the order in which they did.

    Its cause need not know them: so neither has to be made before the other.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[Told, object]] = []

    def subscribe(self, listener: Callable[Told, object]) -> None:
        """Call a function from now on."""
        self._listeners.append(listener)

    def __call__(self, *told: Told.args, **named: Told.kwargs) -> None:
        """Call all."""
        for each in self._listeners:
            each(*told, **named)


class Knowledge:
    """The replicas of a worker and all that moves them on.

    Parameters
    ----------
    config : Settings
    options : ShardOptions
    ratings, journal : TopicInfo
        These topics.
    recent : RecentRequests
        Learning leaves them their time.
    items : ItemStore
        What the items topic says.
    hidden : function
        What the user of a request was shown before, if that is to be left out.
    answered : function
        Called with every answer.
    refuse : function
        Called with an error that a person has to fix.
    rebuild : bool
        Set checkpoints that do not match aside and learn again from the journal.
    allow_gap : bool
        Continue where the journal has lost blocks.

    Attributes
    ----------
    partitions : int
        Of the journal.
    followed : Event
        Told with the replica each time that it has learned what was followed.
    trends : Trends
        How popular items were in the last hours.
    ratings : TopicWatch
        How many partitions the ratings topic has, among others.
    """

    def __init__(
        self,
        config: Settings,
        options: ShardOptions,
        *,
        ratings: TopicInfo,
        journal: TopicInfo,
        recent: RecentRequests,
        items: ItemStore,
        hidden: Callable[[Request, bytes], Hidden | None],
        answered: Callable[[Response], None],
        refuse: Callable[[RecommenderError], None],
        rebuild: bool,
        allow_gap: bool,
    ) -> None:
        self.partitions = journal.partitions
        identity = Identity(journal.topic, journal.topic_id, journal.partitions, learned_settings(config))
        own = CheckpointSource(options, CheckpointStore(config.checkpoints, identity))
        handed_over = HandoverSources(config, own, journal)
        self.replicas = Replicas(
            *own,
            lambda partition: rule_of(journal, partition, options),
            journal.partitions,
            rebuild=rebuild,
            sources=handed_over.all,
            prepare=lambda shard: shard.sync_items(items),
        )
        self.adoption = Adoption(config, self.replicas, journal, handed_over)
        self.retention = JournalRetention(config, journal.topic, self.replicas, handed_over)
        self.checkpointing = Checkpointing(config.checkpoint_interval, jitter=uuid.uuid4().int % 1000 / 1000)
        self.trends = Trends(config.trending_hours, journal.topic, self.replicas, client_options(config))
        self.ratings = TopicWatch(ratings, _identify(config, ratings.topic))
        self.answers = Answers(
            self.replicas,
            topic_id(ratings),
            lambda: self.ratings.partitions,
            items,
            answered,
            self.trends.sums,
            hidden,
        )
        self.followed: Event[[HeldReplica, Followed]] = Event()
        pace = Pace(config.learn_slice / 1000, recent)
        self.following = Following(
            self.replicas,
            Learner(self.replicas, self.checkpointing, pace, self._learned),
            client_options(config),
            _identify(config, journal.topic),
            refuse,
            self.answers.learned,
            allow_gap=allow_gap,
        )
        self.followed.subscribe(self.trends.learned)
        self.followed.subscribe(lambda held, _: self.following.note(held.replica.partition))

    async def _learned(self, held: HeldReplica, followed: Followed) -> None:
        self.followed(held, followed)
        await self.answers.learned()

    def sync_items(self, items: ItemStore) -> None:
        """Tell the replicas of items that have changed."""
        for held in self.replicas:
            held.replica.shard.sync_items(items)

    def rules(self) -> list[Rule]:
        """The rules of the replicas that are held now."""
        return [held.replica.rule for held in self.replicas]

    def applied(self, source: Source) -> int | None:
        """The offset up to which a source is in the state; None where the journal is followed in part."""
        rules = self.rules()
        if len(rules) < self.partitions:
            return None
        return min(rule.applied(source) for rule in rules)

    def mapped(self, source: Source) -> int:
        """The fingerprint by which a source was mapped last, as far as that is known here."""
        return next((found for rule in self.rules() if (found := rule.decoder(source))), 0)


def _identify(config: Settings, topic: str) -> Callable[[], TopicInfo]:
    """Asks a broker for a topic as it is now."""
    return lambda: topics.identify(config.broker, topic, 0.0, security_options(config))
