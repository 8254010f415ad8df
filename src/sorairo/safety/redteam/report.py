"""What came of the attacks: shares of stopped ones by family and by category, with 95% intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sorairo.safety.redteam.attacks import BENIGN
from sorairo.safety.redteam.run import Outcome

__all__ = ["Row", "missed", "rows", "table", "wilson"]


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


def missed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The findings: attacks that went through, and harmless words that did not."""
    return [one for one in outcomes if not one.right]
