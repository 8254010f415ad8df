"""`sorairo expand`: a prompt as the long caption that the model would rather have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.text.expand import Expansion

__all__ = ["expand", "expanded"]

EXAMPLES = """\b
Examples:
  sorairo expand "red ball bouncing"
  sorairo expand "two blue cubes collide, pan left" --json
"""


def expand(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What happens, in words.")],
    still: Annotated[bool, typer.Option("--still", help="For one picture, not a clip.")] = False,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A chat server to rewrite it (OpenAI's protocol), not the grammar."),
    ] = None,
    chat_model: Annotated[
        str, typer.Option(metavar="NAME", help="With --url: which of the server's models.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Rewrite short words as a long caption, without changing what they say."""
    made = expanded(prompt, moving=not still, url=url, chat_model=chat_model)
    if as_json:
        facts = {"prompt": made.prompt, "text": made.text, "understood": made.understood}
        print(json.dumps(facts | {"added": list(made.added), "by": url or "grammar"}))
        return
    print(made.text)


def expanded(prompt: str, *, moving: bool = True, url: str | None = None, chat_model: str = "") -> Expansion:
    """What `--expand` makes of a prompt: by the world's grammar, or by a chat server. Raises UserError."""
    from sorairo.data.grammar import studio_grammar
    from sorairo.text import expand as expansion
    from sorairo.text.chat import chat_rewriter

    if chat_model and not url:
        raise UserError("--chat-model goes with --url, the address of the server that has it.")
    grammar = studio_grammar()
    if not url:
        return expansion.expand(prompt, grammar, moving=moving)
    examples = [(one, expansion.rewritten(one, grammar)) for one in grammar.examples]
    return expansion.expand(prompt, grammar, moving=moving, rewrite=chat_rewriter(url, chat_model, examples))
