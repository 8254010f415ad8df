"""What the service adds, in processor time, which other work changes less than the clock's: calls, a clip, a batch.

python bench/serve_cost.py [--jobs 1000] [--rounds 3]

calls     create, retrieve and list through the whole app, without a socket, while `jobs` jobs wait
overhead  a clip by a worker (queue, heartbeats, previews, store) beside the same clip by `jobs.run`, in turns,
          child processes counted; the median of the rounds' ratios, and where the worker's own time goes
command   the same clip by a `sorairo generate` of its own, which loads the model first
batching  a step of the transformer for two requests at once, beside two steps of one each
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from fastapi.testclient import TestClient

from sorairo.jobs.models import Models
from sorairo.jobs.request import Request
from sorairo.jobs.run import run
from sorairo.serving import worker as worker_module
from sorairo.serving.app import create_app
from sorairo.serving.database import new_id
from sorairo.serving.keys import LOCAL
from sorairo.serving.settings import Settings
from sorairo.serving.submit import Call, Wish, row
from sorairo.serving.worker import Worker

WORDS = "A large red ball rolls across the floor to the right."
REQUEST = {"verb": "generate", "prompt": WORDS, "seed": 1}


def spent(what: Callable[[], object], times: int = 1) -> float:
    """Processor milliseconds of a call, all threads of this process and its children; the median."""
    return statistics.median(measured(what)[0] for _ in range(times))


def measured(what: Callable[[], object]) -> tuple[float, float]:
    """(processor milliseconds, milliseconds by the clock) of a call."""
    start, clock = processor(), time.perf_counter()
    what()
    return 1000 * (processor() - start), 1000 * (time.perf_counter() - clock)


def processor() -> float:
    """Processor seconds of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def calls(client: TestClient, jobs: int) -> None:
    """Create, retrieve and list beside a queue."""
    database = client.app.state.service.database  # pyright: ignore[reportAttributeAccessIssue]
    wish = Wish(request=Request.parse(REQUEST), size="96x96", seconds="2", charged=2.0)
    with database.write() as session:
        now = database.now(session)
        session.add_all(row(Call(caller=LOCAL, digest=new_id("d")), wish, now) for _ in range(jobs))
    last = client.post("/v1/videos", json={"prompt": WORDS}).json()["id"]
    create = spent(lambda: client.post("/v1/videos", json={"prompt": WORDS}), 50)
    print(f"{jobs} jobs wait; processor ms: create {create:.1f}", end="")
    print(f", retrieve {spent(lambda: client.get(f'/v1/videos/{last}'), 50):.1f}", end="")
    print(f", list of 20 {spent(lambda: client.get('/v1/videos'), 50):.1f}", flush=True)


@contextmanager
def parts() -> Iterator[dict[str, list[float]]]:
    """Processor milliseconds of each call of the worker's own parts, in the thread that makes it."""
    found: dict[str, list[float]] = {}
    kept = [(owner, name, getattr(owner, name)) for owner, names in PARTS for name in names]

    def timed(name: str, old: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any, **more: Any) -> Any:
            start = time.thread_time()
            try:
                return old(*values, **more)
            finally:
                found.setdefault(name, []).append(1000 * (time.thread_time() - start))

        return call

    for owner, name, old in kept:
        setattr(owner, name, timed(name, old))
    try:
        yield found
    finally:
        for owner, name, old in kept:
            setattr(owner, name, old)


PARTS = [
    (worker_module._Watch, ("preview",)),
    (worker_module.Queue, ("claim", "beat", "asked_to_stop", "deliver")),
    (worker_module.Store, ("put",)),
    (worker_module, ("sign_copy", "save_small", "save_spritesheet")),
]


def overhead(client: TestClient, worker: Worker, rounds: int, folder: Path) -> None:
    """A clip by the worker, beside the same by jobs.run with the same loaded model."""
    ratios: list[tuple[float, float]] = []
    with parts() as found:
        for number in range(rounds + 1):  # the first of each is short and not counted
            values = REQUEST if number else REQUEST | {"steps": 1}
            body = {key: value for key, value in values.items() if key != "verb"}
            job = client.post("/v1/sorairo/generate", json=body).json()["id"]
            found.clear()

            def by_run(values: dict[str, Any] = values) -> None:
                list(run(Request.parse(values), worker.models, outputs=[folder / "a.mp4"]))

            both: dict[str, Callable[[], object]] = {"worker": worker.once, "run": by_run}
            order = list(both) if number % 2 else [*both][::-1]  # whoever comes second may be warmer
            times = {name: measured(both[name]) for name in order}
            served, alone = times["worker"], times["run"]
            assert client.get(f"/v1/videos/{job}").json()["status"] == "completed"
            if not number:
                continue
            ratios.append((served[0] / alone[0], served[1] / alone[1]))
            said = [f"by the worker {served[0]:.0f}, by jobs.run {alone[0]:.0f} processor ms"]
            said += [f"{served[1]:.0f} and {alone[1]:.0f} by the clock"]
            print(f"clip {number}: {'; '.join(said)}", flush=True)
            each = sorted(found.items(), key=lambda one: -sum(one[1]))
            print("   " + ", ".join(f"{name} {sum(ms):.0f} ({len(ms)})" for name, ms in each), flush=True)
    busy, clock = (100 * (statistics.median(column) - 1) for column in zip(*ratios, strict=True))
    print(f"the worker adds {busy:+.1f}% of processor time, {clock:+.1f}% by the clock", flush=True)


def command(folder: Path) -> None:
    """The clip by the command line."""
    words = [sys.executable, "-m", "sorairo", "generate", WORDS, "--seed", "1", "-o", str(folder / "b.mp4")]
    busy, clock = measured(lambda: subprocess.run(words, check=True, capture_output=True))
    print(f"by a command of its own: {busy:.0f} processor ms, {clock:.0f} by the clock", flush=True)


@torch.inference_mode()
def batching(models: Models) -> None:
    """Steps of one request and of two; each request has its guided and its free half already."""
    model = models.get(Request.parse(REQUEST))
    config = model.transformer.config
    for size in (2, 4):
        x = torch.randn(size, config.channels, 9, 12, 12, dtype=model.dtype)
        text = torch.randn(size, 96, config.text_dim, dtype=model.dtype)
        times = torch.full((size,), 500.0)
        step = spent(lambda x=x, times=times, text=text: model.transformer(x, times, text), 3)
        print(
            f"a step of {size // 2} request(s): {step:.0f} processor ms, {2 * step / size:.0f} each",
            flush=True,
        )


def main() -> None:
    """Print a line for each figure."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["SORAIRO_PROVENANCE"] = f"{name}/provenance"  # keys and index of this run alone
        for part in ("long", "short"):
            settings = Settings(folder=Path(name) / part, hosts=("testserver",), min_free=0)
            with TestClient(create_app(settings, housekeeping=False)) as client:
                if part == "long":
                    calls(client, words.jobs)
                    continue
                worker = Worker(settings)
                worker.warm()
                overhead(client, worker, words.rounds, Path(name))
                command(Path(name))
                batching(worker.models)
                worker.database.close()


if __name__ == "__main__":
    main()
