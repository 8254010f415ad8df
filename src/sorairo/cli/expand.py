"""`sorairo expand`: a prompt as the long caption that the model would rather have."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sorairo.cli.terminal import safe

__all__ = ["expand"]

EXAMPLES = """\b
Examples:
  sorairo expand "red ball bouncing"
  sorairo expand "two blue cubes collide, pan left" --json
"""


def expand(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What happens, in words.")],
    still: Annotated[bool, typer.Option("--still", help="Expand for a picture, not for a clip.")] = False,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Rewrite with this chat server (OpenAI's protocol), not with the grammar."
        ),
    ] = None,
    chat_model: Annotated[
        str, typer.Option(metavar="NAME", help="With --url: the name of the server's model.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Rewrite a short prompt as a long caption that says the same and more."""
    from sorairo.jobs.words import expanded

    made = expanded(prompt, moving=not still, url=url, chat_model=chat_model)
    if as_json:
        facts = {"prompt": made.prompt, "text": made.text, "understood": made.understood}
        print(json.dumps(facts | {"added": list(made.added), "by": url or "grammar"}))
        return
    print(safe(made.text))
