"""`sorairo scene`: what a model would draw first, as a file to look at and to change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.terminal import safe

__all__ = ["EXAMPLES", "scene"]

EXAMPLES = """\b
Examples:
  sorairo scene "A green ball hits a yellow cube." -o hit.json --picture hit.png
  sorairo generate "A green ball hits a yellow cube." --scene hit.json
"""


def scene(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What happens, in words.", show_default=False)
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME|FOLDER", help="A model that draws scenes.")
    ] = "default",
    frames: Annotated[
        int | None, typer.Option(metavar="N", help="Frames of the clip. Default: the model's usual length.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same scene.")] = 0,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.json", help="The scene, to be changed by hand.")
    ] = Path("scene.json"),
    shown: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Also draw the objects' boxes at five moments."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Draw where the objects of a clip are, and its camera, without making the clip.

    The file says where each object is at each moment. Change it, and make the clip along it with `generate --scene`.
    """
    from sorairo.checkpoints.folder import load_checkpoint
    from sorairo.config import to_dict
    from sorairo.files import replacing
    from sorairo.generation.scenes import drawn_scene
    from sorairo.safety.policy import policy_of
    from sorairo.scenes.picture import draw_scene
    from sorairo.scenes.script import check_scene_file, write_scene
    from sorairo.video.sheet import check_sheet

    check_scene_file(out)
    if shown:
        check_sheet(shown)
    policy_of().check([prompt])
    drawn = drawn_scene(load_checkpoint(model, "fp32"), prompt, frames, seed)
    write_scene(drawn, out)
    if shown:
        with replacing(shown) as temporary:
            draw_scene(drawn).save(temporary)
    if as_json:
        print(json.dumps({"path": str(out), "seed": seed, "picture": shown and str(shown)} | to_dict(drawn)))
        return
    for one in drawn.objects:
        first, last = one.path[0], one.path[-1]
        way = f"from {first.x:+.2f},{first.y:+.2f} to {last.x:+.2f},{last.y:+.2f}"
        print(f"{one.colour} {one.shape}  {way}")
    print(f"{safe(out)}  scene, objects: {len(drawn.objects)}, seed {seed}")
    if shown:
        print(f"{safe(shown)}  picture")
