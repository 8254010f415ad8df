"""The scene of a clip that begins from nothing: drawn before its picture, by models that have a scene/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.checkpoints.folder import Checkpoint
    from sorairo.scenes.tracks import Tracks
    from sorairo.text.encoder import TextStates
    from sorairo.types import Plan

__all__ = ["drawn_tracks", "longest", "notes_of_scene", "scene_tokens"]

STREAM = 0x5CE7E  # keeps a scene's noise apart from the picture's, whose seed is the same


def scene_tokens(
    model: Checkpoint,
    words: TextStates,
    nothing: TextStates,
    size: tuple[int, int],
    frames: int,
    seed: int,
) -> dict[str, torch.Tensor]:
    """The keyword argument `scene` (2 t s d) of the picture's transformer; none for a clip longer than a scene.

    The first is the prompt's, the second zero: the prediction without words knows no scene either, so guidance follows
    both (docs/scene.md). words, nothing: the states of the prompt and of the negative words. size: (width, height).
    """
    scene, codec = model.scene, model.codec.config
    assert scene is not None
    length = 1 + (frames - 1) // codec.time_factor
    if frames > longest(model):
        return {}
    tracks = scene.tracks(words, nothing, length, _generator(seed))
    width, height = (side // codec.space_factor for side in size)
    tokens = scene.tokens(tracks, (height, width))
    return {"scene": torch.cat([tokens, torch.zeros_like(tokens)])}


def drawn_tracks(model: Checkpoint, prompt: str, frames: int, seed: int) -> Tracks:
    """The tracks that a clip of this prompt and seed is made along. frames: of the clip, at most those of a scene.

    Raises UserError where the model draws none.
    """
    if model.scene is None:
        raise UserError(f"{model.info.name} draws no scenes.")
    if frames > longest(model):
        raise UserError(f"{model.info.name} draws scenes of at most {longest(model)} frames, not {frames}.")
    length = 1 + (frames - 1) // model.codec.config.time_factor
    return model.scene.tracks(model.text.encode([prompt]), model.text.encode([""]), length, _generator(seed))


def longest(model: Checkpoint) -> int:
    """The most frames of a scene; 0 where the model draws none."""
    return 1 + (model.scene.config.frames - 1) * model.codec.config.time_factor if model.scene else 0


def notes_of_scene(plan: Plan, model: Checkpoint) -> tuple[str, ...]:
    """A sentence where a model that draws scenes makes a clip without one."""
    if model.scene is None or (not plan.known and plan.frames <= longest(model)):
        return ()
    return (
        f"{model.info.name} draws a scene first for clips of up to {longest(model)} frames from words alone; "
        "this one is made without, so its objects may merge or lose their shape.",
    )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed ^ STREAM) % (1 << 63))
