"""Columns, times and lines of JSON under the names that others give them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from recommender.evaluation.datasets import names
from recommender.evaluation.datasets.columns import Columns, load_arrays
from recommender.evaluation.datasets.formats import read
from recommender.evaluation.datasets.values import Unit
from recommender.messages.ratings import Rating
from tests.unit.evaluation.foreign_files import Write, refusal


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


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
