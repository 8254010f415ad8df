"""What the service adds, in processor time, which other work changes less than the clock's: calls, a clip, a batch.

python bench/serve_cost.py [--jobs 1000] [--rounds 1]

calls     create, retrieve and list through the whole app, without a socket, while `jobs` jobs wait
overhead  a clip by a worker (queue, heartbeats, previews, pictures, store) beside the same clip by `jobs.run`
batching  a step of the transformer for two requests at once, beside two steps of one each
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from fastapi.testclient import TestClient

from sorairo.jobs.models import Models
from sorairo.jobs.request import Request
from sorairo.jobs.run import run
from sorairo.serving.app import create_app
from sorairo.serving.database import new_id
from sorairo.serving.keys import LOCAL
from sorairo.serving.settings import Settings
from sorairo.serving.submit import Call, Wish, row
from sorairo.serving.worker import Worker

WORDS = "A large red ball rolls across the floor to the right."
REQUEST = {"verb": "generate", "prompt": WORDS, "seed": 1}


def spent(what: Callable[[], object], times: int = 1) -> float:
    """Processor milliseconds of a call, all threads of this process; the median."""
    found = []
    for _ in range(times):
        start = time.process_time()
        what()
        found.append(1000 * (time.process_time() - start))
    return statistics.median(found)


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


def overhead(client: TestClient, worker: Worker, rounds: int, folder: Path) -> None:
    """A clip by the worker, beside the same by jobs.run with the same loaded model."""
    alone, served = [], []
    for number in range(rounds + 1):  # the first of each is short and not counted
        values = REQUEST if number else REQUEST | {"steps": 1}
        body = {key: value for key, value in values.items() if key != "verb"}
        job = client.post("/v1/sorairo/generate", json=body).json()["id"]
        one = spent(worker.once)
        assert client.get(f"/v1/videos/{job}").json()["status"] == "completed"
        made = run(Request.parse(values), worker.models, outputs=[folder / "a.mp4"])
        made = run(Request.parse(values), worker.models, outputs=[folder / "a.mp4"])
        two = spent(lambda made=made: list(made))
        if number:
            served.append(one)
            alone.append(two)
    one, two = statistics.median(served), statistics.median(alone)
    print(
        f"a clip: by the service {one:.0f}, by jobs.run {two:.0f} processor ms: {100 * (one / two - 1):+.1f}%"
    )


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
    parser.add_argument("--rounds", type=int, default=1)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for part in ("long", "short"):
            settings = Settings(folder=Path(name) / part, hosts=("testserver",), min_free=0)
            with TestClient(create_app(settings, housekeeping=False)) as client:
                if part == "long":
                    calls(client, words.jobs)
                    continue
                worker = Worker(settings)
                overhead(client, worker, words.rounds, Path(name))
                batching(worker.models)
                worker.database.close()


if __name__ == "__main__":
    main()
