"""`recommender up`: an installation to look at and to play with, until Ctrl-C."""

from __future__ import annotations

import random
import signal
import threading
import time
from contextlib import ExitStack, suppress

import click
from rich.console import Console

from recommender.cli.local_worker import HOST, LocalWorker, local_worker
from recommender.client import Client
from recommender.client.errors import ClientError
from recommender.client.items import write_items
from recommender.client.replay import replay
from recommender.errors import RecommenderError
from recommender.evaluation.datasets import movielens
from recommender.evaluation.datasets.columns import Columns
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import free_port, listens
from recommender.kafka.topics import Topics
from recommender.kafka.topics import ensure as ensure_topics
from recommender.models import registry
from recommender.settings import Settings
from recommender.worker import kernels

WORKERS = 2
POSITIVE = click.FloatRange(0.0, min_open=True)
#: Ratings that are learned at once, so that there is something to look at: this part of all.
AT_ONCE = 0.5
#: Users for whom recommendations are asked are those of this many of the newest ratings.
RECENT = 2000
#: How long a request may take, in seconds.
PATIENCE = 5.0
#: Between two looks whether a worker has ended.
WATCH_SECONDS = 0.5

out = Console(highlight=False, soft_wrap=True)


@click.command()
@click.option("--source", default=movielens.ML_100K, show_default=True, help="A rating file, or ml-100k.")
@click.option(
    "--rate",
    type=POSITIVE,
    default=50.0,
    show_default=True,
    help="Ratings a second, after a first half at once.",
)
@click.option("--requests", type=POSITIVE, default=20.0, show_default=True, help="Requests a second.")
@click.option("--model", default="blend", show_default=True, help="The model, as `recommender models`.")
def up(source: str, rate: float, requests: float, model: str) -> None:
    """Start a broker, two workers, ratings that keep coming and requests, and say where to look.

    Everything runs on this machine, in processes that are gone after Ctrl-C.
    """
    # Also where it was started with this signal ignored, as a shell does for what runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stop = threading.Event()
    with ExitStack() as stack:
        stack.callback(out.print, "All of it has ended.")
        stack.callback(stop.set)
        try:
            _run(stack, stop, source, rate, requests, model)
        except KeyboardInterrupt:
            out.print("\nEnding the workers and the broker ...")


def _run(
    stack: ExitStack, stop: threading.Event, source: str, rate: float, requests: float, model: str
) -> None:
    registry.check(model)
    compiling = stack.enter_context(kernels.warming(model))
    ratings = Columns(movielens.read(movielens.locate(source, out.print)))
    ratings.sort_by_time()
    out.print("Starting Apache Kafka ...")
    broker = stack.enter_context(LocalBroker(console=out)).address
    ensure_topics(broker, Topics(), partitions=WORKERS)
    movies = movielens.movies(source)
    described = [
        (item, {"title": each.title, "categories": list(each.genres)}) for item, each in movies.items()
    ]
    if described:
        write_items(described, broker, Topics().items)
    compiling.wait()
    workers = []
    for number in range(WORKERS):
        out.print(f"Starting worker {number + 1} of {WORKERS} ...")
        workers.append(stack.enter_context(local_worker(broker, _port(number), _variables(model))))
    first = int(len(ratings) * AT_ONCE)
    out.print(f"Sending {first:,} ratings at once ...")
    replay(ratings.ratings(0, first), broker, Topics().ratings)
    _in_background(stack, stop, _rate, ratings, first, broker, rate, stop)
    _in_background(stack, stop, _ask, ratings, first, broker, requests, rate, stop)
    first_page, second_page = (each.pages for each in workers)
    out.print(f"\nLook at [bold]{first_page}/[/bold], or at the other worker's page, {second_page}/.")
    out.print(f"{len(ratings) - first:,} more ratings come, {rate:g} a second. Ctrl-C ends all of it.")
    _watch(workers)


def _watch(workers: list[LocalWorker]) -> None:
    """Say which worker has ended, while one is left."""
    running = dict(enumerate(workers, 1))
    while running:
        time.sleep(WATCH_SECONDS)
        for number in [each for each, worker in running.items() if worker.has_ended()]:
            del running[number]
            if running:
                out.print(
                    f"Worker {number} has ended. The other one answers as soon as the group has noticed."
                )
    raise RecommenderError("Both workers have ended")


def _port(number: int) -> int:
    """The settings' default port, and those behind it, where they are free."""
    wanted = Settings().web_port + number
    return free_port() if listens(wanted) else wanted


def _variables(model: str) -> dict[str, str]:
    return {
        "RECOMMENDER_MODEL": model,
        "RECOMMENDER_ARMS": "",
        # Many tests, so that the figures are steady.
        "RECOMMENDER_TEST_EVERY": "10",
        "RECOMMENDER_WEB_HOST": HOST,
        "RECOMMENDER_CHECKPOINT_INTERVAL": "20",
    }


def _in_background(stack: ExitStack, stop: threading.Event, work: object, *given: object) -> None:
    """Run something in a thread, which ends before what was started before it."""
    thread = threading.Thread(target=work, args=given, daemon=True)  # type: ignore[arg-type]
    thread.start()

    def end() -> None:
        stop.set()
        thread.join(PATIENCE)

    stack.callback(end)


def _rate(ratings: Columns, first: int, broker: str, rate: float, stop: threading.Event) -> None:
    with suppress(RecommenderError):
        result = replay(ratings.ratings(first), broker, Topics().ratings, rate=rate, stop=stop)
        if result.complete:
            out.print("All ratings are sent; requests continue.")


def _ask(
    ratings: Columns, first: int, broker: str, requests: float, rate: float, stop: threading.Event
) -> None:
    """Ask for the users of the newest ratings, as a shop does for the users that are there."""
    chance, begun = random.Random(0), time.monotonic()
    with Client(broker) as client:
        while not stop.wait(1.0 / requests):
            sent = min(len(ratings), first + int((time.monotonic() - begun) * rate))
            place = chance.randrange(max(0, sent - RECENT), sent)
            (rating,) = ratings.ratings(place, place + 1)
            with suppress(ClientError, RecommenderError):
                client.recommend(rating.user, n=10, timeout=PATIENCE)
