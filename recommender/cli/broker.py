"""`recommender broker`: a local Apache Kafka until Ctrl-C."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import click

from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import BrokerError
from recommender.kafka.local.release import KAFKA_VERSION

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ended(BaseException):
    """A signal asked for the end. Not an `Exception`: nothing on the way may catch it."""


def _end(number: int, frame: FrameType | None) -> None:
    # The end takes two seconds; a second Ctrl-C must not leave it half done.
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise _Ended


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), default=9092, show_default=True, help="Where to listen."
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the log, kept for the next time. Default: a temporary one, removed at the end.",
)
def broker(port: int, data: Path | None) -> None:
    """Run a local Apache Kafka until Ctrl-C.

    It needs neither Docker nor Java and listens on 127.0.0.1 only. The first use fetches 45 MB into the
    user's cache. It ends with the process that started it, however that ends.
    """
    previous = {each: signal.signal(each, _end) for each in ENDING}
    try:
        with LocalBroker(port=port, data=data) as running:
            kept = f"kept in {running.directory}" if data else "removed at the end"
            where = f"{running.address} (process {running.pid})"
            click.echo(f"Apache Kafka {KAFKA_VERSION} listens on {where}, its data are {kept}")
            click.echo("Stop it with Ctrl-C")
            while running.wait(3600.0):
                pass
            raise BrokerError(f"Apache Kafka ended by itself. The end of its log:\n{running.log_tail()}")
    except _Ended:
        click.echo("Apache Kafka is stopped")
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
