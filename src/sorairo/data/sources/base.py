"""What `make_latents` needs to know of a source of clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from sorairo.scenes.tracks import Tracks
from sorairo.types import Video

__all__ = ["KINDS", "Bucket", "Source", "SourceClip"]

KINDS = ("long", "short", "paraphrase", "paraphrase2")
"""The captions of a clip: one tensor text_<kind> and a column of text_lengths each."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Clips of one shape.

    size: (width, height). share: of all shards. Of worlds alone: circle, and leaves, whether what rolls goes on out of
    the picture.
    """

    size: tuple[int, int]
    frames: int
    share: float
    circle: int = 0
    leaves: bool = False


@dataclass(frozen=True, kw_only=True)
class SourceClip:
    """A clip with its words. captions: in the order of KINDS. record: what a shard notes of it, plain values.

    maps: the grid (t h w) of its latents -> what is where, uint8 (k t h w); None where nobody knows. scene: how many
    latent frames -> the tracks of its objects (n = 1), likewise.
    """

    video: Video
    captions: tuple[str, str, str, str]
    record: dict[str, Any]
    maps: Callable[[tuple[int, int, int]], Tensor] | None = None
    scene: Callable[[int], Tracks] | None = None


class Source(Protocol):
    """Clips by number. The same number is the same clip, however often it is asked for."""

    def clips(self, numbers: Iterable[int], bucket: Bucket) -> Iterator[SourceClip | None]:
        """One for every number, in order, of the bucket's size and length; None where that clip cannot be used."""
        ...
