"""The report for people: tables with the ratios first, a JSON file and a plot."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.contest import Metric, Outcome

PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "flurs", "numpy", "numba", "msgspec", "orjson")


def show(outcome: Outcome, console: Console) -> None:
    """Print one table for each metric, then the goals."""
    for metric in outcome.metrics:
        rows = {name: each[metric.name] for name, each in outcome.values.items() if metric.name in each}
        if rows:
            console.print(f"[bold]{outcome.title}: {metric.name}")
            console.print(_table(outcome, metric, rows))
    for name, reason in outcome.failures.items():
        console.print(f"  not measured: {name}: {reason}", markup=False)
    for goal in outcome.goals:
        sign = ">=" if goal.better == "higher" else "<="
        said = "not measured" if math.isnan(goal.value) else "met" if goal.met else "MISSED"
        console.print(
            f"  {said}: {goal.what}: {figure(goal.value)} (goal {sign} {figure(goal.bound)} {goal.unit})",
            markup=False,
        )
    for note in outcome.notes:
        console.print(f"  {note}", markup=False)
    console.print()


def _table(outcome: Outcome, metric: Metric, rows: dict[str, list[float]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for column in ("ours is", f"min {metric.unit}", "median", "max"):
        table.add_column(column, justify="right")
    for name, values in rows.items():
        ratio = outcome.ratio(name, metric)
        said = "" if name == outcome.ours or math.isnan(ratio) else f"{figure(ratio)} x"
        table.add_row(name, said, figure(min(values)), figure(statistics.median(values)), figure(max(values)))
    return table


def figure(value: float) -> str:
    """Three digits that count; thousands are separated."""
    if math.isnan(value):
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(0, digits)}f}"


def machine() -> dict[str, Any]:
    """The machine and the versions that the figures were measured with."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def save(outcomes: Sequence[Outcome], about: dict[str, Any], directory: Path) -> tuple[Path, Path | None]:
    """Write ``bench.json`` and, where matplotlib is installed, ``bench.png``; their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "bench.json"
    result = about | {"benchmarks": [each.as_json() for each in outcomes]}
    # NaN is not JSON: what was not measured is null.
    path.write_text(json.dumps(_without_nan(result), indent=1) + "\n", encoding="utf-8")
    return path, _plot(outcomes, directory / "bench.png")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plot(outcomes: Sequence[Outcome], path: Path) -> Path | None:
    """One panel for each benchmark: the first metric's medians, whiskers from minimum to maximum."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return None
    shown = [each for each in outcomes if any(each.metrics[0].name in row for row in each.values.values())]
    if not shown:
        return None
    sizes = [len(each.values) for each in shown]
    size = (9, 1.2 * len(shown) + 0.35 * sum(sizes))
    figure_, axes = pyplot.subplots(len(shown), 1, figsize=size, squeeze=False, height_ratios=sizes)
    for panel, outcome in zip(axes[:, 0], shown, strict=True):
        _draw(panel, outcome)
    figure_.tight_layout()
    figure_.savefig(path, dpi=120)
    pyplot.close(figure_)
    return path


def _draw(panel: Any, outcome: Outcome) -> None:
    metric = outcome.metrics[0]
    rows = [(name, each[metric.name]) for name, each in outcome.values.items() if metric.name in each]
    names = [name for name, _ in rows]
    medians = [statistics.median(values) for _, values in rows]
    around = [
        [median - min(values) for median, (_, values) in zip(medians, rows, strict=True)],
        [max(values) - median for median, (_, values) in zip(medians, rows, strict=True)],
    ]
    colours = ["tab:orange" if name.startswith("ours") else "tab:blue" for name in names]
    panel.barh(names, medians, xerr=around, color=colours, height=0.7, capsize=2)
    panel.invert_yaxis()
    if max(medians) > 30 * min(medians) > 0:
        panel.set_xscale("log")
    panel.set_title(f"{outcome.title}: {metric.name} ({metric.better} is better)", loc="left", fontsize=10)
    panel.set_xlabel(metric.unit)
