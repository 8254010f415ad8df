"""`sorairo verify`: who made a file, by what, and whether it was changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sorairo.cli.terminal import safe

if TYPE_CHECKING:
    from sorairo.safety.verify import Part, Report

__all__ = ["EXAMPLES", "verify"]

EXAMPLES = """Examples:

  sorairo verify ball.mp4

  sorairo verify ball.mp4 --json

  sorairo verify theirs.png --trust their-chain.pem

Exit codes: 0 signed by this installation or a trusted signer, and unchanged; 1 changed; 3 unchanged, but the signer
is not known here; 4 no credentials; 2 the file cannot be read."""

CODES = {"trusted": 0, "changed": 1, "unknown signer": 3, "no credentials": 4}
SAID = {
    "trusted": "signed by a signer that is trusted here, and unchanged",
    "changed": "CHANGED after it was signed, or its credentials are broken",
    "unknown signer": "signed and unchanged, but nobody here knows the signer",
    "no credentials": "no credentials; they may have been removed, which anybody can do",
}


def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A video or picture; a WebM has its .c2pa beside it.")
    ],
    trust: Annotated[
        list[Path] | None,
        typer.Option(metavar="PEM", help="Also trust the certificates in this file; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Check a file's credentials: who made it, by what, from which parts, and whether it was changed."""
    from sorairo.safety.verify import verify as verified

    report = verified(file, tuple(trust or ()))
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        print(f"{safe(file)}: {SAID[report.state]}")
        for name, text in lines(report):
            print(f"{name:<9} {safe(text)}")
    raise typer.Exit(CODES[report.state])


def lines(report: Report) -> Iterator[tuple[str, str]]:
    """(name, text) of all that the credentials say."""
    if report.state == "no credentials":
        return
    made = dict(report.made)
    told = [
        ("signer", report.signer + (f", {report.signed}" if report.signed else "")),
        ("made by", model_of(report.generator, made)),
        ("verb", str(made.get("verb", ""))),
        ("prompt", str(made.get("prompt", ""))),
        ("source", report.source),
        ("pictures", report.pictures),
        ("sound", report.sound),
        ("safety", verdict(report.safety)),
        ("reasons", ", ".join(report.reasons)),
    ]
    yield from ((name, text) for name, text in told if text)
    for depth, one in parts(report.inputs):
        yield "made from" if depth == 0 else "", "  " * depth + part(one)


def model_of(generator: str, made: dict[str, Any]) -> str:
    weights = made.get("model_sha256")
    model = f", model {made['model']}" if made.get("model") else ""
    return generator + model + (f" (weights {str(weights)[:12]})" if weights else "")


def verdict(safety: dict[str, Any] | None) -> str:
    """The claimed verdict in a line."""
    if not safety:
        return ""
    lifted = f"; the operator lets pass {', '.join(safety.get('lifted', []))}" if safety.get("off") else ""
    return f"{safety.get('action', '')} by policy {safety.get('policy_version', '')}{lifted}"


def parts(inputs: tuple[Part, ...], depth: int = 0) -> Iterator[tuple[int, Part]]:
    """The tree of inputs from the top."""
    for one in inputs:
        yield depth, one
        yield from parts(one.inputs, depth + 1)


def part(one: Part) -> str:
    """One input in a line."""
    made = ", ".join(str(one.made[name]) for name in ("verb", "model") if one.made.get(name))
    who = f"{one.generator}: {made}" if made else one.generator
    return f"{one.title} ({'; '.join(text for text in (who, one.state, one.note) if text)})"
