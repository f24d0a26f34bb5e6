"""Files of ratings as others write them: read as meant, or refused in a sentence that names the line."""

from __future__ import annotations

import csv
import gzip
import io
import sqlite3
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recommender.errors import SourceError
from recommender.evaluation.datasets import lines
from recommender.evaluation.datasets.formats import read
from recommender.messages.ratings import Rating
from tests.support.doubles import few
from tests.unit.evaluation.foreign_files import Write, refusal

ONE = [Rating("1", "2", 3.0, None)]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "user,item,rating\n1,2,3\n4,5,1\n"),
        ("b.csv", '"user","item","rating"\n"1","2",3\n"4","5",1'),
        ("u.data", "1\t2\t3\n\n4\t5\t1\n"),
        ("r.dat", "1::2::3\n4::5::1\n"),
        ("r.jsonl", '{"user": 1, "item": 2, "rating": 3}\n\n{"user": 4, "item": 5, "rating": 1}\n'),
    ],
)
def test_lines_end_as_on_any_machine(write: Write, name: str, content: str, end: str) -> None:
    assert list(read(write(name, content.replace("\n", end)))) == [*ONE, Rating("4", "5", 1.0, None)]


@pytest.mark.parametrize("size", [1, 2, 7])
def test_lines_are_the_same_however_they_are_read(write: Write, size: int) -> None:
    path = write("a.csv", 'user,item,rating\r\n"a\r\nb",é,3\r"c\n\n","\r",1\n')
    expected = [Rating("a\r\nb", "é", 3.0, None), Rating("c\n\n", "\r", 1.0, None)]
    assert list(read(path)) == expected
    with lines.opened(path) as whole, lines.opened(path, chunk=size) as pieces:
        assert list(pieces) == list(whole)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('user,item,rating\n1,2,3\n1,"2,3\n4,5,6\n', "a.csv line 3: the quote that is opened here is"),
        ('"user,item,rating\n1,2,3\n', "a.csv line 1: "),
        ("user,item,rating\n1," + "x" * 200_000 + ",3\n", "a.csv line 2: a field of more than"),
        ("user," + "x" * 200_000 + ",rating\n", "a.csv line 1: a field of more than"),
        ('user,item,rating\n1,"2"x,3\n', "a.csv line 2: ',' expected after '\"'"),
        ('user,item,rating\n"1\n\n1",2,3\n1,"2"x,3\n', "a.csv line 5: ',' expected after"),
        ('user,item,rating\n"1\n\n1",2,x\n', "a.csv line 2: rating 'x' is not a number"),
        ("user,item,rating\n1,2,3\x00\n", "a.csv line 2: rating '3\\x00' is not a number"),
        ("\x00" * 100, "a.csv line 1: '\\x00"),
        ("x" * 3_000_000, "a.csv line 1 is longer than 1048576 bytes"),
        ("user,item,rating\n" + "x" * 3_000_000, "a.csv line 2 is longer than 1048576 bytes"),
    ],
)
def test_what_the_csv_reader_refuses_is_a_sentence(write: Write, content: str, told: str) -> None:
    assert refusal(write("a.csv", content)).startswith(told)


def workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("u.data", "1\t2\t3\n")
    return file.getvalue()


def database(directory: Path) -> bytes:
    with sqlite3.connect(directory / "x.db") as connection:
        connection.execute("create table ratings (user, item)")
    connection.close()
    return (directory / "x.db").read_bytes()


def test_a_file_that_is_no_text_is_called_what_it_is(write: Write, tmp_path: Path) -> None:
    text = "user,item,rating\n1,2,3\n"
    for content, told in (
        (gzip.compress(text.encode()), "gzip; give it a name that ends in .gz"),
        (archive(), "a zip archive; unpack it first"),
        (workbook(), "an Excel workbook (.xlsx); save it as CSV in UTF-8"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
            "an Excel workbook (.xls); save it as CSV in UTF-8",
        ),
        (text.encode("utf-16"), "text in UTF-16; save it in UTF-8"),
        (text.encode("utf-16-le"), "text in UTF-16; save it in UTF-8"),
        (text.encode("utf-16-be"), "text in UTF-16; save it in UTF-8"),
        (b"PAR1\x15\x04\x15\x0e" + bytes(range(256)) + b"PAR1", "Parquet; export it as CSV"),
        (database(tmp_path), "an SQLite database; export it as CSV"),
    ):
        assert refusal(write("a.csv", content)).endswith(f": it looks like {told}")
    latin = "user,item,rating\nJos\xe9,2,3\n".encode("latin-1")
    assert refusal(write("a.csv", latin)) == "a.csv line 2: not UTF-8 text at byte 3"
    assert refusal(write("a.csv.gz", gzip.compress(archive()))).endswith("a zip archive; unpack it first")


def test_spaces_and_quotes_around_a_field_are_not_its_own(write: Write) -> None:
    expected = [Rating("1", "b c", 3.0, 7.0), Rating('say "x"', '"', 1.0, 8.0)]
    rows = '"1"\t "b c" \t 3 \t"7"\n"say ""x"""\t"\t1\t8\n'
    assert list(read(write("u.data", rows))) == expected
    assert list(read(write("u.tsv", '"user"\t"item"\t"rating"\t"time"\n' + rows))) == expected
    spaced = 'user, item, rating, timestamp\n1, "b c", 3, 7\n'
    assert list(read(write("a.csv", spaced))) == expected[:1]
    assert list(read(write("a.csv", "1, b c, 3, 7\n"))) == expected[:1]
    # Without a space after each separator of the first line a space belongs to the field.
    assert list(read(write("a.csv", "user,item,rating\n 1,2,3\n"))) == [Rating(" 1", "2", 3.0, None)]


def test_a_file_without_ratings_is_told_of(write: Write) -> None:
    said: list[str] = []
    path = write("a.csv", "user,item,weight\n1,2,17\n")
    assert list(read(path, say=said.append)) == [Rating("1", "2", 1.0, None)]
    assert said == [f"{path} has no column of ratings: each line counts as 1"]
    list(read(write("b.csv", "user,item,rating\n1,2,3\n"), say=said.append))
    list(read(write("u.data", "1\t2\t3\n"), say=said.append))
    assert len(said) == 1


def below_a_header(text: str) -> bytes:
    return b"user,item,rating\n" + text.encode()


@few
@given(
    st.binary(max_size=300)
    | st.text(st.sampled_from(list('12,;\t":{}[]\r\n\x00é \ufeff')), max_size=200).map(str.encode)
    | st.text(st.sampled_from(list('12,"\r\n')), max_size=100).map(
        lambda text: b"user,item,rating\n" + text.encode()
    ),
    st.sampled_from(["a.csv", "u.data", "a.dat", "a.inter", "a.jsonl", "a"]),
)
@example(b"user,item,rating\r1,2,3\r", "f.csv")
@example(b'{"user":1,"item":2,"rating":3,"timestamp":1e999}', "a.jsonl")
def test_any_file_is_read_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    with suppress(SourceError):
        for rating in read(path, scale=(-1, 5)):
            assert rating.user
            assert rating.item


fields = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@few
@given(st.lists(st.tuples(fields, fields), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_csv_of_pythons_writer_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator=end)
        writer.writerows([("user", "item", "rating"), *((user, item, 3) for user, item in rows)])
    assert [(each.user, each.item) for each in read(path)] == rows
