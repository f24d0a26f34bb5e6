"""`recommender models`: which models there are."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from recommender.models import registry


@click.command()
def models() -> None:
    """List the models with a line each.

    One of them is set with RECOMMENDER_MODEL, with options as in sequence-knn/raters=128.
    """
    console = Console()
    if not console.is_terminal:
        for name, about in registry.describe():
            click.echo(f"{name}\t{about}")
        return
    table = Table("model", "what it does")
    for name, about in registry.describe():
        table.add_row(name, about)
    console.print(table)
