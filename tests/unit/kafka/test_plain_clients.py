"""The settings in the words of aiokafka's own clients."""

from __future__ import annotations

import ssl

import pytest

from recommender.kafka.plain_clients import client_options, ssl_context
from recommender.settings import Settings


def test_without_security() -> None:
    options = client_options(Settings(broker="a:1, b:2"))
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert options["security_protocol"] == "PLAINTEXT"
    assert options["ssl_context"] is None
    assert not [name for name in options if name.startswith("sasl")]


@pytest.mark.parametrize("encrypted", [False, True])
def test_with_a_password(encrypted: bool) -> None:
    protocol = "SASL_SSL" if encrypted else "SASL_PLAINTEXT"
    config = Settings(
        security_protocol=protocol, sasl_mechanism="PLAIN", sasl_username="ann", sasl_password="secret"
    )
    options = client_options(config)
    assert (options["sasl_mechanism"], options["sasl_plain_username"]) == ("PLAIN", "ann")
    assert options["sasl_plain_password"] == "secret"
    assert isinstance(options["ssl_context"], ssl.SSLContext) == encrypted
    assert (ssl_context(config) is not None) == encrypted
