"""Peers that read a topic and decode it, and do nothing else: with their defaults, and at their best.

The best settings were found by trying, on two cores that others used as well: processor time for each record
and medians of the rates decided. All of them gain from a garbage collector that comes seldom, which the
worker sets as well (`recommender.worker.process`).

By default confluent-kafka fetches no more once 100,000 records wait, and looks again only after a second;
larger fetches gain nothing, and batches of 1,000 are better than those of 300, 4,000 or 20,000. aiokafka
gains from not checking what the broker has checked; larger fetches cost it a quarter. Quix Streams is held up
by what it does for each record, so nothing that librdkafka can be told helps it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.contest import Options, Values
from benchmarks.environments import ask, python_of

SELDOM = {"collect_after": 100_000}


class Peer(NamedTuple):
    """A peer that decodes.

    Attributes
    ----------
    name : str
        What tables call it.
    program : str
        Its file in ``benchmarks/peers``.
    settings : mapping
        Told to the program as JSON.
    share : int
        It reads one in so many of the ratings: who is slower reads fewer.
    """

    name: str
    program: str
    settings: Mapping[str, Any]
    share: int = 1

    def poll(self, address: str, topic: str, partitions: int, count: int, options: Options) -> Values:
        """Let it read; its rate, and its processor time for each record."""
        python = python_of("quix", options) if self.program == "quix_streams" else None
        arguments = address, topic, partitions, count // self.share, json.dumps(self.settings)
        return ask(self.program, *arguments, python=python)


CONFLUENT, AIOKAFKA, QUIX = "confluent-kafka", "aiokafka", "Quix Streams"
PEERS = (
    Peer(f"{CONFLUENT}, defaults", "confluent_poll", {}, share=2),
    Peer(
        f"{CONFLUENT}, at its best",
        "confluent_poll",
        {"batch": 1000, "queued.min.messages": 1_000_000, "fetch.queue.backoff.ms": 1, **SELDOM},
    ),
    Peer(f"{AIOKAFKA}, defaults", "aiokafka_poll", {}),
    Peer(f"{AIOKAFKA}, at its best", "aiokafka_poll", {"check_crcs": False, **SELDOM}),
    Peer(f"{QUIX}, defaults", "quix_streams", {}, share=4),
    Peer(f"{QUIX}, at its best", "quix_streams", {"broker_availability_timeout": 0, **SELDOM}, share=4),
)


def best_of(peer: str) -> str:
    """The contestant that stands for a peer at its best."""
    return f"{peer}, at its best"
