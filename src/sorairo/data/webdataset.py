"""WebDataset tars in and out: samples are runs of files with one name, KEY.mp4 KEY.txt KEY.json.

Source: the WebDataset format, github.com/webdataset/webdataset. A tar cannot be continued where it was cut off, so it
is a way in and out; the working form is our own shards.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count, islice
from pathlib import Path, PurePosixPath
from typing import Any

from sorairo.data.build.clips import Clip, read_clips
from sorairo.data.manifest import read_manifest
from sorairo.data.shards import read_shard
from sorairo.files import disk_errors, file_hash, whole_file, whole_folder
from sorairo.types import UserError, Video
from sorairo.video import write_video

__all__ = ["export_tars", "import_tars"]

MEDIA = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif", ".png", ".jpg", ".jpeg", ".webp", ".avif")
WORDS = (".txt", ".json")

Progress = Callable[[str, int, int], None]


def import_tars(
    tars: Sequence[Path], folder: Path, progress: Progress = lambda stage, done, total: None
) -> int:
    """Unpack the media and captions of tars into FOLDER/TAR/, a folder a tar, ready for a build. Returns files.

    A tar whose folder is there is passed over; each folder appears whole. Names in a tar lead nowhere but into it:
    slashes become underscores. Raises UserError for what is no tar, or is cut short, and for two of one name.
    """
    files, names = 0, [path.name.removesuffix(".tar") for path in tars]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"Two tars are called {twice}.tar: import them into folders of their own.")
    for done, path in enumerate(tars, start=1):
        place = folder / path.name.removesuffix(".tar")
        if not path.is_file():
            raise UserError(f"{path} does not exist.")
        if not place.exists():
            with whole_folder(place) as temporary:
                files += _unpack(path, temporary)
        progress("import", done, len(tars))
    return files


def _unpack(path: Path, folder: Path) -> int:
    stems: dict[str, str] = {}  # key -> what its files are called
    files = 0
    try:
        with tarfile.open(path, "r:*") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                key, dot, kind = name.name.partition(".")  # WebDataset: the key ends at the first point
                last = f".{kind.rpartition('.')[2].lower()}"
                if not (member.isfile() and dot and key and last in (*MEDIA, *WORDS)):
                    continue
                if "." in kind and last in WORDS:
                    continue  # such as KEY.camera.json, which is no caption
                whole = (name.parent / key).as_posix()
                if whole not in stems:
                    stems[whole] = _free(whole, set(stems.values()))
                file = folder / f"{stems[whole]}{last}"
                if file.exists():
                    raise UserError(f"{path} holds {member.name} twice: which one is meant it does not say.")
                source = tar.extractfile(member)
                assert source is not None
                with source, disk_errors(folder), file.open("xb") as copy:
                    shutil.copyfileobj(source, copy)
                files += 1
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"{path} is no tar, or is cut short: fetch it again.") from error
    return files


def _free(key: str, taken: set[str]) -> str:
    """A file's name, without its ending, for a key of a tar; none of those that are taken."""
    stem = re.sub(r"[^\w-]", "_", key).encode()[-150:].decode(errors="ignore")
    return next(name for name in chain([stem], (f"{stem}-{n}" for n in count(2))) if name not in taken)


def export_tars(
    out: Path,
    clips: Path,
    folder: Path,
    *,
    per_tar: int = 256,
    progress: Progress = lambda stage, done, total: None,
) -> tuple[int, int]:
    """Write the clips of a build as tars of KEY.mp4, KEY.txt (the exact caption) and KEY.json (all of its record).

    clips: the folder that `out` was built from; frames are cut from its files again. Returns clips written, and those
    left out because their file is gone or another. Tars that are there are replaced, each whole or not at all; those
    of an earlier export that had more are removed.
    """
    records = [
        record for shard in read_manifest(out).shards for record in read_shard(out / shard.name).records
    ]
    records.sort(key=lambda record: (record["file"], record["start"], record["first"]))
    written, total, tars = 0, len(records), set[str]()
    samples = _samples(records, clips)
    for number, first in enumerate(samples):
        name = f"clips-{number:06d}.tar"
        tars.add(name)
        with whole_file(folder / name) as temporary, tarfile.open(temporary, "w") as tar:
            for record, video in chain([first], islice(samples, per_tar - 1)):
                written += 1
                for kind, content in _files(record, video):
                    entry = tarfile.TarInfo(f"{record['clip']}.{kind}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
                progress("export", written, total)
    for path in folder.glob("clips-" + 6 * "[0-9]" + ".tar"):
        if path.name not in tars:
            path.unlink()
    return written, total - written


def _samples(records: list[dict[str, Any]], folder: Path) -> Iterator[tuple[dict[str, Any], Video]]:
    for name in dict.fromkeys(record["file"] for record in records):
        here = [record for record in records if record["file"] == name]
        path = folder / name
        try:
            if file_hash(path) != here[0]["sha256"]:
                continue
        except OSError:
            continue
        clips = [clip_of(record) for record in here]
        for record, frames in zip(here, read_clips(path, clips), strict=True):
            yield record, Video(frames=frames, fps=record["fps"])


def clip_of(record: dict[str, Any]) -> Clip:
    """The clip that a shard's record is of."""
    keys = ("file", "sha256", "shot", "start", "stop", "end", "first", "frames", "fps")
    values = {key: record[key] for key in keys}
    return Clip(id=record["clip"], size=tuple(record["size"]), box=tuple(record["box"]), **values)


def _files(record: dict[str, Any], video: Video) -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("clip.mp4" if len(video) > 1 else "clip.png")
        write_video(video, path)
        yield path.suffix[1:], path.read_bytes()
    yield "txt", record["captions"]["long"].encode()
    lines = list(dict.fromkeys(record["captions"].values()))
    yield (
        "json",
        json.dumps({"captions": lines, **{k: v for k, v in record.items() if k != "captions"}}).encode(),
    )
