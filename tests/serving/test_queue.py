"""The queue: leases, fences, tries. On SQLite and, where it is, PostgreSQL; test_faults.py kills real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator

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
