"""How to hold a model in the memory that there is: decided from headers and a dry run, before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sorairo.checkpoints.beside import Beside, is_files
from sorairo.checkpoints.fastest import fastest
from sorairo.checkpoints.find import located
from sorairo.checkpoints.folder import (
    Checkpoint,
    compute_dtype,
    find_folder,
    load_checkpoint,
    open_model,
    read_info,
)
from sorairo.checkpoints.memory.estimates import Ask, Blueprint, blueprint, layout_blueprint
from sorairo.checkpoints.memory.working import Part, Stage, short_name
from sorairo.types import UserError

__all__ = ["MemoryPlan", "load_within", "parse_memory", "plan_for", "plan_memory"]

RUNTIME = 300_000_000
"""Bytes of Python and torch themselves, once imported."""
UNITS = {
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "KI": 2**10,
    "MI": 2**20,
    "GI": 2**30,
    "TI": 2**40,
}


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How a model is held.

    keep: what a stage does not use stays for the next clip; else the text encoder goes once the words are read, and of
    two transformers the one that waits. stream: the blocks of text encoder and transformer are left in their files
    and loaded one by one at every use. pieces: frames are decoded one latent frame after another.
    stages: (name, bytes at its worst moment, the runtime included).
    """

    keep: bool = True
    pieces: bool = False
    stream: bool = False
    stages: tuple[tuple[str, int], ...] = ()

    @property
    def peak(self) -> int:
        """Bytes at the worst moment of all."""
        return max(size for _, size in self.stages)

    def __str__(self) -> str:
        ways = [
            "all weights stay in memory" if self.keep else "what a stage does not use is let go",
            *(["frames are decoded piece by piece"] if self.pieces else []),
            *(["blocks are read from their files one by one"] if self.stream else []),
        ]
        stages = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in self.stages)
        return f"At most {self.peak / 1e9:.1f} GB ({stages}): {', '.join(ways)}."


# From the fastest to the leanest
WAYS = (
    MemoryPlan(),
    MemoryPlan(keep=False),
    MemoryPlan(pieces=True),
    MemoryPlan(keep=False, pieces=True),
    MemoryPlan(keep=False, stream=True),
    MemoryPlan(keep=False, pieces=True, stream=True),
)


def parse_memory(text: str) -> int:
    """Bytes of "8GB", "500 MB" or "6GiB". Raises UserError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]I?)B?", text.strip().upper())
    if not found or not float(found[1]):
        raise UserError(f"Memory is a size such as 8GB or 500MB, not {text!r}.")
    return int(float(found[1]) * UNITS[found[2]])


def load_within(
    memory: str | None,
    model: str | Path,
    dtype: str = "auto",
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    beside: Beside | None = None,
) -> Checkpoint:
    """load_checkpoint, and with "8GB" of memory in the way that fits clips of a size and length; `say` is told how."""
    if memory is None:
        return load_checkpoint(model, dtype, beside=beside)
    chosen, _ = fastest(dtype, open_model(model, beside), torch.device("cpu"))  # loading says it
    kind = compute_dtype(chosen, int8=True)
    plan = plan_for(memory, model, kind, size, frames, beside, int8=chosen == "int8")
    say(str(plan))
    return load_checkpoint(
        model, dtype, stream=plan.stream, pieces=plan.pieces, keep=plan.keep, beside=beside
    )


def plan_for(
    memory: str,
    model: str | Path,
    dtype: torch.dtype,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    beside: Beside | None = None,
    *,
    int8: bool = False,
) -> MemoryPlan:
    """The plan for a clip of a model that is here, of its own size and its longest if None. Raises UserError."""
    limit = parse_memory(memory)
    if beside or is_files(located(model)):
        found = open_model(model, beside)
        ask = Ask(size=size or found.info.sizes[0], frames=frames or found.info.max_frames)
        return plan_memory(layout_blueprint(found), ask, dtype, limit, int8=int8)
    folder = find_folder(model)
    info = read_info(folder)
    ask = Ask(size=size or info.sizes[0], frames=frames or info.max_frames)
    return plan_memory(blueprint(str(model), folder), ask, dtype, limit, int8=int8)


def plan_memory(
    model: Blueprint, ask: Ask, dtype: torch.dtype, limit: int, *, int8: bool = False
) -> MemoryPlan:
    """The fastest way to hold a model in `limit` bytes. int8: with transformer and text encoder in 8 bits.
    Raises UserError, with what would fit, where there is none."""
    stages = model.stages(ask, dtype)
    plans = [_plan(model.parts, stages, dtype, way, int8) for way in WAYS]
    for plan in plans:
        if plan.peak <= limit:
            return plan
    least = min(plan.peak for plan in plans)
    smaller = sorted((other for other in model.asks if _area(other) < _area(ask)), key=_area, reverse=True)
    for other in smaller:
        if _plan(model.parts, model.stages(other, dtype), dtype, WAYS[-1], int8).peak <= limit:
            remedy = f"{other} would fit"
            break
    else:
        remedy = "give more memory or another model"
    raise UserError(f"{ask} needs {least / 1e9:.2g} GB at the least, not {limit / 1e9:.2g}; {remedy}.")


def _area(ask: Ask) -> int:
    return ask.size[0] * ask.size[1] * ask.frames * ask.count


def _plan(
    parts: Sequence[Part], stages: Sequence[Stage], dtype: torch.dtype, way: MemoryPlan, int8: bool
) -> MemoryPlan:
    """The same way with its stages.

    Where it does not keep, the codec stays, and a transformer until another is needed. One that is saved in another
    dtype is converted before the words are read; one that is not lies untouched in its file until then. Of one that is
    packed the system gives back the pages of its file while another stage needs them.
    """
    mapped = {part.name for part in parts if part.packed and not (int8 and part.in_int8)}
    weights = {
        part.name: part.bytes_in(dtype, streamed=way.stream, int8=int8 and part.in_int8) for part in parts
    }
    converted = {part.name for part in parts if part.dtype != short_name(dtype)} - mapped
    peaks = []
    there = ("transformer",) if "transformer" in converted else ()
    for stage in stages:
        if stage.name.startswith("transformer"):
            there = stage.parts
        stays = {"vae", *there} - mapped
        held = set(weights) if way.keep else {*stays, *stage.parts} & set(weights)
        working = stage.in_pieces if way.pieces and stage.in_pieces is not None else stage.working
        peaks.append((stage.name, RUNTIME + working + sum(weights[name] for name in held)))
    return MemoryPlan(keep=way.keep, pieces=way.pieces, stream=way.stream, stages=tuple(peaks))
