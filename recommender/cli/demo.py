"""`recommender demo`: all of it at work, from a broker to recommendations with titles."""

from __future__ import annotations

import signal
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from typing import Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from recommender.cli.local_worker import HOST, local_worker
from recommender.client import Client
from recommender.client.items import write_items
from recommender.client.replay import ReplayProgress, replay
from recommender.errors import RecommenderError
from recommender.evaluation.datasets import movielens
from recommender.evaluation.datasets.columns import Columns
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import free_port
from recommender.kafka.topics import Topics
from recommender.kafka.topics import ensure as ensure_topics
from recommender.models import registry
from recommender.settings import Settings
from recommender.worker import kernels

#: Users of MovieLens 100K with histories that differ from each other.
USERS = ("60", "307", "405")
#: A worker that learns nothing for this long is not going to.
STALLED_SECONDS = 60.0
LOOK_SECONDS = 0.2
LINE_SECONDS = 3.0

out = Console(highlight=False, soft_wrap=True)


@click.command()
@click.option("--source", default=movielens.ML_100K, show_default=True, help="A rating file, or ml-100k.")
@click.option("--users", default=",".join(USERS), show_default=True, help="For whom to recommend, as A,B,C.")
@click.option("--model", default="blend", show_default=True, help="The model, as `recommender models`.")
def demo(source: str, users: str, model: str) -> None:
    """See all of it at work: a broker, a worker, ratings, and recommendations with titles.

    Everything runs on this machine, in processes that are gone at the end.
    """
    # Also where it was started with this signal ignored, as a shell does for what runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    with ExitStack() as stack:
        try:
            _run(stack, source, [each.strip() for each in users.split(",") if each.strip()], model)
        except KeyboardInterrupt:
            out.print("\nStopped; everything that ran is being ended.")
            stack.close()
            sys.exit(130)
        _step(6, "Stopping everything")
    out.print(f"Done in {time.monotonic() - started:.0f} s; nothing is left running.")
    page = f"http://{HOST}:{Settings().web_port}/"
    out.print(
        f"To watch it, and to rate things yourself: [bold]make up[/bold] (recommender up); look at {page}"
    )


def _run(stack: ExitStack, source: str, users: list[str], model: str) -> None:
    registry.check(model)
    # The first time compiling takes longest, and all that comes before the worker leaves a processor to it.
    compiling = stack.enter_context(kernels.warming(model))
    path = movielens.locate(source, out.print)
    movies = movielens.movies(source)
    ratings = Columns(movielens.read(path))
    ratings.sort_by_time()

    _step(1, "Starting Apache Kafka", "recommender broker")
    broker = stack.enter_context(LocalBroker(console=out))
    out.print(f"  It listens at {broker.address}.")

    _step(2, "Creating the topics", "recommender topics")
    for found in ensure_topics(broker.address, Topics(), partitions=1):
        out.print(f"  {found.topic}, {found.partitions} partition")

    _step(3, "Starting the worker", "recommender worker")
    compiling.wait()
    worker = stack.enter_context(local_worker(broker.address, free_port(), _variables(model))).pages
    out.print(f"  Its page is {worker}/, its metrics are at {worker}/metrics.")

    _step(4, f"Replaying {len(ratings):,} ratings of {path.name}", f"recommender replay {source}")
    described = [
        (item, {"title": each.title, "categories": list(each.genres)}) for item, each in movies.items()
    ]
    if described:
        write_items(described, broker.address, Topics().items)
        out.print(f"  {len(described):,} titles with their genres are in {Topics().items}.")
    _learn(worker, ratings, broker.address)

    _step(5, "Asking for recommendations", f"recommender ask --user {users[0]}" if users else "")
    with Client(broker.address) as client:
        for user in users:
            _show_user(client, user, ratings, movies)


def _step(number: int, what: str, by_hand: str = "") -> None:
    hint = f"   [dim]by hand: {by_hand}[/dim]" if by_hand else ""
    out.print(f"\n[bold]{number}. {what}[/bold]{hint}")


