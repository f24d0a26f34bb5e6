"""Reads rating files: ``u.data``, ``ratings.csv``, ``ratings.dat`` and RecBole's ``.inter``, also gzipped.

The format is recognised from the name and the first line, and files are read as a stream. Ids are
text, whatever they look like.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, NoReturn

from recommender.errors import RecommenderError
from recommender.messages.ratings import Rating

#: The value of a rating where the file has no such column: the interaction itself.
IMPLICIT_RATING = 1.0

_EXPECTED = (
    "expected tab-separated user, item, rating and timestamp as in u.data, the same with '::' as in "
    "ratings.dat, a ratings.csv with a header, or RecBole's .inter"
)
# What columns are called, in lower case and without anything but letters.
_USER = ("user", "userid", "uid", "username", "reviewerid")
_ITEM = ("item", "itemid", "iid", "movie", "movieid", "product", "productid", "asin", "isbn")
_RATING = ("rating", "score", "stars", "overall")
_TIMESTAMP = ("timestamp", "time", "ts", "unixtime", "unixreviewtime")
_TYPED = re.compile(r"[^\t:]+:(token|token_seq|float|float_seq)$")


class SourceError(RecommenderError):
    """A data set cannot be found, fetched or read; the text names it and says what is wrong."""


class Layout(NamedTuple):
    """How the lines of a file are divided.

    Attributes
    ----------
    name : str
        What the format is called.
    separator : str
        What stands between two fields.
    header : bool
        The first line names the columns.
    quoted : bool
        Fields may be quoted as in CSV.
    columns : tuple of int
        The positions of user, item, rating and timestamp; -1 where the file has none. The user's and
        the item's are always there.
    """

    name: str
    separator: str
    header: bool
    quoted: bool
    columns: tuple[int, int, int, int]


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
        fields = line.split("\t")
        typed = all(_TYPED.match(field) for field in fields)
        if typed or _is_header(fields):
            names = [field.rpartition(":")[0] if typed else field for field in fields]
            return Layout(".inter" if typed else "tsv", "\t", True, False, _named(path, names))
        return Layout("u.data", "\t", False, False, _positions(len(fields)))
    for separator in (",", ";"):
        fields = next(csv.reader([line], delimiter=separator), [])
        if len(fields) > 1:
            if _is_header(fields) or len(fields) < 3 or not _is_number(fields[2]):
                return Layout("ratings.csv", separator, True, True, _named(path, fields))
            return Layout("ratings.csv", separator, False, True, _positions(len(fields)))
    raise SourceError(f"{path} line 1: {line[:80]!r} is not a rating; {_EXPECTED}")


def read(path: str | Path) -> Iterator[Rating]:
    """The ratings of a file, in the order of its lines.

    Parameters
    ----------
    path : str or Path
        A file of any known format; ``.gz`` is read through gzip.

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
    path = Path(path)
    try:
        with _open(path) as file:
            yield from _ratings(path, file)
    except EOFError:
        raise SourceError(f"{path} ends in the middle: the gzip file is incomplete") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{path} is not a sound gzip file: {error}") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from None


def _open(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _ratings(path: Path, file: Iterable[bytes]) -> Iterator[Rating]:
    """Parse every line; the loop is flat because data sets have millions of them."""
    lines = _lines(path, file)
    number, first = next(lines, (0, ""))
    if not number:
        raise SourceError(f"{path} is empty: {_EXPECTED}")
    layout = recognise(path, first)
    rows = (
        _quoted(path, layout, lines, (number, first))
        if layout.quoted
        else _plain(layout, lines, (number, first))
    )
    width = len(next(rows)[1]) if layout.header else max(layout.columns) + 1
    user_at, item_at, rating_at, timestamp_at = layout.columns
    for number, row in rows:
        if len(row) != width:
            _wrong_width(path, number, layout, width, row)
        user, item = row[user_at], row[item_at]
        if not user or not item:
            raise SourceError(f"{path} line {number}: the {'item' if user else 'user'} is empty")
        try:
            rating = float(row[rating_at]) if rating_at >= 0 else IMPLICIT_RATING
            timestamp = float(row[timestamp_at]) if timestamp_at >= 0 and row[timestamp_at] else None
            # NaN and the infinities are the only floats whose difference from themselves is not zero.
            if rating - rating or (timestamp is not None and timestamp - timestamp):
                raise ValueError
        except ValueError:
            _wrong_number(path, number, row, rating_at, timestamp_at)
        yield Rating(user, item, rating, timestamp)


def _lines(path: Path, file: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """The numbered lines of a file as text, without those that are blank."""
    for number, raw in enumerate(file, 1):
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise SourceError(f"{path} line {number}: not UTF-8 text at byte {error.start}") from None
        if number == 1:
            text = text.removeprefix("\ufeff")
        text = text.rstrip("\r\n")
        if text:
            yield number, text


def _plain(
    layout: Layout, lines: Iterator[tuple[int, str]], first: tuple[int, str]
) -> Iterator[tuple[int, Sequence[str]]]:
    separator = layout.separator
    yield first[0], first[1].split(separator)
    for number, text in lines:
        yield number, text.split(separator)


def _quoted(
    path: Path, layout: Layout, lines: Iterator[tuple[int, str]], first: tuple[int, str]
) -> Iterator[tuple[int, Sequence[str]]]:
    """Rows of CSV, each with the number of the line that it ends on."""
    number = first[0]

    def texts() -> Iterator[str]:
        nonlocal number
        yield first[1] + "\n"
        for at, text in lines:
            number = at
            yield text + "\n"

    rows = csv.reader(texts(), delimiter=layout.separator, strict=True)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise SourceError(f"{path} line {number}: {error}") from None
        yield number, row


def _positions(width: int) -> tuple[int, int, int, int]:
    """The columns of a file without a header: user, item, rating and, if there, timestamp."""
    return (0, 1, 2, 3 if width > 3 else -1)


def _named(path: Path, names: Sequence[str]) -> tuple[int, int, int, int]:
    """The columns of a file whose header has these names."""
    plain = [_letters(name) for name in names]

    def find(known: Sequence[str]) -> int:
        # Book-Rating and review_timestamp are what their endings say.
        alike = [name for name in plain if name.endswith(known[0]) and known in (_RATING, _TIMESTAMP)]
        return next((plain.index(name) for name in (*known, *alike) if name in plain), -1)

    for what, known in (("user", _USER), ("item", _ITEM)):
        if find(known) < 0:
            listed = ", ".join(names)
            raise SourceError(f"{path} line 1: no column for the {what} among {listed[:200]}; {_EXPECTED}")
    return find(_USER), find(_ITEM), find(_RATING), find(_TIMESTAMP)


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())


def _is_header(fields: Sequence[str]) -> bool:
    plain = {_letters(field) for field in fields}
    return not plain.isdisjoint(_USER) and not plain.isdisjoint(_ITEM)


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


def _wrong_number(path: Path, number: int, row: Sequence[str], rating_at: int, timestamp_at: int) -> NoReturn:
    """Say which of a row's numbers is none."""
    for name, at in (("rating", rating_at), ("timestamp", timestamp_at)):
        text = row[at]
        if at < 0 or _is_number(text):
            continue
        try:
            float(text)
        except ValueError:
            raise SourceError(f"{path} line {number}: {name} {text[:80]!r} is not a number") from None
        raise SourceError(f"{path} line {number}: {name} {text[:80]!r} is not finite")
    raise AssertionError("unreachable: some number was wrong")
