"""Batches made ahead of time in a thread, in step order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Prefetch"]


class Prefetch:
    """get() returns make(first), make(first + 1), ...; an error inside make is raised by get().

    make must draw from its own generators: torch's global one belongs to the training thread.
    """

    def __init__(self, make: Callable[[int], Any], first: int, ahead: int = 2):
        self._make, self._step = make, first
        self._queue: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def get(self) -> Any:
        """The next batch; waits for it."""
        batch, error = self._queue.get()
        if error is not None:
            raise error
        return batch

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.05)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                item = (self._make(self._step), None)
            except BaseException as error:  # handed to the thread that trains
                item = (None, error)
            self._step += 1
            while not self._stop.is_set():
                try:
                    self._queue.put(item, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if item[1] is not None:
                return
