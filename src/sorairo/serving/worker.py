"""A worker: one process, one loaded model; it claims a job, makes it, delivers it, and goes on."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import numpy as np
from sqlalchemy import select

from sorairo.jobs.making import sign_copy
from sorairo.jobs.models import Models
from sorairo.jobs.request import Request
from sorairo.jobs.run import Result, run
from sorairo.safety.index import Entry
from sorairo.safety.policy import OperatorPolicy
from sorairo.serving.catalog import OFFICIAL, without_folders
from sorairo.serving.database import Database
from sorairo.serving.moderation import moderation, policy_here
from sorairo.serving.pictures import save_small, save_spritesheet
from sorairo.serving.preview import foreseen, save_preview
from sorairo.serving.queue import Lease, Lost, Queue
from sorairo.serving.settings import Settings
from sorairo.serving.storage import Store
from sorairo.serving.tables import Character, File, Job
from sorairo.types import Blocked, Cancelled, UserError, Video

__all__ = ["Worker"]

log = logging.getLogger("sorairo.worker")

GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it, without their whole part, spread evenly however many they are."""
SHARES = {
    "load": (0, 3),
    "text": (3, 5),
    "denoise": (5, 90),
    "decode": (90, 94),
    "upscale": (94, 97),
    "encode": (97, 99),
}
"""Per cent of a job at the begin and the end of each stage."""
PREVIEW, SHARE = 0.7, 0.02
"""Seconds between two previews, at least; and the part of a job's time that previews may take."""


class Worker:
    """stop: set it, and the job that is being made goes back to the queue. drain: the job is made to its end first."""

    def __init__(self, settings: Settings, name: str = "") -> None:
        self.settings = settings
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self.database = Database(settings.url)
        self.store = Store(settings.files, settings.folder / "cache")
        self.queue = Queue(
            self.database, lease=settings.lease, attempts=settings.attempts, expiry=settings.expiry
        )
        # of the server's memory and files the operator is told, not the callers
        self.models = Models(say=lambda sentence: log.warning("%s: %s", self.name, sentence))
        self.stop, self.drain = Event(), Event()

    def warm(self) -> None:
        """Load the operator's model, and the guards, before the first job comes."""
        policy = policy_here(self.settings)
        policy.words(["a"])
        policy.frames([Video(frames=np.zeros((1, 64, 64, 3), np.uint8), fps=1.0)])
        values = {"verb": "generate", "prompt": "a", "model": self.settings.model}
        self.models.get(Request.parse(self.settings.loaded(values)))

    def run(self) -> None:
        """Work until stop or drain is set."""
        while not (self.stop.is_set() or self.drain.is_set()):
            try:
                busy = self.once()
            except Exception:
                log.exception("worker %s", self.name)
                busy = False
            if not busy:
                self.stop.wait(self.settings.poll)

    def once(self) -> bool:
        """Claim one job and see it to its end; whether there was one."""
        lease = self.queue.claim(self.name)
        if lease is None:
            return False
        watch = _Watch(self, lease)
        try:
            with watch:
                self._make(lease, watch)
        except Cancelled:
            self._quietly(self._ended, lease)
        except Blocked as error:
            self._quietly(self.queue.fail, lease, "moderation_blocked", str(error))
            self.store.remove(f"jobs/{lease.job}/{lease.token}")
        except UserError as error:
            self._quietly(
                self.queue.fail, lease, "invalid_request", without_folders(self.settings, str(error))
            )
        except Lost:
            self.store.remove(f"jobs/{lease.job}/{lease.token}")
        except MemoryError:
            self._quietly(self.queue.hand_back, lease, "there was not enough memory")
        except Exception as error:
            log.exception("job %s", lease.job)
            reason = without_folders(self.settings, f"{type(error).__name__}: {error}")
            self._quietly(self.queue.hand_back, lease, reason[:500])
        return True

    def _quietly(self, write: Callable[..., None], *values: Any) -> None:
        with contextlib.suppress(Lost):
            write(*values)

    def _ended(self, lease: Lease) -> None:
        """A job was stopped: by whom decides what becomes of it."""
        with self.database.read() as session:
            job = session.scalars(select(Job).where(Job.id == lease.job)).one()
            revoked = (
                job.character
                and session.scalars(select(Character.revoked).where(Character.id == job.character)).first()
            )
        if revoked:
            self.queue.fail(lease, "character_revoked", "The consent to the character was revoked.")
        elif job.cancel:
            self.queue.cancelled(lease)
            self.store.remove(f"jobs/{lease.job}/{lease.token}")
        else:
            self.queue.hand_back(lease)

    def _make(self, lease: Lease, watch: _Watch) -> None:
        with tempfile.TemporaryDirectory(prefix="sorairo-job-") as name, contextlib.chdir(name):
            folder = Path(name)
            request = self._with_files(lease)
            still = request.frames == 1 and request.verb == "generate"
            made = Path("image.png" if still else "video.mp4")
            watch.scratch = folder
            policy = watch.policy = policy_here(self.settings).called(lease.key)
            entries: list[Entry] = []
            (result,) = run(
                request,
                self.models,
                outputs=[made],
                progress=watch.progress,
                cancelled=watch.cancelled,
                preview=watch.preview,
                say=watch.notes.append,
                policy=policy,
                remember=lambda path, prints, mark: entries.append(
                    Entry(name=lease.job, created=0.0, mark=mark, print=prints)
                ),
            )
            outputs = [made, Path("thumbnail.webp"), Path("spritesheet.jpg")]
            save_small(result.sample.video.frames[0], outputs[1])
            save_spritesheet(result.sample.video, outputs[2])
            for path in outputs[1:]:
                sign_copy(path, path.stem, made, result.sample, result.record)
            if still:  # also as a clip of one frame, for those who asked for a video
                from sorairo.jobs.record import write

                write(result.sample, Path("video.mp4"), remember=lambda *known: None)
                outputs.append(Path("video.mp4"))
            target = f"jobs/{lease.job}/{lease.token}"
            self.queue.beat(lease)  # whoever slept past the lease writes nothing
            for path in outputs:
                self.store.put(path, f"{target}/{path.name}")
            facts = facts_of(result, watch.notes)
            size = lease.size if lease.size in OFFICIAL else facts["size"]
            self.queue.deliver(lease, target, entries[0] if entries else None, facts=facts, size=size)
            for token in range(1, lease.token):  # what workers that were killed left
                self.store.remove(f"jobs/{lease.job}/{token}")
            log.info("job %s is done", lease.job)

    def _with_files(self, lease: Lease) -> Request:
        """The request with its sources as files of the working folder. Raises UserError for one that is gone."""
        names = []
        for identity in lease.request.get("sources", []):
            path = self._source(lease, identity)
            name = Path(f"{identity}{suffix_of(identity)}")
            if not name.exists():
                os.symlink(path, name)
            names.append(str(name))
        return Request.parse(self.settings.loaded({**lease.request, "sources": names}))

    def _source(self, lease: Lease, identity: str) -> Path:
        with self.database.read() as session:
            table = File if identity.startswith("file_") else Job
            row = session.scalars(
                select(table).where(table.id == identity, table.project == lease.project)
            ).first()
            if row is None or row.deleted:
                raise UserError(f"{identity} was deleted before its turn came.")
        where = row.path if isinstance(row, File) else f"{row.folder}/video.mp4"
        path = self.store.local(where)
        if path is None:
            raise UserError(f"The content of {identity} is gone.")
        return path


