"""`sorairo models pull | verify | rm`: models from a hub; and what any model needs, for `info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sorairo.cli.terminal import safe

if TYPE_CHECKING:
    from sorairo.checkpoints.memory.estimates import Ask, Blueprint

__all__ = [
    "folder_or_none",
    "needed",
    "needed_of_files",
    "parsed_ask",
    "print_needed",
    "pull",
    "register",
    "rm",
    "verify",
]

Repo = Annotated[
    str, typer.Argument(metavar="REPO", help="owner/name, or a short name such as dit-xl-2-256.")
]
Wanted = Annotated[
    str,
    typer.Argument(
        metavar="REPO[/PATH]", help="owner/name, owner/name/path/file.safetensors, or a short name."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


Size = Annotated[
    str | None, typer.Option(metavar="WxH", help="Estimate memory for this size.", show_default=False)
]
Frames = Annotated[
    int | None,
    typer.Option(metavar="N", help="Estimate memory for this number of frames.", show_default=False),
]
Count = Annotated[int, typer.Option(metavar="K", help="Estimate memory for this many pictures at once.")]
Dtype = Annotated[str, typer.Option(metavar="bf16|fp32|int8", help="Estimate memory in this precision.")]


def register(app: typer.Typer) -> None:
    """Add these verbs to `sorairo models`."""
    for command in (pull, verify, rm):
        app.command()(command)


def pull(
    repo: Wanted,
    revision: Annotated[
        str, typer.Option(metavar="REV", help="A branch, tag, commit or refs/pr/N.")
    ] = "main",
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The address of another hub. Default: HF_ENDPOINT.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download a model, or finish a download: only the files that are needed, checked by hash, no pickles.

    What diffusers, transformers or ComfyUI fetched before is found in their cache and not fetched again.

    Examples: sorairo models pull wan2.1-1.3b; sorairo models pull
    Comfy-Org/Wan_2.1_ComfyUI_repackaged/split_files/vae/wan_2.1_vae.safetensors
    """
    from sorairo.checkpoints.hub.pull import pull as pull_model

    with _Bytes("pull") as bar:
        done = pull_model(repo, revision=revision, endpoint=endpoint, progress=bar)
    if as_json:
        values = {"repo": done.manifest.repo, "folder": str(done.folder), "bytes": done.manifest.size}
        values |= {"path": str(done.path)}
        print(json.dumps(values | {"fetched": done.fetched, "left_out": list(done.left_out)}))
        return
    print(f"{safe(done.manifest.repo)}: {done.manifest.size / 1e9:.2f} GB in {safe(done.path)}")
    if done.left_out:
        print(f"left out, as pickles: {safe(', '.join(done.left_out))}")


def verify(model: Repo, as_json: AsJson = False) -> None:
    """Check a pulled model against the hub's hashes."""
    from sorairo.checkpoints.hub.store import folder_of, read_manifest, split_name
    from sorairo.checkpoints.hub.store import verify as verify_folder
    from sorairo.types import UserError

    model, _ = split_name(model)  # of a file, all that was pulled with it
    folder = folder_of(model)
    manifest = read_manifest(folder)
    total = manifest.size if manifest else 0
    read = 0

    with _Bytes("verify") as bar:

        def progress(count: int) -> None:
            nonlocal read
            read += count
            bar(model, read, total)

        faults = verify_folder(folder, progress)
    if as_json:
        print(json.dumps({"folder": str(folder), "faults": faults}))
    if faults:
        raise UserError(
            f"{' '.join(faults)} Mend it with: sorairo models rm {model}; sorairo models pull {model}"
        )
    if not as_json:
        print(f"{safe(folder)}: all {len(manifest.files) if manifest else 0} files are as they were pulled.")


