"""A folder of one's own clips and stills as a source, each with its words beside it.

    beach.mp4   beach.txt     a caption a line: the exact one, then shorter ones and other wordings
    cat.webp    cat.json      {"captions": ["...", "..."]}, or {"caption": "..."}

A clip is read from its beginning; cuts between scenes are not looked for yet, so give clips of one scene.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from sorairo.data.sources.base import Bucket, SourceClip
from sorairo.types import UserError, Video
from sorairo.video import read_given

__all__ = ["ClipFolder", "read_captions"]

log = logging.getLogger(__name__)

WORDS = (".txt", ".json")


class ClipFolder:
    """A Source. Numbers count the files by name; a number past the last is no clip.

    fps: frames a second that clips are taken at. fit: how they come to a bucket's size ("crop", "letterbox",
    "stretch"). `left_out`: file -> why it cannot be used; such files are said once and passed over, never given
    empty words. Raises UserError when the folder holds no clip with words.
    """

    def __init__(self, folder: Path, *, fps: float, fit: str = "crop"):
        if not folder.is_dir():
            raise UserError(
                f"The folder {folder} does not exist; create it, with your clips and their captions."
            )
        self.folder, self.fps, self.fit = folder, fps, fit
        self.left_out: dict[str, str] = {}
        self.files: list[Path] = []
        for path in sorted(folder.iterdir()):
            if path.is_dir() or path.suffix.lower() in WORDS or path.name.startswith("."):
                continue
            if any(path.with_suffix(suffix).is_file() for suffix in WORDS):
                self.files.append(path)
            else:
                self._leave(path, f"it has no captions: write {path.stem}.txt beside it")
        if not self.files:
            raise UserError(
                f"{folder} holds no clip with captions: put NAME.txt beside each NAME.mp4, a caption a line."
            )

    def __len__(self) -> int:
        return len(self.files)

    def clips(self, numbers: Iterable[int], bucket: Bucket) -> Iterator[SourceClip | None]:
        """See Source."""
        for number in numbers:
            yield self._clip(self.files[number], bucket) if number < len(self.files) else None

    def _clip(self, path: Path, bucket: Bucket) -> SourceClip | None:
        try:
            lines = read_captions(path)
            video = read_given(path, bucket.size, self.fps, self.fit)
        except UserError as error:
            self._leave(path, str(error))
            return None
        if len(video) < bucket.frames:
            self._leave(
                path, f"it has {len(video)} frames at {self.fps:g} a second, and {bucket.frames} are needed"
            )
            return None
        count = len(lines)
        return SourceClip(
            video=Video(frames=video.frames[: bucket.frames], fps=self.fps),
            captions=(lines[0], lines[1 % count], lines[2 % count], lines[3 % count]),
            record={"file": path.name},
        )

    def _leave(self, path: Path, why: str) -> None:
        if path.name not in self.left_out:
            self.left_out[path.name] = why
            log.warning("%s is left out: %s", path.name, why.rstrip("."))


def read_captions(path: Path) -> list[str]:
    """The captions of a clip, from the .txt or the .json beside it. Raises UserError when it has none."""
    text, values = path.with_suffix(".txt"), path.with_suffix(".json")
    try:
        if text.is_file():
            lines = text.read_text(encoding="utf-8-sig").splitlines()
        else:
            read = json.loads(values.read_text(encoding="utf-8-sig"))
            found = read.get("captions", read.get("caption", [])) if isinstance(read, dict) else read
            lines = [found] if isinstance(found, str) else found
            if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
                raise UserError(f'{values} must hold {{"captions": ["...", ...]}}.')
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"The captions of {path.name} cannot be read: save them as UTF-8.") from error
    lines = [" ".join(line.split()) for line in lines if line.strip()]
    if not lines:
        raise UserError(f"The captions of {path.name} are empty: write one a line.")
    return lines
