"""The queue: nothing lost, nothing delivered twice, whoever dies or sleeps. On SQLite and, where it is, PostgreSQL."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from sorairo.jobs.request import Request
from sorairo.serving.database import Database, new_id
from sorairo.serving.keys import LOCAL
from sorairo.serving.queue import Lost, Queue
from sorairo.serving.submit import Call, Wish, row
from sorairo.serving.tables import Delivery, Endpoint, Event, Job

WISH = Wish(
    request=Request.parse({"verb": "generate", "prompt": "a"}),
    size="96x96",
    seconds="1",
    charged=1.0,
    said={},
)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of this test run's own."""
    found = shutil.which("pg_ctl") or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))), None
    )
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    tools = Path(found).resolve().parent
    folder = Path(tmp_path_factory.mktemp("pg"))
    as_other: list[str] = []
    if os.getuid() == 0:  # it does not run as root
        if not shutil.which("runuser"):
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        for path in (folder, *folder.parents):
            if path.owner() == "root" and str(path).startswith("/tmp/"):
                path.chmod(path.stat().st_mode | 0o011)
        shutil.chown(folder, "postgres")
        as_other = ["runuser", "-u", "postgres", "--"]
    data, port = folder / "data", 20000 + os.getpid() % 20000

    def tool(*words: str) -> None:
        subprocess.run([*as_other, *words], check=True, capture_output=True, cwd="/", timeout=120)

    tool(str(tools / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    tool(str(tools / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        pid = int((data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)  # at once: nothing of it is kept


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'a.db'}"
    return request.getfixturevalue("postgres")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    database.migrate()
    with database.write() as session:
        for table in (Job, Event, Delivery, Endpoint):
            session.query(table).delete()
    yield database
    database.close()


def queue_of(database: Database, lease: float = 30, attempts: int = 3) -> Queue:
    return Queue(database, lease=lease, attempts=attempts, expiry=60)


def add(database: Database, count: int = 1) -> list[str]:
    with database.write() as session:
        jobs = [
            row(Call(caller=LOCAL, digest=new_id("d")[:64]), WISH, database.now(session))
            for _ in range(count)
        ]
        session.add_all(jobs)
    return [job.id for job in jobs]


def status(database: Database, job: str) -> Job:
    with database.read() as session:
        return session.scalars(select(Job).where(Job.id == job)).one()


def test_jobs_come_in_order_and_once(database: Database) -> None:
    ids, queue = add(database, 3), queue_of(database)
    leases = [queue.claim("w") for _ in range(4)]
    assert [lease and lease.job for lease in leases] == [*ids, None]


def test_a_worker_that_slept_past_its_lease_changes_nothing(database: Database) -> None:
    (job,), queue = add(database), queue_of(database, lease=0.05)
    first = queue.claim("one")
    time.sleep(0.1)
    second = queue.claim("two")
    assert first and second and (second.job, second.attempts) == (job, 2)
    for late in (
        lambda: queue.beat(first),
        lambda: queue.deliver(first, "one", facts={}),
        lambda: queue.fail(first, "x", "x"),
        lambda: queue.hand_back(first),
        lambda: queue.cancelled(first),
    ):
        with pytest.raises(Lost):
            late()
    queue.deliver(second, "two", facts={})
    with pytest.raises(Lost):
        queue.deliver(second, "again", facts={})
    assert status(database, job).folder == "two"
    with database.read() as session:
        assert session.execute(select(func.count()).select_from(Event)).scalar_one() == 1


def test_a_job_that_kills_its_workers_fails_with_a_reason(database: Database) -> None:
    (job,), queue = add(database), queue_of(database, lease=0.0, attempts=2)
    for _ in range(2):
        assert queue.claim("w")
        time.sleep(0.02)
    assert queue.claim("w") is None
    ended = status(database, job)
    assert ended.status == "failed" and "Tried 2 times" in (ended.error or "")


def test_a_job_that_is_handed_back_has_lost_no_try(database: Database) -> None:
    (job,), queue = add(database), queue_of(database)
    lease = queue.claim("w")
    assert lease
    queue.hand_back(lease)
    assert (status(database, job).status, status(database, job).attempts) == ("queued", 0)


def test_a_cancelled_job_is_not_taken_up_again(database: Database) -> None:
    (job,), queue = add(database), queue_of(database, lease=0.05)
    lease = queue.claim("w")
    with database.write() as session:
        session.scalars(select(Job).where(Job.id == job)).one().cancel = True
    assert lease and queue.beat(lease) is True
    time.sleep(0.1)
    assert queue.claim("w") is None and status(database, job).status == "cancelled"


WORKER = textwrap.dedent("""
    import sys, time, random, pathlib
    from sorairo.serving.database import Database
    from sorairo.serving.queue import Lost, Queue
    url, folder, seed = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    queue = Queue(Database(url), lease=0.7, attempts=1000, expiry=60)
    while True:
        lease = queue.claim(str(seed))
        if lease is None:
            time.sleep(0.05)
            continue
        try:
            queue.beat(lease, progress=50)
            time.sleep(chance.random() * 0.02)
            path = folder / f"{lease.job}-{lease.token}"
            path.write_text("made")
            queue.deliver(lease, path.name, facts={})
        except Lost:
            pass
""")


def faults(database: Database, folder: Path, jobs: int, seconds: float) -> None:
    """Workers are killed, and stopped past their lease, at random, until every job is done."""
    with database.write() as session:
        session.add(
            Endpoint(
                id=new_id("we"), project="local", name="", url="http://x", types=[], secret="", created=0
            )
        )
    ids, chance = add(database, jobs), random.Random(0)
    made = folder / "made"
    made.mkdir()

    def start(seed: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WORKER, database.url, str(made), str(seed)])

    workers, kills, until = [start(0), start(1)], 0, time.monotonic() + seconds
    try:
        while True:
            with database.read() as session:
                left = session.execute(select(func.count()).where(Job.status != "completed")).scalar_one()
            if left == 0 or time.monotonic() > until:
                break
            time.sleep(0.3 + chance.random() * 1.5)
            victim = chance.randrange(2)
            if chance.random() < 0.3:
                workers[victim].send_signal(signal.SIGSTOP)
                time.sleep(0.9)
                workers[victim].send_signal(signal.SIGCONT)
            else:
                workers[victim].kill()
                workers[victim].wait()
                workers[victim] = start(kills + 2)
                kills += 1
    finally:
        for one in workers:
            one.kill()
            one.wait()
    assert left == 0, f"{left} jobs are not done after {kills} kills"
    with database.read() as session:
        rows = list(session.scalars(select(Job)))
        assert sorted(job.id for job in rows) == sorted(ids)
        assert all((made / (job.folder or "")).is_file() for job in rows)
        events = list(session.scalars(select(Event.object)))
        assert sorted(events) == sorted(ids)
        assert session.execute(select(func.count()).select_from(Delivery)).scalar_one() == jobs


def test_no_job_is_lost_or_delivered_twice(database: Database, tmp_path: Path) -> None:
    faults(database, tmp_path, jobs=60, seconds=60)


@pytest.mark.slow
def test_no_job_is_lost_in_a_long_run(database: Database, tmp_path: Path) -> None:
    faults(database, tmp_path, jobs=1500, seconds=300)
