"""The data in checkpoints as plain text: users, items and the ratings that stand, to be read by anything."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from recommender.checkpoints.checkpoint import Checkpoint
from recommender.errors import RecommenderError
from recommender.history.arrays import Arrays
from recommender.history.texts import texts_of

Row = tuple[Any, ...]

USERS = ("user", "ratings", "last_time", "partition")
ITEMS = ("item", "ratings", "first_time", "last_time", "partition")
RATINGS = ("user", "item", "rating")
FORMATS = ("csv", "jsonl")
#: Ratings turned into rows at a stretch.
CHUNK = 1 << 16


class ExportError(RecommenderError):
    """The export cannot be written to the given place."""


def export(loaded: Iterable[Checkpoint], to: Path, form: str) -> dict[str, int]:
    """Write what checkpoints hold, one checkpoint after the other.

    Parameters
    ----------
    loaded : iterable of Checkpoint
        Of different partitions: read one at a time, so only one is ever in memory.
    to : Path
        A file whose name ends in ``.csv`` or ``.jsonl`` takes the ratings; a directory takes a file each of
        users, items and ratings.
    form : str
        ``csv`` or ``jsonl``: the form of files in a directory.

    Returns
    -------
    dict of str to int
        How many rows went into each file, by path.

    Raises
    ------
    ExportError
        A file exists already or cannot be written.
    """
    tables: dict[str, tuple[Sequence[str], Callable[[Checkpoint], Iterator[Row]], Path]]
    single = to.suffix.removeprefix(".")
    if single in FORMATS:
        form, tables = single, {"ratings": (RATINGS, ratings, to)}
    else:
        sources = {"users": (USERS, users), "items": (ITEMS, items), "ratings": (RATINGS, ratings)}
        tables = {name: (*source, to / f"{name}.{form}") for name, source in sources.items()}
    try:
        return _write(loaded, tables.values(), form)
    except OSError as error:
        raise ExportError(f"cannot export to {to}: {error.strerror or error}") from None


def _write(
    loaded: Iterable[Checkpoint],
    tables: Iterable[tuple[Sequence[str], Callable[[Checkpoint], Iterator[Row]], Path]],
    form: str,
) -> dict[str, int]:
    tables = list(tables)
    for _, _, path in tables:
        if path.exists():
            raise ExportError(f"{path} exists already; delete it, or choose another place")
        path.parent.mkdir(parents=True, exist_ok=True)
    counts = {str(path): 0 for _, _, path in tables}
    # A file that has its final name is whole.
    parts = {path: path.with_name(path.name + ".part") for _, _, path in tables}
    try:
        for number, checkpoint in enumerate(loaded):
            for columns, rows, path in tables:
                write = _write_csv if form == "csv" else _write_jsonl
                counts[str(path)] += write(parts[path], columns, rows(checkpoint), number == 0)
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return counts


def _write_csv(path: Path, columns: Sequence[str], rows: Iterator[Row], first: bool) -> int:
    count = 0
    with path.open("w" if first else "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        # Python's does not quote a carriage return, which readers take for the end of a line.
        careful = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        ids = [columns.index(name) for name in ("user", "item") if name in columns]
        if first:
            writer.writerow(columns)
        for row in rows:
            (careful if any("\r" in row[at] for at in ids) else writer).writerow(row)
            count += 1
    return count


def _write_jsonl(path: Path, columns: Sequence[str], rows: Iterator[Row], first: bool) -> int:
    count = 0
    with path.open("wb" if first else "ab") as file:
        for row in rows:
            count += 1
            file.write(orjson.dumps(dict(zip(columns, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE))
    return count


def users(checkpoint: Checkpoint) -> Iterator[Row]:
    """Each user, how many ratings stand, and when the last one was given."""
    state = checkpoint.state
    counts, times = _counts(state).tolist(), state["history/user_times"].tolist()
    partition = checkpoint.header["partition"]
    for user, count, time in zip(_ids(state, "users"), counts, times, strict=True):
        if user:
            yield user, count, _time(time), partition


def items(checkpoint: Checkpoint) -> Iterator[Row]:
    """Each item, how many ratings of it stand, and when the first and the last one were given."""
    state = checkpoint.state
    columns = (state[f"history/item_{name}"].tolist() for name in ("ratings", "first_times", "last_times"))
    partition = checkpoint.header["partition"]
    for item, count, first, last in zip(_ids(state, "items"), *columns, strict=True):
        if item:
            yield item, count, _time(first), _time(last), partition


def ratings(checkpoint: Checkpoint) -> Iterator[Row]:
    """The ratings that stand, user by user, each user's oldest first: rows that the ratings topic takes."""
    state = checkpoint.state
    user_ids, item_ids = _ids(state, "users"), _ids(state, "items")
    counts = state["history/user_entries"]
    ends = np.cumsum(counts, dtype=np.int64)
    rated, values = state["history/entry_items"], state["history/entry_ratings"]
    for start in range(0, len(rated), CHUNK):
        stop = min(start + CHUNK, len(rated))
        owners = np.searchsorted(ends, np.arange(start, stop), side="right").tolist()
        # The shortest decimal that is the same float32: 3.7, not 3.700000047683716.
        numbers = [_number(text) for text in values[start:stop].astype(str).tolist()]
        for user, item, value in zip(owners, rated[start:stop].tolist(), numbers, strict=True):
            if item_ids[item]:
                yield user_ids[user], item_ids[item], value


def ratings_of(checkpoint: Checkpoint, user: str) -> list[Row]:
    """The ratings of one user that stand, the oldest first, as rows of `ratings`."""
    state = checkpoint.state
    ids = _ids(state, "users")
    if user not in ids:
        return []
    counts, index = state["history/user_entries"], ids.index(user)
    entries = slice(int(counts[:index].sum()), int(counts[: index + 1].sum()))
    names = _ids(state, "items")
    numbers = [_number(text) for text in state["history/entry_ratings"][entries].astype(str).tolist()]
    rated = state["history/entry_items"][entries].tolist()
    return [(user, names[item], value) for item, value in zip(rated, numbers, strict=True) if names[item]]


def _counts(state: Arrays) -> NDArray[np.int64]:
    """Count the ratings of each user that stand, without those of items that are leaving."""
    counts: NDArray[np.int64] = state["history/user_entries"].astype(np.int64)
    leaving = state["items/lengths"][state["history/entry_items"]] == 0
    if leaving.any():
        owners = np.repeat(np.arange(len(counts)), counts)[leaving]
        counts -= np.bincount(owners, minlength=len(counts))
    return counts


def _ids(state: Arrays, name: str) -> list[str]:
    """The ids by index; empty where an index has none."""
    return texts_of(state[f"{name}/bytes"], state[f"{name}/lengths"])


def _time(seconds: float) -> float | None:
    return None if math.isnan(seconds) else seconds


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value
