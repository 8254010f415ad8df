"""Numbers for Prometheus. Queue lengths are read from the database when they are asked for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import func, select

from sorairo.serving.database import Database
from sorairo.serving.tables import Delivery, Job

__all__ = ["Metrics"]


class Metrics:
    """One registry for each app, so that two in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls = Counter(
            "sorairo_requests", "HTTP requests.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "sorairo_request_seconds", "Time to answer.", ["route"], registry=self.registry
        )
        self.created = Counter(
            "sorairo_jobs_created", "Jobs that were accepted.", ["verb"], registry=self.registry
        )
        self.jobs = Gauge("sorairo_jobs", "Jobs by status.", ["status"], registry=self.registry)
        self.waits = Gauge(
            "sorairo_oldest_queued_seconds", "Age of the oldest queued job.", registry=self.registry
        )
        self.hooks = Gauge("sorairo_webhooks_waiting", "Webhooks not yet delivered.", registry=self.registry)

    def page(self, database: Database) -> bytes:
        """The text that Prometheus reads."""
        with database.read() as session:
            rows = session.execute(select(Job.status, func.count()).group_by(Job.status))
            found = {status: count for status, count in rows}
            oldest = session.execute(select(func.min(Job.created)).where(Job.status == "queued")).scalar_one()
            waiting = session.execute(select(func.count()).where(Delivery.due.is_not(None))).scalar_one()
            now = database.now(session)
        for status in ("queued", "in_progress", "completed", "failed", "cancelled"):
            self.jobs.labels(status).set(found.get(status, 0))
        self.waits.set(now - oldest if oldest else 0)
        self.hooks.set(waiting)
        return generate_latest(self.registry)
