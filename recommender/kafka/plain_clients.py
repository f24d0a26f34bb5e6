"""The settings in the words of aiokafka's own clients, for those that Faust does not make."""

from __future__ import annotations

import ssl
from typing import Any

from recommender.kafka.addresses import split
from recommender.settings import Settings

#: How long a broker that does not answer is waited for before it is asked again.
REQUEST_SECONDS = 10.0
#: How soon a topic that was away for a moment is found again.
METADATA_SECONDS = 15.0


def ssl_context(config: Settings) -> ssl.SSLContext | None:
    """Trusted authorities and our own certificate; None where nothing is encrypted."""
    if not config.security_protocol.endswith("SSL"):
        return None
    context = ssl.create_default_context(cafile=config.ssl_cafile or None)
    if config.ssl_certfile:
        context.load_cert_chain(config.ssl_certfile, config.ssl_keyfile or None)
    return context


def client_options(config: Settings) -> dict[str, Any]:
    """Keyword arguments that aiokafka's producer and consumer have in common."""
    options: dict[str, Any] = {
        "bootstrap_servers": split(config.broker),
        "client_id": "recommender-journal",
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
        "metadata_max_age_ms": int(METADATA_SECONDS * 1000),
        "security_protocol": config.security_protocol,
        "ssl_context": ssl_context(config),
    }
    if config.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = config.sasl_mechanism
        options["sasl_plain_username"] = config.sasl_username
        options["sasl_plain_password"] = config.sasl_password
    return options
