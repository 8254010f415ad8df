"""What is public is named, exists, is documented, and is importable without side effects."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "sorairo").rglob("*.py")
    if "migrations" not in path.parts  # scripts that Alembic runs, not modules
)


@pytest.mark.parametrize("name", MODULES)
def test_public_names(name: str) -> None:
    module = importlib.import_module(name)
    empty = not Path(str(module.__file__)).read_text().strip()
    assert module.__doc__ or empty, f"{name} says nothing of itself"
    public = getattr(module, "__all__", [])
    assert sorted(public) == sorted(set(public))
    for entry in public:
        thing = getattr(module, entry)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert thing.__doc__, f"{name}.{entry} has no docstring"


def test_importing_everything_needs_no_extra_and_starts_nothing() -> None:
    """No thread, no file, no output, and none of the optional libraries."""
    program = f"""
import importlib, sys, threading
for name in {[name for name in MODULES if name != "sorairo.diffusers"]!r}:  # it exists for those who have diffusers
    importlib.import_module(name)
assert threading.active_count() == 1, threading.enumerate()
heavy = {{"mujoco", "moderngl", "tensorboard", "scipy", "diffusers", "accelerate", "pandas"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
