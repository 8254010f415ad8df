"""`sorairo models`: which models there are, and what one of them knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sorairo.cli import models_hub
from sorairo.cli.terminal import safe

__all__ = ["app"]

app = typer.Typer(
    help="Models on this machine and on a hub: what each can make and needs.", no_args_is_help=True
)
models_hub.register(app)


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List the models that ship in the package, those that were pulled, and those that can be."""
    from sorairo.checkpoints.folder import find_folder, model_names
    from sorairo.checkpoints.hub.store import SHORT_NAMES, cached, pulled

    models = [facts(find_folder(name)) for name in model_names()]
    here = [
        {
            "name": manifest.repo,
            "folder": str(folder),
            "megabytes": manifest.size / 1e6,
            "complete": manifest.complete,
        }
        for folder, manifest in pulled()
    ]
    here += [
        {"name": repo, "folder": str(folder), "megabytes": _megabytes(folder), "complete": None}
        for repo, folder in cached({model["name"] for model in here})
    ]
    have = {model["name"] for model in here}
    others = {name: repo for name, repo in SHORT_NAMES.items() if repo not in have}
    if as_json:
        print(json.dumps({"models": models, "pulled": here, "to_pull": others}))
        return
    if not models:
        print("No model is in the package; `sorairo train` makes one.")
    for model in models:
        width, height = model["sizes"][0]
        print(
            f"{safe(model['name']):<12} {width}x{height}, up to {model['seconds']:g} s, "
            f"{model['megabytes']:.0f} MB, {safe(model['licence'])}"
        )
    for model in here:
        state = {True: "pulled", False: "half pulled", None: "in the cache of huggingface_hub"}[
            model["complete"]
        ]
        print(f"{safe(model['name'])}  {model['megabytes']:.0f} MB, {state}")
    print("To be had by `sorairo models pull NAME`:")
    for name, repo in others.items():
        print(f"  {name:<22} {repo}")


@app.command()
def info(
    model: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER|FILE", help="Name, folder or file of the model.")
    ] = "default",
    memory: Annotated[bool, typer.Option("--memory", help="Also print how much memory it needs.")] = False,
    size: models_hub.Size = None,
    frames: models_hub.Frames = None,
    count: models_hub.Count = 1,
    dtype: models_hub.Dtype = "bf16",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Show what a model can make, its words, scores and needs. Nothing is loaded."""
    from sorairo.checkpoints.beside import is_files
    from sorairo.checkpoints.hub.store import SHORT_NAMES

    if is_files(models_hub.located_or_name(model)):
        known = models_hub.needed_of_files(model, models_hub.parsed_ask(size, frames, count), dtype)
        print(json.dumps(known)) if as_json else models_hub.print_needed(known)
        return
    folder = models_hub.folder_or_none(model)
    ours = folder is not None and (folder / "sorairo.json").is_file()
    known = facts(folder) if folder and ours else {}
    if memory or size or frames or not ours:
        repo = SHORT_NAMES.get(model.lower(), model)
        ask = models_hub.parsed_ask(size, frames, count)
        known |= models_hub.needed(repo, folder, ask, dtype)
    if as_json:
        print(json.dumps(known))
        return
    if ours:
        print_facts(known)
    if "memory" in known:
        models_hub.print_needed(known)


def print_facts(known: dict[str, Any]) -> None:
    """What sorairo.json says, a line each."""
    sizes = ", ".join(f"{width}x{height}" for width, height in known["sizes"])
    lines = {
        "name": known["name"],
        "folder": known["folder"],
        "size": f"{known['megabytes']:.0f} MB on disk",
        "makes": f"{sizes}; 1 to {known['max_frames']} frames at {known['fps']:g} a second",
        "unsaid": f"{known['default_frames']} frames, {known['default_steps']} steps, "
        f"guidance {known['default_guidance']:g}"
        + (f", {known['low_noise_guidance']:g} for low noise" if known["low_noise_guidance"] else ""),
        "scene": "drawn before the picture, for clips that begin from words" if known["scene"] else "",
        "trained": f"{known['steps_trained']} steps of {known['recipe']}" if known["recipe"] else "not said",
        "scores": ", ".join(f"{name} {value}" for name, value in known["scorecard"].items())
        or "not measured",
        "licence": known["licence"],
        "words": " ".join(known["vocabulary"]) or "not listed",
    }
    for name, text in lines.items():
        if text:
            print(paragraph(name, safe(text)))


def facts(folder: Path) -> dict[str, Any]:
    """sorairo.json, where it is, and how large."""
    from sorairo.checkpoints.folder import read_info
    from sorairo.config import to_dict

    values = to_dict(read_info(folder))
    return values | {
        "folder": str(folder),
        "scene": (folder / "scene").is_dir(),
        "megabytes": round(_megabytes(folder), 1),
        "seconds": values["max_frames"] / values["fps"],
    }


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def paragraph(name: str, text: str, width: int = 100) -> str:
    """`text` wrapped behind its name."""
    import textwrap

    return textwrap.fill(text, width, initial_indent=f"{name:<10}", subsequent_indent=" " * 10)
