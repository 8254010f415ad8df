"""A folder of files becomes a folder of shards. Each stage writes down what it finds, so it can be ended at any moment.

find -> hash -> look (shots and figures) -> choose -> captions -> plan shards -> encode -> report
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sorairo.data.build.choose import Verdict, choose
from sorairo.data.build.examine import Scenes, examine
from sorairo.data.build.figures import Shot
from sorairo.data.build.files import SourceFile, find_files
from sorairo.data.build.ledger import Ledger
from sorairo.data.build.make import Made
from sorairo.data.build.naming import write_captions
from sorairo.data.build.report import counts, write_reports, write_sheets
from sorairo.data.build.settings import DEFAULT_FILTERS, Target, read_filters
from sorairo.data.build.shards import Planned, check_disk, orders, plan_shards
from sorairo.data.build.work import Crew, Here, Load, make_with
from sorairo.data.captions.base import Captioner, Words
from sorairo.data.captions.sidecar import Sidecars
from sorairo.data.manifest import Encoding, Manifest, ShardEntry, read_manifest, write_manifest
from sorairo.data.shards import ShardError, read_shard
from sorairo.files import file_hash, only_process, write_once
from sorairo.types import UserError

__all__ = ["Outcome", "build"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a build came to. dropped: filter -> shots and files. written: shards made by this run. damaged: shards that
    were found with another hash. gone: files whose clips stay although they are no longer in the folder."""

    files: int
    new_files: int
    shots: int
    kept: int
    clips: int
    shards: int
    written: int
    dropped: dict[str, int]
    damaged: tuple[str, ...]
    sheets: tuple[Path, ...]


