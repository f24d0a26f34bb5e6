"""Data sets are found by path, and ML-100K is fetched by name, verified and kept."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from recommender.errors import SourceError
from recommender.evaluation.datasets import download, movielens
from recommender.evaluation.datasets.download import Download

RATINGS = b"1\t10\t5\t7\n2\t20\t4\t8\n"
BARS = "10|Toy Story (1995)|x\n20|Mis\xe9rables, Les (1995)|y\n".encode("latin-1")
RECBOLE = (
    b"item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    b"10\tToy Story\t1995\tAnimation\n20\tMis\xc3\xa9rables, Les\t1995\tDrama\n"
)
TITLES = {"10": "Toy Story (1995)", "20": "Misérables, Les (1995)"}
GOOD = {"A": Download(RATINGS, BARS, "u.item"), "B": Download(RATINGS, RECBOLE, ".item")}


class Places:
    """Stands for the places on the network: what each has, and which were asked."""

    def __init__(self) -> None:
        self.has: dict[str, Download | str] = dict(GOOD)
        self.asked: list[str] = []

    def fetch(self, name: str) -> Download:
        self.asked.append(name)
        found = self.has[name]
        if isinstance(found, str):
            raise SourceError(found)
        return found


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Places:
    """No network, a cache of this test's own, and the checksum of a data set of two ratings."""
    stand_in = Places()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(movielens, "RATINGS_SHA256", hashlib.sha256(RATINGS).hexdigest())
    monkeypatch.setattr(
        movielens, "SOURCES", {name: lambda name=name: stand_in.fetch(name) for name in ("A", "B")}
    )
    return stand_in


def test_the_data_set_is_fetched_once(places: Places) -> None:
    said: list[str] = []
    path = movielens.locate("ml-100k", said.append)
    assert path.read_bytes() == RATINGS
    assert movielens.locate("ml-100k", said.append) == path
    assert places.asked == ["A"]
    assert said == ["Fetching ml-100k from A."]
    # Nothing half-written is left beside the files.
    assert sorted(each.name for each in path.parent.iterdir()) == ["SHA256SUMS", "titles.tsv", "u.data"]


@pytest.mark.parametrize("name", ["A", "B"])
def test_titles_are_the_same_from_each_place(places: Places, name: str) -> None:
    for other in places.has.keys() - {name}:
        places.has[other] = "away"
    assert movielens.titles("ml-100k") == TITLES


def test_the_next_place_is_asked_when_one_is_away_or_has_something_else(places: Places) -> None:
    places.has["A"] = "away"
    assert movielens.locate("ml-100k").read_bytes() == RATINGS
    assert places.asked == ["A", "B"]


def test_what_has_another_checksum_is_never_kept(places: Places) -> None:
    places.has["A"] = Download(RATINGS + b"3\t3\t3\t3\n", BARS, "u.item")
    assert movielens.locate("ml-100k").read_bytes() == RATINGS
    assert places.asked == ["A", "B"]


@pytest.mark.parametrize("name", ["u.data", "titles.tsv", "SHA256SUMS"])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"cut")])
def test_a_damaged_cache_is_fetched_again(
    places: Places, name: str, damage: Callable[[Path], object]
) -> None:
    path = movielens.locate("ml-100k")
    damage(path.parent / name)
    assert movielens.locate("ml-100k").read_bytes() == RATINGS
    assert movielens.titles("ml-100k") == TITLES
    assert places.asked == ["A", "A"]


def test_a_failure_everywhere_says_what_was_tried_and_what_to_do(places: Places) -> None:
    places.has = {"A": "no such host", "B": "pip is missing"}
    with pytest.raises(SourceError) as caught:
        movielens.locate("ml-100k")
    text = str(caught.value)
    assert "A: no such host" in text
    assert "B: pip is missing" in text
    assert "path of a rating file" in text


def test_a_cache_that_cannot_be_written_is_named(places: Places, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the directory should be")
    with pytest.raises(SourceError, match="XDG_CACHE_HOME names another place"):
        movielens.locate("ml-100k")


def test_the_cache_is_under_the_home_directory_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert movielens.cache_directory() == tmp_path / ".cache" / "faust-recommender"


def test_paths_and_directories_are_found_and_others_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist: expected a rating file, or ml-100k"):
        movielens.locate(tmp_path / "nothing")
    with pytest.raises(SourceError, match="is a directory without a rating file"):
        movielens.locate(tmp_path)
    path = tmp_path / "u.data"
    path.write_bytes(RATINGS)
    assert movielens.locate(path) == movielens.locate(tmp_path) == path


@pytest.mark.parametrize(
    ("ratings", "name", "content"),
    [
        ("u.data", "u.item", BARS),
        ("x.inter", "x.item", RECBOLE),
        ("x.inter.gz", "x.item", RECBOLE),
        ("ratings.dat", "movies.dat", BARS.replace(b"|", b"::")),
        (
            "ratings.csv",
            "movies.csv",
            'movieId,title,genres\n10,Toy Story (1995),x\n20,"Misérables, Les (1995)",y\n'.encode(),
        ),
    ],
)
def test_titles_beside_a_file_are_read(tmp_path: Path, ratings: str, name: str, content: bytes) -> None:
    path = tmp_path / ratings
    path.touch()
    assert movielens.titles(path) == {}
    (tmp_path / name).write_bytes(content)
    assert movielens.titles(path) == TITLES


def test_titles_of_another_shape_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.inter"
    path.touch()
    (tmp_path / "x.item").write_text("id:token\n1\n")
    with pytest.raises(SourceError, match=r"x\.item is not a list of titles"):
        movielens.titles(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.item", "item_id:token\tmovie_title:token_seq\n1\n"),
        ("movies.csv", "movieId\n1\n"),
        ("movies.csv", "movieId,title\n1," + "x" * 200_000 + "\n"),
        ("movies.csv", b"movieId,title\n1,\xff\n"),
        ("titles.tsv", "1\n"),
    ],
)
def test_titles_that_are_cut_off_are_named(tmp_path: Path, name: str, content: str | bytes) -> None:
    path = tmp_path / "x.inter"
    path.touch()
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SourceError, match=rf"{name} is not a list of titles"):
        movielens.titles(path)


def test_titles_keep_the_line_ends_that_they_have_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.touch()
    content = 'movieId,title,genres\r\n10,"A\r\nB\u2028",x\r\n20\r\n30,C\x85,y\r\n'
    (tmp_path / "movies.csv").write_bytes(content.encode())
    assert movielens.titles(path) == {"10": "A\r\nB\u2028", "30": "C\x85"}


def test_pip_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SourceError, match=r"pip download faust-recommender-has-no-such-wheel==0 failed: \S"):
        download.from_recbole("faust-recommender-has-no-such-wheel==0")


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/ml-100k.zip"
        with pytest.raises(SourceError, match=r"did not answer within|cannot be reached"):
            download.from_grouplens(url, 0.2)


def test_an_archive_that_is_not_the_published_one_is_refused() -> None:
    with pytest.raises(SourceError, match=f"expected {download.ZIP_MD5}"):
        download.from_grouplens("data:,something%20else")


def test_the_real_places_are_asked_in_order() -> None:
    assert list(download.SOURCES.values()) == [
        download.from_grouplens,
        download.from_recbole,
    ]
