"""Captions for clips, by a captioner: each is asked for once, and noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from sorairo.data.build.choose import Verdict
from sorairo.data.build.clips import Clip, read_clips
from sorairo.data.build.ledger import Ledger
from sorairo.data.captions.base import Captioner, Unusable, Words
from sorairo.data.captions.sidecar import tidy
from sorairo.types import UserError

__all__ = ["write_captions"]


def write_captions(
    folder: Path,
    verdicts: Sequence[Verdict],
    captioner: Captioner,
    ledger: Ledger,
    check: Callable[[str], object],
    progress: Callable[[str, int, int], None],
    threads: int = 4,
) -> tuple[list[Verdict], dict[str, Words]]:
    """The verdicts and the words of every clip. A clip without any is dropped.

    Raises UserError where the captioner cannot be used at all.
    """
    todo = [
        clip for one in verdicts for clip in one.clips if (captioner.name, clip.id) not in ledger.captions
    ]
    failed: dict[str, str] = {}
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        running: list[tuple[Clip, Future[list[str]]]] = []

        def finish(at_most: int) -> None:
            nonlocal done
            while len(running) > at_most:
                clip, future = running.pop(0)
                try:
                    lines = tidy(future.result())
                    for line in lines:
                        check(line)
                    if not lines:
                        raise UserError("the captioner says nothing of it")
                    ledger.note_caption(captioner.name, clip.id, lines)
                except Unusable:
                    raise
                except UserError as error:
                    failed[clip.id] = str(error).rstrip(".")
                done += 1
                progress("caption", done, len(todo))

        try:
            for clip, frames in _frames(folder, todo, failed):
                running.append((clip, pool.submit(captioner.caption, frames, clip.fps)))
                finish(2 * threads)
            finish(0)
        finally:
            pool.shutdown(cancel_futures=True)
    words: dict[str, Words] = {}
    found: list[Verdict] = []
    for one in verdicts:
        clips = []
        for clip in one.clips:
            written = ledger.captions.get((captioner.name, clip.id), [])
            if written or one.original:
                words[clip.id] = Words(original=one.original, synthetic=tuple(written))
                clips.append(clip)
        if one.clips and not clips:
            reason = next((failed[clip.id] for clip in one.clips if clip.id in failed), "it has no caption")
            found.append(replace(one, by="captions", reason=reason, clips=()))
        else:
            found.append(replace(one, clips=tuple(clips)))
    return found, words


def _frames(folder: Path, clips: Sequence[Clip], failed: dict[str, str]) -> Iterator[tuple[Clip, np.ndarray]]:
    for name in dict.fromkeys(clip.file for clip in clips):
        here = [clip for clip in clips if clip.file == name]
        got = 0
        try:
            for clip, frames in zip(here, read_clips(folder / name, here), strict=True):
                got += 1
                yield clip, frames
        except UserError as error:
            failed.update({clip.id: str(error).rstrip(".") for clip in here[got:]})
