"""`recommender models`: which models there are."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from recommender.models import registry


@click.command()
def models() -> None:
    """List the models: what each is for, and how good its lists are compared with popularity.

    Recall@10 is the share of ratings of 5 that were among a user's ten best just before, in the second half
    of MovieLens 100K. Your data differ: `recommender evaluate` measures it there.

    One of them is set with RECOMMENDER_MODEL, with options as in sequence-knn/raters=128.
    """
    console = Console()
    rows = [(name, about, *_measured(name)) for name, about in registry.describe()]
    if not console.is_terminal:
        for row in rows:
            click.echo("\t".join(row))
        return
    table = Table("model", "what it is for", "recall@10", "of popular's")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _measured(name: str) -> tuple[str, str]:
    found = registry.measured(name)
    return ("", "") if found is None else (f"{found[0]:.3f}", f"{found[1]:.2f}")
