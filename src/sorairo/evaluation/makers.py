"""What is scored of a checkpoint, as plain functions: prompts -> clips, and a clip -> itself through the codec."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from sorairo.checkpoints.folder import Checkpoint
from sorairo.codec.through import through
from sorairo.evaluation.clips import ClipStore
from sorairo.evaluation.suites import Prompt, Suite
from sorairo.generation.generate import generate
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video
from sorairo.transformer.experts import Experts
from sorairo.types import Video

__all__ = ["clip_maker", "codec_maker", "fingerprint"]


def clip_maker(
    name: str,
    checkpoint: Checkpoint,
    suite: Suite,
    out: Path,
    steps: int | None = None,
    guidance: float | None = None,
) -> Callable[[Sequence[Prompt]], Iterable[Video]]:
    """prompts -> their clips in order, kept in `out` by seed, so that an interrupted evaluation goes on.

    steps, guidance: None takes the checkpoint's own. Raises UserError when `out` holds clips of another model.
    """

    def make(prompts: Sequence[Prompt]) -> list[Video]:
        plans = []
        for prompt in prompts:
            ask = Ask(
                size=prompt.size, frames=prompt.frames, seed=prompt.seed, steps=steps, guidance=guidance
            )
            plans.append(replace(text_to_video(prompt.text, checkpoint.abilities, ask), fps=prompt.fps))
        return [sample.video for sample in generate(plans, checkpoint)]

    store = ClipStore(out, suite, f"{name} {fingerprint(checkpoint)} steps={steps} guidance={guidance}")
    return partial(store.fill, make=make)


def codec_maker(checkpoint: Checkpoint) -> Callable[[Video], Video]:
    """clip -> clip, encoded and decoded by the checkpoint's codec."""
    return partial(through, checkpoint.codec, decode=checkpoint.pixels)


def fingerprint(checkpoint: Checkpoint) -> str:
    """Sixteen hex digits that change when any weight of what makes a clip does."""
    transformer, digest = checkpoint.transformer, hashlib.sha256()
    networks = (
        [transformer.at("high"), transformer.at("low")] if isinstance(transformer, Experts) else [transformer]
    )
    more = [part for part in (checkpoint.decoder, checkpoint.scene) if part]
    for part in (*networks, checkpoint.codec, *more):
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(
                f"{name} {tensor.double().sum().item():.12g} {tensor.double().norm().item():.12g}".encode()
            )
    return digest.hexdigest()[:16]
