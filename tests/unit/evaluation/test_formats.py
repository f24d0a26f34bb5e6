"""Rating files are read right, or refused with file and line; their order in time is stable."""

from __future__ import annotations

import gzip
import math
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.errors import SourceError
from recommender.evaluation.datasets.columns import Columns, load_arrays
from recommender.evaluation.datasets.formats import read
from recommender.messages.ratings import Rating

EXPECTED = [Rating("196", "242", 3.0, 881250949.0), Rating("a b", "50", 4.5, 881250948.0)]
CONTENTS = {
    "u.data": "196\t242\t3\t881250949\na b\t50\t4.5\t881250948\n",
    "ratings.dat": "196::242::3::881250949\na b::50::4.5::881250948\n",
    "ratings.csv": "userId,movieId,rating,timestamp\n196,242,3.0,881250949\na b,50,4.5,881250948\n",
    "x.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "196\t242\t3\t881250949\na b\t50\t4.5\t881250948\n",
    "events.csv": 'Timestamp;"Item";Score;User_ID\n881250949;242;3;196\n881250948;50;4.5;a b\n',
    "bare.csv": "196,242,3,881250949\na b,50,4.5,881250948\n",
    "named.tsv": "rating\tuser\titem\ttime\n3\t196\t242\t881250949\n4.5\ta b\t50\t881250948\n",
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file: ``write(name, content)``."""

    def to(name: str, content: str | bytes) -> Path:
        raw = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return path

    return to


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", CONTENTS)
def test_each_format_gives_the_same_ratings(write: Write, name: str, suffix: str) -> None:
    assert list(read(write(name + suffix, CONTENTS[name]))) == EXPECTED


@pytest.mark.parametrize("name", CONTENTS)
def test_line_ends_of_windows_a_mark_and_blank_lines_do_not_matter(write: Write, name: str) -> None:
    content = "\ufeff" + CONTENTS[name].replace("\n", "\r\n") + "\r\n\r\n"
    assert list(read(write(name, content))) == EXPECTED


def test_the_first_line_tells_the_format_where_the_name_does_not(write: Write) -> None:
    for name in CONTENTS:
        assert list(read(write("ratings", CONTENTS[name]))) == EXPECTED


def test_a_missing_timestamp_is_none(write: Write) -> None:
    assert list(read(write("u.data", "1\t2\t3\n"))) == [Rating("1", "2", 3.0, None)]
    assert list(read(write("a.csv", "user,item,rating,timestamp\n1,2,3,\n"))) == [Rating("1", "2", 3.0, None)]


def test_a_missing_rating_is_an_interaction(write: Write) -> None:
    assert list(read(write("a.csv", "user,item\n1,2\n"))) == [Rating("1", "2", 1.0, None)]
    typed = "user_id:token\titem_id:token\ttimestamp:float\n1\t2\t7\n"
    assert list(read(write("a.inter", typed))) == [Rating("1", "2", 1.0, 7.0)]


def test_a_rating_column_of_another_name_is_not_taken_for_missing(write: Write) -> None:
    content = '"User-ID";"ISBN";"Book-Rating"\n"1";"034545104X";"7"\n'
    assert list(read(write("books.csv", content))) == [Rating("1", "034545104X", 7.0, None)]


def test_quoted_csv_fields_may_hold_separators(write: Write) -> None:
    content = 'user,item,rating\n"a,b","say ""x""",2\n'
    assert list(read(write("a.csv", content))) == [Rating("a,b", 'say "x"', 2.0, None)]


ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n"), min_size=1)
numbers = st.floats(-1e9, 1e9)


def bare(text: str) -> str:
    """An id as it is in a tab file: spaces and quotes around it are the file's, not its own."""
    text = text.strip(" ")
    return text[1:-1].replace('""', '"') if re.fullmatch('".*"', text, re.DOTALL) else text


@given(st.lists(st.tuples(ids.filter(bare), ids.filter(bare), numbers, numbers), min_size=1))
def test_ids_may_be_any_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, float, float]]
) -> None:
    # What looks like a header, and the mark at the very start of a file, are read as such.
    rows = [("1", "1", 1.0, 1.0), *rows]
    path = tmp_path_factory.mktemp("any") / "u.data"
    path.write_bytes("".join(f"{u}\t{i}\t{r!r}\t{t!r}\n" for u, i, r, t in rows).encode())
    assert list(read(path)) == [Rating(bare(row[0]), bare(row[1]), *row[2:]) for row in rows]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("u.data", "1\t2\t3\t4\n" * 16 + "1\t2\tx\t4\n", "u.data line 17: rating 'x' is not a number"),
        ("u.data", "1\t2\t3\t4\n1\t2\t3\tnoon\n", "u.data line 2: timestamp 'noon' is not a number"),
        ("u.data", "1\t2\tnan\t4\n", "u.data line 1: rating 'nan' is not finite"),
        ("u.data", "1\t2\t3\tinf\n", "u.data line 1: timestamp 'inf' is not finite"),
        ("u.data", "1\t2\t3\t4\n\n1\t2\t3\n", "u.data line 3: expected 4 fields separated by tabs, got 3"),
        ("u.data", "1\t2\n", "u.data line 1: expected 3 fields separated by tabs, got 2"),
        ("u.data", "1\t2\t3\t4\n\t2\t3\t4\n", "u.data line 2: the user is empty"),
        ("u.data", "1\t2\t3\t4\n1\t\t3\t4\n", "u.data line 2: the item is empty"),
        ("u.data", b"1\t2\t3\t4\n1\t\xff\t3\t4\n", "u.data line 2: not UTF-8 text at byte 2"),
        ("u.data", "", "u.data is empty"),
        ("u.data", "hello\n", "u.data line 1: 'hello' is not a rating"),
        ("a.dat", "1::2::3::4\n1::2::x::4\n", "a.dat line 2: rating 'x' is not a number"),
        ("a.csv", "user,item,rating\n1,2,\n", "a.csv line 2: rating '' is not a number"),
        ("a.csv", "user,item,rating\n1,2\n", "a.csv line 2: expected 3 fields separated by ',', got 2"),
        (
            "a.csv",
            "user,film,rating\n1,2,3\n",
            "a.csv line 1: no column for the item among user, film, rating",
        ),
        ("a.csv", 'user,item,rating\n1,"2"x,3\n', "a.csv line 2: "),
        ("a.inter", "item_id:token\trating:float\n", "a.inter line 1: no column for the user"),
        ("a.csv.gz", "user,item,rating\n1,2,x\n", "a.csv.gz line 2: rating 'x' is not a number"),
    ],
)
def test_a_bad_line_is_named(write: Write, name: str, content: str | bytes, message: str) -> None:
    path = write(name, content)
    with pytest.raises(SourceError) as caught:
        list(read(path))
    assert str(caught.value).startswith(f"{path.parent}/{message}")


