"""Where a network's tokens are split among processes and where they are joined: data, declared on its class."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Gather", "Split", "sizes"]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Behind this module each process keeps its part of the output along `dim`."""

    dim: int


@dataclass(frozen=True, kw_only=True)
class Gather:
    """Behind this module the parts of all processes are joined along `dim`."""

    dim: int


def sizes(count: int, of: int) -> list[int]:
    """How `count` things are divided among `of` processes: in order, as evenly as can be."""
    return [count * (index + 1) // of - count * index // of for index in range(of)]
