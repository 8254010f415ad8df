"""docs/cli.md is the --help of every command, with the options that verbs share printed once.

`PYTHONPATH=src python tests/cli/test_help_docs.py` writes it again.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.cli.options import Options, with_options

PAGE = Path(__file__).parent.parent.parent / "docs" / "cli.md"
EVERYWHERE = ("Print one JSON object on stdout.", "Show this message and exit.")
WIDE = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
HEAD = """\
# The command line

What each command prints with `--help`. The options that all verbs share stand here once; each command lists its own.
Every command takes `-h, --help`, most take `--json` (one JSON object on stdout), and `sorairo --version` prints the
version. A command exits with 0; with 2 and one sentence when your input or your machine needs a change; with 130 after
Ctrl-C. An output file appears under its name whole or not at all. `sorairo --install-completion` teaches your shell the
commands and options.

## Options of every verb

"""


@with_options()
def verb(options: Options) -> None:
    """A verb with nothing of its own."""


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The full name of a command and of all below it."""
    yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {word}")


def context_of(command: Any, name: str) -> Any:
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "terminal_width": 110}
    return command.make_context(name, [], resilient_parsing=True, **settings)


def table(context: Any, parameters: list[Any]) -> str:
    """Options and arguments with their help, as --help prints them."""
    formatter = context.make_formatter()
    if records := [record for one in parameters if (record := one.get_help_record(context))]:
        formatter.write_dl(records)
    return trimmed(formatter.getvalue())


def trimmed(text: str) -> str:
    return re.sub(r" +$", "", text.replace("\b\n", ""), flags=re.MULTILINE).strip("\n")


def verb_command() -> Any:
    alone = typer.Typer(rich_markup_mode=None, add_completion=False)
    alone.command()(verb)
    return typer.main.get_command(alone)


def same(one: Any, other: Any) -> bool:
    return all(getattr(one, key) == getattr(other, key) for key in ("opts", "help", "metavar", "default"))


def section(name: str, command: Any, common: dict[str, Any]) -> str:
    """One command: what it does, its usage, its own options, its examples."""
    context = context_of(command, name)
    note = " ".join((command.help or "").split())
    own = {one.name: one for one in command.get_params(context)}
    if {"style", "lora"} <= own.keys():
        lacks = [f"`{one.opts[0]}`" for key, one in common.items() if key not in own]
        note += f" Also the [options of every verb](#options-of-every-verb){' but ' if lacks else ''}"
        note += f"{', '.join(lacks)}."
    shown = [one for key, one in own.items() if not (key in common and same(one, common[key]))]
    parts = [
        context.command.get_usage(context).removeprefix("Usage: "),
        table(context, [one for one in shown if one.help not in EVERYWHERE]),
        trimmed(command.epilog or ""),
    ]
    text = "\n\n".join(part for part in parts if part)
    return f"## {name}\n\n{textwrap.fill(note, 118, break_on_hyphens=False)}\n\n```text\n{text}\n```\n"


def page() -> str:
    every = verb_command()
    parts = [f"{HEAD}```text\n{table(context_of(every, 'verb'), every.params)}\n```\n"]
    common = {one.name: one for one in every.params}
    for name, command in commands(typer.main.get_command(app), "sorairo"):
        if not getattr(command, "commands", None):
            parts.append(section(name, command, common))
    return "\n".join(parts)


def test_page_is_what_help_prints() -> None:
    assert PAGE.read_text() == page(), "run: PYTHONPATH=src python tests/cli/test_help_docs.py"


def test_help_of_a_verb_has_every_option() -> None:
    """What the page leaves out is in what the command prints."""
    done = CliRunner().invoke(app, ["extend", "--help"], prog_name="sorairo", env=WIDE)
    assert done.exit_code == 0
    for one in verb_command().params:
        assert one.opts[0] in done.output


if __name__ == "__main__":
    PAGE.write_text(page())
