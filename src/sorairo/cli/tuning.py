"""The options of `sorairo train finetune`, declared once; other recipes take none of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["Tuning"]


def option(words: str, *names: str) -> Any:
    return typer.Option(*names, help=f"finetune: {words}")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Each field is an option; None or empty: not given."""

    data: Annotated[Path | None, option("a folder that sorairo data build made; required.")] = None
    model: Annotated[str | None, option("the model to begin with. [default: single]", "--model", "-m")] = None
    full: Annotated[bool, option("train all weights instead of a LoRA.", "--full")] = False
    rank: Annotated[int | None, option("rank of the LoRA. [default: 16]")] = None
    alpha: Annotated[float | None, option("the LoRA is scaled by alpha / rank. [default: the rank]")] = None
    targets: Annotated[
        str | None,
        option(
            "layers that the LoRA changes: attention, words, feed_forward, comma-separated. [default: all]"
        ),
    ] = None
    rate: Annotated[float | None, option("learning rate. [default: by the model's width]")] = None
    tokens: Annotated[int | None, option("video tokens of a step. [default: 2592]")] = None
    packed: Annotated[
        bool,
        option(
            "a step has clips of all sizes and lengths, one behind another, not of one shape.", "--packed"
        ),
    ] = False
    held_out: Annotated[float | None, option("share of the files kept for validation. [default: 0.1]")] = None
    prompt: Annotated[list[str] | None, option("words of a sample sheet; may be repeated.")] = None
    sample_every: Annotated[
        int | None,
        option("steps between sample sheets and validation, 0 for never. [default: 100]"),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that the command line gave, by name."""
        values = asdict(self).items()
        return {
            name: value for name, value in values if value is not None and value is not False and value != []
        }
