"""What all tests share."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Generator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

with warnings.catch_warnings():
    # Warnings are errors here, and kafka-python reads its own files in a way that Python 3.11 disapproves of.
    warnings.filterwarnings("ignore", r"(read|open)_text is deprecated", DeprecationWarning)
    import kafka  # noqa: F401


# How long an example takes is the machine's business: another test may be compiling.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller choose the broker; `KAFKA_BOOTSTRAP_SERVERS` wins over both."""
    parser.addoption(
        "--kafka",
        choices=("local", "container"),
        default="local",
        help="where Apache Kafka runs: from packages on this machine, or in a container",
    )


#: The tests that need a broker, and the address of the one that several processes share.
INTEGRATION = Path(__file__).parent / "integration"
BROKER = pytest.StashKey[str]()
#: The address of the process that workers are forked from.
PRELOADED = pytest.StashKey[str]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Compile the kernels once, before several processes would each do it."""
    from tests.support.kernels import compile_all

    compile_all()


def pytest_configure(config: pytest.Config) -> None:
    """Let workers be forked, from the process that all processes of the tests share if there is one."""
    from recommender.kafka.local import ports
    from tests.support import preloaded

    shared = getattr(config, "workerinput", {})
    preloaded.want(shared.get("preloaded"))
    if shared:
        # Each process has ports of its own: one that is free may be another's choice by the time it is used.
        number = int(shared["workerid"].removeprefix("gw"))
        ports.PORTS = ports.PORTS[number :: shared["workercount"]]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start what all processes share: the broker, and what workers are forked from.

    A process of tests that is alone starts its own when a test asks for it.
    """
    from recommender.errors import RecommenderError
    from tests.support import preloaded
    from tests.support.brokers import chosen_broker

    config: pytest.Config = node.config
    if not _has_integration_tests(config):
        return
    if BROKER not in config.stash:
        running = ExitStack()
        config.add_cleanup(running.close)
        # Without a broker only the tests that need one fail: each process tries again, and says why.
        with suppress(RecommenderError):
            config.stash[BROKER] = running.enter_context(chosen_broker(config.getoption("--kafka")))
    if BROKER in config.stash:
        node.workerinput["kafka"] = config.stash[BROKER]
    if PRELOADED not in config.stash and sys.platform.startswith("linux"):
        forking = ExitStack()
        config.add_cleanup(forking.close)
        config.stash[PRELOADED] = forking.enter_context(preloaded.preloaded())
    node.workerinput["preloaded"] = config.stash.get(PRELOADED, None)


def _has_integration_tests(config: pytest.Config) -> bool:
    paths = [(config.invocation_params.dir / each.partition("::")[0]).resolve() for each in config.args]
    return any(path.is_relative_to(INTEGRATION) or INTEGRATION.is_relative_to(path) for path in paths)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the garbage collector pass over the tests themselves, which live as long as the process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


#: The files that take longest, which begin first; the others fill the time beside them.
LONGEST = (
    "test_handover.py",
    "test_worker_gaps.py",
    "test_worker_journal.py",
    "test_worker_interrupted.py",
    "test_chaos.py",
    "test_processors.py",
    "test_faults.py",
    "test_kernel_cache.py",
    "test_worker_clocks.py",
    "test_broker.py",
    "test_rewriting.py",
    "test_forgetting_kills.py",
    "test_journal_retention.py",
    "test_worker_access.py",
    "test_worker_lesser_letters.py",
    "test_worker_start.py",
    "test_worker_replies.py",
    "test_http.py",
    "test_worker_sources.py",
    "test_journal_faults.py",
    "test_journal.py",
    "test_worker_group.py",
    "test_leaving.py",
    "test_bounds.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files and the broker's tests; within a file the order stays."""

    def place(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.name
        return LONGEST.index(name) if name in LONGEST else len(
            LONGEST
        ), item.path.parent.name != "integration"

    items.sort(key=place)
