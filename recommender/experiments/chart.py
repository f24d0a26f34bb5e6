"""An experiment's report as a picture: SVG without any plotting library, PNG with matplotlib."""

from __future__ import annotations

import io
from typing import Any
from xml.sax.saxutils import escape

from recommender.evaluation import plotting
from recommender.experiments.report import Report

#: The colours of arms and of sources.
COLOURS = ("#1f5fa8", "#777777")
TITLE = "Positive rate by arm and source"


def as_svg(summary: Report, title: str = TITLE) -> str:
    """The rates with their intervals as an SVG picture, one line for each group."""
    groups = [*summary.arms, *summary.sources]
    height = 70 + 28 * len(groups)
    left, right = 260.0, 620.0

    def across(rate: float) -> float:
        return left + (right - left) * rate

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}" font-family="sans-serif" '
        'font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="20" y="26" font-size="16">{escape(title)}</text>',
    ]
    for tick in range(0, 101, 25):
        x = across(tick / 100)
        parts.append(f'<path d="M{x:.1f} 40V{height - 26}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{tick} %</text>')
    for number, group in enumerate(groups):
        y = 58 + 28 * number
        colour = COLOURS[number >= len(summary.arms)]
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(group.name)}</text>')
        if group.rate is None or group.interval is None:
            parts.append(f'<text x="{left + 6}" y="{y + 4}" fill="#777">no ratings yet</text>')
            continue
        low, high = (across(end) for end in group.interval)
        parts.append(f'<path d="M{low:.1f} {y}H{high:.1f}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<circle cx="{across(group.rate):.1f}" cy="{y}" r="5" fill="{colour}"/>')
        share = f"{100 * group.rate:.1f} % of {group.attributed}"
        parts.append(f'<text x="{right + 14}" y="{y + 4}">{share}</text>')
    return "\n".join([*parts, "</svg>", ""])


def require_matplotlib() -> Any:
    """Return what draws a PNG: matplotlib's plotting interface.

    Raises
    ------
    PictureError
        matplotlib is not installed.
    """
    return plotting.pyplot("a PNG", ", or name the file .svg")


def as_png(summary: Report, title: str = TITLE) -> bytes:
    """The same picture as PNG.

    Raises
    ------
    PictureError
        matplotlib is not installed.
    """
    groups = [*summary.arms, *summary.sources]
    plots = require_matplotlib()
    figure, axes = plots.subplots(figsize=(8, 1.2 + 0.4 * len(groups)), layout="constrained")
    for number, group in enumerate(groups):
        if group.rate is None or group.interval is None:
            axes.text(0.01, number, "no ratings yet", va="center", color=COLOURS[1])
            continue
        colour = COLOURS[number >= len(summary.arms)]
        axes.plot([100 * end for end in group.interval], [number, number], color=colour, linewidth=3)
        axes.plot(100 * group.rate, number, "o", color=colour)
    axes.set_yticks(range(len(groups)), [group.name.replace("$", r"\$") for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("positive of those rated, %")
    axes.set_title(title.replace("$", r"\$"))
    axes.grid(axis="x", alpha=0.3)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    plots.close(figure)
    return file.getvalue()
