"""Hand-overs as `recommender retrain` leaves them, on a journal without Kafka."""

from __future__ import annotations

from pathlib import Path

from recommender import settings
from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.journal.identity import rule_of
from recommender.journal.replica import Replica
from recommender.messages.ratings import Rating
from recommender.retraining import handover
from recommender.retraining.handover import Handover, Offer, Terms, replaced_by
from recommender.settings import Settings
from recommender.shard.options import ShardOptions, learned_settings
from recommender.worker.handover_sources import HandoverSources
from recommender.worker.replicas import CheckpointSource
from tests.support.journals import FOUND, Journal
from tests.unit.journal.blocks import Block

TOPIC = FOUND.topic


def log() -> list[Block]:
    """A journal of single ratings."""
    made = Journal()
    for each in range(60):
        made.add([Rating(f"u{each % 7}", f"i{each * each % 11}", each % 5 + 1, float(each))])
    return made.blocks


LOG = log()


def config(tmp_path: Path, **given: str) -> Settings:
    return settings.load({}, checkpoints=str(tmp_path), **{"test_every": "2", **given})


def learned(config: Settings, stop: int) -> Replica:
    """One pass over the journal."""
    options = ShardOptions.of(config)
    replica = Replica(rule_of(FOUND, 0, options), options)
    if stop:
        replica.apply(LOG[:stop])
    return replica


def identity(config: Settings, name: str = "") -> Identity:
    return Identity(TOPIC, FOUND.topic_id, 1, learned_settings(config), name)


def hand_over(config: Settings, *before: Settings, at: int, name: str = "one") -> Handover:
    """What `recommender retrain` with these settings leaves, in the place of the others."""
    store = CheckpointStore(handover.place(config.checkpoints, "a"), identity(config, name))
    file = f"{TOPIC}-0/{store.save(0, at, learned(config, at).state()).name}" if at else ""
    terms = Terms.of(config)
    replaced = replaced_by(terms, [Terms.of(each) for each in before])
    made = Handover(name, "a", FOUND.topic_id, 1, terms, replaced, {"0": Offer(at, file)})
    handover.publish(config.checkpoints, TOPIC, made)
    return made


def sources_of(config: Settings) -> HandoverSources:
    own = CheckpointSource(ShardOptions.of(config), CheckpointStore(config.checkpoints, identity(config)))
    return HandoverSources(config, own, FOUND)
