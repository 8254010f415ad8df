"""The API and two workers are killed and stopped while videos are made: nothing is lost, each has one file, one event.

The quick form has workers that deliver without a model, and each fault once, when it hurts. The slow form runs
`sorairo serve` and `sorairo worker` with a tiny model for 60 s of faults at random.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from sorairo.serving.database import Database
from sorairo.serving.tables import Base, Event, Job
from tests.serving.fault_processes import api, started, worker
from tests.serving.test_node import free_port

LEASE = 0.7


class Processes:
    """An API and two workers that can be killed and started again. starts: of the API and of worker 0 and 1."""

    def __init__(self, *starts: Callable[[], subprocess.Popen[bytes] | BaseProcess]) -> None:
        self.starts = starts
        self.running: list[subprocess.Popen[bytes] | BaseProcess | None] = [None] * len(starts)

    def start(self, which: int) -> None:
        self.running[which] = self.starts[which]()

    def pid(self, which: int) -> int:
        process = self.running[which]
        assert process is not None and process.pid is not None
        return process.pid

    def send(self, which: int, number: signal.Signals) -> None:
        os.kill(self.pid(which), number)

    def kill(self, which: int) -> None:
        if (process := self.running[which]) is not None:
            process.kill()
            process.join() if isinstance(process, BaseProcess) else process.wait()

    def end(self) -> None:
        for which in range(len(self.starts)):
            self.kill(which)


def logged(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """A command that writes into a log."""
    with log.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out)


@contextmanager
def receiver() -> Iterator[tuple[str, dict[str, set[str]]]]:
    """(URL, the webhook ids that arrived for each video) of a webhook's receiver."""
    got: dict[str, set[str]] = defaultdict(set)

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            got[body["data"]["id"]].add(self.headers["webhook-id"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", got
        finally:
            server.shutdown()
            thread.join()


def stubborn(port: int, path: str, values: dict[str, Any], key: str, seconds: float = 600) -> dict[str, Any]:
    """A create as a careful client makes it: again with the same key until an answer comes."""
    head = {"Content-Type": "application/json", "Idempotency-Key": key}
    until = time.monotonic() + seconds
    while True:
        try:
            with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as line:
                line.request("POST", f"/v1{path}", json.dumps(values), head)
                answer = line.getresponse()
                text = answer.read()
            if answer.status == 200:
                return json.loads(text)
            assert answer.status >= 500, text
        except (OSError, HTTPException):
            pass
        assert time.monotonic() < until, "the API did not come back"
        time.sleep(0.1)


def wait_for(what: Any, seconds: float = 600) -> Any:
    """Ask until the answer is true, and return it."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, what
        time.sleep(0.05)
    return found


def rows(database: Database) -> list[Job]:
    with database.read() as session:
        return list(session.scalars(select(Job)))


def emptied(url: str) -> Database:
    database = Database(url)
    database.migrate()
    with database.write() as session:
        for table in Base.__subclasses__():
            session.query(table).delete()
    return database


def check(
    database: Database, files: Path, accepted: set[str], got: dict[str, set[str]], seconds: float
) -> None:
    """Every accepted job is done, has one file in one folder, one event, and one webhook id."""
    wait_for(lambda: all(job.status == "completed" for job in rows(database)), seconds)
    assert {job.id for job in rows(database)} == accepted
    wait_for(lambda: set(got) == accepted, seconds)
    assert {len(ids) for ids in got.values()} == {1}
    with database.read() as session:
        events = list(session.scalars(select(Event.object)))
    assert sorted(events) == sorted(accepted)
    for job in rows(database):
        found = sorted(files.glob(f"jobs/{job.id}/*/video.mp4"))
        assert [str(path.parent.relative_to(files)) for path in found] == [job.folder]


@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True)
def test_killed_and_stopped_once_each(url: str, tmp_path: Path) -> None:
    database, port = emptied(url), free_port()
    data = tmp_path / "data"
    data.mkdir()
    log = tmp_path / "log"
    processes = Processes(
        lambda: started(api, log, url, data, port),
        lambda: started(worker, log, url, data, LEASE, "0"),
        lambda: started(worker, log, url, data, LEASE, "1"),
    )
    accepted: set[str] = set()

    def create() -> None:
        for number in range(10):
            accepted.add(stubborn(port, "/videos", {"prompt": "a red ball"}, f"k{number}")["id"])

    def holds(name: str) -> bool:
        return any(job.worker == name for job in rows(database) if job.status == "in_progress")

    client = threading.Thread(target=create)
    with receiver() as (hook, got):
        try:
            for which in range(3):
                processes.start(which)
            stubborn(port, "/webhook_endpoints", {"url": hook}, "hook")
            client.start()
            wait_for(lambda: len(accepted) > 2)
            processes.kill(0)  # while the client creates
            processes.start(0)
            (data / "go").touch()  # the workers are up, and begin
            wait_for(lambda: holds("0"))
            processes.kill(1)
            processes.start(1)
            wait_for(lambda: holds("1"))
            processes.send(2, signal.SIGSTOP)
            time.sleep(1.5 * LEASE)
            processes.send(2, signal.SIGCONT)
            client.join()
            assert len(accepted) == 10
            check(database, data / "files", accepted, got, 600)
        finally:
            processes.end()
            database.close()


@pytest.mark.slow
def test_sixty_seconds_of_faults(url: str, tmp_path: Path, tiny_folder: Path) -> None:
    database, port, chance = emptied(url), free_port(), random.Random(0)
    data = tmp_path / "data"
    sorairo = [sys.executable, "-m", "sorairo"]
    common = ["--folder", str(data), "--database-url", url, "--model", str(tiny_folder)]
    common += ["--lease", "4", "--attempts", "1000"]
    works = partial(logged, [*sorairo, "worker", *common], tmp_path / "log")
    serves = [*sorairo, "serve", *common, "--port", str(port), "--workers", "0", "--private-urls"]
    processes = Processes(partial(logged, serves, tmp_path / "log"), works, works)
    accepted: set[str] = set()
    over = threading.Event()

    def clients() -> None:
        while not over.is_set():
            if sum(job.status == "queued" for job in rows(database)) > 12:
                over.wait(0.5)
                continue
            video = stubborn(port, "/videos", {"prompt": "a red ball"}, f"k{len(accepted)}")
            accepted.add(video["id"])
            over.wait(1.0)

    def made() -> int:
        return sum(job.status == "completed" for job in rows(database))

    def worked(which: int) -> bool:
        end = f"-{processes.pid(which)}"
        return any((job.worker or "").endswith(end) for job in rows(database))

    kills = {"api": 0, "worker": 0, "stop": 0}
    with receiver() as (hook, got):
        client = threading.Thread(target=clients)
        try:
            for which in range(3):
                processes.start(which)
            stubborn(port, "/webhook_endpoints", {"url": hook}, "hook")
            client.start()
            wait_for(lambda: made() >= 2, 600)
            start = time.monotonic()
            while time.monotonic() < start + 60 or (
                not all(kills.values()) and time.monotonic() < start + 240
            ):
                time.sleep(1 + 4 * chance.random())
                which = chance.choice((0, 1, 2, 1, 2))
                if which and not worked(which) and chance.random() < 0.8:
                    continue  # mostly, a worker is left alone until it works
                if which and chance.random() < 0.4:
                    processes.send(which, signal.SIGSTOP)
                    time.sleep(5)
                    processes.send(which, signal.SIGCONT)
                    kills["stop"] += 1
                else:
                    processes.kill(which)
                    processes.start(which)
                    kills["worker" if which else "api"] += 1
            over.set()
            client.join()
            check(database, data / "files", accepted, got, 600)
            tries = sum(job.token for job in rows(database))
            print(f"{len(accepted)} jobs, {tries} claims, {kills}")
        finally:
            over.set()
            processes.end()
            database.close()
    assert min(kills.values()) > 0
