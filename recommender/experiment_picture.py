"""An experiment's report as a picture, without any plotting library."""

from __future__ import annotations

from xml.sax.saxutils import escape

from recommender.experiment import Report


def as_svg(summary: Report, title: str = "Positive rate by arm and source") -> str:
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
        colour = "#1f5fa8" if number < len(summary.arms) else "#777"
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
