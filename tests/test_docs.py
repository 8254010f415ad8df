"""Every command in the README and in docs/ runs, every link leads somewhere, every --help is the one in docs/cli.md.

A fenced block marked `bash` or `sh` is run line by line, a block marked `python` as a program; the blocks of one page
share a folder of their own and run in order. A second word after the language says more:

    bash slow      minutes as it stands: with the slow tests, in the reduced form of REDUCED
    bash skip      cannot run in a test; the page must say why

The default model is replaced by a tiny one with random weights and `make` by `make --dry-run` in the repository.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.checkpoints.save import save_checkpoint
from sorairo.scenes.model import SceneModel
from sorairo.transformer.model import Transformer
from tests.scenes.conftest import CONFIG

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^ *```(bash|sh|console|python)(?: (slow|skip))?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)")

# What takes hours, in a form that takes seconds.
REDUCED = [
    (r"^sorairo train default --run (\S+) --decay \d+", r"sorairo train tiny --run \1 --decay 3"),
    (r"^sorairo train default --run (\S+)", r"sorairo train tiny --run \1"),
    (r"^sorairo worlds render --seeds 0:\d+", r"sorairo worlds render --seeds 0:2"),
    (r"^sorairo eval world", r"sorairo eval world --prompts 2 --no-distances"),
    (r"^sorairo eval verbs.*", r"sorairo eval verbs --clips 1 --only still,loop,edit"),
    (r"^python bench/upscale.py --clips \d+", r"python bench/upscale.py --clips 1"),
]


@dataclass(frozen=True, kw_only=True)
class Block:
    page: Path
    line: int
    language: str
    mark: str
    text: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            page=page,
            line=text[: found.start()].count("\n") + 1,
            language=found[1],
            mark=found[2] or "",
            text=textwrap.dedent(found[3]),
        )
        for found in FENCE.finditer(text)
    ]


def pages_with(mark: str) -> list[Path]:
    return [page for page in PAGES if any(block.mark == mark for block in blocks(page))]


def commands(block: Block) -> str:
    """A block as one shell program or one Python program."""
    lines = block.text.splitlines()
    if block.language == "console":  # "$ command", then what it prints
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    if block.mark == "slow":
        for pattern, shorter in REDUCED:
            lines = [re.sub(pattern, shorter, line) for line in lines]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A folder of models in which the tiny one is called default and allows what the pages ask for."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny_folder, folder / "single")
    info = json.loads((folder / "single" / "sorairo.json").read_text())
    info |= {
        "name": "single",
        "sizes": [[96, 96], [128, 96], [96, 128]],
        "max_frames": 33,
        "default_steps": 1,
        "text_len": 60,
    }
    (folder / "single" / "sorairo.json").write_text(json.dumps(info))
    shutil.copytree(folder / "single", folder / "fast")
    model = load_checkpoint(folder / "single", "fp32")
    scene = SceneModel(replace(CONFIG, frames=9, text_len=60))
    scene.transformer.init_weights()
    assert isinstance(model.transformer, Transformer)
    save_checkpoint(
        folder / "default",
        model.codec,
        model.transformer,
        folder / "single",
        replace(model.info, name="default"),
        shift=3.0,
        scene=scene,
    )
    return folder


@pytest.fixture(scope="session")
def bin_folder(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """`sorairo`, `python` and `make` as the pages call them."""
    folder = tmp_path_factory.mktemp("bin")
    start = f"import sys; sys.path[:0] = [{str(ROOT / 'src')!r}, {str(ROOT)!r}]\n"
    start += "from pathlib import Path\nimport sorairo.checkpoints.find as find\n"
    start += f"find.models_folder = lambda: Path({str(models)!r})\n"
    scripts = {
        "sorairo": f"#!{sys.executable}\n{start}from sorairo.__main__ import run\nrun()\n",
        "python": f"#!{sys.executable}\n{start}import runpy; del sys.argv[0]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n",
        "make": f'#!/bin/sh\nexec /usr/bin/env PATH="$OUTER_PATH" make -C {ROOT} --dry-run "$@" >/dev/null\n',
    }
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def run_page(page: Path, marks: tuple[str, ...], bin_folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    (tmp_path / "bench").symlink_to(ROOT / "bench")
    (tmp_path / "docs" / "images").mkdir(parents=True)
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "OUTER_PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    for block in blocks(page):
        if block.mark not in marks:
            continue
        program = tmp_path / f"block_{block.line}.{'py' if block.language == 'python' else 'sh'}"
        program.write_text(commands(block))
        command = ["python", str(program)] if block.language == "python" else ["bash", "-eu", str(program)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{page.name}:{block.line}\n{block.text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", pages_with(""), ids=lambda page: page.name)
def test_commands_run(page: Path, bin_folder: Path, tmp_path: Path) -> None:
    run_page(page, ("",), bin_folder, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("slow"), ids=lambda page: page.name)
def test_long_commands_run(page: Path, bin_folder: Path, tmp_path: Path) -> None:
    run_page(page, ("slow",), bin_folder, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_in_fenced_blocks(page: Path) -> None:
    """A command that is only indented would not be run."""
    outside = FENCE.sub(
        "", re.sub(r"^```text\n.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    )
    found = re.findall(r"^ +(?:\$ |sorairo |make |python |pip ).*$", outside, re.MULTILINE)
    assert not found, f"{page.name}: {found}"


@pytest.mark.parametrize("page", pages_with("skip"), ids=lambda page: page.name)
def test_pages_say_why_a_block_is_not_run(page: Path) -> None:
    text = " ".join(page.read_text().split())
    assert re.search(r"[Nn]ot run|[Nn]o test|not in a test|that no test can", text), f"{page.name}: say why"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    shown = re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.DOTALL)
    for target, anchor in LINK.findall(shown):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{page.name} links to {target}, which does not exist"
        assert place.is_relative_to(ROOT), f"{page.name} links out of the repository: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", place.read_text(), re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor[1:] in known, f"{page.name} links to {target}{anchor}, which does not exist"