def test_lines_before_a_bad_one_are_read(write: Write) -> None:
    ratings = read(write("u.data", "1\t2\t3\t4\n1\t2\tx\t4\n"))
    assert next(ratings) == Rating("1", "2", 3.0, 4.0)


def test_a_broken_gzip_file_is_named(write: Write, tmp_path: Path) -> None:
    whole = gzip.compress(b"1\t2\t3\t4\n" * 1000)
    (tmp_path / "cut.gz").write_bytes(whole[:-9])
    (tmp_path / "not.gz").write_bytes(b"1\t2\t3\t4\n")
    with pytest.raises(SourceError, match=r"cut\.gz ends in the middle"):
        list(read(tmp_path / "cut.gz"))
    with pytest.raises(SourceError, match=r"not\.gz is not a sound gzip file"):
        list(read(tmp_path / "not.gz"))


def test_reading_is_a_stream(tmp_path: Path) -> None:
    """A rating is there before the rest of the file is."""
    os.mkfifo(pipe := tmp_path / "u.data")
    more = threading.Event()

    def fill() -> None:
        with pipe.open("w") as file:
            file.write("1\t2\t3\t4\n" * 20_000)
            file.flush()
            more.wait(30)
            file.write("5\t6\t7\t8\n")

    writer = threading.Thread(target=fill)
    writer.start()
    ratings = read(pipe)
    assert next(ratings) == Rating("1", "2", 3.0, 4.0)
    more.set()
    *_, last = ratings
    writer.join()
    assert last == Rating("5", "6", 7.0, 8.0)


stamped = st.lists(
    st.builds(
        Rating,
        st.sampled_from(["a", "b", "ü"]),
        st.sampled_from(["x", "y"]),
        st.floats(0, 5),
        st.integers(0, 5).map(float),
    )
)


@given(stamped, st.integers(0, 10), st.integers(0, 10))
def test_time_order_is_stable(ratings: list[Rating], start: int, stop: int) -> None:
    columns = Columns(ratings)
    assert list(columns) == ratings
    columns.sort_by_time()
    ordered = sorted(ratings, key=lambda rating: rating.timestamp or 0.0)
    assert list(columns) == ordered
    assert list(columns.ratings(start, stop)) == ordered[start:stop]


def test_a_rating_without_timestamp_follows_its_predecessor() -> None:
    times = [None, 9.0, None, 3.0, 4.0, None]
    columns = Columns(Rating("u", str(at), 1.0, time) for at, time in enumerate(times))
    columns.sort_by_time()
    assert [rating.item for rating in columns] == ["0", "3", "4", "5", "1", "2"]


def test_arrays_hold_what_is_read(write: Write) -> None:
    path = write("u.data", "9\t1\t3\t20\n8\t1\t4.5\t10\n9\tü\t1\t10\n")
    arrays = load_arrays(path)
    assert arrays.users.tolist() == ["8", "9", "9"]
    assert arrays.items.tolist() == ["1", "ü", "1"]
    np.testing.assert_array_equal(arrays.ratings, [4.5, 1, 3])
    np.testing.assert_array_equal(arrays.timestamps, [10, 10, 20])
    assert load_arrays(path, "file").users.tolist() == ["9", "8", "9"]
    assert load_arrays(path, "file", limit=1).users.tolist() == ["9"]
    assert load_arrays(path, limit=1).users.tolist() == ["8"]
    assert math.isnan(load_arrays(write("b.data", "1\t2\t3\n")).timestamps[0])
