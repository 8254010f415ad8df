"""Helios: Wan's transformer beside a memory of the frames before, in patches that grow with their age.

The same mathematics as diffusers' HeliosTransformer3DModel. Source: Yuan et al. 2026 (Helios, arXiv 2603.04379).
"""

# Letters: b batch, c channels, t h w latent grid, s tokens of a frame, m tokens of the memory, n = m + t s, d width

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from sorairo.nn.attention import Attend
from sorairo.nn.norm import modulate
from sorairo.nn.rope import Turns, turns
from sorairo.nn.splitting import Gather, Split
from sorairo.transformer.block import Block, gated
from sorairo.transformer.conditions import Time, Words
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.transformer.patches import from_patches

__all__ = ["CHUNK", "MEMORY", "Helios", "HeliosBlock", "HeliosConfig", "Memory"]

MEMORY = (16, 2, 1)
"""Latent frames of the past in patches of 4, 2 and 1 times the usual side, the oldest first."""
CHUNK = 9
"""Latent frames that are made at once."""
LOUDEST = 10.0
"""The most that keys of the memory are multiplied by, where the model learned to."""


@dataclass(frozen=True, kw_only=True)
class HeliosConfig(TransformerConfig):
    """clean: the memory is seen at timestep 0, and not at that of the frames at hand. worded: its tokens attend to the
    words too. amplify: factors of its keys that each block learned: 0 for none, 1, or one a head."""

    clean: bool = True
    worded: bool = False
    amplify: int = 0


class Memory(NamedTuple):
    """What is known of the frames before those at hand: latents (b c t h w), the clip's first frame and MEMORY of the
    last ones. Zeros stand for frames that never were."""

    first: torch.Tensor
    long: torch.Tensor
    mid: torch.Tensor
    short: torch.Tensor


class MemoryPatches(nn.Module):
    """Memory -> tokens (b 1 m d), the oldest first, and their turns (m c/2)."""

    def __init__(self, channels: int, side: int, width: int):
        super().__init__()
        self.side = side
        self.short = nn.Linear(channels * side * side, width)
        self.mid = nn.Linear(8 * channels * side * side, width)
        self.long = nn.Linear(64 * channels * side * side, width)

    def forward(self, memory: Memory, head_dim: int) -> tuple[torch.Tensor, Turns]:
        long, mid, _ = MEMORY
        h, w = (size // self.side for size in memory.short.shape[3:])
        parts = [  # latents, their layer, by how much their patches are larger, their place in time
            (memory.long, self.long, 4, 1),
            (memory.mid, self.mid, 2, 1 + long),
            (memory.first, self.short, 1, 0),
            (memory.short, self.short, 1, 1 + long + mid),
        ]
        tokens, places = [], []
        for latents, layer, scale, start in parts:
            tokens.append(layer(large_patches(latents, self.side, scale)))  # b m' d
            place = turns((latents.shape[2], h, w), head_dim, latents.device, start=start)
            grid = (latents.shape[2], h, w)
            places.append(Turns(averaged(place.cos, grid, scale), averaged(place.sin, grid, scale)))
        return torch.cat(tokens, dim=1)[:, None], in_a_row(places)


def in_a_row(places: Sequence[Turns]) -> Turns:
    """The turns of tokens one behind another."""
    return Turns(torch.cat([place.cos for place in places]), torch.cat([place.sin for place in places]))


def large_patches(latents: torch.Tensor, side: int, scale: int) -> torch.Tensor:
    """Latents (b c t h w) -> (b m c*scale*p*p), p = scale * side; what is too little is repeated at the ends."""
    x = repeated(latents, (scale, scale * side, scale * side))
    return rearrange(
        x,
        "b c (t r) (h p) (w q) -> b (t h w) (c r p q)",
        r=scale,
        p=scale * side,
        q=scale * side,
    )


def averaged(part: torch.Tensor, grid: tuple[int, int, int], scale: int) -> torch.Tensor:
    """Cosines or sines of the tokens of a grid -> their means over cubes of `scale`: (t h w, c) -> (m, c)."""
    if scale == 1:
        return part
    cubes = part.T.reshape(1, -1, *grid)  # 1 c t h w
    cubes = F.avg_pool3d(repeated(cubes, (scale, scale, scale)), scale)
    return cubes[0].flatten(1).T


def repeated(x: torch.Tensor, multiples: tuple[int, int, int]) -> torch.Tensor:
    """(b c t h w), the last values repeated until t, h and w are such multiples."""
    t, h, w = (-size % multiple for size, multiple in zip(x.shape[2:], multiples, strict=True))
    return F.pad(x, (0, w, 0, h, 0, t), mode="replicate")


class HeliosBlock(Block):
    """The block of Wan for frames at hand, x (b t s d), and a memory, past (b 1 m d): both attend to both.

    amplify, worded: see HeliosConfig; set by Helios.
    """

    amplify: nn.Parameter | None

    def __init__(
        self, width: int, heads: int, hidden: int, cross_norm: bool, eps: float, image: bool = False
    ):
        super().__init__(width, heads, hidden, cross_norm, eps, image)
        self.register_parameter("amplify", None)
        self.worded = False

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, past: torch.Tensor, x: torch.Tensor, clean: Time, time: Time, words: Words, place: Turns
    ) -> tuple[torch.Tensor, torch.Tensor]:
        old, new = ((self.table + one.modulation.float()).unbind(-2) for one in (clean, time))  # 6 of b 1 1 d
        m = past.shape[2]
        both = torch.cat(
            [
                modulate(past, old[0], old[1], self.eps),
                modulate(x, new[0], new[1], self.eps).flatten(1, 2)[:, None],
            ],
            dim=2,
        )  # b 1 n d
        seen = self.self_attention(both, place, self.louder(m))  # b 1 n d
        past = gated(past, old[2], seen[:, :, :m])
        x = gated(x, new[2], seen[:, :, m:].reshape_as(x))
        x = x + self.cross_attention(self.cross_norm(x), words)  # b t s d
        if self.worded and m:
            past = past + self.cross_attention(self.cross_norm(past), words)
        if m:
            past = gated(past, old[5], self.feed_forward(modulate(past, old[3], old[4], self.eps)))
        x = gated(x, new[5], self.feed_forward(modulate(x, new[3], new[4], self.eps)))
        return past, x

    def louder(self, m: int) -> Callable[..., torch.Tensor] | None:
        """Attention in which the keys of the first m tokens are multiplied as the block learned."""
        if self.amplify is None or not m:
            return None
        factor = 1 + torch.sigmoid(self.amplify) * (LOUDEST - 1)

        def look(
            q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, frames: int, attend: Attend
        ) -> torch.Tensor:
            memory = (k[:, :, :m] * factor.view(1, -1, 1, 1)).to(k.dtype)
            return attend(q, torch.cat([memory, k[:, :, m:]], dim=2), v)

        return look


