"""A build's work on a Ray cluster, by Ray Data. Files and output must lie where every machine of it sees them."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from sorairo.data.build.extras import needed
from sorairo.data.build.work import one_thread
from sorairo.types import UserError

__all__ = ["RayCrew"]

AT_ONCE = 32
"""Items of one task. What a task has done comes when it ends, so this is what a killed build does again."""

A = TypeVar("A")
B = TypeVar("B")


class RayCrew:
    """A Crew. address: auto, local, HOST:PORT or ray://HOST:PORT. Raises UserError where the cluster is not there."""

    def __init__(self, address: str) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
        needed("pyarrow", "cluster")
        ray: Any = needed("ray", "cluster")
        if address not in ("auto", "local"):
            _reach(address)
        own = {"include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address, logging_level="warning", ignore_reinit_error=True, log_to_driver=False, **own)
        except Exception as error:  # Ray says with a plain one that its own processes did not start in 30 s
            reason = " ".join(str(error).split())[:300]
            remedy = ". Start it beforehand (ray start --head), then --ray auto" if address == "local" else ""
            raise UserError(f"Ray cannot be reached at {address}: {reason.rstrip('.')}{remedy}.") from error
        self.ray = ray
        data: Any = needed("ray.data")
        logging.getLogger("ray.data").setLevel(logging.WARNING)  # it tells of every plan
        data.DataContext.get_current().enable_progress_bars = False

    def each(self, do: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """See Crew. An item is a row; Ray does it again elsewhere where a machine is lost."""
        rows = [{"item": pickle.dumps(item)} for item in items]
        if not rows:
            return
        work = pickle.dumps(do)
        many = max(4 * int(self.ray.cluster_resources().get("CPU", 1)), len(rows) // AT_ONCE)
        blocks = min(len(rows), max(1, many))
        found = self.ray.data.from_items(rows, override_num_blocks=blocks).map(_Do(work))
        for row in found.iter_rows():
            yield pickle.loads(row["made"])

    def close(self) -> None:
        """Leave the cluster."""
        self.ray.shutdown()


class _Do:
    """What a worker of Ray's does to a row."""

    def __init__(self, work: bytes) -> None:
        self.work = work

    def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        one_thread()
        return {"made": pickle.dumps(pickle.loads(self.work)(pickle.loads(row["item"])))}


def _reach(address: str) -> None:
    """Raise UserError where nobody listens: Ray itself would ask again for ever."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise UserError(f"--ray is auto, local, HOST:PORT or ray://HOST:PORT, not {address[:80]}.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except OSError as error:
        raise UserError(f"Ray cannot be reached at {address}: {error.strerror or error}.") from error
