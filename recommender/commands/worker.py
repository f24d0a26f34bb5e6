"""`recommender worker`: learns from ratings and answers requests until it is stopped."""

from __future__ import annotations

import socket
import sys
from typing import Any

import click
import faust

from recommender import app as app_room
from recommender import logs
from recommender import settings as settings_room
from recommender.app import WorkerApp
from recommender.errors import RecommenderError
from recommender.models import registry
from recommender.settings import Settings


class Worker(faust.Worker):
    """Faust's worker without its banner and its own idea of logging."""

    def _setup_logging(self) -> None:
        pass

    async def on_first_start(self) -> None:
        """Nothing to print."""
        await self.default_on_first_start()


@click.command()
@click.option("--model", help="The model, as NAME or NAME/option=value. Default: RECOMMENDER_MODEL.")
@click.option("--feedback", help="Which ratings teach. Default: RECOMMENDER_FEEDBACK.")
@click.option("--broker", help="Kafka's bootstrap servers. Default: RECOMMENDER_BROKER.")
@click.option("--checkpoints", help="Directory of the checkpoints. Default: RECOMMENDER_CHECKPOINTS.")
@click.option("--web-port", help="Port of the status pages, 0 for none. Default: RECOMMENDER_WEB_PORT.")
@click.option("--rebuild", is_flag=True, help="Set checkpoints that do not fit aside and learn anew.")
@click.option("--allow-gap", is_flag=True, help="Go on where the log has lost records for good.")
def worker(rebuild: bool, allow_gap: bool, **overrides: str | None) -> None:
    """Learn from ratings and answer requests until stopped.

    Stops on Ctrl-C or SIGTERM after saving its state; started again it continues where it was.
    """
    config = settings_room.load(**overrides)
    logs.configure(config.log_level)
    _require_free(config)
    app = app_room.create_app(config, rebuild=rebuild, allow_gap=allow_gap)
    registry.warm((config.model,))
    run(app, config)


def run(app: WorkerApp, config: Settings) -> None:
    """Run an app until it is stopped; ends the process."""
    code: Any = 0
    try:
        Worker(app, loglevel=config.log_level, redirect_stdouts=False, quiet=True).execute_from_commandline()
    except SystemExit as ended:
        code = ended.code
    if app.failure is not None:
        raise app.failure
    sys.exit(code)


def _require_free(config: Settings) -> None:
    """Faust would die of a busy port with a traceback, after joining the group."""
    if config.web_port == 0:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.web_host, config.web_port))
        except OSError as error:
            raise RecommenderError(
                f"RECOMMENDER_WEB_PORT has value {config.web_port}: cannot listen at {config.web_host} "
                f"({error.strerror}); choose another port, or 0 for no pages"
            ) from None
