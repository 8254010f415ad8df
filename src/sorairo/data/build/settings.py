"""The thresholds of a build, in one TOML file, and what a model takes."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sorairo.types import UserError

__all__ = ["DEFAULT_FILTERS", "FIGURES", "Bounds", "Filters", "Target", "read_filters"]

DEFAULT_FILTERS = Path(__file__).with_name("filters.toml")

FIGURES = ("motion", "frozen", "sharpness", "bars", "light", "text")
"""The figures of a shot that are held against bounds."""

OTHERS = {
    "scenes": {"ratio": (1.0, 100.0), "change": (0.0, 255.0), "shortest": (0.0, 60.0)},
    "duplicates": {"bits": (0, 15)},
    "clips": {"per_shot": (1, 10_000), "upscale": (0.1, 100.0), "rate": (0.0, 1.0)},
}
"""Tables that are no bounds of figures: key -> the least and the most that it may be."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A figure outside drops the shot."""

    least: float = float("-inf")
    most: float = float("inf")

    def holds(self, value: float) -> bool:
        """Whether a value is within, both ends included."""
        return self.least <= value <= self.most


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What filters.toml says; see the comments there. bounds: for some of FIGURES."""

    bounds: dict[str, Bounds] = field(default_factory=dict)
    ratio: float = 3.0
    change: float = 10.0
    shortest: float = 0.5
    bits: int = 10
    per_shot: int = 8
    upscale: float = 1.5
    rate: float = 0.5

    @property
    def scenes(self) -> dict[str, float]:
        """What decides where shots begin: another value makes every file be looked at again."""
        return {"ratio": self.ratio, "change": self.change, "shortest": self.shortest}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a model takes. sizes: (width, height). lengths: in frames, longest first; 1 for stills.

    fps: frames a second.
    """

    sizes: tuple[tuple[int, int], ...]
    lengths: tuple[int, ...]
    fps: float


def read_filters(path: Path) -> Filters:
    """Filters out of a TOML file. Raises UserError that names what is wrong: the table, the key and the value."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or str(error)).lower()}).") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise UserError(f"{path} is no TOML file: {' '.join(str(error).split())[:200]}.") from error
    bounds: dict[str, Bounds] = {}
    values: dict[str, Any] = {}
    for name, table in tables.items():
        if not isinstance(table, dict) or name not in (*FIGURES, *OTHERS):
            raise UserError(f"{path}: [{name}] is no filter; there are {', '.join((*FIGURES, *OTHERS))}.")
        limits = OTHERS.get(name, {"least": (-1e9, 1e9), "most": (-1e9, 1e9)})
        for key, value in table.items():
            if key not in limits:
                raise UserError(f"{path}: [{name}] has no {key!r}; it has {', '.join(limits)}.")
            _check(path, f"{name}.{key}", value, *limits[key])
        if name in OTHERS:
            values |= table
        else:
            bounds[name] = Bounds(**table)
    return Filters(bounds=bounds, **values)


def _check(path: Path, name: str, value: Any, least: float, most: float) -> None:
    whole = isinstance(least, int)
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        said = "a whole number" if whole else "a number"
        raise UserError(f"{path}: {name} is {said} from {least:g} to {most:g}, not {value!r:.60}.")