def build(
    folder: Path,
    out: Path,
    *,
    target: Target,
    encoding: Encoding,
    load: Load,
    check: Callable[[str], object] = lambda sentence: None,
    crew: Crew | None = None,
    encode_crew: Crew | None = None,
    captioner: Captioner | None = None,
    per_shard: int = 64,
    progress: Progress = lambda stage, done, total: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Outcome:
    """Build `out` from the clips of `folder`. The same call again goes on, and does only what is new.

    target: what the model takes. encoding: what it encodes with, and load: gives these encoders, in any process.
    check: raises UserError for a caption that is too long. crew, encode_crew: who looks at files, and who encodes.
    Raises UserError for folders that cannot be used, before anything is written; a file that cannot be used is a
    verdict.
    """
    crew, encode_crew = crew or Here(), encode_crew or Here()
    found, unread = find_files(folder, out)
    check_out(folder, out, encoding)
    sidecars = Sidecars(folder)
    with only_process(out, f"Another process builds {out}: wait for it, or choose another folder."):
        write_once(out / "filters.toml", DEFAULT_FILTERS.read_text())
        filters = read_filters(out / "filters.toml")
        with Ledger(out, filters.scenes) as ledger:
            files, failed, new = _known_files(found, ledger, crew, progress)
            shots = _known_shots(files, ledger, crew, progress, failed)
            named = [(one.name, sha256) for one, sha256 in files if sha256 in shots]
            if not any(not isinstance(shots[sha256], str) for _, sha256 in named) and not ledger.shards:
                first = next((shots[sha256] for _, sha256 in named), "none can be read")
                raise UserError(f"{folder} holds no clips: of {len(found)} files none is a video ({first}).")
            verdicts = choose(
                named,
                shots,
                filters,
                target,
                captions=sidecars.of,
                captioned=captioner is not None,
                check=check,
                taken={clip: file for shard in ledger.shards.values() for clip, file in shard},
            )
            verdicts += [
                Verdict(file=name, figures={}, by="unread", reason=why)
                for name, why in (unread | failed).items()
            ]
            words = {clip.id: Words(original=one.original) for one in verdicts for clip in one.clips}
            if captioner is not None:
                verdicts, words = write_captions(folder, verdicts, captioner, ledger, check, progress)
            planned = plan_shards(verdicts, words, ledger, out, per_shard, {sha256 for _, sha256 in files})
            todo = orders(planned, folder, out, ledger)
            check_disk(out, todo, encoding)
            for name in planned.damaged:
                say(f"{name} is damaged: it is not what was written; it is made again.")
            save = partial(_save_manifest, out, encoding, planned, ledger)
            save({order.path.name for order in todo})
            lost = _encode(todo, encode_crew, load, ledger, progress)
            verdicts = [_after(one, lost) for one in verdicts]
            write_reports(out, verdicts)
            sheets = write_sheets(out, verdicts, filters, ledger)
            manifest = save(set())
    return Outcome(
        files=len(found),
        new_files=new,
        shots=sum(1 for one in verdicts if one.shot),
        kept=sum(1 for one in verdicts if one.shot and not one.by),
        clips=manifest.clips,
        shards=len(manifest.shards),
        written=len(todo),
        dropped=counts(verdicts),
        damaged=planned.damaged,
        sheets=tuple(sheets),
    )


def check_out(folder: Path, out: Path, encoding: Encoding) -> None:
    """Refuse an output folder that holds something else, or what another model's codec made. Raises UserError."""
    if out.resolve() == folder.resolve():
        raise UserError("The output folder must be another one than the folder of clips.")
    if folder.resolve().is_relative_to(out.resolve()):
        raise UserError(f"The clips are inside {out}: choose an output folder beside them.")
    if (out / "data.json").exists():
        read_manifest(out).check(encoding, out)
    elif out.exists():
        if not out.is_dir():
            raise UserError(f"{out} is a file; give the name of a folder.")
        others = [path.name for path in out.iterdir() if path.name not in (".lock", "work", "filters.toml")]
        if others:
            raise UserError(f"{out} holds other files ({min(others)}): choose a new folder.")


def _hash(file: SourceFile) -> tuple[SourceFile, str, str]:
    """A file, the hash of its bytes, and what went wrong."""
    try:
        return file, file_hash(file.path), ""
    except OSError as error:
        return file, "", f"it cannot be read: {(error.strerror or str(error)).lower()}"


def _known_files(
    found: Sequence[SourceFile], ledger: Ledger, crew: Crew, progress: Progress
) -> tuple[list[tuple[SourceFile, str]], dict[str, str], int]:
    """The files with their hashes; why others failed; how many were not known before."""
    new = [one for one in found if ledger.files.get(one.name, ())[:2] != one.stamp]
    failed: dict[str, str] = {}
    for done, (file, sha256, why) in enumerate(crew.each(_hash, new), start=1):
        if why:
            failed[file.name] = why
        else:
            ledger.note_file(file.name, file.stamp, sha256)
        progress("hash", done, len(new))
    known = [(one, ledger.files[one.name][2]) for one in found if one.name not in failed]
    return known, failed, len(new)


def _look(scenes: Scenes, file: SourceFile) -> tuple[SourceFile, list[Shot] | str]:
    """A file and its shots, or why it has none; an empty reason where it was written to meanwhile."""
    try:
        shots: list[Shot] | str = examine(file.path, scenes)
    except UserError as error:
        shots = str(error).replace(f"{file.path} ", "it ").rstrip(".")
    try:
        state = file.path.stat()
        same = (state.st_size, state.st_mtime_ns) == file.stamp
    except OSError:
        same = False
    return file, shots if same else ""


def _known_shots(
    files: Sequence[tuple[SourceFile, str]],
    ledger: Ledger,
    crew: Crew,
    progress: Progress,
    failed: dict[str, str],
) -> Mapping[str, list[Shot] | str]:
    """The shots of every content. One that grows while it is read has failed: the next run looks again."""
    todo = {sha256: one for one, sha256 in files if sha256 not in ledger.shots}
    hashes = {one.name: sha256 for sha256, one in todo.items()}
    look = partial(_look, Scenes(**ledger_scenes(ledger)))
    for done, (file, shots) in enumerate(crew.each(look, todo.values()), start=1):
        if shots == "":
            failed[file.name] = "it was written to while it was read: run the same command again"
            ledger.note_file(file.name, (-1, 0), hashes[file.name])
        else:
            ledger.note_shots(hashes[file.name], shots)
        progress("look", done, len(todo))
    return ledger.shots


def ledger_scenes(ledger: Ledger) -> dict[str, float]:
    """The settings of [scenes]."""
    return {key: value for key, value in ledger.scenes.items() if key != "version"}


def _encode(
    todo: Sequence[Any], crew: Crew, load: Load, ledger: Ledger, progress: Progress
) -> dict[str, str]:
    lost: dict[str, str] = {}
    done, total = 0, sum(len(order.clips) for order in todo)
    sizes = {order.path.name: len(order.clips) for order in todo}
    made: Made
    for made in crew.each(partial(make_with, load), todo):
        ledger.note_written(made.name, made.sha256)
        lost |= made.lost
        done += sizes[made.name]
        progress("encode", done, total)
    return lost


def _after(one: Verdict, lost: Mapping[str, str]) -> Verdict:
    """The verdict once its clips were encoded: those that were lost are none."""
    if not any(clip.id in lost for clip in one.clips):
        return one
    left = tuple(clip for clip in one.clips if clip.id not in lost)
    if left:
        return replace(one, clips=left)
    return replace(one, clips=(), by="lost", reason=lost[one.clips[0].id])


def _save_manifest(
    out: Path, encoding: Encoding, planned: Planned, ledger: Ledger, unwritten: set[str]
) -> Manifest:
    """data.json, but for the shards that are still to be written."""
    shards, vocabulary = [], set[str]()
    for name in sorted(set(planned.shards) - unwritten):
        sha256 = ledger.hashes.get(name)
        if not sha256 or not (out / name).exists():
            continue
        try:
            shard = read_shard(out / name)
        except ShardError:  # it is in the orders
            continue
        size = (int(shard.info["size"][0]), int(shard.info["size"][1]))
        shards.append(
            ShardEntry(
                name=name, sha256=sha256, clips=len(shard), size=size, frames=int(shard.info["frames"])
            )
        )
        for record in shard.records:
            for line in record["captions"].values():
                vocabulary.update(re.findall(r"[a-z0-9']+", line.lower()))
    manifest = Manifest(
        encoding=encoding,
        shards=tuple(shards),
        clips=sum(one.clips for one in shards),
        complete=not unwritten,
        vocabulary=tuple(sorted(vocabulary)),
    )
    write_manifest(out, manifest)
    return manifest
