"""Workers as actors of a Ray cluster. Ray places them and starts them again; what is to be done stands in our table."""

from __future__ import annotations

import logging
import math
import os
import socket
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from sorairo.serving.launch import PATIENCE
from sorairo.serving.settings import Settings
from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.serving.worker import Worker

__all__ = ["RayWorkers"]

log = logging.getLogger("sorairo.serving")

LOOK = 5.0
"""Seconds between two looks at the actors."""


class Hand:
    """An actor: one process with one loaded model. Ray calls __init__ again wherever it starts it again."""

    def __init__(self, settings: Settings) -> None:
        from sorairo.serving.worker import Worker

        self.worker: Worker = Worker(settings)
        self.worker.warm()
        self.thread = Thread(target=self.worker.run, name="work", daemon=True)
        self.thread.start()

    def working(self) -> bool:
        """Whether it is there at all; Ray raises where it is not."""
        return self.thread.is_alive()

    def stop(self) -> None:
        """Hand the job back, and wait for that."""
        self.worker.stop.set()
        self.thread.join(PATIENCE)


class RayWorkers:
    """`count` actors on the cluster at `address`: "auto", "local", HOST:PORT, ray://HOST:PORT.

    gpus: of each actor, also a part of one; None: one if the cluster has any. The actors end with this process. Raises
    UserError where the cluster is not there, the actors have no room on it, or could not share the jobs.
    """

    def __init__(self, settings: Settings, count: int, address: str, gpus: float | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
        try:
            import ray
        except ImportError as error:
            raise UserError("--ray needs another package: pip install 'sorairo[cluster]'.") from error
        self.ray, self.settings, self.count, self.address, self.gpus = ray, settings, count, address, gpus
        self.actors: list[Any] = []
        self.ended = Event()
        self.thread = Thread(target=self._watch, name="actors", daemon=True)
        self._join()
        self.options = self._room()

    def _join(self) -> None:
        if self.address not in ("auto", "local"):
            _reach(self.address)
        own = {"include_dashboard": False} if self.address == "local" else {}
        try:
            self.ray.init(
                self.address, namespace="sorairo", logging_level="warning", ignore_reinit_error=True, **own
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"Ray cannot be reached at {self.address}: {reason}") from error

    def start(self) -> None:
        """Place the actors."""
        self.actors = [self._one() for _ in range(self.count)]
        self.thread.start()

    def _room(self) -> dict[str, Any]:
        """What each actor asks Ray for. Raises UserError."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        options: dict[str, Any] = {"max_restarts": -1, "max_concurrency": 2}
        if self.settings.url.startswith("sqlite"):
            if len(nodes) > 1 or self.address.startswith("ray://"):
                raise UserError(
                    "Workers on other machines need a database that all reach: --database-url postgresql://..."
                )
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            here = self.ray.get_runtime_context().get_node_id()
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(here, soft=False)
        gpus = self.gpus
        if gpus is None:
            gpus = 1.0 if any(node.get("GPU", 0) for node in nodes) else 0.0
        processors = [int(node.get("CPU", 0)) for node in nodes]
        # without a GPU an actor computes with as many threads as Ray gives it processors
        share = max(processors) // math.ceil(self.count / len(nodes)) if self.count and not gpus else 1
        options |= {"num_gpus": gpus, "num_cpus": max(1, share)}
        for name, each in (("GPU", gpus), ("CPU", options["num_cpus"])):
            room = sum(int(node.get(name, 0) / each) for node in nodes) if each else self.count
            if room < self.count:
                raise UserError(
                    f"The cluster has {name}s for {room} workers of {each:g} each, not for {self.count}; use fewer "
                    "--workers, or less --gpus."
                )
        return options

    def _one(self) -> Any:
        return self.ray.remote(Hand).options(**self.options).remote(self.settings)

    def _watch(self) -> None:
        """Say what became of an actor, and replace one that Ray has given up."""
        errors = self.ray.exceptions
        while not self.ended.wait(LOOK):
            for index, one in enumerate(self.actors):
                try:
                    self.ray.get(one.working.remote(), timeout=LOOK)
                except (errors.ActorUnavailableError, errors.GetTimeoutError):
                    log.warning("a Ray worker is starting, or waits for room")
                except errors.RayActorError as error:
                    if not self.ended.is_set():
                        log.warning("a Ray worker ended: %s", " ".join(str(error).split())[:300])
                        self.actors[index] = self._one()

    def end(self) -> None:
        """Have the jobs handed back, and wait."""
        self.ended.set()
        self.thread.join(2 * LOOK + 1)
        stopping = [one.stop.remote() for one in self.actors]
        if stopping:
            self.ray.wait(stopping, num_returns=len(stopping), timeout=PATIENCE)
        self.ray.shutdown()


def _reach(address: str) -> None:
    """Raise UserError where nobody listens: Ray itself would ask again for ever."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise UserError(f"--ray is auto, local, HOST:PORT or ray://HOST:PORT, not {address[:80]}.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK).close()
    except OSError as error:
        raise UserError(f"Ray cannot be reached at {address}: {error.strerror or error}.") from error
