"""Finds, fetches and reads rating data sets.

MovieLens may not be redistributed, so ML-100K is fetched where it is needed, verified and kept in the
user's cache. F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and
Context. ACM TiiS 5, 4. https://doi.org/10.1145/2827872
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from recommender.errors import SourceError
from recommender.evaluation.datasets.columns import RatingArrays, load_arrays
from recommender.evaluation.datasets.download import SOURCES, Download
from recommender.evaluation.datasets.formats import read, read_events
from recommender.messages.ratings import Rating

__all__ = [
    "Movie",
    "Rating",
    "RatingArrays",
    "SourceError",
    "load_arrays",
    "locate",
    "movies",
    "read",
    "read_events",
    "titles",
]

#: The data set that is known by name.
ML_100K = "ml-100k"
#: Of its u.data: the 100,000 ratings, byte for byte the same from every source.
RATINGS_SHA256 = "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"

_RATINGS, _TITLES, _SUMS = "u.data", "titles.tsv", "SHA256SUMS"
_IN_DIRECTORY = ("u.data", "ml-100k.inter", "ratings.csv", "ratings.dat", "ratings.csv.gz", "ratings.dat.gz")
#: Those that the last columns of u.item are about.
_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *(
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
        "War",
        "Western",
    ),
)
_NO_GENRES = ("", "unknown", "(no genres listed)")
Say = Callable[[str], None]


class Movie(NamedTuple):
    """The title of a movie, and its genres."""

    title: str
    genres: tuple[str, ...] = ()


def cache_directory() -> Path:
    """The directory of data sets: ``$XDG_CACHE_HOME/faust-recommender``, by default under ``~/.cache``."""
    # The XDG specification says to ignore a relative path.
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "faust-recommender"


def locate(source: str | Path, say: Say = lambda _: None) -> Path:
    """The rating file that `source` means, fetched if it is not there yet.

    Parameters
    ----------
    source : str or Path
        A rating file, a directory with one, or ``ml-100k``.
    say : callable
        Told in one sentence what is being fetched.

    Raises
    ------
    SourceError
        There is no such file, or no place had the data set.
    """
    if str(source) == ML_100K:
        return _fetched(say) / _RATINGS
    path = Path(source)
    if path.is_dir():
        for name in _IN_DIRECTORY:
            if (path / name).is_file():
                return path / name
        raise SourceError(
            f"{path} is a directory without a rating file: expected {', '.join(_IN_DIRECTORY[:4])}"
        )
    if not path.exists():
        raise SourceError(
            f"{path} does not exist: expected a rating file, or {ML_100K} to fetch that data set"
        )
    return path


def titles(source: str | Path, say: Say = lambda _: None) -> dict[str, str]:
    """The titles of the items, as ``Toy Story (1995)``; see `movies`."""
    return {item: movie.title for item, movie in movies(source, say).items()}


def movies(source: str | Path, say: Say = lambda _: None) -> dict[str, Movie]:
    """Titles, as ``Toy Story (1995)``, and genres of the items.

    Parameters
    ----------
    source : str or Path
        As for `locate`. Next to a rating file ``u.item``, ``movies.csv``, ``movies.dat`` or the
        ``.item`` of the same name is read.
    say : callable
        As for `locate`.

    Returns
    -------
    dict of str to Movie
        By item id; empty if there are no titles next to the file.

    Raises
    ------
    SourceError
        The source cannot be found, or its titles cannot be read.
    """
    path = locate(source, say)
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    for name, parse in _TITLE_FILES.items():
        beside = plain.with_suffix(name) if name.startswith(".") else path.parent / name
        if beside.is_file():
            try:
                return parse(beside.read_bytes())
            except (ValueError, LookupError, csv.Error) as error:
                raise SourceError(f"{beside} is not a list of titles: {error}") from None
            except OSError as error:
                raise SourceError(f"{beside} cannot be read: {error.strerror}") from None
    return {}


def _fetched(say: Say) -> Path:
    """The directory of a sound ML-100K, fetched from the first source that has it."""
    directory = cache_directory() / ML_100K
    if _is_sound(directory):
        return directory
    tried = []
    for name, fetch in SOURCES.items():
        say(f"Fetching {ML_100K} from {name}.")
        try:
            found = fetch()
            _check(found.ratings)
        except SourceError as error:
            tried.append(f"{name}: {error}")
            continue
        _keep(directory, found)
        return directory
    reasons = "\n".join(f"  {reason}" for reason in tried)
    raise SourceError(
        f"{ML_100K} could not be fetched. Tried:\n{reasons}\n"
        "Give the path of a rating file instead, for example of the u.data in MovieLens' ml-100k.zip."
    )


def _check(ratings: bytes) -> None:
    actual = hashlib.sha256(ratings).hexdigest()
    if actual != RATINGS_SHA256:
        raise SourceError(f"the ratings have SHA-256 {actual}, expected {RATINGS_SHA256}")


def _is_sound(directory: Path) -> bool:
    """Return True if the cache holds what was written to it, whole."""
    try:
        sums = (directory / _SUMS).read_text("ascii")
        actual = {
            name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in (_RATINGS, _TITLES)
        }
    except (OSError, ValueError):
        return False
    return actual[_RATINGS] == RATINGS_SHA256 and sums == _sums(actual)


def _sums(digests: dict[str, str]) -> str:
    """The text of a file that ``sha256sum --check`` reads."""
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items())


def _keep(directory: Path, found: Download) -> None:
    """Write a data set so that a reader sees all of each file or nothing, and the sums last."""
    listed = "".join(
        f"{item}\t{movie.title}\t{'|'.join(movie.genres)}\n" for item, movie in _parse_download(found).items()
    )
    files = {_RATINGS: found.ratings, _TITLES: listed.encode()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[_SUMS] = _sums(digests).encode()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{name}-", delete=False) as file:
                try:
                    file.write(content)
                    file.close()
                    Path(file.name).replace(directory / name)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
    except OSError as error:
        raise SourceError(
            f"the cache {directory} cannot be written: {error.strerror}. XDG_CACHE_HOME names another place"
        ) from None


def _parse_download(found: Download) -> dict[str, Movie]:
    return _TITLE_FILES[found.titles_format](found.titles)


def _genres(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in _NO_GENRES)


def _bars(content: bytes) -> dict[str, Movie]:
    """GroupLens' u.item: item|title (year)|release|video release|address|a flag for each genre."""
    rows = (line.split("|") for line in content.decode("latin-1").split("\n") if line)
    return {
        row[0]: Movie(
            row[1], _genres(name for name, flag in zip(_GENRES, row[5:], strict=False) if flag.strip() == "1")
        )
        for row in rows
        if len(row) > 1
    }


