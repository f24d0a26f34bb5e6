"""The schedule of retraining: after every N more ratings in the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from recommender.errors import RecommenderError
from recommender.journal.block import head_of
from recommender.journal.block_kernels import HEADER_BYTES
from recommender.kafka.admin import security_options
from recommender.kafka.log_reader import LogReader
from recommender.kafka.topics import TopicInfo, Topics, identify
from recommender.retraining import handover
from recommender.retraining.handover import Terms
from recommender.retraining.log_replay import reading
from recommender.settings import Settings

#: How often the end of the journal is looked at, in seconds.
LOOK_INTERVAL = 1.0
#: The wait after a run that failed, as without a broker, in seconds.
RETRY_INTERVAL = 10.0
POLL_RECORDS = 500


def run(
    config: Settings, every: int, retrain: Callable[[], bool], tell: Callable[[str], object] = lambda _: None
) -> None:
    """Retrain now and whenever `every` more ratings are in the journal; never returns.

    Ratings are counted from where the last hand-over with these settings ended, so a schedule that was
    stopped and started again continues to count where it was. Those that the journal has twice, as after a
    worker died, count twice.

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
        config.broker, Topics(config.topic_prefix).journal, config.broker_wait, security_options(config)
    )
    reached = handed_over(config, topic)
    first = True
    while True:
        try:
            end = _wait(config, topic, reached, every)
            if retrain():
                reached = handed_over(config, topic)
            else:
                reached = end
                tell(f"Will retry after another {every:,} ratings")
            first = False
        except RecommenderError as error:
            if first:
                raise
            tell(f"{error}. Retrying in {RETRY_INTERVAL:.0f} s")
            time.sleep(RETRY_INTERVAL)


def handed_over(config: Settings, topic: TopicInfo) -> dict[int, int] | None:
    """The end of the last hand-over with these settings, by partition of the journal; None without one."""
    last = handover.read(config.checkpoints, topic.topic)
    if last is None or last.topic_id != topic.topic_id or not last.terms.same(Terms.of(config)):
        return None
    return {int(partition): offer.offset for partition, offer in last.offers.items()}


def _wait(
    config: Settings, topic: TopicInfo, reached: Mapping[int, int] | None, every: int
) -> dict[int, int]:
    """Wait until the journal has `every` ratings beyond these offsets; return up to where it has them."""
    partitions = range(topic.partitions)
    with reading(config) as reader:
        if reached is None:
            return dict(
                zip(partitions, (each.ends for each in reader.spans(topic.topic, partitions)), strict=True)
            )
        positions, count = dict(reached), 0
        while True:
            for partition, span in zip(partitions, reader.spans(topic.topic, partitions), strict=True):
                begin = max(positions.get(partition, 0), span.begins)
                count += _ratings(reader, topic.topic, partition, begin, span.ends)
                positions[partition] = span.ends
            if count >= every:
                return positions
            time.sleep(LOOK_INTERVAL)


def _ratings(reader: LogReader, topic: str, partition: int, begin: int, end: int) -> int:
    """The number of ratings in the blocks from one offset up to another."""
    if begin >= end:
        return 0
    reader.start(topic, partition, begin)
    count = 0
    while reader.position < end:
        records = [record for record in reader.read(POLL_RECORDS) if record.offset < end]
        values = [record.value or b"" for record in records]
        heads = [head_of(value) for value in values if len(value) >= HEADER_BYTES]
        count += sum(head.rows for head in heads if not head.number)  # copies are of those before
    return count
