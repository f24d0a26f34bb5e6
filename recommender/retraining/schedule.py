"""When to retrain: whenever so many more ratings were written to the log."""

from __future__ import annotations

import time
from collections.abc import Callable

from recommender.errors import RecommenderError
from recommender.kafka.admin import security_options
from recommender.kafka.topics import Finding, Topics, identify
from recommender.retraining import handover
from recommender.retraining.handover import Terms
from recommender.retraining.log_replay import reading
from recommender.settings import Settings

#: How often the end of the log is looked at, in seconds.
LOOK_INTERVAL = 1.0
#: After a run that failed, as without a broker, so many seconds are waited.
RETRY_INTERVAL = 10.0


def run(
    config: Settings, every: int, retrain: Callable[[], bool], tell: Callable[[str], object] = lambda _: None
) -> None:
    """Retrain now and whenever `every` more ratings were written; never returns.

    Ratings are counted by the log's offsets since the last hand-over with these settings, so a schedule that
    was stopped and started again goes on counting where it was.

    Parameters
    ----------
    config : Settings
    every : int
        In ratings.
    retrain : callable
        Retrains once; whether it handed over.
    tell : callable
        Told what a person should know.

    Raises
    ------
    RecommenderError
        The first look or the first run failed. Later ones are told, and tried again.
    """
    topic = identify(
        config.broker, Topics(config.topic_prefix).ratings, config.broker_wait, security_options(config)
    )
    reached = handed_over(config, topic)
    first = True
    while True:
        try:
            end = _wait(config, topic, 0 if reached is None else reached + every)
            if retrain():
                reached = handed_over(config, topic)
            else:
                reached = end
                tell(f"Tried again after {every:,} ratings more")
            first = False
        except RecommenderError as error:
            if first:
                raise
            tell(f"{error}. Tried again in {RETRY_INTERVAL:.0f} s")
            time.sleep(RETRY_INTERVAL)


def handed_over(config: Settings, topic: Finding) -> int | None:
    """How many offsets the last hand-over with these settings has learned; None if there was none."""
    last = handover.read(config.checkpoints, topic.topic)
    if last is None or last.topic_id != topic.topic_id or not last.terms.same(Terms.of(config)):
        return None
    return sum(offer.offset for offer in last.offers.values())


def _wait(config: Settings, topic: Finding, count: int) -> int:
    """Wait until the log's partitions together end at so many offsets; where they end then."""
    with reading(config) as reader:
        while True:
            end = sum(span.ends for span in reader.spans(topic.topic, range(topic.partitions)))
            if end >= count:
                return end
            time.sleep(LOOK_INTERVAL)
