"""The client of a schema registry: what it knows, what it does not know, and what is no answer."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from recommender.ingest.sources.mapping import SourcesError
from recommender.ingest.sources.registry import Registry, RegistryAway, Schema, SchemaUnknown
from recommender.ingest.sources.schema_ids import SchemaId
from recommender.ingest.sources.schema_reader import SchemaReader
from recommender.kafka.local.ports import HOST, free_port
from recommender.worker.schema_wait import SchemaWait
from tests.support.doubles import until
from tests.support.registry import SmallRegistry, small_registry
from tests.unit.ingest.sources.records import mapping, record

ONE = SchemaId(1)
GUID = SchemaId("12345678-1234-1234-1234-123456789abc")
AVRO = {"type": "record", "name": "R", "fields": [{"name": "user", "type": "string"}]}


@pytest.fixture
def served() -> Iterator[tuple[str, SmallRegistry]]:
    with small_registry() as found:
        yield found


def test_a_schema_is_fetched_once(served: tuple[str, SmallRegistry]) -> None:
    url, server = served
    server.put(1, "text", references=[{"name": "other", "subject": "a/b", "version": 2}])
    server.schemas["/subjects/a%2Fb/versions/2"] = {"schema": "inner"}
    client = Registry(url + "/")
    assert client.known(ONE) is None
    expected = Schema("AVRO", "text", (("other", Schema("AVRO", "inner")),))
    assert client.fetch(ONE) == client.fetch(ONE) == client.known(ONE) == expected
    assert server.asked == ["/schemas/ids/1", "/subjects/a%2Fb/versions/2"]


def test_it_logs_in(served: tuple[str, SmallRegistry]) -> None:
    url, server = served
    server.put(1, "text")
    server.login = "ann:s3cret"
    assert Registry(url, "ann", "s3cret").fetch(ONE).text == "text"
    with pytest.raises(RegistryAway, match="answers 401"):
        Registry(url, "ann", "wrong").fetch(ONE)


def test_it_trusts_whom_it_is_told_to(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    cafile = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(cafile))
    with small_registry(context) as (url, server):
        server.put(1, "text")
        assert Registry(url, cafile=str(cafile)).fetch(ONE).text == "text"
        with pytest.raises(RegistryAway, match="certificate verify failed"):
            Registry(url).fetch(ONE)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (500, b"<html>", "answers 500 Internal Server Error"),
        (503, b"", "answers 503"),
        (403, b"", "answers 403"),
        (200, b"<html>Log in</html>", "Expecting value"),
        (200, b"[]", "answers what is no schema"),
        (200, b"", "Expecting value"),
    ],
)
def test_what_is_no_answer_is_a_registry_that_is_away(
    served: tuple[str, SmallRegistry], status: int, body: bytes, told: str
) -> None:
    url, server = served
    server.status, server.body = status, body
    with pytest.raises(RegistryAway, match=told):
        Registry(url).fetch(ONE)


def test_nobody_is_there_or_nobody_says_anything(served: tuple[str, SmallRegistry]) -> None:
    with pytest.raises(RegistryAway, match="refused"):
        Registry(f"http://{HOST}:{free_port()}").fetch(ONE)
    url, server = served
    server.hangs.set()
    with pytest.raises(RegistryAway, match="timed out"):
        Registry(url, timeout=0.2).fetch(ONE)


def test_an_id_that_is_not_known_is_no_failure(served: tuple[str, SmallRegistry]) -> None:
    url, server = served
    with pytest.raises(SchemaUnknown, match="knows no schema 1"):
        Registry(url).fetch(ONE)
    with pytest.raises(SourcesError, match="has no schemas by GUID"):
        Registry(url).fetch(GUID)
    server.schemas[f"/schemas/guids/{GUID}"] = {"schema": "text"}
    assert Registry(url).fetch(GUID).text == "text"


def test_a_global_id_is_looked_up_as_apicurio_has_it(served: tuple[str, SmallRegistry]) -> None:
    url, server = served
    seven = SchemaId(7, is_global=True)
    client = Registry(f"{url}/apis/ccompat/v7")
    with pytest.raises(SourcesError, match="no schemas by Apicurio's global ids"):
        client.fetch(seven)
    search = "/apis/registry/v3/search/versions?globalId=7"
    server.schemas[search] = {"count": 0, "versions": []}
    with pytest.raises(SchemaUnknown, match="knows no schema of global id 7"):
        client.fetch(seven)
    server.schemas[search] = {"versions": [{"globalId": 7}]}
    with pytest.raises(RegistryAway, match="no version of a schema"):
        client.fetch(seven)
    server.schemas[search] = {"versions": [{"globalId": 7, "contentId": 3}]}
    server.schemas["/apis/ccompat/v7/schemas/ids/3"] = {"schema": "text"}
    assert client.fetch(seven).text == "text"
    assert client.known(SchemaId(7)) is None  # that is another one
    with pytest.raises(SourcesError, match=r"expected Apicurio's registry from 3\.0 on"):
        Registry(url).fetch(seven)


def test_addresses_and_files_that_cannot_be() -> None:
    with pytest.raises(SourcesError, match="RECOMMENDER_REGISTRY has value 'registry:8081': expected a URL"):
        Registry("registry:8081")
    with pytest.raises(SourcesError, match="RECOMMENDER_REGISTRY_CAFILE has value"):
        Registry("https://registry", cafile="no.pem")


def waiting(url: str, unknown_seconds: float = 30.0) -> SchemaWait:
    client = Registry(url)
    source = mapping('[films]\nformat = "avro"')
    return SchemaWait(
        "films",
        SchemaReader(source, client),
        client,
        unknown_seconds=unknown_seconds,
        retry_seconds=0.01,
        longest_retry_seconds=0.02,
    )


BY_NUMBER = record(b"\x00\x00\x00\x00\x01\x02u")


async def test_a_registry_that_is_away_is_waited_for_and_said_once(
    served: tuple[str, SmallRegistry], caplog: pytest.LogCaptureFixture
) -> None:
    url, server = served
    server.put(1, AVRO)
    server.status = 503
    wait = waiting(url)
    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(wait([BY_NUMBER]))
        await until(lambda: len(server.asked) >= 4)
        assert not task.done()
        assert wait.waits_for is not None
        server.status = 0
        await asyncio.wait_for(task, 10)
    told = [each.getMessage() for each in caplog.records]
    assert told == [
        f"source films waits for its schema registry: {url} answers 503 Service Unavailable",
        "source films: its schema registry answers again",
    ]
    assert wait.waits_for is None


async def test_an_id_that_comes_late_is_waited_for_within_bounds(
    served: tuple[str, SmallRegistry],
) -> None:
    url, server = served
    wait = waiting(url)
    timer = threading.Timer(0.1, lambda: server.put(1, AVRO))
    timer.start()
    await asyncio.wait_for(wait([BY_NUMBER]), 10)
    timer.join()
    assert len(server.asked) > 1
    wait = waiting(url, unknown_seconds=0.05)
    await asyncio.wait_for(wait([record(b"\x00\x00\x00\x00\x02")]), 10)
    asked = len(server.asked)
    await asyncio.wait_for(wait([record(b"\x00\x00\x00\x00\x02")]), 10)
    assert len(server.asked) == asked + 1  # it is asked again, and not waited for again
