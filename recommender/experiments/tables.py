"""An experiment's report as tables of 80 columns, for a person."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recommender.experiments.report import Group
from recommender.experiments.statistics import CONFIDENCE, Difference
from recommender.experiments.summary import Summary, span


def show(told: Summary, console: Console, *, positions: bool = False) -> None:
    """Print a summary; it fits into 80 columns."""
    console.print(Text(f"Experiment {told.experiment}", "bold"))
    for what, log in (("Recommended", told.recommendations), ("Rated", told.ratings)):
        console.print(Text(f"{what:<12} {span(log)} UTC, {log.records:,} records", "dim"))
    groups = {"arm": (told.report.arms, told.report.arm_differences)}
    groups["source"] = told.report.sources, told.report.source_differences
    for title, (rates, differences) in groups.items():
        console.print()
        console.print(_rates(title, rates))
        if differences:
            console.print()
            console.print(_differences(differences))
    if told.report.forced:
        console.print()
        console.print(Text("Named by the request, in none of the above", "bold"))
        console.print(_rates("arm", told.report.forced))
    if positions:
        for arm, each in told.report.positions.items():
            console.print()
            console.print(Text(f"{arm}, by position", "bold"))
            console.print(_rates("position", each))
    console.print()
    console.print(Text(_legend(told), "dim"))


def _legend(told: Summary) -> str:
    several = max((each.comparisons for each in told.report.arm_differences), default=1)
    adjusted = (
        f" {several} arms are compared with the first: their p-values are Holm's, and their intervals hold "
        "together with 95 % (Bonferroni)."
        if several > 1
        else ""
    )
    return (
        f"rated: places whose item its user rated within {_days(told.window)}; a rating counts for the "
        "latest place before it. Rates have Wilson's interval. Differences are tested by a bootstrap over "
        "users, since ratings of one user are alike." + adjusted
    )


def _days(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            count = int(seconds / length)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"


def _rates(title: str, groups: list[Group]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(Text(title), overflow="fold", min_width=12)
    for name in ("users", "shown", "rated", "positive", "rate", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in groups:
        counts = [
            f"{count:,}" for count in (each.users, each.recommendations, each.attributed, each.positive)
        ]
        rate, interval = "-", "-"
        if each.rate is not None and each.interval is not None:
            rate = f"{100 * each.rate:.1f} %"
            interval = f"{100 * each.interval[0]:.1f} to {100 * each.interval[1]:.1f} %"
        table.add_row(Text(each.name), *counts, rate, interval)
    return table


def _differences(differences: list[Difference]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("difference of rates", overflow="fold", min_width=20)
    for name in ("points", "95 % interval", "p", "users"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in differences:
        interval, chance = "-", "-"
        if each.interval is not None:
            interval = f"{100 * each.interval[0]:+.1f} to {100 * each.interval[1]:+.1f}"
        found = each.adjusted_p_value
        if found is not None:
            chance = "< 0.001" if found < 0.001 else f"{found:.3f}"
        certain = found is not None and found <= 1 - CONFIDENCE
        style = ("green" if each.difference > 0 else "red") if certain else ""
        points = Text(f"{100 * each.difference:+.1f}", style)
        table.add_row(Text(f"{each.name} - {each.base}"), points, interval, chance, f"{each.users:,}")
    return table
