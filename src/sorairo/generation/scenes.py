"""The scene of a clip that begins from nothing: drawn before its picture, by models that have a scene/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sorairo.checkpoints.folder import Checkpoint
    from sorairo.text.encoder import TextStates

__all__ = ["scene_tokens"]

STREAM = 0x5CE7E  # keeps a scene's noise apart from the picture's, whose seed is the same


def scene_tokens(
    model: Checkpoint,
    words: TextStates,
    nothing: TextStates,
    size: tuple[int, int],
    frames: int,
    seed: int,
) -> dict[str, torch.Tensor]:
    """The keyword argument `scene` (1 t s d) of the picture's transformer; none for a clip longer than a scene.

    words, nothing: the states of the prompt and of the negative words. size: (width, height).
    """
    scene, codec = model.scene, model.codec.config
    assert scene is not None
    length = 1 + (frames - 1) // codec.time_factor
    if length > scene.config.frames:
        return {}
    generator = torch.Generator().manual_seed((seed ^ STREAM) % (1 << 63))
    tracks = scene.tracks(words, nothing, length, generator)
    width, height = (side // codec.space_factor for side in size)
    return {"scene": scene.tokens(tracks, (height, width))}
