"""The topics' configuration: what they are created with, and what is risky about it."""

from __future__ import annotations

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

DAY_MS = 86_400_000
FOREVER = "-1"
#: What a dead letter may need above its record: the headers that tell its cause.
DEAD_LETTER_ROOM = 65_536

#: The largest batch of blocks that the journal takes, in bytes: what Kafka takes by default. A block has at
#: most 532 kB, and those that are written together have 900 kB.
JOURNAL_BATCH_BYTES = 1_048_588
LEAST_JOURNAL_BATCH_BYTES = 1_000_000
BROKERS_TIME = "LogAppendTime"
#: The settings that matter here.
READ = (
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "max.message.bytes",
    "message.timestamp.type",
    "min.insync.replicas",
    "delete.retention.ms",
)

Configs = dict[str, str]


#: What a ratings topic is created with: all that was ever learned can be learned again.
FOR_RATINGS: Configs = {"cleanup.policy": "delete", "retention.ms": FOREVER, "retention.bytes": FOREVER}


#: What a requests topic is created with: a request's age is measured by the broker's clock.
FOR_REQUESTS: Configs = {"message.timestamp.type": BROKERS_TIME}


#: What an items topic is created with: the newest record of each item stays, also that which says it is gone.
FOR_ITEMS: Configs = {"cleanup.policy": "compact", "delete.retention.ms": str(100 * 365 * DAY_MS)}


#: What the recommendations log is created with: longer than an experiment takes.
FOR_RECOMMENDATIONS: Configs = {"cleanup.policy": "delete", "retention.ms": str(180 * DAY_MS)}


def for_journal(ratings: Configs) -> Configs:
    """The configuration of a new journal, given that of the ratings topic."""
    insync = ratings.get("min.insync.replicas")
    return {
        "cleanup.policy": "delete",
        "retention.ms": FOREVER,
        "retention.bytes": FOREVER,
        "max.message.bytes": str(JOURNAL_BATCH_BYTES),
        # The age of a checkpoint is measured by one clock, whichever worker has written the last block.
        "message.timestamp.type": BROKERS_TIME,
        **({} if insync is None else {"min.insync.replicas": insync}),
    }


def for_dead_letters(ratings: Configs) -> Configs:
    """The configuration of a new topic of dead letters, given that of the ratings topic."""
    limit = int(ratings.get("max.message.bytes", 1 << 20))
    # Dead letters keep their record's own time, which may be long past any retention.
    return {
        "cleanup.policy": "delete",
        "retention.ms": FOREVER,
        "max.message.bytes": str(limit + DEAD_LETTER_ROOM),
    }


def read_configs(admin: KafkaAdminClient, names: list[str]) -> dict[str, Configs]:
    """The settings of `names` that matter here; empty where this client may not read them."""
    keys = dict.fromkeys(READ)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, dict(keys)) for name in names]
    try:
        described = admin.describe_configs(resources, config_filter="all").get("topic", {})
    except KafkaError:
        described = {}
    return {
        name: {key: str(value["value"]) for key, value in described.get(name, {}).items()} for name in names
    }


def _losses(configs: Configs, compaction: str) -> list[str]:
    """The rule by which a topic loses records."""
    found = []
    policies = [each.strip() for each in configs["cleanup.policy"].split(",")]
    if "compact" in policies:
        found.append(f"cleanup.policy is {configs['cleanup.policy']}, expected delete: {compaction}")
    if "delete" in policies:
        milliseconds, size = configs["retention.ms"], configs["retention.bytes"]
        if milliseconds != FOREVER:
            days = int(milliseconds) / DAY_MS
            found.append(f"retention.ms is {milliseconds}, expected -1: ratings are lost after {days:g} days")
        if size != FOREVER:
            found.append(
                f"retention.bytes is {size}, expected -1: ratings are lost when a partition is larger"
            )
    return found


def journal_faults(configs: Configs) -> list[str]:
    """Faults of a journal: it alone says what was learned, and in which order."""
    if not configs:
        return []
    found = _losses(configs, "compaction drops what has no key, as blocks have none")
    largest = largest_batch(configs)
    if largest is not None and largest < LEAST_JOURNAL_BATCH_BYTES:
        found.append(
            f"max.message.bytes is {largest}, expected at least {LEAST_JOURNAL_BATCH_BYTES}: the largest "
            "blocks do not fit"
        )
    return found


def journal_warnings(configs: Configs, ratings: Configs) -> list[str]:
    """Warnings about a journal, given the configuration of the ratings topic."""
    if not configs:
        return ["its settings could not be read: make sure that it is neither compacted nor expires"]
    found = []
    clock = configs["message.timestamp.type"]
    if clock != BROKERS_TIME:
        found.append(
            f"message.timestamp.type is {clock}, expected {BROKERS_TIME}: the age of checkpoints is told by "
            "the workers' clocks"
        )
    insync, expected = (each.get("min.insync.replicas", "1") for each in (configs, ratings))
    if int(insync) < int(expected):
        found.append(
            f"min.insync.replicas is {insync}, expected at least {expected}, as the ratings topic has"
        )
    return found


def request_warnings(configs: Configs) -> list[str]:
    """Warnings about a requests topic."""
    clock = configs.get("message.timestamp.type", BROKERS_TIME)
    if clock == BROKERS_TIME:
        return []
    return [
        f"message.timestamp.type is {clock}, expected {BROKERS_TIME}: a group without committed offsets "
        "passes over requests that are old by their senders' clocks"
    ]


def item_warnings(configs: Configs) -> list[str]:
    """Warnings about an items topic."""
    if not configs:
        return []
    found = []
    policy = configs.get("cleanup.policy", "compact")
    if policy != "compact":
        found.append(f"cleanup.policy is {policy}, expected compact: items are forgotten when it expires")
    days = int(configs.get("delete.retention.ms", FOR_ITEMS["delete.retention.ms"])) / DAY_MS
    if "compact" in policy and days < 365:
        found.append(
            f"delete.retention.ms is {days:g} days, expected at least 365: an item that is gone may be "
            "recommended again by workers that start later"
        )
    return found


def largest_batch(configs: Configs) -> int | None:
    """The largest batch of records that a topic takes, in bytes; None if it could not be read."""
    said = configs.get("max.message.bytes")
    return None if said is None else int(said)


def dead_letter_warnings(ratings: Configs, dead_letters: Configs) -> list[str]:
    """Warnings about dead letters that cannot hold every record of the ratings topic as it came."""
    if not dead_letters:
        return ["its settings could not be read: make sure that it is not compacted and takes large records"]
    found = []
    policy = dead_letters["cleanup.policy"]
    if "compact" in [each.strip() for each in policy.split(",")]:
        found.append(
            f"cleanup.policy is {policy}, expected delete: compaction keeps only the newest dead letter of "
            "each key, and one without a key is written with its place for a key"
        )
    largest, taken = largest_batch(ratings), largest_batch(dead_letters)
    if largest is not None and taken is not None and taken < largest + DEAD_LETTER_ROOM:
        needed = largest + DEAD_LETTER_ROOM
        found.append(
            f"max.message.bytes is {taken}, expected at least {needed}: the largest bad ratings do not fit, "
            "and are written without their value"
        )
    return found
