"""The parsers of a batch of records that the clients of Kafka have."""

from __future__ import annotations

import aiokafka.record.default_records
import aiokafka.record.legacy_records

from recommender.kafka.batches import Parser

#: Written in C.
AIOKAFKA = Parser(
    aiokafka.record.default_records.DefaultRecordBatch, aiokafka.record.legacy_records.LegacyRecordBatch
)
