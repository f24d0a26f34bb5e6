"""The client's life: made, forked, cut off, closed and forgotten, and nothing left behind."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from recommender.client.client import (
    BadReply,
    BrokerUnreachable,
    Client,
    ClientClosed,
    ClientError,
    ConnectionBroken,
    RatingUnconfirmed,
    RecommendTimeout,
    RequestFailed,
    TopicMissing,
)
from recommender.errors import RecommenderError
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import free_port
from recommender.kafka.topics import Topics, ensure
from recommender.messages.responses import Response
from tests.support.kafka import consume_all, wait_until
from tests.support.responder import answer, ignore, responding

MakeTopics = Callable[..., Topics]


def waiting_for(client: Client, *users: str, timeout: float = 30.0) -> list[Future[Response]]:
    """Ask in the background, each in a thread of its own."""
    futures = []
    for user in users:
        future: Future[Response] = Future()

        def ask(user: str = user, future: Future[Response] = future) -> None:
            try:
                future.set_result(client.recommend(user, timeout=timeout))
            except Exception as error:
                future.set_exception(error)

        threading.Thread(target=ask).start()
        futures.append(future)
    return futures


def test_closing_ends_the_waiting(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics()
    before = set(threading.enumerate())
    with responding(kafka, topics, ignore) as responder:
        client = Client(kafka, topics.prefix)
        futures = waiting_for(client, "1", "2", "3")
        wait_until(lambda: len(responder.asked) == 3)
        client.close()
        for future in futures:
            with pytest.raises(ClientClosed):
                future.result(10)
        client.close()
        for call in (lambda: client.recommend("1"), lambda: client.rate("1", "2", 3)):
            with pytest.raises(ClientClosed, match="closed"):
                call()
    wait_until(lambda: set(threading.enumerate()) <= before, message="a thread is left")


def test_a_client_that_nobody_closed_says_so_and_ends(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics()
    before = set(threading.enumerate())
    clients = [Client(kafka, topics.prefix)]
    with pytest.warns(ResourceWarning, match="unclosed <Client of"):
        clients.clear()
    gc.collect()
    wait_until(lambda: set(threading.enumerate()) <= before, message="a thread is left")


def test_after_a_fork_the_child_is_told_to_make_its_own(
    kafka: str, make_topics: MakeTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = make_topics()
    with Client(kafka, topics.prefix) as client:
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            with pytest.raises(ClientClosed, match="fork"):
                client.recommend("1")
            with pytest.raises(ClientClosed, match="fork"):
                client.rate("1", "2", 3)
            client.close()
        assert client.rate("1", "2", 3).offset == 0


def test_topics_that_are_missing_are_named(kafka: str, make_topics: MakeTopics, unique: str) -> None:
    before = set(threading.enumerate())
    with pytest.raises(TopicMissing, match=f"{unique}recommendation-requests.*recommender topics"):
        Client(kafka, unique)
    with pytest.raises(TopicMissing, match="elsewhere-replies"):
        Client(kafka, make_topics().prefix, reply_topic="elsewhere-replies")
    wait_until(lambda: set(threading.enumerate()) <= before, message="a thread is left")


def test_a_broker_that_is_not_there_is_named() -> None:
    before = set(threading.enumerate())
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnreachable, match=address):
        Client(address, connect_timeout=0)
    with pytest.raises(BrokerUnreachable, match="HOST:PORT"):
        Client("nonsense")
    wait_until(lambda: set(threading.enumerate()) <= before, message="a thread is left")


def test_every_error_is_the_clients() -> None:
    kinds = (
        BadReply,
        BrokerUnreachable,
        ClientClosed,
        ConnectionBroken,
        RatingUnconfirmed,
        RecommendTimeout,
        RequestFailed,
        TopicMissing,
    )
    assert all(issubclass(each, ClientError) and issubclass(each, RecommenderError) for each in kinds)


def test_a_broker_that_goes_away_and_comes_back(topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    before = set(threading.enumerate())
    with LocalBroker() as broker:
        ensure(broker.address, topics, 1)
        with Client(broker.address, topics.prefix) as client:
            futures = waiting_for(client, "1", "2", timeout=120)
            wait_until(lambda: len(consume_all(broker.address, topics.requests)) == 2)
            broker.kill()
            for future in futures:
                with pytest.raises(ConnectionBroken, match="lost"):
                    future.result(60)
            for call in (lambda: client.recommend("3", timeout=60), lambda: client.rate("3", "4", 5)):
                with pytest.raises(ConnectionBroken, match="lost"):
                    call()
            broker.restart()
            with responding(broker.address, topics, answer):
                assert wait_until(lambda: recommend_or_none(client)).user == "5"
            assert client.rate("3", "4", 5).offset == 0
            broker.kill()
        with pytest.raises(ClientClosed):
            client.recommend("6")
    wait_until(lambda: set(threading.enumerate()) <= before, message="a thread is left")


def recommend_or_none(client: Client) -> Response | None:
    """An answer, unless the connection is not back yet."""
    try:
        return client.recommend("5", timeout=20)
    except ConnectionBroken:
        return None