class Helios(Transformer):
    """Velocity of noisy latents (b c t h w) beside a memory of what came before; without one they are the clip's first.

    The other arguments as those of Transformer; timestep is (b).
    """

    _cp_plan: ClassVar[
        dict[str, Split | Gather]
    ] = {}  # its memory has tokens of no frame that could be split
    block_class: ClassVar[type[nn.Module]] = HeliosBlock

    def __init__(self, config: HeliosConfig):
        super().__init__(config)
        self.memory = MemoryPatches(config.channels, config.patch_side, config.width)
        for block in self.blocks:
            assert isinstance(block, HeliosBlock)
            block.worded = config.worded
            if config.amplify:
                block.amplify = nn.Parameter(torch.ones(config.amplify))

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor | None = None,
        *,
        memory: Memory | None = None,
        watch: Callable[[int, torch.Tensor], None] | None = None,
    ) -> torch.Tensor:
        config = self.config
        assert isinstance(config, HeliosConfig)
        grid = self.patches.grid(latents)  # tokens along t, h, w
        x = self.patches(latents)  # b t s d
        start, past, place = 0, x.new_empty(len(x), 1, 0, config.width), None
        if memory is not None:
            told = Memory(*(part.to(latents.dtype) for part in memory))
            past, place = self.memory(told, config.head_dim)  # b 1 m d, m c/2
            past, start = past.expand(len(x), -1, -1, -1), 1 + sum(MEMORY)
        here = turns(grid, config.head_dim, latents.device, start=start)
        if place is not None:
            here = in_a_row([place, here])  # n c/2
        time: Time = self.time(timestep)  # b 1 1 d, b 1 1 6 d
        clean: Time = self.time(torch.zeros_like(timestep[:1])) if config.clean else time
        words = self.words(text, text_lengths)  # b l d
        for number, block in enumerate(self.blocks):
            past, x = block(past, x, clean, time, words, here)
            if watch is not None:
                watch(number, x)
        return from_patches(self.head(x, time.embedding), config.patch_side, grid[1])  # b c t h w
