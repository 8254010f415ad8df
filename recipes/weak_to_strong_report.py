"""The table and the plot of recipes/weak_to_strong.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and the half width of a 95% interval, by Student's t over seeds."""
    from scipy.stats import t

    mean = float(np.mean(values))
    return mean, float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)


METHODS = {"naive": "#2563eb", "confident": "#16a34a", "bootstrapped": "#d97706"}
TESTS = {"test": "new clips", "combinations": "held-out combinations"}


def table(results: dict[str, Any]) -> str:
    """A row for each property, test set and generator; means over seeds, intervals of 95%."""
    lines = [
        "| property | judged on | generator | weak | naive | confident | bootstrapped | ceiling | gap recovered: naive "
        "| confident | bootstrapped |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for key, rows in results.items():
        name, test, features = key.split("|")
        cells = [f"{100 * np.mean([row['naive'].weak for row in rows]):.1f}"]
        cells += [f"{100 * np.mean([row[method].student for row in rows]):.1f}" for method in METHODS]
        cells.append(f"{100 * np.mean([row['naive'].ceiling for row in rows]):.1f}")
        for method in METHODS:
            shares = [row[method].recovered for row in rows]
            known = [100 * share for share in shares if share is not None]
            if len(known) < len(shares) or len(known) < 2:
                cells.append("undefined")
            else:
                mean, half = interval(known)
                cells.append(f"{mean:.0f} ± {half:.0f}")
        lines.append(f"| {name} | {TESTS[test]} | {features} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """Balanced accuracies of supervisor, students and ceiling, for the trained generator; one row a property."""
    rows = [key for key in results if key.endswith("|trained")]
    left, width, step, top = 270, 420, 34, 46

    def x_of(value: float) -> float:
        return left + width * (value - 0.45) / 0.55

    height = top + step * len(rows) + 60
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 40}" height="{height}" ']
    parts.append('font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>')
    for tick in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        x = x_of(tick)
        parts.append(f'<path d="M{x} {top - 10}V{height - 50}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{x}" y="{height - 34}" text-anchor="middle">{tick:.0%}</text>')
    marks = {"weak supervisor": "#6b7280", **METHODS, "ceiling": "#111827"}
    for index, (name, colour) in enumerate(marks.items()):
        x = left + 130 * index - 200
        parts.append(
            f'<circle cx="{x}" cy="18" r="5" fill="{colour}"/><text x="{x + 9}" y="22">{name}</text>'
        )
    for index, key in enumerate(rows):
        name, test, _ = key.split("|")
        y = top + step * index + 12
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{name}, {TESTS[test]}</text>')
        found = results[key]
        values = {
            "weak supervisor": [row["naive"].weak for row in found],
            **{method: [row[method].student for row in found] for method in METHODS},
            "ceiling": [row["naive"].ceiling for row in found],
        }
        weak, best = x_of(float(np.mean(values["weak supervisor"]))), x_of(float(np.mean(values["ceiling"])))
        parts.append(f'<path d="M{weak} {y}H{best}" stroke="#d1d5db" stroke-width="6"/>')
        for mark, seen in values.items():
            mean, half = interval(seen)
            a, b = x_of(mean - half), x_of(mean + half)
            parts.append(f'<path d="M{a:.1f} {y}H{b:.1f}" stroke="{marks[mark]}" opacity="0.5"/>')
            parts.append(
                f'<circle cx="{x_of(mean):.1f}" cy="{y}" r="5" fill="{marks[mark]}" opacity="0.85"/>'
            )
    middle = left + width / 2
    parts.append(f'<text x="{middle}" y="{height - 12}" text-anchor="middle">balanced accuracy</text>')
    path.write_text("".join(parts) + "</svg>\n")