def _variables(model: str) -> dict[str, str]:
    # Many tests, so that the figures on the screen are steady.
    return {"RECOMMENDER_MODEL": model, "RECOMMENDER_ARMS": "", "RECOMMENDER_TEST_EVERY": "20"}


def _status(worker: str) -> dict[str, Any]:
    """The worker's status page on the only partition of the journal, and of the ratings."""
    try:
        with urllib.request.urlopen(f"{worker}/status", timeout=10.0) as answer:
            status: dict[str, Any] = orjson.loads(answer.read())
    except (urllib.error.URLError, TimeoutError) as error:
        raise RecommenderError(f"The worker does not answer at {worker}/status: {error}") from None
    return {**status["journal"]["0"], "learned": status["sources"].get("0", 0)}


def _learn(worker: str, ratings: Columns, broker: str) -> None:
    """Replay in the background of watching the worker learn."""
    total = len(ratings)
    with _Watch(total) as watch:

        def progress(_: ReplayProgress) -> None:
            watch.learned(worker)

        result = replay(ratings.ratings(), broker, Topics().ratings, progress=progress)
        if result.failed or not result.complete:
            raise RecommenderError(f"{result.failed} ratings were not delivered: {result.cause}")
        learned, moved = 0, time.monotonic()
        while learned < total:
            time.sleep(LOOK_SECONDS)
            now, before = watch.learned(worker), learned
            learned = now
            if learned > before:
                moved = time.monotonic()
            elif time.monotonic() - moved > STALLED_SECONDS:
                raise RecommenderError(f"The worker stopped at {learned} of {total} ratings")
    recall = watch.recall
    if recall is not None:
        out.print(
            f"  Of the positive ratings tested just before they were learned, recall@10 was {recall[0]:.3f}; "
            f"with the most popular items it would have been {recall[1]:.3f}."
        )


class _Watch:
    """Shows what the worker has learned: a bar on a terminal, lines in a pipe."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.recall: tuple[float, float] | None = None
        self._looked = self._lined = 0.0
        self._learned = 0
        self._begun = time.monotonic()
        self._bar = Progress(
            TextColumn(" "),
            BarColumn(),
            TextColumn(
                "{task.completed:,.0f} of {task.total:,.0f} learned, {task.fields[rate]:,.0f} per second"
            ),
            TextColumn("{task.fields[recall]}"),
            console=out,
        )
        self._task = self._bar.add_task("", total=total, rate=0, recall="")

    def __enter__(self) -> _Watch:
        if out.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if out.is_terminal:
            self._bar.stop()

    def learned(self, worker: str) -> int:
        """Ask the worker how far it is, now and then."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return self._learned
        self._looked = now
        status = _status(worker)
        self._learned = int(status["learned"])
        live = status["live"]
        if live["tests"]:
            self.recall = live["model"]["recall@10"], live["popular"]["recall@10"]
        self._show(now)
        return self._learned

    def _show(self, now: float) -> None:
        rate = self._learned / (now - self._begun)
        recall = "" if self.recall is None else "recall@10 {:.3f} (popular {:.3f})".format(*self.recall)
        if out.is_terminal:
            self._bar.update(self._task, completed=self._learned, rate=rate, recall=recall)
        elif now - self._lined > LINE_SECONDS or self._learned == self.total:
            self._lined = now
            out.print(f"  {self._learned:,} of {self.total:,} learned, {rate:,.0f} per second; {recall}")


def _show_user(client: Client, user: str, ratings: Columns, movies: dict[str, movielens.Movie]) -> None:
    """Show what a user liked last, and what is recommended."""
    own = [each for each in ratings.ratings() if each.user == user]
    liked = [each.item for each in own if (each.rating or 0) >= 4][-5:]
    response = client.recommend(user, n=5, timeout=10.0, titles=True)
    out.print(f"\n  User [bold]{user}[/bold] rated {len(own)} and liked lately:")
    for item in reversed(liked):
        out.print(f"    {movies[item].title if item in movies else item}", markup=False)
    out.print("  Recommended" + (" (unknown user, so the popular ones)" if response.cold_start else "") + ":")
    for place, each in enumerate(response.items, 1):
        out.print(f"    {place}. {each.title or each.item}  ({each.score:.3f})", markup=False)
