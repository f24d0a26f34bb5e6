"""Curves of several figures over one axis, below each other, as SVG without any library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, GAP = 720, 110, 56, 42


def svg(axis: str, rows: Sequence[Mapping[str, float]], plotted: Mapping[str, str]) -> str:
    """A picture with a curve of each of the columns `plotted`, which tells their titles."""
    last = max(row[axis] for row in rows)
    height = len(plotted) * (HEIGHT + GAP) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for number, (name, title) in enumerate(plotted.items()):
        top = GAP / 2 + number * (HEIGHT + GAP)
        highest = max(row[name] for row in rows) * 1.1 or 1.0
        right = WIDTH - LEFT - 12
        points = " ".join(
            f"{LEFT + right * row[axis] / last:.1f},{top + HEIGHT * (1 - row[name] / highest):.1f}"
            for row in rows
        )
        parts.append(
            f'<text x="{LEFT}" y="{top - 5:.0f}">{title}</text>'
            f'<path d="M{LEFT} {top:.0f}v{HEIGHT}H{WIDTH - 12}" fill="none" stroke="#999"/>'
            f'<text x="{LEFT - 6}" y="{top + 10:.0f}" text-anchor="end">{highest:.3g}</text>'
            f'<text x="{LEFT - 6}" y="{top + HEIGHT:.0f}" text-anchor="end">0</text>'
            f'<polyline points="{points}" fill="none" stroke="#06c" stroke-width="2"/>'
        )
    parts.append(f'<text x="{WIDTH - 12}" y="{height - 8}" text-anchor="end">{last:,.0f} {axis}</text></svg>')
    return "\n".join(parts) + "\n"
