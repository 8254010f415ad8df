"""A folder of made clips for the benches of data: world clips, some glued, frozen, copied, written on or broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from sorairo.types import Video
from sorairo.video import write_video
from sorairo.worlds import get_world, render_clips
from sorairo.worlds.studio import WorldClip

__all__ = ["make_folder"]


def make_folder(folder: Path, good: int = 40, first_seed: int = 0, workers: int = 0) -> dict[str, str]:
    """Write the folder; returns file -> what a build must say of it ("kept", "cuts 3", "frozen", "text", ...)."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"size": (128, 96), "frames": 17, "fps": 8.0, "circle": 1}
    clips = list(
        render_clips(get_world("studio"), range(first_seed, first_seed + good + 14), workers, **facts)
    )
    told: dict[str, str] = {}

    def add(name: str, frames: np.ndarray, words: list[str] | None, what: str) -> None:
        write_video(Video(frames=frames, fps=8.0), folder / f"{name}.mp4")
        if words:
            (folder / f"{name}.txt").write_text("\n".join(words) + "\n")
        told[f"{name}.mp4"] = what

    def words_of(clip: WorldClip) -> list[str]:
        return [clip.captions.long, clip.captions.short, *clip.captions.paraphrases[:2]]

    for index, clip in enumerate(clips[:good]):
        add(f"good{index:03d}", clip.video.frames, words_of(clip), "kept")
    rest = clips[good:]
    glued = np.concatenate([clip.video.frames for clip in rest[:3]])
    add("glued", glued, None, "cuts 2")
    (folder / "glued.json").write_text(
        json.dumps({"shots": {str(i + 1): words_of(clip) for i, clip in enumerate(rest[:3])}})
    )
    still = rest[3].video.frames
    add("still", np.repeat(still[:1], 17, axis=0), words_of(rest[3]), "frozen")
    add("dark", (rest[4].video.frames * 0.03).astype(np.uint8), words_of(rest[4]), "light")
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 9) for frame in rest[5].video.frames])
    add("blurred", blurred, words_of(rest[5]), "sharpness")
    barred = np.zeros((17, 160, 128, 3), np.uint8)
    barred[:, 32:128] = rest[6].video.frames
    add("barred", barred, words_of(rest[6]), "bars")
    narrow = np.zeros((17, 112, 128, 3), np.uint8)
    narrow[:, 8:104] = rest[7].video.frames
    add("narrow_bars", narrow, words_of(rest[7]), "kept")
    large = [np.ascontiguousarray(cv2.resize(frame, (512, 384))) for frame in rest[8].video.frames]
    written = [
        cv2.putText(frame, "WATCH NOW AT SHOP", (60, 350), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 3)
        for frame in large
    ]
    add("written", np.stack(written), words_of(rest[8]), "text")
    add("short", rest[9].video.frames[:6], words_of(rest[9]), "short")
    add("wordless", rest[10].video.frames, None, "no caption")
    again = np.clip(clips[0].video.frames.astype(np.int16) + 2, 0, 255).astype(np.uint8)
    add("zz_again", again, words_of(clips[0]), "duplicate")
    shutil.copyfile(folder / "good001.mp4", folder / "zz_same.mp4")
    shutil.copyfile(folder / "good001.txt", folder / "zz_same.txt")
    told["zz_same.mp4"] = "same file"
    whole = (folder / "good002.mp4").read_bytes()
    (folder / "broken.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.mp4").write_text("These are my notes, not a clip.\n")
    (folder / "empty.mp4").write_bytes(b"")
    shutil.copyfile(folder / "good003.mp4", folder / "clip.dat")  # a misnamed clip, with its words
    shutil.copyfile(folder / "good003.txt", folder / "clip.txt")
    told |= {"broken.mp4": "broken", "notes.mp4": "broken", "empty.mp4": "broken"}
    told |= {"clip.dat": "kept", "good003.mp4": "same file"}
    return told
