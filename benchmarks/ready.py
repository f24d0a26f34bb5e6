"""Measures a worker's start until it is ready: new, and with 5 million ratings checkpointed.

What must be compiled was compiled before. On a busy machine the processor time says more than the seconds.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_100K, repeated
from benchmarks.editions import HERE, editions
from benchmarks.installation import PATIENCE, Installation, installed
from benchmarks.kafka_log import broker
from recommender.settings import Settings
from recommender.shard import warmup

NEW, KNOWING = "nothing learned", "{:,} ratings checkpointed"
READY = Metric("ready after", "s", "lower")
METRICS = [READY, Metric("processor time until then", "s", "lower")]


def run(options: Options) -> list[Outcome]:
    """Start workers of each edition in turns."""
    known = options.size(5_000_000, 50_000)
    knowing = KNOWING.format(known)
    outcome = Outcome("ready", "From start to ready", HERE.called(knowing), METRICS)
    shape = repeated(ML_100K, round(known * 1.05))
    warmup.warm((Settings().model,))
    with broker() as address, ExitStack() as stack:
        turns: list[tuple[str, Turn]] = []
        for edition in editions(outcome, options):
            new, learned = (stack.enter_context(installed(address, edition)) for _ in range(2))
            options.tell(f"ready: {edition.name} learns {known:,} ratings")
            learned.teach(shape, known)
            turns += [(edition.called(NEW), _starting(new)), (edition.called(knowing), _starting(learned))]
        compete(outcome, turns, options)
    outcome.goals = [
        Goal(NEW, outcome.median(HERE.called(NEW), READY.name), 3.0, "s", "lower"),
        Goal(knowing, outcome.median(outcome.ours, READY.name), 5.0, "s", "lower"),
    ]
    return [outcome]


def _starting(installation: Installation) -> Turn:
    def turn() -> Values:
        with installation.worker().start() as worker:
            worker.ready(PATIENCE)
            return {READY.name: worker.started_in, METRICS[1].name: worker.cpu_seconds()}

    return turn
