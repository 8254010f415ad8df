"""Simulated clips as a source: a number is a seed, captions are exact, and what is where is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from sorairo.data.maps import state_map
from sorairo.data.sources.base import Bucket, SourceClip
from sorairo.data.tracks import tracks_of
from sorairo.worlds import WorldClip, get_world, render_clips
from sorairo.worlds.captions import Captions

__all__ = ["Worlds", "caption_lines"]

Render = Callable[[Iterable[int], Bucket], Iterator[WorldClip]]


class Worlds:
    """A Source of what `render` renders."""

    def __init__(self, render: Render):
        self.render = render

    @classmethod
    def of(cls, world: str, *, fps: float, split: str, maps: bool, workers: int) -> Worlds:
        """A world's clips, rendered in that many processes (0: in this one). maps: whether masks are rendered too."""
        made = get_world(world)

        def render(seeds: Iterable[int], bucket: Bucket) -> Iterator[WorldClip]:
            facts: dict[str, Any] = {"size": bucket.size, "frames": bucket.frames, "circle": bucket.circle}
            if bucket.leaves:
                facts["leaves"] = True
            return render_clips(made, seeds, workers=workers, fps=fps, split=split, masks=maps, **facts)

        return cls(render)

    def clips(self, numbers: Iterable[int], bucket: Bucket) -> Iterator[SourceClip]:
        """See Source."""
        for clip in self.render(numbers, bucket):
            yield SourceClip(
                video=clip.video,
                captions=caption_lines(clip.captions, clip.seed),
                record={"seed": clip.seed},
                maps=partial(state_map, clip) if clip.masks is not None else None,
                scene=partial(tracks_of, clip),
            )


def caption_lines(captions: Captions, seed: int) -> tuple[str, str, str, str]:
    """The captions that are stored, in the order of KINDS; two of the paraphrases, drawn by the clip's seed."""
    others = list(captions.paraphrases) or [captions.short]
    first = int(np.random.default_rng(seed).integers(len(others)))
    return captions.long, captions.short, others[first], others[(first + 1) % len(others)]
