"""`sorairo styles`: the presets for --style."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sorairo.cli.terminal import safe

__all__ = ["app"]

app = typer.Typer(help="Presets of words and settings for --style.", no_args_is_help=True)


@app.command("list")
def list_styles(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List the styles that ship, and your own."""
    from dataclasses import asdict

    from sorairo.prompts.styles import styles, user_file

    known = styles()
    if as_json:
        print(json.dumps({"styles": [asdict(style) for style in known.values()], "file": str(user_file())}))
        return
    for style in known.values():
        print(f"{safe(style.name):<12} {safe(style.about or style.words)}")
    print(f"Your own go into {user_file()} (SORAIRO_STYLES names another file).")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The style's name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Show the words and settings of a style."""
    from dataclasses import asdict

    from sorairo.prompts.styles import find_style

    values = asdict(find_style(name))
    if as_json:
        print(json.dumps(values))
        return
    for key, value in values.items():
        if value not in ("", None):
            print(f"{key:<9} {safe(value)}")
