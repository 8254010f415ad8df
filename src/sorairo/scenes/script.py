"""Scenes as files that people write and change."""

from __future__ import annotations

import json
from pathlib import Path

from sorairo.config import from_json, to_dict
from sorairo.files import check_folder, replacing
from sorairo.tasks.scene import check_scene
from sorairo.types import Scene, UserError

__all__ = ["check_scene_file", "read_scene", "write_scene"]


def read_scene(path: Path) -> Scene:
    """The scene of a JSON file. Raises UserError, which names the file, for all that is not one."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the JSON file of a scene.")
    scene = from_json(Scene, path)
    try:
        check_scene(scene)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return scene


def check_scene_file(path: Path) -> None:
    """Raise UserError for a name that `write_scene` would refuse, before the work is done."""
    if path.suffix.lower() != ".json":
        raise UserError(f"{path} must end in .json.")
    check_folder(path)


def write_scene(scene: Scene, path: Path) -> None:
    """Write a scene as JSON, to be changed by hand and read again."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(to_dict(scene), indent=2) + "\n")
