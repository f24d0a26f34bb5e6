"""The journal of a broker that wants to know who talks to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from recommender.cli.journal import journal as command
from recommender.kafka.topics import Topics, ensure
from recommender.settings import Settings, variable
from tests.integration.journal_nodes import expected, run, running
from tests.support.secured import PASSWORD, USER, Secured, secured_broker

SIZE = 200


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


@pytest.mark.parametrize("how", ["password", "certificate"])
def test_it_is_written_and_followed(secured: Secured, how: str, unique: str) -> None:
    topics = Topics(unique + "-")
    ensure(secured.plain, topics)
    trusted = {"ssl_cafile": str(secured.authority), "topic_prefix": topics.prefix}
    if how == "password":
        options = {"broker": secured.login, "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}
        options |= {"sasl_username": USER, "sasl_password": PASSWORD}
    else:
        options = {"broker": secured.certified, "security_protocol": "SSL"}
        options |= {"ssl_certfile": str(secured.certificate), "ssl_keyfile": str(secured.key)}
    options |= trusted

    async def scenario() -> None:
        async with running(Settings(**options), topics.journal) as node:  # type: ignore[arg-type]
            await node.caught_up()
            await node.write([SIZE])
            await node.caught_up()
            assert node.rated == expected(0, SIZE)

    run(scenario)
    environment = {variable(name): value for name, value in options.items()}
    result = CliRunner().invoke(command, ["verify"], env=environment, catch_exceptions=False)
    assert result.exit_code == 0
    assert f"{topics.journal}[0] is whole" in result.output
