"""`recommender settings`: what is set, and where it comes from."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from recommender.settings import Described, describe, load, shown, sources

#: The page of the documents, but for its table.
PAGE = """# Settings

Every setting is an environment variable; `recommender settings` shows the effective values and where they
come from. A variable that starts with `RECOMMENDER_` and is not in this table is an error that suggests the
nearest name.

| variable | default | unit | what it does |
|---|---|---|---|
{rows}

(L): changes what is learned, so a checkpoint made with another value is refused: see
[what is refused](operations.md#what-is-refused-and-why).

Options of a command, such as `recommender worker --model popular`, win over the variables.

`recommender settings --markdown` writes this page.
"""


def page() -> str:
    """The page of the documents that lists the settings."""
    return PAGE.format(rows="\n".join(map(_row, describe())))


def _row(each: Described) -> str:
    default, mark = f"`{each.default}`" if each.default else "", " (L)" if each.learned else ""
    return f"| `{each.variable}` | {default} | {each.unit} | {each.about}{mark} |"


@click.command()
@click.option("--markdown", is_flag=True, help="Write the page of the documents that lists them.")
def settings(markdown: bool) -> None:
    """Show every setting with its effective value and where that comes from."""
    if markdown:
        click.echo(page(), nl=False)
        return
    effective, origins = load(), sources()
    rows = [
        (each.variable, shown(effective, each.name), each.unit, origins[each.name], each.about)
        for each in describe()
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
