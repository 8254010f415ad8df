"""Checkpoints of a run: one named dict of tensors and one of plain values, whole or absent, the last two kept.

A run whose weights are sharded writes a file for each process, with the rows that it has of each tensor. Any number of
processes can read them: each takes the rows that are its own, from whichever files hold them.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sorairo.files import disk_errors, said_size, whole_folder
from sorairo.nn.together import tell
from sorairo.training.parallel.processes import Team
from sorairo.training.parallel.sharding import Piece, Shards
from sorairo.types import UserError

__all__ = ["RunState", "check_room", "latest_state", "newest_step", "save_shares", "save_state"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunState:
    """All that must survive. step: updates done. seconds: time trained. tensors: masters, moments, averages.

    pieces: which rows the tensors are, where they are not whole.
    """

    step: int
    seconds: float
    tensors: dict[str, Tensor]
    extra: dict[str, Any]
    pieces: Mapping[str, Piece] = field(default_factory=dict)


def check_room(folder: Path, size: int, keep: int = 2) -> None:
    """Before the first step: raise UserError where the disk has no room for a checkpoint of `size` bytes, and warn
    where it has none for all that a run holds: those that are kept, and the one that is being written."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free, margin = shutil.disk_usage(there).free, 2**20
    need = (keep + 1 - min(keep, len(_checkpoints(folder)))) * size + margin
    if size + margin > free:
        raise UserError(
            f"{folder} has no room for a checkpoint: it needs {said_size(size + margin)}, and its disk has "
            f"{said_size(free)} free: free some, or choose a --run folder on another disk."
        )
    if need > free:
        log.warning(
            "%s will grow by %s, and its disk has %s free: free some, or the run stops at a full disk",
            folder,
            said_size(need),
            said_size(free),
        )


def save_state(folder: Path, state: RunState, keep: int = 2) -> Path:
    """Write `folder`/step-NNNNNNNN. Raises UserError when the disk is full; earlier checkpoints are then intact."""
    path = folder / f"step-{state.step:08d}"
    with whole_folder(path) as temporary:
        _write(state, temporary / "state.safetensors")
        _write_values(state, temporary)
    _forget(folder, keep)
    return path


def save_shares(folder: Path, state: RunState, shards: Shards, team: Team, keep: int = 2) -> None:
    """As save_state, by all processes of a team that share the weights. Each writes what it has; the first renames.

    What is whole everywhere is in the first one's file; of several copies of the weights one is written.
    """
    path, name = (
        folder / f"step-{state.step:08d}",
        f"state-{shards.rank + 1:05d}-of-{shards.of:05d}.safetensors",
    )
    if shards.rank:
        tensors = {key: tensor for key, tensor in state.tensors.items() if key in state.pieces}
        state = replace(state, tensors=tensors)
    if team.leads:
        with whole_folder(path) as temporary:
            tell(temporary.name)
            _write(state, temporary / name)
            _write_values(state, temporary)
            team.wait()  # everyone has written
        _forget(folder, keep)
    else:
        temporary = folder / tell("")
        if shards.copy == 0:
            with disk_errors(path):
                _write(state, temporary / name)
        team.wait()
    team.wait()  # it has its name


def latest_state(folder: Path, pieces: Mapping[str, Piece] | None = None) -> RunState | None:
    """The newest checkpoint that can be read; None when the run has none. pieces: which rows of which tensors to read.

    A damaged one (a disk's fault; ours are renamed when whole) is passed over with a warning. Raises UserError when
    there are some and none can be read.
    """
    found = _checkpoints(folder)
    for path in reversed(found):
        try:
            values = json.loads((path / "state.json").read_text())
            return RunState(
                step=values["step"],
                seconds=values["seconds"],
                tensors=_read(path, pieces or {}),
                extra=values["extra"],
                pieces=pieces or {},
            )
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
            log.warning("%s cannot be read (%s); trying the one before it", path, error)
    if found:
        raise UserError(
            f"No checkpoint in {folder} can be read: choose another --run folder to start afresh."
        )
    return None


def _write(state: RunState, path: Path) -> None:
    """The tensors, and in the header which rows they are."""
    rows = {name: [p.start, p.rows] for name, p in state.pieces.items() if name in state.tensors}
    metadata = {"pieces": json.dumps(rows)} if rows else None
    save_file({name: t.contiguous() for name, t in state.tensors.items()}, path, metadata)


def _write_values(state: RunState, folder: Path) -> None:
    values = {"step": state.step, "seconds": state.seconds, "extra": state.extra}
    (folder / "state.json").write_text(json.dumps(values, indent=2))


def _forget(folder: Path, keep: int) -> None:
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)


def _read(folder: Path, pieces: Mapping[str, Piece]) -> dict[str, Tensor]:
    """Every tensor of a checkpoint, whole or the rows of its piece. Reads no rows besides. Raises OSError for a missing
    file and SafetensorError for a damaged one."""
    with ExitStack() as stack:
        held: dict[str, list[tuple[int, Any]]] = {}  # name -> (first row, what gives rows), in order
        for path in _files(folder):
            file = stack.enter_context(safe_open(path, framework="pt"))
            rows = json.loads((file.metadata() or {}).get("pieces", "{}"))
            for name in file.keys():  # noqa: SIM118 (it is no dict)
                held.setdefault(name, []).append((rows.get(name, [0])[0], file.get_slice(name)))
        return {name: _rows(parts, pieces.get(name)) for name, parts in held.items()}


def _rows(parts: list[tuple[int, Any]], piece: Piece | None) -> Tensor:
    """The rows of a piece (None: all), joined from the files that have some of them."""
    if len(parts) == 1 and (piece is None or not parts[0][1].get_shape()):
        return parts[0][1][...]
    start, stop = (piece.start, piece.stop) if piece else (0, sum(part.get_shape()[0] for _, part in parts))
    found = []
    for first, part in parts:
        last = first + part.get_shape()[0]
        if max(first, start) < min(last, stop):
            found.append(part[max(first, start) - first : min(last, stop) - first])
    if not found:
        return parts[0][1][0:0]
    return torch.cat(found) if len(found) > 1 else found[0]


def _files(folder: Path) -> list[Path]:
    """The files of a checkpoint, all of them. Raises OSError when one is missing."""
    whole = folder / "state.safetensors"
    if whole.exists():
        return [whole]
    found = sorted(folder.glob("state-*-of-*.safetensors"))
    wanted = int(found[0].stem.rsplit("-", 1)[1]) if found else 1
    if len(found) != wanted:
        raise FileNotFoundError(f"{len(found)} of {wanted} files are there")
    return found


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint, 0 without any."""
    found = _checkpoints(folder)
    return int(found[-1].name.removeprefix("step-")) if found else 0


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())
