"""The rights of `deploy/kafka/acls.sh` are enough where nothing else is allowed, and each is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from recommender import settings
from recommender.cli.main import recommender
from recommender.client.client import Client
from recommender.client.errors import ClientError
from recommender.client.items import write_items
from recommender.errors import RecommenderError
from recommender.kafka import topics as topics_room
from recommender.kafka.log_cutting import delete_before
from recommender.kafka.topics import Topics
from recommender.worker.app import create_app
from tests.support.calling import call
from tests.support.guarded_broker import (
    PASSWORD,
    GuardedBroker,
    Right,
    enumerated,
    guarded_broker,
    login,
    script_rights,
)
from tests.support.kafka import consume, create_topics, produce, wait_until
from tests.support.worker_logs import generated
from tests.support.workers import PATIENCE, Installation, Worker, installed

PREFIX, GROUP, REPLIES = "shop-", "shop-workers", "shop-replies"
#: Two partitions, so that there is something to choose, and all that a worker may be asked to do.
VARIABLES = {
    "PREFIX": PREFIX,
    "GROUP": GROUP,
    "REPLIES": REPLIES,
    "HTTP": "on",
    "LOG": "on",
    "HIDE_SEEN": "on",
    "RETENTION": "on",
    "REWRITER": "User:rewriter",
}
WORKER, SERVICE, OWNER, READER, REWRITER = "recommender", "shop", "owner", "reader", "rewriter"
RIGHTS = script_rights(VARIABLES)
COUNT = 300
TOPICS = Topics(PREFIX)


def rights_of(user: str) -> list[Right]:
    """What the script gives somebody."""
    return [each for each in RIGHTS if each.principal == f"User:{user}"]


#: Rights of the worker's that it needs only later on.
LATER = {("Write", REPLIES), ("Write", TOPICS.ratings), ("Delete", TOPICS.journal)}
#: Each without which it does not start, and a user who has all of its rights but this.
ASKED = {
    f"without{number}": right
    for number, right in enumerate(rights_of(WORKER))
    if (right.operation, right.name) not in LATER
}
GROUPS = {user: right for user, right in ASKED.items() if right.kind == "group"}
#: The same of the services' rights.
SERVICES = {f"service{number}": right for number, right in enumerate(rights_of(SERVICE))}
#: The same of the rights of who rewrites the journal.
REWRITERS = {f"rewriter{number}": right for number, right in enumerate(rights_of(REWRITER))}
#: Owners of topics of their own, who lack one kind of right.
OWNERS = {"nocreate": "Create", "nodescribe": "Describe", "noconfigs": "DescribeConfigs"}


class Running(NamedTuple):
    """A worker that has exactly its rights."""

    broker: GuardedBroker
    installation: Installation
    worker: Worker


def without(users: dict[str, Right], whole: list[Right]) -> Iterator[Right]:
    """The rights of users who lack one each."""
    for user, lacking in users.items():
        yield from (each._replace(principal=f"User:{user}") for each in whole if each != lacking)


def as_user(user: str, broker: GuardedBroker) -> dict[str, str]:
    """Settings of somebody who logs in."""
    return {
        "broker": broker.login,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": user,
        "sasl_password": PASSWORD,
        "topic_prefix": PREFIX,
        "group": GROUP,
        "recommendations_log": "on",
        "hide_seen": "1000",
        "reply_topics": REPLIES.removeprefix(PREFIX),
    }


def variables_of(user: str, broker: GuardedBroker) -> dict[str, str]:
    """The same as variables of an environment."""
    return {settings.variable(name): value for name, value in as_user(user, broker).items()}


@pytest.fixture(scope="module")
def broker() -> Iterator[GuardedBroker]:
    """A broker with the rights, and the topics, which their owner has created."""
    users = [WORKER, SERVICE, OWNER, READER, REWRITER, *ASKED, *SERVICES, *REWRITERS, *OWNERS]
    with guarded_broker(users) as guarded:
        guarded.allow(RIGHTS)
        guarded.allow(without(ASKED, rights_of(WORKER)))
        guarded.allow(without(SERVICES, rights_of(SERVICE)))
        guarded.allow(without(REWRITERS, rights_of(REWRITER)))
        for user, lacking in OWNERS.items():
            given = script_rights({"PREFIX": f"{user}-", "OWNER": f"User:{user}"})
            guarded.allow(each for each in given if each.operation != lacking)
        topics_room.ensure(guarded.login, TOPICS, 2, security=login(OWNER))
        create_topics(guarded.plain, REPLIES)
        yield guarded


@pytest.fixture(scope="module")
def running(broker: GuardedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that may do what the list says, and has learned some ratings."""
    with installed(broker.plain, tmp_path_factory.mktemp("rights"), partitions=0) as installation:
        worker = installation.worker(**as_user(WORKER, broker)).start()
        produce(broker.plain, TOPICS.ratings, [*generated(COUNT), b"no rating"])
        worker.ready()
        yield Running(broker, installation, worker)


