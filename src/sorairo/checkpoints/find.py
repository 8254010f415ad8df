"""Where a model's folder is, and what it says of itself, without torch: a server answers before its models load."""

from __future__ import annotations

import re
from pathlib import Path

from sorairo.checkpoints.hub import store
from sorairo.checkpoints.info import ModelInfo
from sorairo.config import from_json
from sorairo.types import UserError

__all__ = ["find_folder", "located", "model_names", "own_info", "pulled_file"]

WEIGHTS = (".safetensors", ".gguf")
RENAMED = {"scenes": "default"}
"""Names that models had, which clips and scripts may still say."""
PAIR = re.compile(r"(high|low)=(.+),(high|low)=(.+)")


def models_folder() -> Path:
    return Path(__file__).parents[1] / "models"


def model_names() -> list[str]:
    """The models that ship in the package."""
    return sorted(path.parent.name for path in models_folder().glob("*/model_index.json"))


def find_folder(name_or_folder: str | Path) -> Path:
    """The folder of a model. Raises UserError where there is none."""
    path = Path(name_or_folder)
    if not str(name_or_folder).strip():
        raise UserError("The name of the model is empty; give a name, a folder or a file.")
    if path.is_file():
        if path.name == "model_index.json":
            return path.parent
        raise UserError(f"{path} is a file; give the folder of a checkpoint (the one with model_index.json).")
    if path.is_dir():
        return path
    names = model_names()
    name = RENAMED.get(str(name_or_folder), str(name_or_folder))
    if name in names:
        return models_folder() / name
    weights = path.suffix.lower() in WEIGHTS
    if weights:
        if (file := pulled_file(path)) != path:
            return file
        raise UserError(f"There is no file {path}; give the FILE of a model's weights.")
    if pulled := store.find(str(name_or_folder)):
        return pulled
    known = ", ".join([*names, *store.SHORT_NAMES])
    raise UserError(f"There is no model or folder {str(name_or_folder)!r}; give a folder or one of: {known}.")


def pulled_file(path: Path) -> Path:
    """A file of weights: itself, or the pulled one by that name of the hub ("owner/name/path"). Raises UserError for
    one that is not here."""
    of_hub = path.suffix.lower() in WEIGHTS and len(path.parts) > 2
    if not of_hub or path.exists() or path.parent.is_dir():
        return path
    return store.find(str(path)) or path


def located(model: str | Path) -> str | Path:
    """A model where it is on this machine: paths stay, and names of pulled files and models become paths. Raises
    UserError for those that are not here."""
    if pair := PAIR.fullmatch(str(model)):
        files = (pulled_file(Path(pair[2])), pulled_file(Path(pair[4])))
        return f"{pair[1]}={files[0]},{pair[3]}={files[1]}"
    if re.search(r"(^|,)(high|low)=", str(model)) or Path(model).is_file():
        return model
    return find_folder(model)


def own_info(folder: Path) -> ModelInfo | None:
    """ModelInfo of a checkpoint folder that has a sorairo.json; None for published models. Raises UserError."""
    if not ((folder / "model_index.json").is_file() and (folder / "sorairo.json").is_file()):
        return None
    store.check_complete(folder)
    return from_json(ModelInfo, folder / "sorairo.json")
