"""`recommender forget`: nothing shall be known of a user or an item any more."""

from __future__ import annotations

import logging
import sys

import click

from recommender import settings as settings_room
from recommender.client import Client
from recommender.client.errors import ClientError
from recommender.kafka.admin import security_options


@click.command()
@click.option("--user", "users", multiple=True, metavar="ID", help="Whom to forget; may be given again.")
@click.option("--item", "items", multiple=True, metavar="ID", help="An item to forget; may be given again.")
@click.option("--broker", help="HOST:PORT of Kafka. Default: RECOMMENDER_BROKER.")
@click.option("--timeout", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds.")
def forget(users: tuple[str, ...], items: tuple[str, ...], broker: str | None, timeout: float) -> None:
    """Write to the ratings topic that users and items are to be forgotten.

    As soon as a worker has learned that, it answers them as if they had never been there, and the checkpoints
    that it saves from then on hold nothing of them. The topics hold what they held: the page "Personal data"
    of the documents says where, and how to clear it.

    The exit code is 1 where Kafka did not take all of it.
    """
    if not users and not items:
        raise click.UsageError("expected --user or --item")
    logging.getLogger("recommender").addHandler(logging.NullHandler())
    settings = settings_room.load(broker=broker)
    security = security_options(settings)
    with Client(settings.broker, settings.topic_prefix, security=security, connect_timeout=0) as client:
        for name, ids in (("user", users), ("item", items)):
            for each in ids:
                try:
                    written = client.forget(**{name: each}, timeout=timeout)
                except ValueError as error:
                    raise click.UsageError(str(error)) from None
                except ClientError as error:
                    click.secho(f"Error: {error}", fg="red", err=True)
                    sys.exit(1)
                click.echo(
                    f"{name} {each}: written to partition {written.partition}, offset {written.offset}"
                )
