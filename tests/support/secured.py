"""A broker that wants to know who talks to it: encrypted, with passwords or with certificates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import HOST, free_port
from tests.support.brokers import TEST_PROPERTIES

USER, PASSWORD = "ann", "correct horse"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
PLAIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'


@dataclass(frozen=True)
class Secured:
    """Where a broker listens, and what its clients need to know.

    Attributes
    ----------
    plain : str
        Its address for everybody.
    login : str
        Its address for those who have a password; encrypted.
    certified : str
        Its address for those who have a certificate; encrypted.
    authority, certificate, key : Path
        Files with whom to trust, and with a client's own.
    """

    plain: str
    login: str
    certified: str
    authority: Path
    certificate: Path
    key: Path


@contextmanager
def secured_broker(directory: Path) -> Iterator[Secured]:
    """Such a broker; nobody has a password for SCRAM yet."""
    authority = trustme.CA()
    files = _certificates(directory, authority)
    ports: list[int] = []
    while len(ports) < 4:
        ports = list({*ports, free_port()})
    addresses = [f"{HOST}:{port}" for port in ports]
    names = ("PLAINTEXT", "LOGIN", "CERTIFIED", "CONTROLLER")
    listeners = [f"{name}://{address}" for name, address in zip(names, addresses, strict=True)]
    properties = {
        **TEST_PROPERTIES,
        "listeners": ",".join(listeners),
        "advertised.listeners": ",".join(listeners[:3]),
        "controller.quorum.voters": f"1@{addresses[3]}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,LOGIN:SASL_SSL,CERTIFIED:SSL,CONTROLLER:PLAINTEXT"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(directory / "broker.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(files[0]),
        "listener.name.certified.ssl.client.auth": "required",
        "listener.name.login.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "listener.name.login.scram-sha-512.sasl.jaas.config": SCRAM,
        "listener.name.login.plain.sasl.jaas.config": PLAIN,
    }
    with LocalBroker(port=ports[0], properties=properties):
        yield Secured(addresses[0], addresses[1], addresses[2], *files)


def _certificates(directory: Path, authority: trustme.CA) -> tuple[Path, Path, Path]:
    """Files with the authority, and the client's certificate and key; the broker's is ``broker.pem``."""
    trusted, certificate, key = (directory / f"{name}.pem" for name in ("authority", "client", "client-key"))
    authority.cert_pem.write_to_path(trusted)
    client = authority.issue_cert("client")
    certificate.write_bytes(b"".join(each.bytes() for each in client.cert_chain_pems))
    client.private_key_pem.write_to_path(key)
    broker = authority.issue_cert(HOST)
    # Java reads no other form of a key.
    secret = load_pem_private_key(broker.private_key_pem.bytes(), None)
    pem = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "broker.pem").write_bytes(pem + b"".join(each.bytes() for each in broker.cert_chain_pems))
    return trusted, certificate, key
