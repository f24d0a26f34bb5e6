"""Reads rating files: ``u.data``, ``ratings.csv``, ``ratings.dat``, RecBole's ``.inter`` and JSON lines.

The format is recognised from the name and the first line, and files are read as a stream, also gzipped. Ids
are text, whatever they look like.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn, cast

from recommender.errors import SourceError
from recommender.evaluation.datasets import json_lines, names
from recommender.evaluation.datasets.lines import opened
from recommender.evaluation.datasets.names import Columns
from recommender.evaluation.datasets.values import IMPLICIT_RATING, Bounds, Unit, wrong_number
from recommender.messages.ratings import Event, Rating

__all__ = ["IMPLICIT_RATING", "Layout", "SourceError", "read", "read_events", "recognise"]

_EXPECTED = (
    "expected tab-separated user, item, rating and timestamp as in u.data, the same with '::' as in "
    "ratings.dat, a ratings.csv with a header, RecBole's .inter, or the ratings topic's own lines of JSON"
)
_CSV_ERRORS = {
    "unexpected end of data": "the quote that is opened here is not closed before the file ends",
    "field larger than field limit": "a field of more than 131,072 characters: is a quote not closed?",
}
Say = Callable[[str], None]
Numbered = Iterator[tuple[int, str]]
NumberedRows = Iterator[tuple[int, Sequence[str]]]


class Layout(NamedTuple):
    """The way in which the lines of a file are divided.

    Attributes
    ----------
    name : str
        What the format is called.
    separator : str
        What stands between two fields.
    header : bool
        The first line names the columns.
    quoted : bool
        The file is CSV: a quoted field may hold separators and line ends.
    columns : Columns
    spaced : bool
        Each separator has a space after it, which is no part of the field.
    """

    name: str
    separator: str
    header: bool
    quoted: bool
    columns: Columns
    spaced: bool = False


def recognise(path: Path, first_line: str) -> Layout:
    """The layout of a file, from its name and its first line.

    Raises
    ------
    SourceError
        It is none of the known formats, or its header misses a column.
    """
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    line = first_line.rstrip("\r\n")
    if "::" in line and (suffix == ".dat" or "\t" not in line):
        return Layout("ratings.dat", "::", False, False, _positions(line.count("::") + 1))
    if "\t" in line and not (suffix == ".csv" and "," in line):
        fields = _cleaned(line.split("\t"))
        typed = all(field.rpartition(":")[2] in _TYPES for field in fields)
        if typed or names.is_header(fields):
            plain = [field.rpartition(":")[0] if typed else field for field in fields]
            columns = names.columns(path, plain, _EXPECTED)
            return Layout(".inter" if typed else "tsv", "\t", True, False, columns)
        return Layout("u.data", "\t", False, False, _positions(len(fields)))
    for separator in (",", ";"):
        fields = _split(path, line, separator)
        if len(fields) > 1:
            spaced = all(field.startswith(" ") for field in fields[1:])
            if names.is_header(fields) or len(fields) < 3 or not _is_number(fields[2]):
                columns = names.columns(path, fields, _EXPECTED)
                return Layout("ratings.csv", separator, True, True, columns, spaced)
            return Layout("ratings.csv", separator, False, True, _positions(len(fields)), spaced)
    raise SourceError(f"{path} line 1: {line[:80]!r} is not a rating; {_EXPECTED}")


def read(
    path: str | Path,
    *,
    unit: Unit = "s",
    scale: tuple[float, float] | None = None,
    say: Say = lambda _: None,
) -> Iterator[Rating]:
    """The ratings of a file, in the order of its lines.

    Parameters
    ----------
    path : str or Path
        A file of any known format; ``.gz`` is read through gzip.
    unit : "s", "ms", "us" or "ns"
        What the numbers of a column of times count; dates as ISO 8601 writes them are read too, those without
        a zone as UTC.
    scale : (float, float), optional
        Refuse what a worker with this scale of ratings would refuse. By default everything is taken.
    say : callable, optional
        Told in one sentence what a person should know of the file.

    Yields
    ------
    Rating
        Its timestamp, in seconds, is None where the file has none. A missing column of ratings in a
        file with a header means 1.0 throughout.

    Raises
    ------
    SourceError
        The file cannot be read, or a line is not a rating; the text names file and line.
    """
    return cast("Iterator[Rating]", _read(Path(path), unit, scale, say, others=False))


def read_events(
    path: str | Path,
    *,
    unit: Unit = "s",
    scale: tuple[float, float] | None = None,
    say: Say = lambda _: None,
) -> Iterator[Event]:
    """The ratings of a file, as `read`, and of JSON lines those that say whom to forget or to merge."""
    return _read(Path(path), unit, scale, say, others=True)


def _read(
    path: Path, unit: Unit, scale: tuple[float, float] | None, say: Say, *, others: bool
) -> Iterator[Event]:
    bounds = Bounds(path, unit, scale)
    with opened(path) as lines:
        numbered = iter(lines)
        first = next(((number, text) for number, text in numbered if text.strip("\r\n")), None)
        if first is None:
            raise SourceError(f"{path} is empty: {_EXPECTED}")
        numbered = chain([first], numbered)
        if json_lines.recognised(first[1]):
            yield from json_lines.events(numbered, first[1], _EXPECTED, bounds, say, others=others)
            return
        try:
            layout = recognise(path, first[1])
        except SourceError as error:
            raise SourceError(f"{error}{lines.guessed_kind()}") from None
        if layout.columns.rating < 0:
            say(f"{path} has no column of ratings: each line counts as {IMPLICIT_RATING:g}")
        rows = _quoted(path, layout, numbered) if layout.quoted else _plain(layout, numbered)
        yield from _ratings(layout, rows, bounds)


def _ratings(layout: Layout, rows: NumberedRows, bounds: Bounds) -> Iterator[Rating]:
    """Parse every row; the loop is flat because data sets have millions of them."""
    width = len(next(rows)[1]) if layout.header else max(layout.columns) + 1
    user_at, item_at, rating_at, timestamp_at = layout.columns
    path, per_second = bounds.path, bounds.per_second
    low, high, earliest, latest, longest = bounds.limits
    for number, row in rows:
        if len(row) != width:
            _wrong_width(path, number, layout, width, row)
        user, item = row[user_at], row[item_at]
        if not user or not item:
            raise SourceError(f"{path} line {number}: the {'item' if user else 'user'} is empty")
        timestamp: float | None = None
        try:
            rating = float(row[rating_at]) if rating_at >= 0 else IMPLICIT_RATING
            if timestamp_at >= 0 and row[timestamp_at]:
                timestamp = float(row[timestamp_at]) / per_second
            # NaN and the infinities are the only floats whose difference from themselves is not zero.
            if rating - rating or (timestamp is not None and timestamp - timestamp):
                raise ValueError
        except ValueError:
            rating, timestamp = wrong_number(path, number, row, rating_at, timestamp_at)
        if (
            not low <= rating <= high
            or (timestamp is not None and not earliest <= timestamp <= latest)
            or len(user) > longest
            or len(item) > longest
        ):
            bounds.check(number, Rating(user, item, rating, timestamp))
        yield Rating(user, item, rating, timestamp)


def _plain(layout: Layout, numbered: Numbered) -> NumberedRows:
    """Rows without the spaces and the quotes around a field, which some programs write."""
    separator = layout.separator
    for number, text in numbered:
        if not (text := text.rstrip("\r\n")):
            continue
        row = text.split(separator)
        yield number, _cleaned(row) if '"' in text or " " in text else row


def _cleaned(row: list[str]) -> list[str]:
    return [
        field[1:-1].replace('""', '"') if len(field) > 1 and field[0] == field[-1] == '"' else field
        for field in (each.strip(" ") for each in row)
    ]


def _quoted(path: Path, layout: Layout, numbered: Numbered) -> NumberedRows:
    """Rows of CSV, each with the number of the line that it begins on."""
    last = 0

    def texts() -> Iterator[str]:
        nonlocal last
        for number, text in numbered:
            last = number
            yield text

    rows = csv.reader(texts(), delimiter=layout.separator, strict=True, skipinitialspace=layout.spaced)
    while True:
        begins = last + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise SourceError(f"{path} line {begins}: {_csv_error(error)}") from None
        if row:
            yield begins, row


def _split(path: Path, line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error as error:
        raise SourceError(f"{path} line 1: {_csv_error(error)}") from None


def _csv_error(error: csv.Error) -> str:
    text = str(error)
    return next((said for start, said in _CSV_ERRORS.items() if text.startswith(start)), text)


_TYPES = ("token", "token_seq", "float", "float_seq")


def _positions(width: int) -> Columns:
    """The columns of a file without a header: user, item, rating and, if there, timestamp."""
    return Columns(0, 1, 2, 3 if width > 3 else -1)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _wrong_width(path: Path, number: int, layout: Layout, width: int, row: Sequence[str]) -> NoReturn:
    separator = {"\t": "tabs", "::": "'::'"}.get(layout.separator, f"{layout.separator!r}")
    raise SourceError(
        f"{path} line {number}: expected {width} fields separated by {separator}, got {len(row)}"
    )
