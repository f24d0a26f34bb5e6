"""The output that commands share: a bar while they work, and tables."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


def progress_bar() -> Progress:
    """A bar on standard error with counts, gone at the end; none where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def print_table(table: Table) -> None:
    """Print a table; a pipe gets whole rows, however long they are."""
    console = Console()
    Console(width=None if console.is_terminal else 200).print(table)
