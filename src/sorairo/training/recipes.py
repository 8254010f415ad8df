"""Finding a recipe: a Python file with build(run_dir) -> (objective, config), and perhaps data(run_dir, everything)
and recaption(run_dir).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from sorairo.training.loop import Objective, TrainConfig
from sorairo.types import UserError

__all__ = ["Recipe", "load_recipe"]

CHECKOUT = Path(__file__).parents[3] / "recipes"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """build: what is trained, in a run folder. data: makes what it learns from, resumable: enough to begin,
    or everything. recaption: rewrites its clips' captions. None where there is nothing to make. options: what the
    command line gave by name -> what build takes beside the folder, for recipes that are set there.
    """

    name: str
    build: Callable[..., tuple[Objective, TrainConfig]]
    data: Callable[[Path, bool], None] | None
    recaption: Callable[[Path], tuple[int, int]] | None = None
    options: Callable[[dict[str, Any]], Any] | None = None


def load_recipe(name: str, folder: Path | None = None) -> Recipe:
    """By name (recipes/NAME.py in `folder`, the working folder or this checkout) or by the path of a .py file.

    Raises UserError that lists the recipes there are.
    """
    folder = folder or Path("recipes")
    if not (folder / f"{name}.py").is_file() and (CHECKOUT / f"{name}.py").is_file():
        folder = CHECKOUT
    path = Path(name) if name.endswith(".py") else folder / f"{name}.py"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))
        there = f"the recipes here are {', '.join(known)}" if known else f"there is no folder {folder} here"
        raise UserError(f"There is no recipe {name!r}; {there}.")
    module = _load(path)
    if not hasattr(module, "build"):
        raise UserError(f"{path} is no recipe: it has no function build(run_dir).")
    return Recipe(
        name=path.stem,
        build=module.build,
        data=getattr(module, "data", None),
        recaption=getattr(module, "recaption", None),
        options=getattr(module, "options", None),
    )


def _load(path: Path) -> ModuleType:
    name = f"sorairo_recipe_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{path} is not valid Python (line {error.lineno}).") from error
    return module