@pytest.fixture(scope="module")
def refused(broker: GuardedBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Worker]]:
    """Workers that may not join one of their groups, which they learn only when they run."""
    with installed(broker.plain, tmp_path_factory.mktemp("refused"), partitions=0) as installation:
        yield {user: installation.worker(web_port="0", **as_user(user, broker)).start() for user in GROUPS}


def client(broker: GuardedBroker, user: str, reply_topic: str | None = None) -> Client:
    return Client(broker.login, PREFIX, security=login(user), reply_topic=reply_topic)


def test_the_services_and_the_worker_have_enough(running: Running) -> None:
    broker, _, worker = running
    write_items([("i1", {"title": "One"})], broker.login, TOPICS.items, security=login(SERVICE))
    with client(broker, SERVICE) as shop:
        written = shop.rate("somebody", "i2", 5)
        assert shop.recommend("somebody", n=3, after=written, timeout=PATIENCE).items
    wait_until(lambda: worker.metric("recommender_items") == 1, PATIENCE, worker.log)
    (letter,) = consume(broker.plain, TOPICS.dead_letters, 1)
    assert letter.value == b"no rating"
    (logged,) = consume(broker.plain, TOPICS.recommendations, 1)
    assert json.loads(logged.value)["user"] == "somebody"


def test_ratings_over_http(running: Running) -> None:
    answer = call(running.worker, "/ratings", {"user": "caller", "item": "i3", "rating": 5})
    assert answer.status == 200, answer
    (written,) = answer.body["written"]
    after = {"partition": written["partition"], "offset": written["offset"]}
    assert call(running.worker, "/recommend", {"user": "caller", "after": after}).items


def test_a_reply_topic_of_ones_own(running: Running) -> None:
    own = Right(f"User:{SERVICE}", "Read", "topic", REPLIES)
    running.broker.allow([own])
    with client(running.broker, SERVICE, REPLIES) as shop:
        assert shop.recommend("somebody", n=3, timeout=PATIENCE).items


def test_the_reader_looks_at_the_journal_and_the_log(running: Running) -> None:
    variables = variables_of(READER, running.broker)
    with client(running.broker, SERVICE) as shop:
        assert shop.recommend("looked at", timeout=PATIENCE).items
    for command in (["journal", "verify"], ["experiment", "report", "--json", "-"]):
        ran = CliRunner().invoke(recommender, command, env=variables)
        assert ran.exit_code == 0, ran.output


def rewrite(running: Running, user: str, *options: str) -> Result:
    """Rewrite the journal as somebody."""
    checkpoints = {settings.variable("checkpoints"): str(running.installation.checkpoints)}
    environment = variables_of(user, running.broker) | checkpoints
    return CliRunner().invoke(recommender, ["forget", "--rewrite", *options], env=environment)


@pytest.mark.parametrize("user", REWRITERS, ids=lambda user: " ".join(REWRITERS[user][1:]))
def test_a_rewriter_needs_each(running: Running, user: str) -> None:
    lacking, refused = REWRITERS[user], rewrite(running, user, "--user", "somebody")
    assert refused.exit_code != 0
    error = str(refused.exception)
    assert lacking.name in error
    if lacking.operation in ("Delete", "AlterConfigs"):
        assert enumerated(lacking.operation) in error
    else:
        assert "hidden from this user" in error or "TopicAuthorizationFailed" in error


