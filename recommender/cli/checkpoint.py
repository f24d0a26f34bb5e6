"""`recommender checkpoint`: looks into checkpoints, checks them, and takes the data out of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from recommender import settings
from recommender.checkpoints.checkpoint import Checkpoint, CheckpointError, read
from recommender.checkpoints.export import FORMATS
from recommender.checkpoints.export import export as write_export
from recommender.checkpoints.inspection import find, summary

COLUMNS = ("partition", "offset", "saved", "model", "users", "items", "events", "MB", "digest")


@click.group()
def checkpoint() -> None:
    """Show, check and export checkpoints.

    PLACE is a checkpoint, a partition's folder or the folder of all, as a path or a URL; by default
    RECOMMENDER_CHECKPOINTS.
    """


@checkpoint.command()
@click.argument("place", required=False)
def inspect(place: str | None) -> None:
    """Show the newest checkpoint of each partition. Exits with 1 if one cannot be read."""
    rows, errors = [], []
    for path in find(_place(place), newest=True):
        try:
            found = summary(path)
        except CheckpointError as error:
            errors.append(str(error))
            continue
        name, size = f"{found.topic}[{found.partition}]", f"{found.size / 1e6:.2f}"
        numbers = (str(each) for each in (found.users, found.items, found.events))
        rows.append((name, str(found.offset), found.saved, found.model, *numbers, size, found.digest))
    _show(rows)
    for text in errors:
        click.secho(text, fg="red", err=True)
    if errors:
        sys.exit(1)


@checkpoint.command()
@click.argument("place", required=False)
def verify(place: str | None) -> None:
    """Read all checkpoints and compare their digests. Exits with 1 if any is damaged."""
    damaged = 0
    for path in find(_place(place), newest=False):
        try:
            loaded = read(path)
        except CheckpointError as error:
            damaged += 1
            click.secho(str(error), fg="red")
            continue
        click.echo(f"{path} is whole: offset {loaded.offset}, digest {loaded.header['digest']}")
    if damaged:
        click.secho(f"{damaged} damaged", fg="red", err=True)
        sys.exit(1)


@checkpoint.command(short_help="Write users, items and ratings as CSV or JSON lines.")
@click.argument("place", required=False)
@click.option(
    "--to", required=True, type=click.Path(path_type=Path), help="A directory, FILE.jsonl or FILE.csv."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="csv",
    show_default=True,
    help="Of the files in a directory.",
)
def export(place: str | None, to: Path, form: str) -> None:
    """Write users, items and the ratings that stand as CSV or JSON lines.

    A directory gets a file of each; FILE.jsonl or FILE.csv gets the ratings alone. Each line of the ratings
    in JSON is what the ratings topic takes. Of each partition the newest checkpoint that is whole is read.
    """
    counts = write_export(_newest_whole(_place(place)), to, form)
    for path, count in counts.items():
        click.echo(f"{path}: {count:,} rows")


def _newest_whole(place: str) -> Iterator[Checkpoint]:
    """The newest whole checkpoint of each folder, one in memory at a time."""
    folders: dict[str, list[str | Path]] = {}
    for path in find(place, newest=False):
        folders.setdefault(str(path).rpartition("/")[0], []).append(path)
    for folder, paths in folders.items():
        for path in paths:
            try:
                loaded = read(path)
            except CheckpointError as error:
                click.secho(str(error), fg="yellow", err=True)
                continue
            yield loaded
            break
        else:
            raise CheckpointError(f"no checkpoint in {folder or '.'} is whole")


def _place(place: str | None) -> str:
    return settings.load().checkpoints if place is None else place


def _show(rows: list[tuple[str, ...]]) -> None:
    console = Console()
    if not console.is_terminal:
        for row in rows:
            click.echo("\t".join(row))
        return
    table = Table(*COLUMNS, box=None)
    for row in rows:
        # The full ones do not fit into 80 columns; they are there when the output is not a terminal.
        table.add_row(*row[:2], row[2][:16].replace("T", " "), *row[3:-1], row[-1][:8])
    console.print(table)
