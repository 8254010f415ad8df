"""Unchanged settings from one start to the next, and a stop that loses nothing."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sorairo.files import write_text
from sorairo.types import UserError

__all__ = ["StopFlag", "check_settings"]


class StopFlag:
    """Becomes true at the first SIGTERM or Ctrl-C, so that the step ends and is saved; a second Ctrl-C interrupts."""

    def __init__(self):
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @contextmanager
    def watching(self) -> Iterator[StopFlag]:
        """Catch the two signals inside the block (in the main thread; elsewhere there is nothing to catch)."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {s: signal.signal(s, self._catch) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _catch(self, number: int, frame: Any) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number


def check_settings(
    path: Path,
    settings: Mapping[str, Any],
    free: frozenset[str],
    accept: bool = False,
    earlier: Mapping[str, Any] | None = None,
    same: Mapping[str, tuple[Any, Any]] | None = None,
) -> None:
    """Compare with those that the run began with, and record them.

    free: dotted keys that may change. accept: take the new ones. earlier: the values of keys in runs that began before
    these keys existed. same: (an earlier value, today's) of keys where both mean the same. Raises UserError that names
    the first key that differs.
    """
    now = json.loads(json.dumps(settings))
    if path.exists() and not accept:
        try:
            before = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is damaged: choose another --run folder.") from error
        old, new = {**(earlier or {}), **_flat(before)}, _flat(now)
        for key in sorted(set(_flat(before)) | set(new)):
            values = old.get(key), new.get(key)
            if key not in free and values[0] != values[1] and values != (same or {}).get(key):
                raise UserError(
                    f"{path.parent} was trained with {key} = {old.get(key)}, now it is {new.get(key)}: set it back, "
                    "choose another --run folder, or add --accept-changes."
                )
    write_text(path, json.dumps(now, indent=2) + "\n")


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else key)
    return flat
