"""Starting and ending: the API process, its workers, signals."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from threading import Event, Thread
from types import FrameType
from typing import Protocol

from sorairo.serving.catalog import info_of
from sorairo.serving.moderation import policy_here
from sorairo.serving.settings import Settings
from sorairo.types import UserError

__all__ = ["PATIENCE", "Staff", "Workers", "check_start", "serve_forever", "work_forever"]

PATIENCE = 15.0
"""Seconds that workers have to hand their jobs back, and that one waits which could not begin."""


def check_start(settings: Settings, host: str, port: int) -> None:
    """Refuse, in one sentence, what could not work. Raises UserError."""
    from sorairo.serving.database import Database
    from sorairo.serving.keys import list_keys

    info_of(settings.model)
    _check_loading(settings)
    policy_here(settings)
    database = Database(settings.url)
    database.migrate()
    usable = any(not key["revoked"] for key in list_keys(database))
    database.close()
    if settings.keys and not usable:
        raise UserError(
            "Other machines may call this address, so keys are needed: run `sorairo keys create NAME` first."
        )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UserError(
            f"{host}:{port} cannot be used ({(error.strerror or '').lower()}); choose another --port."
        ) from error


def _check_loading(settings: Settings) -> None:
    """The same of how workers hold the model. Raises UserError."""
    loading = settings.loading
    if loading.dtype not in ("auto", "bf16", "fp32", "int8"):
        raise UserError(f"--dtype is auto, bf16, fp32 or int8, not {loading.dtype!r}.")
    if loading.memory is not None:
        from sorairo.checkpoints.memory.planner import parse_memory

        parse_memory(loading.memory)
    if loading.cache is not None:
        from sorairo.flow.cache import CacheConfig

        CacheConfig(tolerance=loading.cache)
    if loading.attention != "auto":
        from sorairo.nn.backends import BACKENDS

        if loading.attention not in BACKENDS:
            names = ", ".join(BACKENDS)
            raise UserError(f"There is no attention {loading.attention!r}; choose auto or one of: {names}.")


class Workers:
    """Worker processes of this machine; one that dies is replaced."""

    def __init__(self, settings: Settings, count: int) -> None:
        values = {
            "--folder": settings.folder,
            "--database-url": settings.database_url,
            "--store": settings.store,
            "--model": settings.model,
            "--lease": settings.lease,
            "--attempts": settings.attempts,
            "--expiry": settings.expiry / 86400,
            "--policy": settings.policy or "",
        }
        loading = settings.loading
        values |= {
            "--dtype": loading.dtype,
            "--memory": loading.memory or "",
            "--attention": loading.attention,
        }
        values |= {"--cache": "" if loading.cache is None else loading.cache}
        options = [str(part) for name, value in values.items() if value != "" for part in (name, value)]
        options += [part for lora in loading.lora for part in ("--lora", lora)]
        if loading.compile is not None:
            options.append("--compile" if loading.compile else "--no-compile")
        self.command = [sys.executable, "-m", "sorairo", "worker", *options]
        self.count, self.ended = count, Event()
        self.running: list[subprocess.Popen[bytes]] = []
        self.thread = Thread(target=self._watch, name="workers", daemon=True)

    def start(self) -> None:
        """Begin."""
        self.running = [self._one() for _ in range(self.count)]
        self.thread.start()

    def _one(self) -> subprocess.Popen[bytes]:
        # a session of its own: Ctrl-C reaches the API alone, which then ends its workers
        return subprocess.Popen(
            self.command, start_new_session=True, env=os.environ | {"SORAIRO_PARENT": str(os.getpid())}
        )

    def _watch(self) -> None:
        while not self.ended.wait(1):
            for index, one in enumerate(self.running):
                if one.poll() is not None and not self.ended.is_set():
                    logging.getLogger("sorairo.serving").warning("a worker ended with %s", one.returncode)
                    if one.returncode == 2:  # it said why, and will say it again
                        self.ended.wait(PATIENCE)
                    self.running[index] = self._one()

    def end(self) -> None:
        """Have the jobs handed back, and wait."""
        self.ended.set()
        self.thread.join(5)
        for one in self.running:
            one.terminate()
        until = time.monotonic() + PATIENCE
        for one in self.running:
            try:
                one.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()


class Staff(Protocol):
    """Whoever makes the videos."""

    def start(self) -> None:
        """Begin. Raises UserError."""

    def end(self) -> None:
        """Have the jobs handed back, and wait."""


def serve_forever(settings: Settings, host: str, port: int, staff: Staff) -> None:
    """Serve until a signal. Raises UserError."""
    import uvicorn

    from sorairo.serving.app import create_app
    from sorairo.serving.heads import TimedHeads

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("sorairo.serving")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        http=TimedHeads,
        access_log=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=32768,
        server_header=False,
    )
    # uvicorn ends its work at SIGTERM and sends the signal again: only then are the workers told
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    staff.start()
    try:
        uvicorn.Server(config).run()
    finally:
        app.state.keeper.stopped.set()
        staff.end()


def work_forever(settings: Settings, drain: bool) -> None:
    """Work until SIGTERM or SIGINT. drain: the running job is made to its end, otherwise handed back."""
    from sorairo.serving.database import Database
    from sorairo.serving.worker import Worker

    database = Database(settings.url)
    database.migrate()
    database.close()
    policy_here(settings)
    worker = Worker(settings)

    def end(number: int, frame: FrameType | None) -> None:
        (worker.drain if drain else worker.stop).set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    parent = os.environ.get("SORAIRO_PARENT")
    if parent:
        Thread(target=_orphan, args=(worker, int(parent)), daemon=True).start()
    worker.warm()
    worker.run()


def _orphan(worker: object, parent: int) -> None:
    """A worker whose server was killed ends too, so that the next start does not have twice as many."""
    from sorairo.serving.worker import Worker

    assert isinstance(worker, Worker)
    while os.getppid() == parent:
        time.sleep(1)
    worker.stop.set()