def rm(
    repo: Repo,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a pulled model from this machine."""
    from sorairo.checkpoints.hub.store import folder_of, read_manifest, remove, split_name
    from sorairo.types import UserError

    owner, within = split_name(repo)
    if within:
        raise UserError(f"rm deletes all of {owner} that is here; give {owner} for that.")
    folder: Path = folder_of(repo)
    if read_manifest(folder) is not None and not yes:
        typer.confirm(f"Delete {folder}?", abort=True, err=True)
    freed = remove(repo)
    print(json.dumps({"freed": freed}) if as_json else f"{freed / 1e9:.2f} GB freed.")


def folder_or_none(model: str) -> Path | None:
    """The folder of a model; None for a published one that is not here but whose shapes are known."""
    from sorairo.checkpoints.folder import find_folder
    from sorairo.checkpoints.hub.store import SHORT_NAMES, find
    from sorairo.types import UserError

    repo = SHORT_NAMES.get(model.lower(), model)
    if repo in SHORT_NAMES.values() and not Path(model).exists():
        try:
            return find(repo)
        except UserError:
            return None
    return find_folder(model)


def located_or_name(model: str) -> str | Path:
    """Where a model is; the name of a published one that is not here."""
    from sorairo.checkpoints.find import located
    from sorairo.checkpoints.hub.store import SHORT_NAMES

    repo = SHORT_NAMES.get(model.lower(), model)
    return model if repo in SHORT_NAMES.values() and folder_or_none(model) is None else located(model)


def parsed_ask(size: str | None, frames: int | None, count: int) -> Ask | None:
    """What --size, --frames and --count ask for; None if nothing."""
    from sorairo.checkpoints.memory.estimates import Ask
    from sorairo.jobs.request import parsed_size
    from sorairo.types import UserError

    both = parsed_size(size)
    if both:
        return Ask(size=both, frames=frames or 1, count=count)
    if frames or count != 1:
        raise UserError("Give --size WxH too.")
    return None


def needed(repo: str, folder: Path | None, ask: Ask | None, dtype: str) -> dict[str, Any]:
    """Parameters, saved precision and memory as JSON values."""
    from sorairo.checkpoints.hub.store import check_complete
    from sorairo.checkpoints.original import check_class
    from sorairo.dit.estimates import blueprint

    if folder is not None:
        check_complete(folder)
        check_class(folder)
    place = {"folder": str(folder)} if folder else {}
    return _facts_of(blueprint(repo, folder), repo, ask, dtype) | place


def needed_of_files(model: str, ask: Ask | None, dtype: str) -> dict[str, Any]:
    """The same of a model of single files, and how its parts were found."""
    from sorairo.checkpoints.folder import open_model
    from sorairo.checkpoints.memory.estimates import layout_blueprint

    found = open_model(model)
    facts = _facts_of(layout_blueprint(found), found.info.name, ask, dtype)
    return facts | {"folder": str(found.folder), "notes": list(found.notes)}


def _facts_of(plan: Blueprint, repo: str, ask: Ask | None, dtype: str) -> dict[str, Any]:
    import torch

    from sorairo.checkpoints.folder import compute_dtype
    from sorairo.checkpoints.memory.pace import pace_of

    kind, rows = compute_dtype(dtype, int8=True), []
    pace = pace_of(plan, torch.device("cpu"))
    for one in [ask] if ask else plan.asks:
        kept, freed = plan.needs(one, kind, int8=dtype == "int8")
        step = {"step_seconds": pace.step_seconds(one)} if pace else {}
        rows.append({"makes": str(one), "kept": kept, "freed": freed} | step)
    parts = [{"name": p.name, "parameters": p.parameters, "saved_in": p.dtype} for p in plan.parts]
    facts = {"repo": repo, "parts": parts, "dtype": dtype, "memory": rows}
    return facts | ({"step_dtype": pace.dtype} if pace else {})


def print_needed(known: dict[str, Any]) -> None:
    """The same for people."""
    print(f"{safe(known['repo'])} ({safe(known.get('folder', 'not on this machine'))})")
    for part in known["parts"]:
        saved = f", saved in {part['saved_in']}" if part["saved_in"] else ""
        print(f"  {part['name']:<14} {part['parameters'] / 1e6:9.1f}M parameters{saved}")
    step = f"   a step here, in {known['step_dtype']}" if "step_dtype" in known else ""
    print(f"memory in {known['dtype']:<22} all weights kept   each part freed after use{step}")
    for row in known["memory"]:
        line = f"  {row['makes']:<30} {row['kept'] / 1e9:13.2f} GB {row['freed'] / 1e9:24.2f} GB"
        print(line + (f" {_duration(row['step_seconds']):>{len(step) - 1}}" if step else ""))
    for note in known.get("notes", ()):
        print(safe(note))


def _duration(seconds: float) -> str:
    """A time to two or three digits: 0.85 s, 43 s, 12 min, 3.1 h."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"


class _Bytes:
    """A progress bar of bytes on stderr; only in a terminal."""

    def __init__(self, verb: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        console = Console(stderr=True)
        columns = (BarColumn(24), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self.bars = Progress(
            TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal
        )
        self.verb = verb
        self.task = self.bars.add_task(verb, total=None)

    def __enter__(self) -> _Bytes:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def __call__(self, path: str, done: int, total: int) -> None:
        self.bars.update(self.task, description=path or self.verb, completed=done, total=total)
