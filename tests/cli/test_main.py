"""The front door: help, version, completion, and how quickly it opens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sorairo.cli.main import app

SRC = Path(__file__).parent.parent.parent / "src"
START = f"import sys; sys.path.insert(0, {str(SRC)!r}); from sorairo.cli.main import run\n"


def sorairo(*arguments: str, program: str = "run()") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START + program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_loads_nothing_heavy() -> None:
    """So that it opens in a fraction of a second."""
    heavy = "{'torch', 'av', 'PIL', 'transformers', 'mujoco', 'moderngl', 'tensorboard', 'rich', 'pydantic'}"
    done = sorairo(
        "--help", program=f"try: run()\nfinally: print(*{heavy} & set(sys.modules), file=sys.stderr)"
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
    for verb in ("generate", "models", "worlds", "train", "eval"):
        assert f"  {verb} " in done.stdout


def test_a_video_needs_no_compiler(tiny_folder: Path, tmp_path: Path) -> None:
    """Importing one takes a second or more."""
    heavy = "{'torch._dynamo', 'torch._inductor', 'transformers', 'diffusers'}"
    words = (
        "a red ball",
        "-m",
        str(tiny_folder),
        "--frames",
        "1",
        "--steps",
        "1",
        "-o",
        str(tmp_path / "a.png"),
    )
    program = f"try: run()\nfinally: print('heavy:', *{heavy} & set(sys.modules), file=sys.stderr)"
    done = sorairo("generate", *words, program=program)
    assert done.returncode == 0 and done.stderr.rstrip().endswith("heavy:"), done.stderr


def test_version() -> None:
    done = sorairo("--version")
    assert done.returncode == 0 and done.stdout.startswith("sorairo 0.")


def test_no_command_shows_help() -> None:
    assert "generate" in sorairo().stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("draw",), "No such command"),
        (("generate",), "PROMPT"),
        (("generate", "a", "--frames", "many"), "--frames"),
        (("generate", "a", "--nothing"), "--nothing"),
    ],
)
def test_usage_errors_are_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = sorairo(*arguments)
    assert done.returncode == 2 and not done.stdout
    assert words in done.stderr and "--help" in done.stderr and done.stderr.count("\n") == 1


def test_shell_completion(monkeypatch: pytest.MonkeyPatch) -> None:
    # else it asks which shell started the tests, and there may be none among their parents
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    done = CliRunner().invoke(app, ["--show-completion", "bash"], prog_name="sorairo")
    assert done.exit_code == 0 and "_SORAIRO_COMPLETE" in done.output
