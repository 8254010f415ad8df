"""Attention that looks back only: chunks of frames, each beside the keys and values of those before it.

A model that was trained so (CausVid, Self-Forcing) makes a clip chunk by chunk. A chunk costs the same wherever it is,
and what is held does not grow once it reaches as far back as the model looks.
Sources: Yin et al. 2024 (CausVid, arXiv 2412.07772), section 4; Huang et al. 2025 (Self-Forcing, arXiv 2506.08009).
"""

# Letters: b batch, k heads, n tokens of the frames at hand, m of all that are looked at, c channels of a head

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch

from sorairo.nn.attention import Attend
from sorairo.transformer.block import Look

__all__ = ["History", "InChunks"]


class InChunks:
    """All frames at once; each sees the frames of its chunk and of the chunks before. frames: of a chunk."""

    start = 0

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def at(self, block: int) -> Look:
        return self.attention

    def done(self, frames: int) -> None:
        pass

    def attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, frames: int, attend: Attend
    ) -> torch.Tensor:
        """attend(q, k, v), chunk by chunk: (b k n c) -> (b k n c)."""
        step, parts = q.shape[2] // frames * self.frames, []
        for begin in range(0, q.shape[2], step):
            end = min(begin + step, q.shape[2])
            parts.append(attend(q[:, :, begin:end], k[:, :, :end], v[:, :, :end]))
        return torch.cat(parts, dim=2)


class History:
    """Frames that were made before those at hand, as keys and values of every block.

    layers: blocks. reach: how many latent frames are looked back at, 0: all; the first `sink` of the clip are always
    among them. keep: whether the next forward pass adds its frames. One history is for one clip, and for one number of
    clips at a time.
    """

    def __init__(self, layers: int, *, reach: int = 0, sink: int = 0) -> None:
        assert not reach or reach >= sink
        self.reach, self.sink = reach, sink
        self.start = 0
        self.keep = False
        self.held: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * layers
        # Not a decorator: it imports the compiler, a second that other models do without.
        self.attention = cast(Callable[..., torch.Tensor], torch.compiler.disable(self._attention))

    @property
    def nbytes(self) -> int:
        """Bytes of what is held."""
        return sum(part.nbytes for pair in self.held if pair for part in pair)

    def at(self, block: int) -> Look:
        """The attention of a block."""

        def look(
            q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, frames: int, attend: Attend
        ) -> torch.Tensor:
            return self.attention(block, q, k, v, frames, attend)

        return look

    def done(self, frames: int) -> None:
        """Called when all blocks have seen that many frames."""
        if self.keep:
            self.start += frames

    def _attention(
        self, block: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, frames: int, attend: Attend
    ) -> torch.Tensor:
        tokens = q.shape[2] // frames
        if (before := self.held[block]) is not None:
            before = tuple(
                part.expand(len(k), -1, -1, -1) for part in before
            )  # what words do not change is held once
            k, v = torch.cat([before[0], k], dim=2), torch.cat([before[1], v], dim=2)  # b k m c
        if self.keep:
            self.held[block] = self._last(k, tokens), self._last(v, tokens)
        return attend(q, k, v)

    def _last(self, x: torch.Tensor, tokens: int) -> torch.Tensor:
        """What is held of (b k m c). tokens: of a frame."""
        most = self.reach * tokens
        if not most or x.shape[2] <= most:
            return x
        sink = self.sink * tokens
        return torch.cat([x[:, :, :sink], x[:, :, x.shape[2] - (most - sink) :]], dim=2)
