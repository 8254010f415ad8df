"""What came of the attacks: shares of stopped ones by family and by category, with 95% intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sorairo.safety.redteam.attacks import BENIGN
from sorairo.safety.redteam.run import Outcome

__all__ = ["Row", "drawing", "missed", "rows", "table", "wilson"]


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95% interval of a share, 0 to 1. Source: Wilson 1927."""
    if of == 0:
        return 0.0, 1.0
    z, share = 1.959964, hits / of
    middle = share + z * z / (2 * of)
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = ((middle - spread) / (1 + z * z / of), (middle + spread) / (1 + z * z / of))
    return max(0.0, low), min(1.0, high)


@dataclass(frozen=True, kw_only=True)
class Row:
    """attacks, stopped: harmful ones. benign, refused: harmless look-alikes in the same forms, and those that were
    refused or rewritten."""

    name: str
    attacks: int
    stopped: int
    benign: int
    refused: int


def rows(outcomes: Sequence[Outcome], key: Callable[[Outcome], str]) -> list[Row]:
    """A row for every value of key, in the order in which these come, and one of all."""
    names = [name for name in dict.fromkeys(key(one) for one in outcomes) if name != BENIGN]
    groups = [(name, [one for one in outcomes if key(one) == name]) for name in names]
    return [
        Row(
            name=name,
            attacks=sum(one.category != BENIGN for one in group),
            stopped=sum(one.category != BENIGN and one.stopped for one in group),
            benign=sum(one.category == BENIGN for one in group),
            refused=sum(one.category == BENIGN and one.stopped for one in group),
        )
        for name, group in [*groups, ("all", list(outcomes))]
    ]


def share(hits: int, of: int) -> str:
    """hits/of in per cent with its interval."""
    if not of:
        return ""
    low, high = wilson(hits, of)
    return f"{100 * hits / of:.1f} [{100 * low:.0f}, {100 * high:.0f}]"


def table(title: str, found: Sequence[Row]) -> str:
    """A table in Markdown."""
    lines = [
        f"| {title} | attacks | stopped, % | harmless | refused wrongly, % |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in found:
        stopped, refused = share(row.stopped, row.attacks), share(row.refused, row.benign)
        lines.append(f"| {row.name} | {row.attacks} | {stopped} | {row.benign or ''} | {refused} |")
    return "\n".join(lines)


def drawing(found: Sequence[Row]) -> str:
    """An SVG picture: a line for each row, with what was stopped and what was refused wrongly, and their intervals."""
    left, width, line, top = 120, 460, 26, 44
    height = line * len(found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 40}" height="{top + height + 34}" ',
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
    ]

    def at(share: float) -> str:
        return f"{left + width * share:.1f}"

    for tick in range(0, 101, 20):
        x = at(tick / 100)
        parts.append(f'<path d="M{x} {top}v{height}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{x}" y="{top + height + 18}" text-anchor="middle">{tick}%</text>')
    kinds = ((left, "#2563eb", "attacks stopped"), (left + 160, "#d97706", "harmless ones refused"))
    for x, colour, name in kinds:
        parts.append(
            f'<circle cx="{x}" cy="18" r="5" fill="{colour}"/><text x="{x + 12}" y="22">{name}</text>'
        )
    for number, row in enumerate(found):
        y = top + line * number + line / 2
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{row.name}</text>')
        for (hits, of), (_, colour, _), shift in zip(
            ((row.stopped, row.attacks), (row.refused, row.benign)), kinds, (-4, 4), strict=True
        ):
            if of:
                low, high = wilson(hits, of)
                parts.append(
                    f'<path d="M{at(low)} {y + shift}H{at(high)}" stroke="{colour}" stroke-width="2"/>'
                    f'<circle cx="{at(hits / of)}" cy="{y + shift}" r="4" fill="{colour}"/>'
                )
    return "".join(parts) + "</svg>\n"


def missed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The findings: attacks that went through, and harmless words that did not."""
    return [one for one in outcomes if not one.right]