def _colons(content: bytes) -> dict[str, Movie]:
    """GroupLens' movies.dat: item::title (year)::genres."""
    rows = (line.split("::") for line in content.decode("latin-1").split("\n") if line)
    return {
        row[0]: Movie(row[1], _genres("".join(row[2:3]).strip().split("|"))) for row in rows if len(row) > 1
    }


def _recbole(content: bytes) -> dict[str, Movie]:
    """RecBole's .item: typed header, title and year apart."""
    lines = content.decode().split("\n")
    at = {name.partition(":")[0]: position for position, name in enumerate(lines[0].split("\t"))}
    found = {}
    for line in filter(None, lines[1:]):
        row = line.split("\t")
        title, year = row[at["movie_title"]], row[at["release_year"]] if "release_year" in at else ""
        genres = row[at["class"]].split(" ") if "class" in at else []
        found[row[at["item_id"]]] = Movie(f"{title} ({year})" if year.isdigit() else title, _genres(genres))
    return found


def _csv(content: bytes) -> dict[str, Movie]:
    """MovieLens' movies.csv: movieId,title,genres."""
    # Lines keep what ends them, since a title in quotes may hold it.
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    return {
        row["movieId"]: Movie(row["title"], _genres((row.get("genres") or "").split("|")))
        for row in rows
        if row["title"] is not None
    }


def _tabs(content: bytes) -> dict[str, Movie]:
    """Our own: item, title, genres; older ones have no genres."""
    found = {}
    for line in filter(None, content.decode().split("\n")):
        item, title, *genres = line.split("\t", 2)
        found[item] = Movie(title, _genres("".join(genres).split("|")))
    return found


_TITLE_FILES: dict[str, Callable[[bytes], dict[str, Movie]]] = {
    "titles.tsv": _tabs,
    "u.item": _bars,
    ".item": _recbole,
    "movies.csv": _csv,
    "movies.dat": _colons,
}
