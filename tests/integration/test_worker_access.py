"""A worker that Kafka does not let into its group says so and ends; it must not wait for ever in silence."""

from __future__ import annotations

from pathlib import Path

from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from recommender.kafka.admin import open_admin
from recommender.kafka.local.broker import LocalBroker
from tests.support.brokers import TEST_PROPERTIES
from tests.support.workers import installed

CONTROLLED = {
    **TEST_PROPERTIES,
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


def forbid(address: str, group: str) -> None:
    everybody = ACL(
        "User:ANONYMOUS",
        "*",
        ACLOperation.READ,
        ACLPermissionType.DENY,
        ResourcePattern(ResourceType.GROUP, group),
    )
    with open_admin(address) as admin:
        assert not admin.create_acls([everybody])["failed"]


def test_a_group_that_it_may_not_join(tmp_path: Path) -> None:
    with (
        LocalBroker(properties=CONTROLLED) as broker,
        installed(broker.address, tmp_path, "access", partitions=1) as installation,
    ):
        forbid(broker.address, installation.group)
        worker = installation.worker().start()
        assert worker.exit_code() == 2, worker.log
        sentence = worker.log.splitlines()[-1]
        assert sentence.startswith(f"Error: group '{installation.group}' cannot be joined")
        assert "GroupAuthorizationFailedError" in sentence
        assert "Traceback" not in worker.log
