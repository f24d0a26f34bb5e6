"""Rating files as others write them: read as they are meant, or refused in a sentence that names the line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recommender.errors import SourceError
from recommender.evaluation.datasets import lines, names
from recommender.evaluation.datasets.columns import Columns, load_arrays
from recommender.evaluation.datasets.formats import read
from recommender.evaluation.datasets.values import Unit
from recommender.messages.ratings import Rating
from tests.support.doubles import few

ONE = [Rating("1", "2", 3.0, None)]
Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


def refusal(path: Path, unit: Unit = "s", scale: tuple[float, float] | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        list(read(path, unit=unit, scale=scale))
    return str(caught.value).removeprefix(f"{path.parent}/")


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


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("userID\tartistID\tweight", "1\t2\t9", Rating("1", "2", 1.0, None)),
        ("user_id,business_id,stars,date", "1,2,3,2018-07-07 22:09:11", Rating("1", "2", 3.0, 1531001351.0)),
        ("user_id,book_id,rating", "1,2,3", Rating("1", "2", 3.0, None)),
        ("user_id,parent_asin,asin,rating,timestamp", "1,2,9,3,7", Rating("1", "2", 3.0, 7.0)),
        ("User-ID;ISBN;Book-Rating", "1;2;3", Rating("1", "2", 3.0, None)),
        ("user_id,track_id,rating", "1,2,3", Rating("1", "2", 3.0, None)),
        ("user_id,song_id,score", "1,2,3", Rating("1", "2", 3.0, None)),
        ("customer_id,product_id,rating", "1,2,3", Rating("1", "2", 3.0, None)),
        ("visitorid,itemid,timestamp", "1,2,7", Rating("1", "2", 1.0, 7.0)),
        ("reviewerID,asin,overall,unixReviewTime", "1,2,3,7", Rating("1", "2", 3.0, 7.0)),
        ("user_id,recipe_id,date,rating", "1,2,2003-02-17,3", Rating("1", "2", 3.0, 1045440000.0)),
        ("userId,movieId,rating,timestamp", "1,2,3,7", Rating("1", "2", 3.0, 7.0)),
        ("user_id,anime_id,rating", "1,2,3", Rating("1", "2", 3.0, None)),
        ("user_id:token\tvenue_id:token\ttimestamp:float", "1\t2\t7", Rating("1", "2", 1.0, 7.0)),
        ("user_id:token\titem_id:token\tlabel:float", "1\t2\t0", Rating("1", "2", 0.0, None)),
        ("user_id,item_id,label", "1,2,1", Rating("1", "2", 1.0, None)),
    ],
)
def test_columns_of_well_known_sets_are_found(write: Write, header: str, row: str, expected: Rating) -> None:
    assert list(read(write("a.csv" if "\t" not in header else "a.inter", f"{header}\n{row}\n"))) == [expected]


def test_all_names_are_written_as_they_are_compared() -> None:
    for known in (names.USER, names.ITEM, names.RATING, names.TIMESTAMP):
        assert [names.plainly(name) for name in known] == list(known)
        assert len(set(known)) == len(known)


def test_ids_that_begin_like_names_are_no_header(write: Write) -> None:
    assert list(read(write("a.csv", "user1,item2,3\n"))) == [Rating("user1", "item2", 3.0, None)]
    assert list(read(write("u.data", "user 1\titem 2\t3\n"))) == [Rating("user 1", "item 2", 3.0, None)]


def test_a_file_without_ratings_is_told_of(write: Write) -> None:
    said: list[str] = []
    path = write("a.csv", "user,item,weight\n1,2,17\n")
    assert list(read(path, say=said.append)) == [Rating("1", "2", 1.0, None)]
    assert said == [f"{path} has no column of ratings: each line counts as 1"]
    list(read(write("b.csv", "user,item,rating\n1,2,3\n"), say=said.append))
    list(read(write("u.data", "1\t2\t3\n"), say=said.append))
    assert len(said) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("881250949", 881250949.0),
        ("1997-12-04T15:55:49Z", 881250949.0),
        ("1997-12-04 15:55:49", 881250949.0),
        ("1997-12-04T17:55:49.500+02:00", 881250949.5),
        ("1997-12-04", 881193600.0),
        ("", None),
    ],
)
def test_times_are_numbers_or_iso_dates(write: Write, text: str, seconds: float | None) -> None:
    for name, content in (
        ("a.csv", f"user,item,rating,timestamp\n1,2,3,{text}\n"),
        ("u.data", f"1\t2\t3\t{text}\n"),
        ("r.jsonl", json.dumps({"user": 1, "item": 2, "rating": 3, "timestamp": text or None})),
    ):
        if name != "r.jsonl" or not text.isdigit():
            assert list(read(write(name, content))) == [Rating("1", "2", 3.0, seconds)]


def test_a_time_that_is_none_is_named(write: Write) -> None:
    told = "'04 7, 2011' is not a number and no date as in 2024-05-01T12:00:00Z"
    assert refusal(write("a.dat", "1::2::3::04 7, 2011\n")) == f"a.dat line 1: timestamp {told}"
    line = {"user": 1, "item": 2, "rating": 3, "timestamp": "noon"}
    assert refusal(write("r.jsonl", json.dumps(line))).startswith(
        "r.jsonl line 1: timestamp 'noon' is no date"
    )


@pytest.mark.parametrize(("unit", "factor"), [("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_another_unit_is_recognised_and_can_be_told(write: Write, unit: Unit, factor: int) -> None:
    for name, content in (
        ("a.csv", f"user,item,rating,timestamp\n1,2,3,7\n1,2,3,{881250949 * factor}\n"),
        (
            "r.jsonl",
            f'{{"user":1,"item":2,"rating":3,"timestamp":7}}\n'
            f'{{"user":1,"item":2,"rating":3,"timestamp":{881250949 * factor}}}\n',
        ),
    ):
        path = write(name, content)
        line = 3 if name == "a.csv" else 2
        told = refusal(path, scale=(0.5, 5))
        assert told.startswith(
            f"{name} line {line}: timestamp must be in seconds since 1970, at most 32503680000, got"
        )
        assert told.endswith(f"; --time-unit {unit} reads them")
        assert [each.timestamp for each in read(path, unit=unit, scale=(0.5, 5))] == [7 / factor, 881250949.0]
        # Whoever asks for no check gets what is there.
        assert [each.timestamp for each in read(path)] == [7.0, 881250949.0 * factor]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            "1,2,7,7",
            "rating must be between 0.5 and 5, got 7; RECOMMENDER_FEEDBACK, RECOMMENDER_RATING_",
        ),
        ("1,2,0,7", "rating must be between 0.5 and 5, got 0"),
        ("1,2,3,-1", "timestamp must be in seconds since 1970, got -1"),
        ("1,2,3,1960-01-01", "timestamp must be in seconds since 1970, got -"),
        ("u" * 257 + ",2,3,7", "user has 257 bytes: expected at most 256"),
        ("1," + "é" * 129 + ",3,7", "item has 258 bytes: expected at most 256"),
    ],
)
def test_what_the_worker_would_refuse_is_named(write: Write, row: str, told: str) -> None:
    path = write("a.csv", f"user,item,rating,timestamp\n1,2,3,7\n{row}\n")
    assert refusal(path, scale=(0.5, 5)).startswith(f"a.csv line 3: {told}")
    assert len(list(read(path))) == 2
    fits = write("b.csv", "user,item,rating\n" + "u" * 256 + "," + "é" * 128 + ",5\n")
    assert len(list(read(fits, scale=(0.5, 5)))) == 1


def test_lines_of_the_ratings_topic_are_read(write: Write) -> None:
    content = [
        '{"user": "42", "item": 50, "rating": 5, "timestamp": 881250949, "shop": {"id": 1}}',
        '{"user": "42", "item": "50", "rating": null, "timestamp": null}',
        '{"item": "a\\r\\n\\u2028", "user": "é", "rating": 2.5}',
        '{"user": "42", "item": "51", "rating": "skip"}',
    ]
    path = write("r.jsonl", "\ufeff" + "\n".join(content))
    expected = [
        Rating("42", "50", 5.0, 881250949.0),
        Rating("42", "50", None, None),
        Rating("é", "a\r\n\u2028", 2.5, None),
        Rating("42", "51", 0.0, None),
    ]
    assert list(read(path, scale=(-1, 5))) == expected
    assert list(read(write("r.jsonl.gz", gzip.compress(path.read_bytes())))) == expected
    columns = Columns(read(path))
    assert list(columns) == expected
    assert load_arrays(path, "file").ratings.tolist()[0] == 5.0


def test_other_names_in_lines_of_json_are_found(write: Write) -> None:
    review = {
        "review_id": "x",
        "user_id": "1",
        "business_id": "2",
        "stars": 3.0,
        "date": "1997-12-04 15:55:49",
    }
    assert list(read(write("yelp.json", json.dumps(review)))) == [Rating("1", "2", 3.0, 881250949.0)]
    said: list[str] = []
    views = write("views.jsonl", '{"userId": 1, "trackId": 2}\n')
    assert list(read(views, say=said.append)) == [Rating("1", "2", 1.0, None)]
    assert said == [f"{views} has no ratings: each line counts as 1"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"user": 1, "item": 2, "rating": 3}\nx\n', "line 2: JSON is malformed"),
        ('{"user": 1, "item": 2, "rating": 3}\n{"user": 1, "item": 2}\n', "line 2: Object missing required"),
        ('{"user": 1.5, "item": 2, "rating": 3}', "line 1: Expected `int | str`, got `float` - at `$.user`"),
        ('{"user": "", "item": 2, "rating": 3}', "line 1: the user is empty"),
        ('{"user": 1, "item": 2, "rating": "5"}', "line 1: Expected a number, null or 'skip', got"),
        ('{"user": 1, "item": 2, "rating": true}', "line 1: Expected"),
        ('{"user": 1, "item": 2, "rating": NaN}', "line 1: JSON is malformed"),
        ('{"user": 1, "item": %s, "rating": 1}' % ("9" * 5000), "line 1: "),
        ("{", "line 1: Input data was truncated"),
        ('{"who": 1, "item": 2, "rating": 3}', "line 1: no column for the user among who, item, rating"),
        ('[{"user": 1, "item": 2, "rating": 3}]', "line 1: expected an object on each line, got a list"),
        ('{"user": 1, "item": 2, "rating": 3, "x": ' + "[" * 5000 + "]" * 5000 + "}", "line 1: the value is"),
    ],
)
def test_a_bad_line_of_json_is_named(write: Write, content: str, told: str) -> None:
    assert refusal(write("r.jsonl", content)).startswith(f"r.jsonl {told}")


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
