"""docs/cli.md is the --help of every command, to the letter.

`PYTHONPATH=src python tests/cli/test_help_docs.py` writes it anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from sorairo.cli.main import app

PAGE = Path(__file__).parent.parent.parent / "docs" / "cli.md"
HEAD = """\
# The command line

What each command prints with `--help`. Every command exits with 0, with 2 and one sentence when something that you
gave or your machine needs a change, and with 130 after Ctrl-C. Files appear under their names whole or not at all.
`sorairo --install-completion` teaches your shell the commands and flags.
"""


def commands(command: Any, name: str) -> Iterator[str]:
    """The full name of a command and of all below it."""
    yield name
    for word, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {word}")


def page() -> str:
    parts = [HEAD]
    for name in commands(typer.main.get_command(app), "sorairo"):
        done = CliRunner().invoke(
            app,
            [*name.split()[1:], "--help"],
            prog_name="sorairo",
            env={"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"},
        )
        assert done.exit_code == 0, done.output
        text = re.sub(r" +$", "", done.output, flags=re.MULTILINE).strip()
        parts.append(f"## {name}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def test_page_is_what_help_prints() -> None:
    assert PAGE.read_text() == page(), "run: PYTHONPATH=src python tests/cli/test_help_docs.py"


if __name__ == "__main__":
    PAGE.write_text(page())
