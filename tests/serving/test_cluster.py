"""`sorairo serve --ray`: workers as actors of a Ray cluster of this machine; one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from sorairo.serving.database import Database
from sorairo.serving.settings import Settings
from sorairo.serving.tables import Job
from tests.serving.test_node import free_port

STEPS = 60


class Served:
    """A server with two actors, and its queue as the database has it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.database = Database(Settings(folder=folder / "data").url)
        self.log = folder / "log"
        words = [
            "--port",
            self.url.rsplit(":", 1)[1],
            "--folder",
            str(folder / "data"),
            "--model",
            str(model),
        ]
        words += ["--ray", "local", "--workers", "2", "--gpus", "0", "--lease", "3"]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sorairo", "serve", *words], stdout=out, stderr=out
            )

    def post(self, count: int) -> None:
        values = {"prompt": "a red ball drops", "steps": STEPS}
        for _ in range(count):
            httpx.post(f"{self.url}/v1/sorairo/generate", json=values).raise_for_status()

    def jobs(self) -> list[Job]:
        with self.database.read() as session:
            return list(session.query(Job).order_by(Job.number))

    def until(self, true: Any, seconds: float = 900) -> None:
        limit = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None and time.monotonic() < limit, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False

    def busy(self) -> set[str]:
        return {job.worker or "" for job in self.jobs() if job.status == "in_progress"}


@pytest.mark.slow
def test_an_actor_that_is_killed_loses_no_job(tiny_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install 'sorairo[cluster]'")
    served = Served(tmp_path, tiny_folder)
    try:
        served.until(served.healthy)
        served.post(12)
        served.until(lambda: len(served.busy()) == 2)
        victim = sorted(served.busy())[0]
        os.kill(int(victim.rsplit("-", 1)[1]), signal.SIGKILL)
        served.until(lambda: all(job.status == "completed" for job in served.jobs()))
        assert [job for job in served.jobs() if job.attempts == 2]  # what the dead one had begun
        # Ray has started another in its place
        served.post(12)
        served.until(lambda: len(served.busy() - {victim}) == 2)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0
        assert not served.busy()  # handed back before the server ended
        rows = served.jobs()
        assert {job.status for job in rows} == {"completed", "queued"}, [job.status for job in rows]
    finally:
        served.process.kill()
        served.process.wait()
        served.database.close()


@pytest.mark.parametrize(
    "address,words",
    [
        ("auto", "cannot be reached at auto"),
        pytest.param(f"127.0.0.1:{free_port()}", "Connection refused", id="nobody listens"),
        ("somewhere", "--ray is auto, local, HOST:PORT"),
    ],
)
def test_a_cluster_that_is_not_there(tmp_path: Path, address: str, words: str) -> None:
    pytest.importorskip("ray", reason="pip install 'sorairo[cluster]'")
    from sorairo.serving.cluster import RayWorkers
    from sorairo.types import UserError

    with pytest.raises(UserError, match=words):
        RayWorkers(Settings(folder=tmp_path), 1, address)
