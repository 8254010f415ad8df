"""docs/serve.md: a backup that is made while videos are made and calls come; restored, it goes on."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from sorairo.serving.settings import Settings
from sorairo.serving.worker import Worker
from tests.serving.conftest import client_of
from tests.serving.test_faults import emptied


def finished(worker: Worker) -> None:
    """Work until nothing waits; a job of the time before has a lease that must end first."""
    idle = 0
    while idle < 30:
        idle = 0 if worker.once() else idle + 1
        Event().wait(0.05)
    worker.database.close()


@pytest.mark.slow  # the quick suite has test_worker.py's, of a server at rest
def test_a_backup_while_serving(tiny_folder: Path, tmp_path: Path) -> None:
    settings = Settings(
        folder=tmp_path / "data",
        model=str(tiny_folder),
        hosts=("testserver",),
        poll=0.02,
        min_free=0,
        lease=1,
    )
    backup = tmp_path / "backup"
    backup.mkdir()
    answered: list[str] = []
    enough, over = Event(), Event()
    with client_of(settings) as client:
        worker = Worker(settings)

        def calls() -> None:
            while not over.wait(0.2 if len(answered) < 5 else 1):
                answered.append(client.post("/v1/videos", json={"prompt": "a red ball drops"}).json()["id"])
                if len(answered) == 5:
                    enough.set()

        threads = [Thread(target=calls), Thread(target=worker.run)]
        for thread in threads:
            thread.start()
        try:
            assert enough.wait(600)
            first = answered[0]
            while client.get(f"/v1/videos/{first}").json()["status"] != "completed":
                Event().wait(0.05)
            before = list(answered)
            source = sqlite3.connect(settings.folder / "sorairo.db")
            target = sqlite3.connect(backup / "sorairo.db")
            source.backup(target, pages=1)  # page by page, so that calls come between
            assert target.execute("pragma integrity_check").fetchone() == ("ok",)
            source.close()
            target.close()
            shutil.copytree(settings.folder / "files", backup / "files", ignore=shutil.ignore_patterns(".*"))
        finally:
            over.set()
            worker.stop.set()
            for thread in threads:
                thread.join()
            worker.database.close()
    restored = replace(settings, folder=backup)
    with client_of(restored) as client:
        states = {one: client.get(f"/v1/videos/{one}").json()["status"] for one in before}
        assert states[first] == "completed" and set(states.values()) > {"completed"}
        finished(Worker(restored))
        for one in before:
            assert client.get(f"/v1/videos/{one}").json()["status"] == "completed"
            assert client.get(f"/v1/videos/{one}/content").content[4:8] == b"ftyp"


@pytest.mark.slow
def test_a_backup_of_postgresql(postgres: str, tiny_folder: Path, tmp_path: Path) -> None:
    """pg_dump and psql, as the page says; the copy has another database's name."""
    emptied(postgres).close()  # other tests use it too
    plain = postgres.replace("postgresql+psycopg", "postgresql")
    copy = f"{plain.rsplit('/', 1)[0]}/restored"
    settings = Settings(folder=tmp_path / "data", model=str(tiny_folder), hosts=("testserver",), min_free=0)
    settings = replace(settings, database_url=plain)
    with client_of(settings) as client:
        first, second = (
            client.post("/v1/videos", json={"prompt": "a red ball drops"}).json()["id"] for _ in range(2)
        )
        worker = Worker(settings)
        while client.get(f"/v1/videos/{first}").json()["status"] != "completed":
            assert worker.once()
        worker.database.close()
        dump = subprocess.run(["pg_dump", plain], check=True, capture_output=True, timeout=60).stdout
    shutil.copytree(settings.folder / "files", tmp_path / "copy" / "files")
    subprocess.run(["psql", "-q", plain, "-c", "create database restored"], check=True, timeout=60)
    restore = ["psql", "-q", "-v", "ON_ERROR_STOP=1", copy]
    subprocess.run(restore, input=dump, check=True, capture_output=True, timeout=60)
    restored = replace(settings, folder=tmp_path / "copy", database_url=copy)
    with client_of(restored) as client:
        assert client.get(f"/v1/videos/{first}/content").content[4:8] == b"ftyp"
        assert client.get(f"/v1/videos/{second}").json()["status"] == "queued"
        finished(Worker(restored))
        assert client.get(f"/v1/videos/{second}/content").content[4:8] == b"ftyp"
