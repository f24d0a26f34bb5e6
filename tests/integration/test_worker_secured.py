"""Brokers that want passwords or certificates: ratings, learning, requests and replies, all encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from recommender import settings
from recommender.client.client import Client
from recommender.client.replay import replay
from recommender.kafka.admin import open_admin, security_options
from recommender.messages.ratings import Rating
from tests.support.secured import PASSWORD, USER, Secured, secured_broker
from tests.support.workers import PATIENCE, Worker, installed

COUNT = 200


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
        credential = UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_512, PASSWORD, 4096)
        with open_admin(broker.plain) as admin:
            refused = admin.alter_user_scram_credentials([credential])
        assert not any(refused.values()), refused
        yield broker


def login(secured: Secured, mechanism: str) -> dict[str, str]:
    """Settings for somebody who has a password."""
    return {
        "broker": secured.login,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_username": USER,
        "sasl_password": PASSWORD,
        "ssl_cafile": str(secured.authority),
    }


def certified(secured: Secured) -> dict[str, str]:
    """Settings for somebody who has a certificate."""
    return {
        "broker": secured.certified,
        "security_protocol": "SSL",
        "ssl_cafile": str(secured.authority),
        "ssl_certfile": str(secured.certificate),
        "ssl_keyfile": str(secured.key),
    }


@pytest.mark.parametrize("way", ["SCRAM-SHA-512", "PLAIN", "certificate"])
def test_from_a_rating_to_a_reply(secured: Secured, tmp_path: Path, way: str) -> None:
    given = certified(secured) if way == "certificate" else login(secured, way)
    variables = {settings.variable(name): value for name, value in given.items()}
    config = settings.load(variables)
    security = security_options(config)
    with installed(secured.plain, tmp_path, "secured") as installation:
        worker = installation.worker(**given).start()
        ratings = [Rating(f"u{each % 20}", f"i{each % 7}", 5.0, None) for each in range(COUNT)]
        sent = replay(ratings, config.broker, installation.topics.ratings, security=security)
        assert (sent.delivered, sent.failed) == (COUNT, 0)
        worker.ready()
        worker.learned({0: COUNT})
        with Client(config.broker, installation.topics.prefix, security=security) as client:
            assert client.recommend("new", n=3, timeout=PATIENCE).items
        worker.stop()


#: All that kafka-python mostly learns of it.
VAGUE = "as where the user's name, the password or the mechanism is wrong"
#: Settings of a worker that must not start, and what its one sentence says of them.
WRONG = {
    "password": ({"sasl_password": "wrong"}, ["rejected the credentials of user 'ann'", VAGUE]),
    "mechanism": (
        {"sasl_mechanism": "SCRAM-SHA-256"},
        ["does not know the SASL mechanism 'SCRAM-SHA-256'", VAGUE],
    ),
    "authority": ({"ssl_cafile": ""}, ["CERTIFICATE_VERIFY_FAILED"]),
    "protocol": ({"security_protocol": "PLAINTEXT"}, ["expects another security protocol than PLAINTEXT"]),
}


@pytest.fixture(scope="module")
def refused(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Worker]]:
    """All of these workers at once: they take their time, and wait for nothing of each other."""
    with installed(secured.plain, tmp_path_factory.mktemp("refused"), "refused") as installation:
        given = {what: login(secured, "SCRAM-SHA-512") | wrong for what, (wrong, _) in WRONG.items()}
        yield {what: installation.worker(broker_wait=5, **each).start() for what, each in given.items()}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_sentence(refused: dict[str, Worker], what: str) -> None:
    worker = refused[what]
    assert worker.exit_code() == 2, worker.log
    assert worker.log.startswith("Error: "), worker.log
    assert worker.log.count("\n") == 1, worker.log
    assert any(each in worker.log for each in WRONG[what][1]), worker.log
