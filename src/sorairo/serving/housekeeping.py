"""The thread beside the API: webhooks go out, batches end, what has expired is removed."""

from __future__ import annotations

import logging
import time
from threading import Event, Thread
from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select

from sorairo.serving.tables import File, Job, Once
from sorairo.serving.webhooks import send_due

if TYPE_CHECKING:
    from sorairo.serving.service import Service

__all__ = ["Housekeeper", "sweep"]

log = logging.getLogger("sorairo.serving")

EVERY, SWEEP = 0.5, 60.0


class Housekeeper:
    """Does its rounds until it is stopped. Several, of several API processes, do no harm to each other."""

    def __init__(self, here: Service) -> None:
        self.here, self.stopped = here, Event()
        self.thread = Thread(target=self._rounds, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def stop(self) -> None:
        """End after the round that is going on."""
        self.stopped.set()
        if self.thread.is_alive():
            self.thread.join(20)

    def _rounds(self) -> None:
        swept = 0.0
        while not self.stopped.is_set():
            try:
                send_due(self.here.database, private=self.here.settings.private_urls)
                from sorairo.serving.batch import finish_batches

                finish_batches(self.here)
                if time.monotonic() - swept > SWEEP:
                    swept = time.monotonic()
                    sweep(self.here)
            except Exception:
                log.exception("housekeeping")
            self.stopped.wait(EVERY)


def sweep(here: Service) -> int:
    """Remove the files of what has expired or was deleted; returns how many rows that were."""
    with here.database.write() as session:
        now = here.database.now(session)
        gone = or_(Job.expires < now, Job.deleted.is_(True))
        jobs = list(session.scalars(select(Job).where(Job.folder.is_not(None), gone).limit(200)))
        files = list(
            session.scalars(select(File).where(File.expires < now, File.deleted.is_(False)).limit(200))
        )
        for job in jobs:
            job.folder, job.deleted = None, True
        for file in files:
            file.deleted = True
        session.execute(delete(Once).where(Once.created < now - 86400))
    for job in jobs:
        here.store.remove(f"jobs/{job.id}")
    for file in files:
        here.store.remove(file.path)
        here.store.remove(f"{file.path}.webp")
    return len(jobs) + len(files)