def test_the_rewriter_clears_the_journal(running: Running) -> None:
    ran = rewrite(running, REWRITER, "--user", "somebody")
    assert ran.exit_code == 0, ran.output
    assert "Workers take it over by themselves" in ran.output
    worker = running.worker
    wait_until(lambda: "takes over the rewritten journal" in worker.log, PATIENCE, worker.log)


def test_the_worker_bounds_the_journal(running: Running) -> None:
    worker, shop = (settings.load(variables_of(user, running.broker)) for user in (WORKER, SERVICE))
    delete_before(worker, TOPICS.journal, {0: 1})
    with pytest.raises(RecommenderError, match="It needs the right to DELETE"):
        delete_before(shop, TOPICS.journal, {0: 1})


def test_all_of_it_was_allowed(running: Running) -> None:
    """Nothing that the worker has tried was refused."""
    assert "uthorization" not in running.worker.log
    assert "not allowed" not in running.worker.log.lower()


@pytest.mark.parametrize(
    "user", sorted(ASKED.keys() - GROUPS.keys()), ids=lambda user: " ".join(ASKED[user][1:])
)
def test_a_worker_needs_each(broker: GuardedBroker, user: str) -> None:
    """Of a topic with no right at all Kafka tells nothing, not even that there is one."""
    right = ASKED[user]
    others = [each for each in rights_of(WORKER) if each.name == right.name and each != right]
    hidden = f"does not show topic {right.name}: this user needs an ACL"
    lacking = f"{right.operation.upper()} on topic {right.name};"
    with pytest.raises(RecommenderError, match=lacking if others else hidden):
        create_app(settings.load(variables_of(user, broker)))


@pytest.mark.parametrize("user", GROUPS, ids=lambda user: GROUPS[user].name)
def test_a_worker_needs_its_groups(refused: dict[str, Worker], user: str) -> None:
    worker = refused[user]
    assert worker.exit_code() == 2, worker.log
    sentence = worker.log.splitlines()[-1]
    assert sentence.startswith(f"Error: group '{GROUPS[user].name}' cannot ")
    assert "GroupAuthorizationFailedError" in sentence


@pytest.mark.parametrize("user", SERVICES, ids=lambda user: " ".join(SERVICES[user][1:]))
def test_a_service_needs_each(running: Running, user: str) -> None:
    """What it lacks fails, and the rest works. A client opens its topics of requests and replies at once."""
    broker, lacking = running.broker, SERVICES[user]

    def rates() -> None:
        with client(broker, user) as shop:
            shop.rate("somebody", "i2", 5)

    def asks() -> None:
        with client(broker, user) as shop:
            assert shop.recommend("somebody", n=3, timeout=PATIENCE).items

    def describes() -> None:
        write_items([("i1", {"title": "One"})], broker.login, TOPICS.items, security=login(user))

    both = {TOPICS.requests, TOPICS.responses}
    needed = {rates: {TOPICS.ratings, *both}, asks: both, describes: {TOPICS.items}}
    for do, topics in needed.items():
        if lacking.name in topics:
            with pytest.raises((ClientError, RecommenderError)):
                do()
        else:
            do()


@pytest.mark.parametrize("user", OWNERS, ids=OWNERS.__getitem__)
def test_an_owner_needs_each(broker: GuardedBroker, user: str) -> None:
    topics = Topics(f"{user}-")

    def create() -> list[topics_room.TopicInfo]:
        return topics_room.ensure(broker.login, topics, 1, wait_seconds=2.0, security=login(user))

    if OWNERS[user] == "DescribeConfigs":  # nothing fails, but nobody knows how the journal is kept
        journal = next(each for each in create() if each.topic == topics.journal)
        assert any("could not be read" in each for each in journal.warnings), journal
    else:
        with pytest.raises(RecommenderError, match=topics.ratings):
            create()
