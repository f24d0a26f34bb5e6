"""Builds new checkpoints from the whole journal while workers run, and compares them with theirs.

A shard's state is a function of its log and of the settings, so learning the log again under the same
settings gives the same state: then retraining is a proof that the running checkpoints are right. Under other
settings - another model, other options, another feedback policy - it gives the checkpoints of a worker that
had used these from the start. The running workers take them over, or workers that are restarted with them
only have the newest ratings left to learn. Nothing is written to Kafka, and the group of the workers does not
notice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from recommender.checkpoints import checkpoint
from recommender.checkpoints.checkpoint import Checkpoint, CheckpointError
from recommender.checkpoints.identity import Identity, origin_of
from recommender.checkpoints.store import CheckpointStore
from recommender.ingest.sources.configured import impressions_of, mappings_of, with_log_for, with_repeats
from recommender.journal.replica import Replica
from recommender.kafka.admin import security_options
from recommender.kafka.topics import Topics, identify
from recommender.retraining.log_replay import Advance, JournalReplay, reading
from recommender.retraining.quality import Quality, compared, of_checkpoint, of_shard
from recommender.retraining.targets import Elsewhere, HandingOver, RetrainingError
from recommender.settings import Settings
from recommender.shard.options import ShardOptions, learned_settings


@dataclass(frozen=True, slots=True)
class Learned:
    """The new checkpoint of one partition.

    Attributes
    ----------
    partition, offset, users, items, events : int
    digest : str
    quality : Quality
        At the offset of the running checkpoint, or at the end of the log where there is none.
    running : Quality or None
        Of the running checkpoint.
    differs : str
        In words, where the running checkpoint is not what the log says it must be; empty where it is, or
        where it was made with other settings.
    """

    partition: int
    offset: int
    users: int
    items: int
    events: int
    digest: str
    quality: Quality
    running: Quality | None
    differs: str = ""


@dataclass(slots=True)
class RetrainReport:
    """The outcome of retraining.

    Attributes
    ----------
    learned : list of Learned
        By partition.
    objections : list of str
        Why the new checkpoints are not to be used; empty if they are.
    notes : list of str
        What a user should know.
    """

    learned: list[Learned] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def retrain(
    config: Settings,
    to: str | None = None,
    *,
    tolerance: float,
    allow_gap: bool = False,
    repair: bool = False,
    advance: Advance = lambda *_: None,
) -> RetrainReport:
    """Learn the journal from its start to its present end, and save one checkpoint for each partition.

    Parameters
    ----------
    config : Settings
        What to learn with. `config.checkpoints` is where the running workers' checkpoints are.
    to : str, optional
        Directory or URL of the new ones, which must hold none of this topic. By default they are handed over
        to the running workers, see `recommender.retraining.handover`.
    tolerance : float
        How much lower live recall@10 may be than the running checkpoints'.
    allow_gap : bool
        Learn what is left of a log that does not begin at offset 0 any more.
    repair : bool
        Do not mind a running checkpoint that is not what the log says it must be.
    advance : callable

    Returns
    -------
    RetrainReport
        With objections if the new checkpoints are worse or the running ones are not what the log says; then
        none was left in `to`, or none was handed over.

    Raises
    ------
    RetrainingError
        `to` cannot be used, running workers cannot change to these settings, or the journal is empty.
    LogPassError
        The log does not begin at its start.
    LogReadError
        The broker stops answering, or retention overtakes the reading.
    RecommenderError
        No broker answers, there is no such topic, or a setting names what does not exist.
    """
    config = with_log_for(with_repeats(config, mappings_of(config)), impressions_of(config))
    options = ShardOptions.of(config)
    names = Topics(config.topic_prefix)
    topic = identify(config.broker, names.journal, config.broker_wait, security_options(config))
    identity = Identity(topic.topic, topic.topic_id, topic.partitions, learned_settings(config))
    running = CheckpointStore(config.checkpoints, identity)
    target = Elsewhere(config, to, identity) if to is not None else HandingOver(config, identity)
    report = RetrainReport()
    try:
        with reading(config) as reader:
            log = JournalReplay(reader, topic, options, advance, allow_gap=allow_gap)
            for partition in range(topic.partitions):
                before, warnings = _newest(running, partition)
                report.notes += warnings
                target.meets(before)
                replica, learned = _learn(log, identity, partition, before)
                report.learned.append(learned)
                target.save(replica)
            if log.lost_before is not None:
                report.notes.append(
                    f"Learned from {log.lost_before} on: the journal has lost what came before, which "
                    "running workers still know"
                )
        if not any(each.events for each in report.learned):
            raise RetrainingError(
                f"{topic.topic} holds no ratings yet: there is nothing to learn from. Workers write it as "
                f"ratings come to {names.ratings}"
            )
        differing = [each.differs for each in report.learned if each.differs]
        (report.notes if repair else report.objections).extend(differing)
        found, notes = compared([(each.quality, each.running) for each in report.learned], tolerance)
        report.objections += found
        report.notes += notes
        if report.objections:
            target.withdraw()
        else:
            target.finish()
    except BaseException:
        target.withdraw()
        raise
    return report


def _learn(
    log: JournalReplay, identity: Identity, partition: int, before: Checkpoint | None
) -> tuple[Replica, Learned]:
    """One partition's replica at the end of the journal, compared with the running checkpoint on the way."""
    differs: list[str] = []
    qualities: list[Quality] = []

    def test(replica: Replica) -> None:
        """Compare the replica with the running checkpoint, whose offset it has reached."""
        assert before is not None
        qualities[:] = [of_shard(replica.shard)]
        differs.clear()
        # Else the journal was rewritten since, or has lost what the checkpoint knows.
        same = origin_of(before.header) == replica.rule.origin and log.lost_before is None
        if same and not identity.differences(before.header) and replica.digest() != before.header["digest"]:
            differs.append(
                f"{before.path} is not what the journal and its settings give: its digest is "
                f"{before.header['digest']}, expected {replica.digest()}. It was made by another version, or "
                "the journal was changed"
            )

    replica = log.learn(partition, before.offset if before else -1, test)
    shard = replica.shard
    learned = Learned(
        partition,
        replica.position,
        len(shard.users),
        len(shard.items),
        shard.events,
        replica.digest(),
        qualities[0] if qualities else of_shard(shard),
        of_checkpoint(before) if before and qualities else None,
        "".join(differs),
    )
    return replica, learned


def _newest(store: CheckpointStore, partition: int) -> tuple[Checkpoint | None, list[str]]:
    """The running checkpoint, whatever settings it was made with; none if it is of another topic."""
    warnings: list[str] = []
    for name in store.names(partition):
        try:
            found = checkpoint.read(store.storage.place(name))
        except CheckpointError as error:
            warnings.append(str(error))
            continue
        theirs = tuple(found.header.get(each) for each in ("topic_id", "partitions", "partition"))
        if theirs == (store.identity.topic_id, store.identity.partitions, partition):
            return found, warnings
        warnings.append(f"{found.path} is of another topic, so nothing is compared with it")
        break
    return None, warnings