def suffix_of(identity: str) -> str:
    return ".mp4" if identity.startswith("video_") else ""


def facts_of(result: Result, notes: list[str]) -> dict[str, Any]:
    """What the Video says of its output."""
    sample = result.sample
    width, height = sample.video.size
    return {
        "seed": sample.plan.seed,
        "frames": len(sample.video),
        "fps": sample.video.fps,
        "size": f"{width}x{height}",
        "width": width,
        "height": height,
        "seconds": round(len(sample.video) / sample.video.fps, 3),
        "notes": [re.sub(r"\s+", " ", note) for note in dict.fromkeys([*notes, *sample.notes])],
        "timings": {name: round(value, 3) for name, value in sample.timings.items()},
        "record": result.record,
        "moderation": moderation(sample.verdict) if sample.verdict else None,
    }


class _Watch:
    """Beside a job: heartbeats, progress, previews, and the order to stop."""

    def __init__(self, worker: Worker, lease: Lease) -> None:
        self.worker, self.lease = worker, lease
        self.scratch = Path()
        self.policy: OperatorPolicy | None = None
        self.notes: list[str] = []
        self.state: dict[str, Any] = {}
        self.lock, self.over, self.halt, self.lost = Lock(), Event(), Event(), Event()
        self.due, self.shown = time.monotonic() + PREVIEW, 0
        self.thread = Thread(target=self._beats, name="heartbeat", daemon=True)

    def __enter__(self) -> _Watch:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()

    def progress(self, stage: str, done: int, of: int) -> None:
        """Told by the run."""
        low, high = SHARES.get(stage, (0, 0))
        share = min(1.0, done / of) if of else 0.0
        values: dict[str, Any] = {"stage": stage, "progress": round(low + (high - low) * share)}
        if stage == "denoise":
            values |= {"step": done, "steps": of}
        with self.lock:
            self.state |= values

    def cancelled(self) -> bool:
        """Asked by the run at every step."""
        if self.lost.is_set():
            raise Lost
        return self.halt.is_set() or self.worker.stop.is_set()

    def preview(self, latents: Any, step: int) -> None:
        """The video as foreseen, now and then.

        The policy looks at one frame of each preview, another one every time: its look costs more than all the rest.
        The frames of the finished video it looks at as always. A job whose preview it refuses shows no more of them.
        """
        start = time.monotonic()
        model = self.worker.models.held
        if start < self.due or model is None:
            return
        video = foreseen(model, latents)
        some = math.floor(len(video) * (self.shown * GOLDEN % 1))
        look = Video(frames=video.frames[some : some + 1], fps=video.fps)
        if self.policy is None or self.policy.frames([look]).having("block"):
            self.due = math.inf
            return
        path = self.scratch / "preview.webp"
        save_preview(video, path)
        self.worker.store.put(path, f"jobs/{self.lease.job}/{self.lease.token}/preview.webp")
        with self.lock:
            self.state |= {"preview": step + 1}
        self.shown += 1
        self.due = start + max(PREVIEW, (time.monotonic() - start) / SHARE)

    def _beats(self) -> None:
        """Look for the order to stop four times a second, write what is new twice, and a sign of life at least three
        times a lease."""
        last = 0.0
        while not self.over.wait(0.25):
            since = time.monotonic() - last
            with self.lock:
                writes = since > (0.4 if self.state else self.worker.settings.lease / 4)
                state, self.state = (self.state, {}) if writes else ({}, self.state)
            try:
                if writes:
                    last = time.monotonic()
                    stop = self.worker.queue.beat(self.lease, **state)
                else:  # SQLite has one writer: without news a look at the row is enough
                    stop = self.worker.queue.asked_to_stop(self.lease)
            except Lost:
                self.lost.set()
                return
            except Exception:
                log.exception("heartbeat of %s", self.lease.job)
                continue
            if stop:
                self.halt.set()
