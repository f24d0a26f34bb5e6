"""What Kafka does not allow a worker: it says so and ends, or fails the one request, or waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from recommender.kafka.admin import open_admin
from recommender.kafka.local.broker import LocalBroker
from tests.integration.test_faults import committed
from tests.support.asking import Asker, asking
from tests.support.brokers import TEST_PROPERTIES
from tests.support.calling import call
from tests.support.kafka import Header, create_topics, produce, wait_until
from tests.support.worker_logs import Oracle, generated
from tests.support.workers import PATIENCE, Installation, installed

CONTROLLED = {
    **TEST_PROPERTIES,
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
EVERYBODY = "User:ANONYMOUS"


@pytest.fixture(scope="module")
def controlled() -> Iterator[str]:
    """A broker that lets everybody do what no test has forbidden."""
    with LocalBroker(properties=CONTROLLED) as broker:
        yield broker.address


@pytest.fixture
def make_installation(controlled: str, tmp_path: Path) -> Iterator[Callable[[int], Installation]]:
    made: list[Installation] = []

    def make(partitions: int) -> Installation:
        made.append(Installation(controlled, tmp_path, "access", partitions))
        return made[-1]

    yield make
    for each in made:
        each.close()


def forbid(address: str, operation: ACLOperation, *topics: str) -> None:
    """Forbid one thing with some topics; all else that is done with them stays allowed."""
    acls = []
    for each in topics:
        pattern = ResourcePattern(ResourceType.TOPIC, each)
        acls.append(ACL(EVERYBODY, "*", operation, ACLPermissionType.DENY, pattern))
        acls.append(ACL(EVERYBODY, "*", ACLOperation.ALL, ACLPermissionType.ALLOW, pattern))
    with open_admin(address) as admin:
        assert not admin.create_acls(acls)["failed"]


def allow(address: str, topic: str) -> None:
    """Take back what was forbidden with a topic."""
    pattern = ResourcePatternFilter(ResourceType.TOPIC, topic, ACLResourcePatternType.LITERAL)
    everything = ACLFilter(EVERYBODY, "*", ACLOperation.ANY, ACLPermissionType.ANY, pattern)
    with open_admin(address) as admin:
        admin.delete_acls([everything])


def test_a_group_that_it_may_not_join(make_installation: Callable[[int], Installation]) -> None:
    installation = make_installation(1)
    group = ResourcePattern(ResourceType.GROUP, installation.group)
    with open_admin(installation.kafka) as admin:
        denied = ACL(EVERYBODY, "*", ACLOperation.READ, ACLPermissionType.DENY, group)
        assert not admin.create_acls([denied])["failed"]
    worker = installation.worker().start()
    assert worker.exit_code() == 2, worker.log
    sentence = worker.log.splitlines()[-1]
    assert sentence.startswith(f"Error: group '{installation.group}' cannot be joined")
    assert "GroupAuthorizationFailedError" in sentence
    assert "Traceback" not in worker.log


def test_a_source_that_it_may_not_read(make_installation: Callable[[int], Installation]) -> None:
    installation = make_installation(1)
    topic = installation.topics.prefix + "clicks"
    create_topics(installation.kafka, topic)
    forbid(installation.kafka, ACLOperation.READ, topic)
    worker = installation.worker(sources=f"['{topic}']").start()
    assert worker.exit_code() == 2, worker.log
    assert f"Not allowed at {installation.kafka}: READ on topic {topic}" in worker.log


#: What is forbidden with which topics, in how many partitions, and with which settings.
NEEDED: list[tuple[ACLOperation, list[str], int, dict[str, str]]] = [
    (ACLOperation.WRITE, ["dead_letters"], 1, {}),
    (ACLOperation.WRITE, ["responses"], 1, {}),
    (ACLOperation.WRITE, ["requests"], 1, {}),
    (ACLOperation.WRITE, ["journal"], 1, {}),
    (ACLOperation.READ, ["journal"], 1, {}),
    (ACLOperation.WRITE, ["recommendations"], 1, {"recommendations_log": "on"}),
    (ACLOperation.WRITE, ["responses", "dead_letters"], 1, {}),
    (ACLOperation.READ, ["ratings", "requests"], 1, {}),
    # Without it the worker would recommend what is sold out, or was shown already, and nobody would know why.
    (ACLOperation.READ, ["items"], 1, {}),
    (ACLOperation.READ, ["recommendations"], 1, {"hide_seen": "3"}),
]


@pytest.mark.parametrize(
    ("operation", "topics", "partitions", "settings"), NEEDED, ids=lambda each: str(each)
)
def test_what_it_needs_it_asks_for_at_the_start(
    make_installation: Callable[[int], Installation],
    operation: ACLOperation,
    topics: list[str],
    partitions: int,
    settings: dict[str, str],
) -> None:
    installation = make_installation(partitions)
    names = [str(getattr(installation.topics, each)) for each in topics]
    forbid(installation.kafka, operation, *names)
    worker = installation.worker(**settings).start()
    assert worker.exit_code() == 2, worker.log
    (sentence,) = worker.log.splitlines()
    assert sentence.startswith(f"Error: Not allowed at {installation.kafka}: {operation.name} on topic ")
    assert all(each in sentence for each in names)


def test_what_it_does_not_need_it_does_not_ask_for(
    make_installation: Callable[[int], Installation],
) -> None:
    """Nothing of ours writes ratings, and without experiments nothing is logged."""
    installation = make_installation(2)
    topics = installation.topics
    forbid(installation.kafka, ACLOperation.WRITE, topics.ratings, topics.recommendations)
    forbid(installation.kafka, ACLOperation.READ, topics.responses, topics.dead_letters)
    worker = installation.worker().start().ready()
    worker.stop()


def test_a_log_that_it_may_write_and_not_read(make_installation: Callable[[int], Installation]) -> None:
    installation = make_installation(1)
    topics = installation.topics
    forbid(installation.kafka, ACLOperation.READ, topics.recommendations)
    worker = installation.worker(recommendations_log="on").start().ready()
    assert call(worker, "/recommend?user=u1").status == 200
    refused = call(worker, "/recommend?user=u1&hide_seen=1")
    assert refused.error["code"] == "bad_request"
    assert f"may not read {topics.recommendations}: expected an ACL for READ" in refused.error["message"]
    worker.stop()


def test_a_reply_topic_that_it_may_not_write_fails_only_its_requests(
    make_installation: Callable[[int], Installation],
) -> None:
    installation = make_installation(1)
    address, topics = installation.kafka, installation.topics
    produce(address, topics.ratings, generated(200))
    names = [topics.prefix + each for each in ("open-replies", "forbidden-replies", "hidden-replies")]
    create_topics(address, *names)
    forbid(address, ACLOperation.WRITE, names[1])
    worker = installation.worker().start().ready()
    # Nor may the client see the third.
    forbid(address, ACLOperation.DESCRIBE, names[2])
    with asking(address, topics, *names[:2]) as asker:
        for _ in range(3):
            for name in names:
                reply = asker.ask({"user": "u1"}, ("kafka_replyTopic", name.encode()))
                if name == names[0]:
                    assert (reply.topic, reply.body["ok"]) == (name, True)
                else:
                    assert reply.topic == topics.responses
                    assert reply.error["code"] == "reply_topic_unavailable"
                    assert "writing to it is not allowed" in reply.error["message"]
            assert asker.ask({"user": "u1"}).body["ok"]
        asker.assert_one_reply_each()
    for name in names[1:]:
        assert worker.log.count(f"no reply to {name}") == 1
        allow(address, name)
        with asking(address, topics, name) as asker:
            header = "kafka_replyTopic", name.encode()

            def answers(asker: Asker = asker, header: Header = header) -> bool:
                return bool(asker.ask({"user": "u1"}, header).body["ok"])

            wait_until(answers, PATIENCE, worker.log)
    worker.stop()


def test_replies_wait_until_their_topic_may_be_written_again(
    make_installation: Callable[[int], Installation],
) -> None:
    installation = make_installation(1)
    address, topics = installation.kafka, installation.topics
    produce(address, topics.ratings, generated(200))
    create_topics(address, topics.prefix + "my-replies")
    worker = installation.worker().start().ready()
    with asking(address, topics, topics.prefix + "my-replies") as asker:
        assert asker.ask({"user": "u1"}).body["ok"]
        forbid(address, ACLOperation.WRITE, topics.responses)
        waiting = [asker.send({"user": "u1"}) for _ in range(20)]
        wait_until(lambda: f"{topics.responses} cannot be written" in worker.log, PATIENCE, worker.log)
        # Others are answered meanwhile.
        mine = ("kafka_replyTopic", f"{topics.prefix}my-replies".encode())
        assert asker.ask({"user": "u1"}, mine).body["ok"]
        assert not any(asker.has_reply(each) for each in waiting)
        allow(address, topics.responses)
        assert all(asker.reply(each).body["ok"] for each in waiting)
        asker.assert_one_reply_each()
    assert worker.log.count("cannot be written") == 1
    assert worker.log.count("can be written again") == 1
    assert worker.metric("recommender_replies_total", code="no_reply") == 0
    worker.stop()


def test_dead_letters_that_it_may_not_write_any_more_end_it(tmp_path: Path, controlled: str) -> None:
    with installed(controlled, tmp_path, "letters") as installation:
        topics = installation.topics
        produce(controlled, topics.ratings, generated(100))
        worker = installation.worker().start().ready()
        oracle = Oracle(installation)
        oracle.assert_agrees(worker)
        wait_until(lambda: committed(installation) == 100, PATIENCE, worker.log)
        forbid(controlled, ACLOperation.WRITE, topics.dead_letters)
        produce(controlled, topics.ratings, [b"bad", *generated(100, seed=2)])
        assert worker.exit_code() == 1, worker.log
        assert committed(installation) == 100
        worker.start()
        assert worker.exit_code() == 2, worker.log
        assert f"WRITE on topic {topics.dead_letters}" in worker.log.splitlines()[-1]
        allow(controlled, topics.dead_letters)
        worker.start().ready()
        oracle.assert_agrees(worker)
        assert oracle.learned == {0: 201}
        worker.stop()
