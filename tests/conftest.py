"""What all tests share."""

from __future__ import annotations

import warnings

import pytest

with warnings.catch_warnings():
    # Warnings are errors here, and kafka-python reads its own files in a way that Python 3.11 disapproves of.
    warnings.filterwarnings("ignore", r"(read|open)_text is deprecated", DeprecationWarning)
    import kafka  # noqa: F401


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller choose the broker; `KAFKA_BOOTSTRAP_SERVERS` wins over both."""
    parser.addoption(
        "--kafka",
        choices=("local", "container"),
        default="local",
        help="where Apache Kafka runs: from packages on this machine, or in a container",
    )
