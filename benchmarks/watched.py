"""The cost of being watched: ratings a second with three live pages open and metrics scraped each second.

The pages are their streams, as a browser reads them, without the browser: that one runs where the person is.
"""

from __future__ import annotations

import http.client
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

from benchmarks.contest import Goal, Metric, Options, Outcome, Values, compete
from benchmarks.data import ML_100K, repeated
from benchmarks.editions import HERE
from benchmarks.kafka_log import broker, fill, make_topics, messages, renew
from benchmarks.learn import CPU, RATE, pace
from benchmarks.workers import Worker
from recommender.kafka.local.ports import HOST
from recommender.settings import Settings
from recommender.shard import warmup

ALONE, WATCHED = HERE.called("nobody looks"), HERE.called("3 pages and Prometheus")
#: What comes over the streams, all together, for each second of learning.
BYTES = Metric("bytes a second and page", "B", "lower")
PAGES, SCRAPE_SECONDS = 3, 1.0
PREFIX = "watched-"
#: How much of the speed may be lost, as a share that is left.
LEFT = 0.95


def run(options: Options) -> list[Outcome]:
    """Learn the same topic with and without somebody who looks, in turns."""
    count = options.size(2_000_000, 100_000)
    outcome = Outcome(
        "watched", f"Learning {count:,} ratings while somebody looks", WATCHED, [RATE, CPU, BYTES]
    )
    shape = repeated(ML_100K, round(count * 1.05))
    warmup.warm((Settings().model,))
    with broker() as address:
        make_topics(address, PREFIX, 1)
        options.tell(f"watched: writing {count:,} ratings")
        fill(address, f"{PREFIX}ratings", messages(shape, count))

        def turn(pages: int) -> Values:
            renew(address, PREFIX)
            settings = {"broker": address, "topic_prefix": PREFIX, "group": f"bench-{uuid.uuid4().hex}"}
            with Worker(HERE, **settings).start() as worker:
                if not pages:
                    return pace([worker], count, 1.0)
                with looking(worker, pages) as looked:
                    values = pace([worker], count, 1.0)
                return {**values, BYTES.name: looked.rate()}

        compete(outcome, [(ALONE, lambda: turn(0)), (WATCHED, lambda: turn(PAGES))], options)
    left = outcome.between(WATCHED, ALONE, RATE)
    outcome.goals = [Goal("share of the speed that is left", left, LEFT, "x", "higher")]
    return [outcome]


class Looked:
    """The bytes that those who look have read."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.bytes = self.events = self.scrapes = 0

    def rate(self) -> float:
        """Bytes of an event, which comes once a second."""
        if not self.events or not self.scrapes:
            raise RuntimeError(f"{self.events} events of pages and {self.scrapes} scrapes: nobody has looked")
        return self.bytes / self.events


@contextmanager
def looking(worker: Worker, pages: int) -> Iterator[Looked]:
    """Open pages and scrape metrics as long as the block runs."""
    stop, looked = threading.Event(), Looked(pages)
    threads = [threading.Thread(target=_page, args=(worker, looked, stop)) for _ in range(pages)]
    threads.append(threading.Thread(target=_prometheus, args=(worker, looked, stop)))
    for each in threads:
        each.start()
    try:
        yield looked
    finally:
        stop.set()
        for each in threads:
            each.join()


def _page(worker: Worker, looked: Looked, stop: threading.Event) -> None:
    with ExitStack() as stack:
        while not stop.wait(0.05):  # until it listens
            with suppress(OSError):
                connection = stack.enter_context(
                    closing(http.client.HTTPConnection(HOST, worker.port, timeout=10))
                )
                connection.request("GET", "/live")
                answer = stack.enter_context(connection.getresponse())
                break
        while not stop.is_set():
            line = answer.readline()
            looked.bytes += len(line)
            looked.events += line.startswith(b"data:")


def _prometheus(worker: Worker, looked: Looked, stop: threading.Event) -> None:
    while not stop.wait(SCRAPE_SECONDS):
        with (
            suppress(OSError),
            closing(http.client.HTTPConnection(HOST, worker.port, timeout=10)) as connection,
        ):
            connection.request("GET", "/metrics")
            looked.scrapes += len(connection.getresponse().read()) > 0
