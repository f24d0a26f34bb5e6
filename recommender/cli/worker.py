"""`recommender worker`: learns from ratings and answers requests until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from typing import Any

import click
import faust

from recommender.errors import RecommenderError
from recommender.settings import Settings
from recommender.settings import load as load_settings
from recommender.shard.options import arms_of
from recommender.worker import log_filter, process
from recommender.worker.app import create_app
from recommender.worker.transport.faust_app import WorkerApp

logger = logging.getLogger(__name__)

#: A worker that stops longer is ended: saving and leaving take two seconds, and Kubernetes waits thirty.
STOP_SECONDS = 20.0
#: The same signal again within this many seconds is the same one: a terminal tells all processes of a group,
#: and the one that started this may pass it on.
ONE_SIGNAL_SECONDS = 0.5


class Worker(faust.Worker):
    """Faust's worker without its banner, its spinner and its own idea of logging."""

    logger = logging.getLogger("faust.worker")

    def __init__(self, app: WorkerApp, **options: Any) -> None:
        super().__init__(app, **options)
        self.spinner = None
        self._told: tuple[str, float] | None = None
        self._ending: threading.Timer | None = None

    def _setup_logging(self) -> None:
        pass

    async def on_first_start(self) -> None:
        """Nothing to print."""
        await self.default_on_first_start()

    async def stop(self) -> None:
        """Stop all that runs, within bounds."""
        if not self._ending:
            self._ending = process.end_within(STOP_SECONDS, "stopping")
        await super().stop()

    def _on_sigint(self) -> None:
        if self._is_to_stop("Ctrl-C"):
            super()._on_sigint()

    def _on_sigterm(self) -> None:
        if self._is_to_stop("SIGTERM"):
            super()._on_sigterm()

    def _is_to_stop(self, why: str) -> bool:
        """Say what happens. A second time means at once: what is not saved is learned again."""
        now = time.monotonic()
        if self._told is not None:
            before, at = self._told
            if why == before and now - at < ONE_SIGNAL_SECONDS:
                return False
            logger.warning("%s again: ending at once; what is not saved will be learned again", why)
            process.exit_now(130)
        self._told = why, now
        logger.info("%s: saving and stopping", why)
        return True


@click.command()
@click.option("--model", help="The model, as NAME or NAME/option=value. Default: RECOMMENDER_MODEL.")
@click.option("--feedback", help="Which ratings teach. Default: RECOMMENDER_FEEDBACK.")
@click.option("--broker", help="Kafka's bootstrap servers. Default: RECOMMENDER_BROKER.")
@click.option("--checkpoints", help="Directory or URL of the checkpoints. Default: RECOMMENDER_CHECKPOINTS.")
@click.option("--web-port", help="Port of the status pages, 0 for none. Default: RECOMMENDER_WEB_PORT.")
@click.option("--rebuild", is_flag=True, help="Set checkpoints that do not fit aside and learn again.")
@click.option("--allow-gap", is_flag=True, help="Continue where the journal has lost blocks for good.")
def worker(rebuild: bool, allow_gap: bool, **overrides: str | None) -> None:
    """Learn from ratings and answer requests until stopped.

    Stops on Ctrl-C or SIGTERM; started again it continues where it was.
    """
    config = load_settings(None, **overrides)
    log_filter.configure(config.log_level, config.log_format)
    _require_free(config)
    app = create_app(config, rebuild=rebuild, allow_gap=allow_gap)
    process.prepare(config)
    arms = arms_of(config).names
    models = f"model {arms[0]}" if len(arms) == 1 else f"arms {', '.join(arms)}"
    logger.info("learning with %s, feedback %s, from %s", models, config.feedback, config.broker)
    if config.web_port:
        logger.info("status at http://%s:%d/status", config.web_host, config.web_port)
    run(app, config)


def run(app: WorkerApp, config: Settings) -> None:
    """Run an app until it is stopped; ends the process."""
    code: Any = 0
    try:
        Worker(app, loglevel=config.log_level, redirect_stdouts=False, quiet=True).execute_from_commandline()
    except SystemExit as ended:
        code = ended.code
    except RecommenderError as error:
        app.failure = error
    except (Exception, asyncio.CancelledError):
        # What else breaks while it stops hides the reason.
        if app.failure is None:
            raise
    if app.failure is None and isinstance(app.crash_reason, RecommenderError):
        app.failure = app.crash_reason
    if app.failure is not None:
        click.secho(f"Error: {app.failure}", fg="red", err=True)
        code = 2
    elif not code:
        logger.info("stopped")
    process.exit_now(code if isinstance(code, int) else 1)


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
