"""`recommender settings`: what is set, and where it comes from."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from recommender import settings as room


@click.command()
def settings() -> None:
    """Show every setting with its effective value and where that comes from."""
    effective, sources = room.load(), room.sources()
    rows = [
        (each.variable, room.shown(effective, each.name), each.unit, sources[each.name], each.about)
        for each in room.describe()
    ]
    console = Console()
    if not console.is_terminal:
        for variable, value, unit, source, about in rows:
            click.echo(f"{variable}\t{value}\t{unit}\t{'default' if source == 'default' else 'set'}\t{about}")
        return
    table = Table("variable", "value", "unit", "from", "about")
    for variable, value, unit, source, about in rows:
        set_here = source != "default"
        style = "bold" if set_here else None
        table.add_row(variable, value, unit, "environment" if set_here else "default", about, style=style)
    console.print(table)
