"""The `recommender` command."""

from __future__ import annotations

import difflib
import gc
import importlib
import sys
from types import ModuleType
from typing import Any

import click

from recommender import __version__
from recommender.errors import RecommenderError

#: Each command, in the module of its name under `recommender.cli`, and what it does. Modules are
#: imported when their command is called: the worker's libraries take a second to load.
COMMANDS = {
    "ask": "Ask a running worker for recommendations.",
    "broker": "Run a local Apache Kafka.",
    "checkpoint": "Show, check and export checkpoints.",
    "evaluate": "Test models on a data set, each rating before it is learned.",
    "experiment": "Compare what the arms of an A/B experiment led to.",
    "export": "Print all that is known of a user.",
    "forget": "Forget users and items, as if they had never been there.",
    "demo": "See all of it at work, from a broker to recommendations with titles.",
    "journal": "Show, verify and export the journal of ratings.",
    "models": "List the models.",
    "replay": "Send a data set of ratings to the ratings topic.",
    "retrain": "Learn the journal again, alongside the running workers, into new checkpoints.",
    "settings": "Show every setting, its value and where that comes from.",
    "sources": "Show what topics of any shape would give, and propose how to map one.",
    "topics": "Create the topics and check them.",
    "up": "Start a broker, two workers, ratings and requests, and a page to watch and to play with.",
    "worker": "Learn from ratings and answer requests until stopped.",
}


class Commands(click.Group):
    """The commands, each loaded when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in alphabetical order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, if there is one."""
        if cmd_name not in COMMANDS:
            return None
        command: Any = getattr(_imported(f"recommender.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called; a name that does not exist is an error that suggests one that does."""
        close = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and close:
            ctx.fail(f"No such command {args[0]!r}; did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)


def _imported(module: str) -> ModuleType:
    """Import without garbage collections, which take the worker 0.2 of a second and find nothing.

    Later ones need not look at what was imported either: it stays.
    """
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="recommender")
def recommender() -> None:
    """Streaming recommendations on Kafka that learn from every rating as it arrives.

    Settings come from RECOMMENDER_* environment variables; `recommender settings` shows them.
    """


def main() -> None:
    """Run the command line; what a person has to fix is one sentence and exit code 2."""
    try:
        recommender(prog_name="recommender")
    except RecommenderError as error:
        click.secho(f"Error: {error}", fg="red", err=True)
        sys.exit(2)
