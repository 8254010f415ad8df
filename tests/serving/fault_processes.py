"""What the faults hit: an API, and workers that deliver without a model. Each is a process that can be killed.

They are forked from one server that has imported everything, once: importing is most of what starting them costs.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

IMPORTED = ("uvicorn", "alembic.command", "sorairo.serving.app", "sorairo.serving.queue", __name__)


def started(target: object, *values: object) -> multiprocessing.process.BaseProcess:
    """A process that does `target` of this file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    process = context.Process(target=target, args=values)  # pyright: ignore[reportArgumentType]
    process.start()
    return process


def into(log: Path) -> None:
    """What the process says goes to a file."""
    with log.open("ab") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)


def api(log: Path, url: str, folder: Path, port: int) -> None:
    """Serve until killed."""
    import uvicorn

    from sorairo.serving.app import create_app
    from sorairo.serving.settings import Settings

    into(log)
    settings = Settings(folder=folder, database_url=url, private_urls=True, min_free=0)
    uvicorn.run(create_app(settings), port=port, log_level="error")


def worker(log: Path, url: str, folder: Path, lease: float, name: str) -> None:
    """Claim and deliver until killed, from when there is a file `go`."""
    from sorairo.serving.database import Database
    from sorairo.serving.queue import Lost, Queue
    from sorairo.serving.storage import Store

    into(log)
    queue = Queue(Database(url), lease=lease, attempts=1000, expiry=600)
    store, made = Store(str(folder / "files"), folder), folder / f"made-{name}"
    made.write_text("made")
    while not (folder / "go").exists():
        time.sleep(0.02)
    while True:
        claim = queue.claim(name)
        if claim is None:
            time.sleep(0.05)
            continue
        target = f"jobs/{claim.job}/{claim.token}"
        try:
            time.sleep(0.15)
            queue.beat(claim, progress=50)
            store.put(made, f"{target}/video.mp4")
            queue.deliver(claim, target, facts={})
            for token in range(1, claim.token):
                store.remove(f"jobs/{claim.job}/{token}")
        except Lost:
            store.remove(target)
