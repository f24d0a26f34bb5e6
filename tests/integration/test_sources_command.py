"""`recommender sources`: what the newest records of real topics would give, and a table that is proposed."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result

from recommender.cli.sources import sources as command
from recommender.errors import RecommenderError
from tests.integration.test_worker_schemas import AVRO, avro_bytes
from tests.support.kafka import Record, create_topics, produce
from tests.support.registry import small_registry


@pytest.fixture
def invoke(kafka: str) -> Callable[..., Result]:
    def invoked(*arguments: str, **settings: str) -> Result:
        environment = {f"RECOMMENDER_{name.upper()}": value for name, value in settings.items()}
        given = {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_BROKER_WAIT": "5", **environment}
        return CliRunner().invoke(command, arguments, env=given)

    return invoked


#: In milliseconds: records of long ago would expire while they are looked at.
NOW = int(time.time()) * 1000
TOLD = datetime.fromtimestamp(NOW / 1000, UTC).isoformat(" ")


def film(number: int) -> Record:
    value = {"userId": f"u{number}", "movie": {"id": number % 3}, "stars": number % 6}
    return Record(json.dumps(value).encode(), f"u{number}".encode(), timestamp_ms=NOW)


def test_from_a_guess_to_a_check(kafka: str, unique: str, invoke: Callable[..., Result]) -> None:
    create_topics(kafka, unique, partitions=2, configs={"retention.ms": "86400000"})
    produce(kafka, unique, [film(number) for number in range(50)])
    proposed = invoke("guess", unique)
    assert proposed.exit_code == 0, proposed.output
    assert "of the newest 50 records: 50 learned, 0 skipped, 0 rejected (0.0 %)" in proposed.stderr
    produce(kafka, unique, [b"{}"])
    checked = invoke("check", "--sample", "1000", sources=proposed.stdout)
    assert checked.exit_code == 0, checked.output
    for told in (
        f"{unique}: topic '{unique}', 2 partitions, about 51 records, delete, kept for 1 days",
        "of the newest 51 records: 50 learned, 0 skipped, 1 rejected (2.0 %)",
        "50 ratings of 3 items by 50 users",
        f"times: {TOLD} to {TOLD}",
        "rejected: 1 times Object missing required field - at `$.userId`",
        "keys: 100 % are the user's id; partitions are chosen by murmur2, as Kafka's own producers",
    ):
        assert told in checked.output


def test_a_sample_is_of_the_newest(kafka: str, unique: str, invoke: Callable[..., Result]) -> None:
    create_topics(kafka, unique)
    produce(kafka, unique, [b"{}", *(film(number) for number in range(3))])
    text = f"[{unique}]\nuser = 'userId'\nitem = 'movie.id'\nrating = 'stars'\nscale = [0, 5]"
    assert "of the newest 3 records: 3 learned" in invoke("check", "--sample", "3", sources=text).output


def test_what_does_not_fit_fails(kafka: str, unique: str, invoke: Callable[..., Result]) -> None:
    create_topics(kafka, unique)
    produce(kafka, unique, [film(1)])
    checked = invoke("check", sources=f"[{unique}]\n[{unique}-not-there]")
    assert checked.exit_code == 1
    assert "1 rejected (100.0 %)" in checked.output
    assert "this mapping does not fit: a worker would end (50 % are allowed)" in checked.output
    assert f"{unique}-not-there: topic '{unique}-not-there' does not exist yet" in checked.output


def test_items_and_impressions_are_checked_too(
    kafka: str, unique: str, invoke: Callable[..., Result]
) -> None:
    items, shown = f"{unique}-items", f"{unique}-shown"
    create_topics(kafka, items, shown)
    produce(kafka, items, [b'{"sku": 5, "name": "x"}', b'{"sku": 6}', b'{"name": "y"}'])
    produce(kafka, shown, [b'{"user": "u", "slots": [{"sku": 5}, {"sku": 6}]}'])
    text = f"[{items}]\nkind = 'items'\nitem = 'sku'\ntitle = 'name'\n"
    text += f"[{shown}]\nkind = 'impressions'\neach = 'slots'\nitem = '.sku'"
    checked = invoke("check", sources=text)
    assert checked.exit_code == 0, checked.output
    for told in (
        "of the newest 3 records: 2 learned, 0 skipped, 1 rejected (33.3 %)",
        "  2 items\n",
        f"rejected: 1 times Object missing required field - at `$.sku` of source `{items}`",
        "2 impressions of 2 items by 1 users",
    ):
        assert told in checked.output
    checked = invoke("check", sources=f"[{shown}]\nkind = 'items'\nitem = 'sku'\ntitle = 'x'")
    assert checked.exit_code == 1
    assert "  this mapping does not fit\n" in checked.output


def test_a_guess_says_why_values_give_no_fields(
    kafka: str, unique: str, invoke: Callable[..., Result]
) -> None:
    create_topics(kafka, unique)
    produce(kafka, unique, [gzip.compress(b"{}")] * 3)
    proposed = invoke("guess", unique)
    assert proposed.exit_code == 1
    assert "# 3 of 3 values give no fields: JSON is malformed" in proposed.stderr
    assert "the value looks like gzip" in proposed.stderr


def test_without_sources_or_records(kafka: str, unique: str, invoke: Callable[..., Result]) -> None:
    create_topics(kafka, unique)
    for arguments, told in (
        (["check"], "RECOMMENDER_SOURCES is not set"),
        (["guess", unique], "has no records to guess from"),
        (["guess", unique + "-no"], "Missing at"),
    ):
        error = invoke(*arguments).exception
        assert isinstance(error, RecommenderError)
        assert told in str(error)


def test_a_guess_by_the_schemas_of_a_registry(kafka: str, unique: str, invoke: Callable[..., Result]) -> None:
    create_topics(kafka, unique)
    rated = {"userId": "ann", "movieId": 7, "stars": 4.0, "at": NOW}
    produce(kafka, unique, [avro_bytes(AVRO, rated, 5)])
    without = invoke("guess", unique)
    assert (without.exit_code, "set RECOMMENDER_REGISTRY" in without.stderr) == (1, True)
    with small_registry() as (url, registry):
        registry.put(5, AVRO)
        proposed = invoke("guess", unique, registry=url)
        assert proposed.exit_code == 0, proposed.output
        assert 'user = "userId"' in proposed.stdout
        assert "of the newest 1 records: 1 learned" in proposed.stderr
        checked = invoke("check", sources=proposed.stdout, registry=url)
        assert "1 ratings of 1 items by 1 users" in checked.output


def test_a_guess_that_lacks_something_fails(kafka: str, unique: str, invoke: Callable[..., Result]) -> None:
    create_topics(kafka, unique)
    produce(kafka, unique, [b'{"a": 1}'])
    proposed = invoke("guess", unique)
    assert (proposed.exit_code, "# not found: user, item" in proposed.stderr) == (1, True)
    assert "# user = PATH: no field looks like it; there are a" in proposed.stdout
