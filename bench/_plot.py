"""Lines over two axes as an SVG drawing, for the tables of benches."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Series", "plot"]

COLOURS = ("#2563eb", "#dc2626", "#059669", "#9333ea", "#d97706")
LEFT, TOP, WIDE, HIGH = 70, 20, 440, 260


@dataclass(frozen=True, kw_only=True)
class Series:
    """points: (x, y), in order. dots: drawn alone, without the line between them."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


def plot(path: Path, series: Sequence[Series], *, across: str, up: str, log: bool = False) -> None:
    """Write the drawing. log: both axes by powers."""

    def bend(value: float) -> float:
        return math.log10(value) if log else value

    xs, ys = ([bend(point[axis]) for one in series for point in one.points] for axis in (0, 1))
    (x0, x1), (y0, y1) = _wider(min(xs), max(xs)), _wider(min(ys), max(ys))

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return (
            LEFT + WIDE * (bend(point[0]) - x0) / (x1 - x0),
            TOP + HIGH * (y1 - bend(point[1])) / (y1 - y0),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 150}" height="{TOP + HIGH + 60}" ',
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{LEFT} {TOP}V{TOP + HIGH}H{LEFT + WIDE}" fill="none" stroke="#374151"/>',
        f'<text x="{LEFT + WIDE / 2}" y="{TOP + HIGH + 45}" text-anchor="middle">{html.escape(across)}</text>',
        f'<text transform="translate(14 {TOP + HIGH / 2}) rotate(-90)" text-anchor="middle">{html.escape(up)}</text>',
    ]
    for part in range(5):
        x, y = x0 + (x1 - x0) * part / 4, y0 + (y1 - y0) * part / 4
        said = [f"{10**value if log else value:.3g}" for value in (x, y)]
        left, down = LEFT + WIDE * part / 4, TOP + HIGH * (4 - part) / 4
        parts.append(f'<text x="{left:.1f}" y="{TOP + HIGH + 18}" text-anchor="middle">{said[0]}</text>')
        parts.append(f'<text x="{LEFT - 6}" y="{down + 4:.1f}" text-anchor="end">{said[1]}</text>')
    for number, one in enumerate(series):
        colour, places = COLOURS[number % len(COLOURS)], [at(point) for point in one.points]
        if not one.dots:
            line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        y = TOP + 14 + 18 * number
        parts.append(f'<circle cx="{LEFT + WIDE + 16}" cy="{y - 4}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + WIDE + 26}" y="{y}">{html.escape(one.name)}</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts) + "</svg>\n")


def _wider(low: float, high: float) -> tuple[float, float]:
    """Some room around, and some between equal ends."""
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room
