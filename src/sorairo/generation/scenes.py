"""The scene of a clip that begins from nothing: drawn before its picture, by models that have a scene/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sorairo.scenes.directed import latent_times, scene_of, tracks_of_scene
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video
from sorairo.types import Scene, UserError

if TYPE_CHECKING:
    from sorairo.checkpoints.folder import Checkpoint
    from sorairo.scenes.tracks import Tracks
    from sorairo.text.encoder import TextStates
    from sorairo.types import Plan

__all__ = ["drawn_scene", "drawn_tracks", "longest", "notes_of_scene", "scene_tokens"]

STREAM = 0x5CE7E  # keeps a scene's noise apart from the picture's, whose seed is the same


def scene_tokens(
    model: Checkpoint,
    words: TextStates,
    nothing: TextStates,
    plan: Plan,
    frames: int,
) -> dict[str, torch.Tensor]:
    """The keyword argument `scene` (2 t s d) of the picture's transformer; none for a clip longer than a scene.

    The first is the prompt's, the second zero: the prediction without words knows no scene either, so guidance follows
    both (docs/scene.md). words, nothing: the states of the prompt and of the negative words.
    """
    scene, codec = model.scene, model.codec.config
    assert scene is not None
    length = 1 + (frames - 1) // codec.time_factor
    if frames > longest(model):
        return {}
    if plan.scene is not None:
        tracks = tracks_of_scene(plan.scene, latent_times(length, codec.time_factor, plan.fps))
    else:
        tracks = scene.tracks(words, nothing, length, _generator(plan.seed))
    width, height = (side // codec.space_factor for side in plan.size)
    tokens = scene.tokens(tracks, (height, width))
    return {"scene": torch.cat([tokens, torch.zeros_like(tokens)])}


def drawn_tracks(model: Checkpoint, prompt: str, frames: int, seed: int) -> Tracks:
    """The tracks that a clip of this prompt and seed is made along. frames: of the clip, at most those of a scene.

    Raises UserError where the model draws none.
    """
    if model.scene is None:
        raise UserError(f"{model.info.name} draws no scenes; use a model that does, such as scenes.")
    if frames > longest(model):
        raise UserError(
            f"{model.info.name} draws scenes of at most {longest(model)} frames, not {frames}; ask for fewer."
        )
    length = 1 + (frames - 1) // model.codec.config.time_factor
    return model.scene.tracks(model.text.encode([prompt]), model.text.encode([""]), length, _generator(seed))


def drawn_scene(model: Checkpoint, prompt: str, frames: int | None = None, seed: int = 0) -> Scene:
    """The same as a Scene. frames: None takes the model's usual length, or as many as a scene can have.

    Raises UserError for what `generate` would refuse too.
    """
    if frames is None:
        frames = min(model.info.default_frames, max(1, longest(model)))
    plan = text_to_video(prompt, model.abilities, Ask(frames=frames, seed=seed))
    model.abilities.check(plan)
    tracks = drawn_tracks(model, prompt, frames, seed)
    times = latent_times(tracks.place.shape[2], model.codec.config.time_factor, model.info.fps)
    return scene_of(tracks, times)


def longest(model: Checkpoint) -> int:
    """The most frames of a scene; 0 where the model draws none."""
    return model.abilities.scene_frames


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
