"""The private names of libraries that this project touches, with why; a test looks whether each is there.

Everything that changes or looks into Faust and aiokafka is in this package and in
`recommender.kafka.aiokafka_records`; what concerns kafka-python is in `recommender.kafka`. A new version of a
library may do away with any of these names without a word: the test then says which.
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
    """

    owner: str
    name: str
    why: str


_CONSUMER = "aiokafka.consumer.consumer.AIOKafkaConsumer"
_FETCHER = "aiokafka.consumer.fetcher"
_PRODUCER = "aiokafka.producer.producer.AIOKafkaProducer"
_SENDER = "aiokafka.producer.sender.Sender"
_ACCUMULATOR = "aiokafka.producer.message_accumulator.MessageAccumulator"
_BATCH = "aiokafka.producer.message_accumulator.MessageBatch"
_NUMBERS = "aiokafka.producer.transaction_manager.TransactionManager"
_CLIENT = "aiokafka.client.AIOKafkaClient"
_FAUST_CONSUMER = "faust.transport.drivers.aiokafka.Consumer"
_FAUST_THREAD = "faust.transport.drivers.aiokafka.AIOKafkaConsumerThread"
_FAUST_PRODUCER = "faust.transport.drivers.aiokafka.Producer"

_EPOCHS = "a failed batch begins a new epoch, as with Java's producer (KIP-360)"
_HALVES = "a batch that is refused is split in halves, so that no record takes its neighbours down"
_REQUESTS = "several batches in one request may be larger than a broker reads (socket.request.max.bytes)"

PRIVATE_NAMES = (
    PrivateName(_CONSUMER, "_client", "begins when a broker has said which brokers there are"),
    PrivateName(_CONSUMER, "_isolation_level", "Faust has no setting for read_committed"),
    PrivateName(_CONSUMER, "_coordinator", "who only waits for an assignment is not told that it is refused"),
    PrivateName(_CONSUMER, "_subscription", "the position behind marks of transactions, which are no lag"),
    PrivateName(_FETCHER, "MemoryRecords", "what no parser takes must not end the consumer"),
    PrivateName(_FETCHER, "PartitionRecords", "the same, and records that are not wrapped one by one"),
    PrivateName(f"{_FETCHER}.PartitionRecords", "_records_iterator", "iterates without two calls a record"),
    PrivateName(f"{_FETCHER}.PartitionRecords", "_aborted_transactions", "aborted records are left out"),
    PrivateName(f"{_FETCHER}.PartitionRecords", "_isolation_level", "aborted records are left out"),
    PrivateName(f"{_FETCHER}.PartitionRecords", "_consumer_record", "wraps a record where it is wanted"),
    PrivateName(_CLIENT, "_conns", "a broker that names no brokers is asked again on a new connection"),
    PrivateName(_CLIENT, "_metadata_update", "whether a topic exists, without asking for it for ever"),
    PrivateName(_PRODUCER, "_request_timeout_ms", "what is sent while no broker answers waits for one"),
    PrivateName(_PRODUCER, "_txn_manager", _EPOCHS),
    PrivateName(_PRODUCER, "_sender", _EPOCHS),
    PrivateName(_PRODUCER, "_message_accumulator", _HALVES),
    PrivateName(_NUMBERS, "_pid_and_epoch", _EPOCHS),
    PrivateName(_NUMBERS, "_pid_waiter", _EPOCHS),
    PrivateName(_NUMBERS, "_sequence_numbers", _EPOCHS),
    PrivateName(_SENDER, "_maybe_wait_for_pid", _EPOCHS),
    PrivateName(_SENDER, "_send_produce_req", _REQUESTS),
    PrivateName(_SENDER, "_in_flight", _REQUESTS),
    PrivateName(_SENDER, "_muted_partitions", _REQUESTS),
    PrivateName(_ACCUMULATOR, "_append_batch", _HALVES),
    PrivateName(_ACCUMULATOR, "_batches", _HALVES),
    PrivateName(_ACCUMULATOR, "_closed", _HALVES),
    PrivateName(_ACCUMULATOR, "_exception", _HALVES),
    PrivateName(_BATCH, "_msg_futures", _HALVES),
    PrivateName(_BATCH, "_builder", _HALVES),
    PrivateName(_FAUST_CONSUMER, "_new_consumer_thread", "gives Faust the consumer thread of this package"),
    PrivateName(_FAUST_CONSUMER, "_thread", "commits and seeks in the thread of the consumer"),
    PrivateName("faust.app.base.App", "_new_web", "gives Faust the web server of this package"),
    PrivateName("faust.transport.consumer.Consumer", "_read_offset", "drops batches that are read again"),
    PrivateName(_FAUST_THREAD, "_create_worker_consumer", "read_committed, and patience at the start"),
    PrivateName(_FAUST_THREAD, "_ensure_consumer", "the consumer itself"),
    PrivateName(_FAUST_THREAD, "_fetch_records", "hands a partition's records over as one batch"),
    PrivateName("mode.threads.ServiceThread", "_stopped_set", "raises once its loop is closed"),
    PrivateName(_FAUST_PRODUCER, "_settings_extra", "an idempotent producer"),
    PrivateName(_FAUST_PRODUCER, "_new_producer", "the producer with the changes above"),
    PrivateName(_FAUST_PRODUCER, "_ensure_producer", "the producer itself"),
    PrivateName(
        "kafka.producer.kafka.KafkaProducer", "_sender", "close() leaves it running while no broker answers"
    ),
    PrivateName("kafka.producer.kafka.KafkaProducer", "_closed", "the same"),
    PrivateName(
        "kafka.consumer.group.KafkaConsumer", "_fetcher", "what no parser takes must not end the reader"
    ),
    PrivateName("kafka.record.memory_records.MemoryRecords", "_buffer", "the bytes that a fetch brought"),
    PrivateName(
        "asyncio.base_events.BaseEventLoop", "_ready", "long work gives way until nothing else is ready"
    ),
)
