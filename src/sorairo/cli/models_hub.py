"""`sorairo models pull | verify | rm`: models from a hub, and what of them is on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["pull", "register", "rm", "verify"]

Repo = Annotated[
    str, typer.Argument(metavar="REPO", help="owner/name, or a short name such as dit-xl-2-256.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def register(app: typer.Typer) -> None:
    """Add these verbs to `sorairo models`."""
    for command in (pull, verify, rm):
        app.command()(command)


def pull(
    repo: Repo,
    revision: Annotated[
        str, typer.Option(metavar="REV", help="A branch, a tag, a commit or refs/pr/N.")
    ] = "main",
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Another hub; HF_ENDPOINT sets it too.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a model, or finish fetching it: only what is needed, checked by its hashes, never a pickle."""
    from sorairo.checkpoints.hub import pull as pull_model

    with _Bytes("pull") as bar:
        done = pull_model(repo, revision=revision, endpoint=endpoint, progress=bar)
    if as_json:
        values = {"repo": done.manifest.repo, "folder": str(done.folder), "bytes": done.manifest.size}
        print(json.dumps(values | {"fetched": done.fetched, "left_out": list(done.left_out)}))
        return
    print(f"{done.manifest.repo}: {done.manifest.size / 1e9:.2f} GB in {done.folder}")
    if done.left_out:
        print(f"left out, as pickles: {', '.join(done.left_out)}")


def verify(model: Repo, as_json: AsJson = False) -> None:
    """Read a pulled model again and compare it with the hashes that the hub gave."""
    from sorairo.checkpoints.store import find, read_manifest
    from sorairo.checkpoints.store import verify as verify_folder
    from sorairo.types import UserError

    folder = find(model)
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
        print(f"{folder}: all {len(manifest.files) if manifest else 0} files are as they were pulled.")


def rm(
    repo: Repo,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a pulled model from this machine."""
    from sorairo.checkpoints.store import folder_of, read_manifest, remove

    folder: Path = folder_of(repo)
    if read_manifest(folder) is not None and not yes:
        typer.confirm(f"Delete {folder}?", abort=True, err=True)
    freed = remove(repo)
    print(json.dumps({"freed": freed}) if as_json else f"{freed / 1e9:.2f} GB freed.")


class _Bytes:
    """A bar of bytes on stderr: live in a terminal, nothing in a log."""

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
        self.task = self.bars.add_task(verb, total=None)

    def __enter__(self) -> _Bytes:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def __call__(self, path: str, done: int, total: int) -> None:
        self.bars.update(self.task, description=path, completed=done, total=total)
