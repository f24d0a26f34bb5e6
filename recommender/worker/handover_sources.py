"""Checkpoints that may be loaded: those of a worker's own settings, and of what was handed over to it."""

from __future__ import annotations

import logging
from dataclasses import replace

from recommender.checkpoints.store import CheckpointStore
from recommender.kafka.topics import TopicInfo
from recommender.models import registry
from recommender.retraining import handover
from recommender.retraining.handover import Handover, Terms
from recommender.settings import Settings
from recommender.shard.options import ShardOptions
from recommender.worker.replicas import CheckpointSource

logger = logging.getLogger(__name__)


class HandoverSources:
    """The sources of a worker's checkpoints.

    Parameters
    ----------
    config : Settings
        The worker's own.
    own : CheckpointSource
        By these settings.
    topic : TopicInfo
        The journal.
    """

    def __init__(self, config: Settings, own: CheckpointSource, topic: TopicInfo) -> None:
        self._config, self._own, self._topic = config, own, topic
        self._said: set[str] = set()

    def all(self) -> list[CheckpointSource]:
        """The ways to read a checkpoint: by the settings in force, by those they replaced, by one's own.

        Raises
        ------
        OSError
            The place of the checkpoints cannot be reached.
        RecommenderError
            The hand-over cannot be read, or its models are not known here.
        """
        found = self.newest()
        if found is None:
            return [self._own]
        terms = [found.terms, *found.replaced]
        return [*(self.source(each, found.name if each is found.terms else "") for each in terms), self._own]

    def source(self, terms: Terms, name: str) -> CheckpointSource:
        """The way to read a checkpoint of these terms, and of a hand-over of this name."""
        config = terms.settings(self._config)
        options = self._own.options if config is self._config else ShardOptions.of(config)
        for model in options.arms.names:
            registry.check(model)
        identity = replace(self._own.store.identity, settings=terms.learned, handover=name)
        return CheckpointSource(options, CheckpointStore(self._config.checkpoints, identity))

    def newest(self) -> Handover | None:
        """The hand-over in force; None if there is none for this worker."""
        found = handover.read(self._config.checkpoints, self._topic.topic)
        if found is None or not found.concerns(self._own.store.identity, self._config):
            return None
        own = Terms.of(self._config)
        why = handover.obstacle(found.terms, own, self._config)
        if why is not None:
            self.log_once(f"hand-over {found.name} needs a restart with its settings: {why}")
            return None
        if not found.terms.same(own):
            self.log_once(
                f"{found.terms.arms} was handed over in the place of {own.arms}, and is in force; the next "
                "start may say so in RECOMMENDER_MODEL or RECOMMENDER_ARMS"
            )
        return found

    def log_once(self, text: str) -> None:
        """Warn once."""
        if text not in self._said:
            self._said.add(text)
            logger.warning("%s", text)
