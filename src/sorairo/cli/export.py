"""`sorairo export`: a model in the layout that another program reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.terminal import safe

__all__ = ["EXAMPLES", "export"]

EXAMPLES = """\b
Examples:
  sorairo export default my-model --layout original
  sorairo export default my-model --lora runs/mine/run/export/lora.safetensors
"""


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or folder of the model.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.")],
    layout: Annotated[
        str,
        typer.Option(
            metavar="diffusers|original",
            help="diffusers: for WanPipeline. original: Wan's own tensor names, for ComfyUI and others.",
        ),
    ] = "diffusers",
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:WEIGHT]",
            help="Add a LoRA to the weights, such as one that sorairo train finetune made; may be repeated.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Write a model in another layout, so that it opens in other software. Weights change by --lora alone."""
    from sorairo.checkpoints.export import export as export_model
    from sorairo.checkpoints.folder import find_folder
    from sorairo.dit.folder import is_class_folder
    from sorairo.types import UserError

    source = find_folder(model)
    if is_class_folder(source):
        raise UserError(f"{model} is a DiT, whose folder is in diffusers' layout already; there is no other.")
    export_model(source, folder, layout, lora or ())
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if as_json:
        print(json.dumps({"folder": str(folder), "layout": layout, "bytes": size}))
    else:
        print(f"{safe(folder)}: {size / 1e6:.0f} MB in the {layout} layout")
