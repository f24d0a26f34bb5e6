"""A broker that allows nothing but what it was told to, and the rights that `deploy/kafka/acls.sh` gives."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from recommender.kafka.admin import open_admin
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import HOST, free_port
from tests.support.brokers import TEST_PROPERTIES

SCRIPT = Path(__file__).parents[2] / "deploy" / "kafka" / "acls.sh"
PASSWORD = "correct horse"
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


class Right(NamedTuple):
    """One thing that somebody may do, in the words of Kafka's tool."""

    principal: str
    operation: str
    kind: str
    name: str


class GuardedBroker(NamedTuple):
    """Where it listens.

    Attributes
    ----------
    plain : str
        For the tests, which may do everything.
    login : str
        For users with a password, who may do nothing until it is allowed.
    """

    plain: str
    login: str

    def allow(self, rights: Iterable[Right]) -> None:
        """Allow these things, too."""
        acls = [
            ACL(
                right.principal,
                "*",
                ACLOperation[enumerated(right.operation)],
                ACLPermissionType.ALLOW,
                ResourcePattern(ResourceType[right.kind.upper()], right.name),
            )
            for right in rights
        ]
        with open_admin(self.plain) as admin:
            assert not admin.create_acls(acls)["failed"]


def enumerated(word: str) -> str:
    """``DESCRIBE_CONFIGS`` for ``DescribeConfigs``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).upper()


def login(user: str) -> dict[str, Any]:
    """kafka-python's options for one of the users."""
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": user,
        "sasl_plain_password": PASSWORD,
    }


@contextmanager
def guarded_broker(users: Iterable[str]) -> Iterator[GuardedBroker]:
    """Such a broker, which lets these users in."""
    ports: list[int] = []
    while len(ports) < 3:
        ports = list({*ports, free_port()})
    addresses = [f"{HOST}:{port}" for port in ports]
    names = ("PLAINTEXT", "LOGIN", "CONTROLLER")
    listeners = [f"{name}://{address}" for name, address in zip(names, addresses, strict=True)]
    passwords = " ".join(f'user_{user}="{PASSWORD}"' for user in users)
    properties = {
        **TEST_PROPERTIES,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:ANONYMOUS",
        "listeners": ",".join(listeners),
        "advertised.listeners": ",".join(listeners[:2]),
        "controller.quorum.voters": f"1@{addresses[2]}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.login.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.login.plain.sasl.jaas.config": f"{LOGIN} {passwords};",
    }
    with LocalBroker(port=ports[0], properties=properties):
        yield GuardedBroker(*addresses[:2])


def script_rights(variables: Mapping[str, str]) -> list[Right]:
    """What the script gives, each once and in its order; it only says what it would run."""
    only_say = {"BROKER": "broker", "KAFKA_ACLS": "echo kafka-acls.sh"}
    environment = {"PATH": os.environ["PATH"], **only_say, **variables}
    ran = subprocess.run(
        ["sh", str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    rights: dict[Right, None] = {}
    for line in ran.stdout.splitlines():
        for right in _rights_of(line):
            assert right not in rights, f"twice: {right}"
            rights[right] = None
    return list(rights)


def _rights_of(line: str) -> Iterator[Right]:
    tool, *words = shlex.split(line)
    assert (tool, words[:2], words[2]) == ("kafka-acls.sh", ["--bootstrap-server", "broker"], "--add"), line
    given: dict[str, list[str]] = {}
    for option, value in zip(words[3::2], words[4::2], strict=True):
        given.setdefault(option.removeprefix("--"), []).append(value)
    resources = [(kind, name) for kind in ("topic", "group") for name in given.pop(kind, [])]
    (principal,), operations = given.pop("allow-principal"), given.pop("operation")
    assert not given, line
    for (kind, name), operation in product(resources, operations):
        yield Right(principal, operation, kind, name)
