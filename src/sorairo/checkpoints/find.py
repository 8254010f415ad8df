"""Where a model's folder is, and what it says of itself, without torch: a server answers before its models load."""

from __future__ import annotations

from pathlib import Path

from sorairo.checkpoints.hub import store
from sorairo.checkpoints.info import ModelInfo
from sorairo.config import from_json
from sorairo.types import UserError

__all__ = ["find_folder", "model_names", "own_info"]


def models_folder() -> Path:
    return Path(__file__).parents[1] / "models"


def model_names() -> list[str]:
    """The models that ship in the package."""
    return sorted(path.parent.name for path in models_folder().glob("*/model_index.json"))


def find_folder(name_or_folder: str | Path) -> Path:
    """The folder of a model. Raises UserError where there is none."""
    path = Path(name_or_folder)
    if path.is_file():
        if path.name == "model_index.json":
            return path.parent
        raise UserError(f"{path} is a file; give the folder of a checkpoint (the one with model_index.json).")
    if path.is_dir():
        return path
    names = model_names()
    if str(name_or_folder) in names:
        return models_folder() / str(name_or_folder)
    if pulled := store.find(str(name_or_folder)):
        return pulled
    if path.suffix.lower() in (".safetensors", ".gguf"):
        raise UserError(f"There is no file {path}; give the FILE of a model's weights.")
    known = ", ".join([*names, *store.SHORT_NAMES])
    raise UserError(f"There is no model or folder {str(name_or_folder)!r}; give a folder or one of: {known}.")


def own_info(folder: Path) -> ModelInfo | None:
    """ModelInfo of a checkpoint folder that has a sorairo.json; None for published models. Raises UserError."""
    if not ((folder / "model_index.json").is_file() and (folder / "sorairo.json").is_file()):
        return None
    store.check_complete(folder)
    return from_json(ModelInfo, folder / "sorairo.json")
