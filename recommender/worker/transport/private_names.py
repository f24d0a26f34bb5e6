"""The private names of libraries that this project touches, with why; each is tested.

A private name is one that begins with an underscore, or a class that is replaced where its library looks it
up. Nothing outside of this package touches one but `recommender.kafka.kafka_python_records`, which replaces
two classes of the client's library. A new version of a library may do away with any of these names without a
word: the tests say which.
"""

from __future__ import annotations

from typing import NamedTuple


class PrivateName(NamedTuple):
    """A private name of a library.

    Attributes
    ----------
    owner : str
        The class or module that has it, with its module.
    name : str
    why : str
    upstream : str
        The issue in which its authors were told of what is missing, if there is one.
    """

    owner: str
    name: str
    why: str
    upstream: str = ""


_CONSUMER = "aiokafka.consumer.consumer.AIOKafkaConsumer"
_FETCHER = "aiokafka.consumer.fetcher"
_PRODUCER = "aiokafka.producer.producer.AIOKafkaProducer"
_ACCUMULATOR = "aiokafka.producer.message_accumulator.MessageAccumulator"
_FAUST_CONSUMER = "faust.transport.drivers.aiokafka.Consumer"
_FAUST_THREAD = "faust.transport.drivers.aiokafka.AIOKafkaConsumerThread"
_SERVICE_THREAD = "mode.threads.ServiceThread"
_CORRUPT = "what no parser takes must not end the consumer"
_LEADERLESS = "what has no leader at the moment waits for one: it may have been written already"

PRIVATE_NAMES = (
    PrivateName(
        _CONSUMER, "_client", "begins when a broker has said which brokers there are", "aio-libs/aiokafka#551"
    ),
    PrivateName(
        _CONSUMER, "_coordinator", "tells of a group that cannot be joined; leaving it is not held up"
    ),
    PrivateName(
        _CONSUMER, "_fetch_max_wait_ms", "Faust has 1.5 s, for which a backlog would wait again and again"
    ),
    PrivateName(_CONSUMER, "_isolation_level", "Faust has no setting for read_committed"),
    PrivateName(_FETCHER, "MemoryRecords", _CORRUPT, "aio-libs/aiokafka#321"),
    PrivateName(
        _FETCHER,
        "PartitionRecords",
        f"{_CORRUPT}; not all records are wrapped",
        "aio-libs/aiokafka#321",
    ),
    PrivateName(_PRODUCER, "_message_accumulator", _LEADERLESS, "aio-libs/aiokafka#197"),
    PrivateName(_ACCUMULATOR, "_append_batch", _LEADERLESS, "aio-libs/aiokafka#197"),
    PrivateName(_FAUST_CONSUMER, "_get_active_partitions", "tells that all partitions have enough waiting"),
    PrivateName(
        _FAUST_CONSUMER, "_wait_next_records", "sleeps for a second then, which a backlog would wait"
    ),
    PrivateName(_FAUST_CONSUMER, "_new_consumer_thread", "gives Faust the consumer thread of this package"),
    PrivateName("faust.app.base.App", "_new_web", "gives Faust the web server of this package"),
    PrivateName(
        "faust.transport.consumer.Consumer",
        "_read_offset",
        "drops batches that are read again",
        "faust-streaming/faust#221",
    ),
    PrivateName(_FAUST_THREAD, "_create_worker_consumer", "read_committed, and patience at the start"),
    PrivateName(_FAUST_THREAD, "_fetch_records", "hands a partition's records over as one batch"),
    PrivateName("faust.app.base.App", "_create_directories", "they are for tables, and there are none"),
    PrivateName(_SERVICE_THREAD, "_stopped_set", "raises once its loop is closed", "ask/mode#54"),
    PrivateName(
        "asyncio.base_events.BaseEventLoop", "_ready", "long work gives way until nothing else is ready"
    ),
    PrivateName("kafka.consumer.fetcher", "MemoryRecords", "what no parser takes must not end the reader"),
    PrivateName("kafka.consumer.fetcher.Fetcher", "PartitionRecords", "the same"),
)
