"""The diffusion transformer: noisy latents, their times and words in; velocity out. Wan's mathematics."""

# Letters: b batch, c channels, t h w latent grid, s tokens of a frame, d width, l words, m tokens of given images

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Protocol

import torch
from torch import nn

from sorairo.nn.norm import modulate
from sorairo.nn.rope import turns
from sorairo.nn.splitting import Gather, Split
from sorairo.transformer.block import Block, Look
from sorairo.transformer.conditions import ImageEmbedding, RateEmbedding, Time, TimeEmbedding, WordsEmbedding
from sorairo.transformer.control import Control
from sorairo.transformer.local import Local, local_flops
from sorairo.transformer.packed import Pack, Spread
from sorairo.transformer.patches import Patches, from_patches
from sorairo.types import UserError

__all__ = ["Sight", "Transformer", "TransformerConfig", "forward_flops"]


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The shape of a Transformer. text_len: the positions that attention to words counts, pads included.

    What image-to-video models have besides (0: nothing): condition_channels, of the known frames (a mask
    and latents); image_dim, the width of the tokens in which a CLIP sees the given images; image_positions, how
    many of those there are where each has a learned place of its own. VACE has a branch (transformer/control.py) that
    takes control_channels and gives a hint to each of control_layers. rates: frame rates that the model is told of.
    """

    channels: int = 48
    condition_channels: int = 0
    patch_side: int = 2
    layers: int = 12
    heads: int = 6
    head_dim: int = 64
    hidden: int = 1024
    text_dim: int = 384
    text_len: int = 96
    freq_dim: int = 256
    cross_norm: bool = True
    eps: float = 1e-6
    image_dim: int = 0
    image_positions: int = 0
    control_channels: int = 0
    control_layers: tuple[int, ...] = ()
    rates: int = 0
    local: int = 0
    local_width: int = 64

    @property
    def width(self) -> int:
        return self.heads * self.head_dim

    @property
    def local_channels(self) -> int:
        """Features that the patches take and the head gives beside the latents' own channels."""
        return self.local_width if self.local else 0


class Sight(Protocol):
    """What the frames of a clip see. start: the place in time of the first; done: told how many frames were seen."""

    @property
    def start(self) -> int: ...

    def at(self, block: int) -> Look: ...

    def done(self, frames: int) -> None: ...


class Head(nn.Module):
    """Tokens (b t s d) -> the values of their patches (b t s p*p*c)."""

    def __init__(self, width: int, values: int, eps: float):
        super().__init__()
        self.eps = eps
        self.table = nn.Parameter(torch.zeros(2, width))
        self.project = nn.Linear(width, values)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        shift, scale = (self.table + embedding.float().unsqueeze(-2)).unbind(-2)  # b t 1 d each
        return self.project(modulate(x, shift, scale, self.eps))


class Transformer(nn.Module):
    """Velocity of noisy latents.

    latents: (b c t h w), h and w multiples of patch_side. timestep: 1000 * sigma, (b), or (b t) where each
    latent frame has its own. text: (b l text_dim). text_lengths: (b), how many of the l are words; the rest
    up to the config's text_len count as zeros whatever l is, so give only as many as the longest needs. None:
    all l given are attended to. condition: (b c' t h w), image: (b m image_dim), and control: (b c'' t h w), where the
    config has them; they may have b = 1 for all clips. control_scale: of the control's hints. rate: which of the
    config's rates the clip has. scene: (b t s d), added to the tokens, what scenes/embedding.py makes of a scene;
    it may have b = 1. sight: what each frame sees where that is not the whole clip (causal.py). Clips of
    mixed sizes and lengths: latents is a list of b clips (c t h w), timestep has those of all frames one behind another
    (f), and a list is returned; each clip is computed as if it were alone. watch: called with the number of each block,
    from 0, and the tokens (b t s d) that leave it, (1 1 n d) where clips are mixed. Returns (b c t h w).
    Computes in the dtype of its weights, with norms, softmax and modulation in float32.
    Source: Wan 2025 (arXiv 2503.20314), section 4.2; the same function as diffusers' WanTransformer3DModel.
    """

    _cp_plan: ClassVar[dict[str, Split | Gather]] = {
        "patches": Split(dim=2),  # b t s d: each process has tokens of every frame
        "spread": Split(dim=2),  # 1 1 n: of mixed clips, a stretch of all tokens
        "control.patches": Split(dim=2),
        "head": Gather(dim=2),  # b t s p*p*c
    }
    """Where several processes that share a clip split its tokens and join them (transformer/context.py)."""
    block_class: ClassVar[type[nn.Module]] = Block

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        beside = config.local_channels
        values = (config.channels + beside) * config.patch_side**2
        given = config.channels + config.condition_channels
        self.local = (
            Local(config.local, given, config.channels, config.local_width, config.freq_dim)
            if config.local
            else None
        )
        self.patches = Patches(given + beside, config.patch_side, config.width)
        self.spread = Spread()
        self.time = TimeEmbedding(config.freq_dim, config.width)
        self.rate = RateEmbedding(config.rates, config.width) if config.rates else None
        self.words = WordsEmbedding(config.text_dim, config.text_len, config.width)
        takes_images = config.image_dim > 0
        self.image = (
            ImageEmbedding(config.image_dim, config.image_positions, config.width) if takes_images else None
        )
        shape = (config.width, config.heads, config.hidden, config.cross_norm, config.eps, takes_images)
        block = partial(self.block_class, *shape)
        self.blocks = nn.ModuleList(block() for _ in range(config.layers))
        self.control = (
            Control(
                config.control_channels,
                config.patch_side,
                config.width,
                [Block(*shape) for _ in config.control_layers],
            )
            if config.control_layers
            else None
        )
        self.head = Head(config.width, values, config.eps)

    def forward(
        self,
        latents: torch.Tensor | Sequence[torch.Tensor],
        timestep: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor | None = None,
        *,
        condition: torch.Tensor | None = None,
        image: torch.Tensor | None = None,
        control: torch.Tensor | None = None,
        control_scale: float = 1.0,
        rate: int | None = None,
        scene: torch.Tensor | None = None,
        sight: Sight | None = None,
        watch: Callable[[int, torch.Tensor], None] | None = None,
    ) -> torch.Tensor | list[torch.Tensor]:
        if not isinstance(latents, torch.Tensor):
            assert condition is None and image is None and scene is None, (
                "clips of mixed sizes take nothing beside noise and words"
            )
            return self._packed(latents, timestep, text, text_lengths, watch)
        latents = self.beside(latents, condition)  # b c+c' t h w
        features = None
        if self.local is not None:
            features = self.local.before(latents, timestep)  # b f t h w
            latents = torch.cat([latents, features.to(latents.dtype)], dim=1)  # b c+c'+f t h w
        grid = self.patches.grid(latents)  # tokens along t, h, w
        x = self.patches(latents, scene)  # b t s d
        time: Time = self.time(timestep)  # b t 1 d, b t 1 6 d
        words = self.words(text, text_lengths)  # b l d
        if self.image is not None:
            if image is None:
                raise UserError("This model animates a picture; give it the first frame.")
            words = words._replace(image=self.image(image).expand(len(latents), -1, -1))  # b m d
        modulation = time.modulation  # b t 1 6 d
        if self.rate is not None:
            modulation = modulation + self.rate(0 if rate is None else rate)
        start = 0 if sight is None else sight.start
        place = turns(grid, self.config.head_dim, latents.device, start=start)  # n c/2
        hints = iter(())
        if self.control is not None:
            if control is None:
                raise UserError("This model takes control; give the tensor that says what is known.")
            control = control.to(latents.dtype).expand(len(latents), -1, -1, -1, -1)
            hints = self.control.hints(control, x, modulation, words, place)
        for number, block in enumerate(self.blocks):
            x = block(x, modulation, words, place, sight and sight.at(number))  # b t s d
            if number in self.config.control_layers:
                x = x + next(hints) * control_scale
            if watch is not None:
                watch(number, x)
        if sight is not None:
            sight.done(grid[0])
        x = self.head(x, time.embedding)  # b t s p*p*c
        velocity = from_patches(x, self.config.patch_side, grid[1])  # b c+f t h w
        if self.local is None or features is None:
            return velocity
        velocity, more = velocity.split([self.config.channels, self.config.local_channels], dim=1)
        return velocity + self.local.after(features + more, timestep)  # b c t h w

    def _packed(
        self,
        latents: Sequence[torch.Tensor],
        timestep: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor | None,
        watch: Callable[[int, torch.Tensor], None] | None,
    ) -> list[torch.Tensor]:
        """forward() for clips of mixed sizes and lengths, whose tokens are one row (packed.py)."""
        side, pack = self.config.patch_side, Pack.of(latents, self.config.patch_side)
        local, features = self.local, []
        levels = timestep.split(pack.frames)  # t of each clip
        if local is not None:
            features = [local.before(x[None], at[None])[0] for x, at in zip(latents, levels, strict=True)]
            latents = [torch.cat([x, f.to(x.dtype)]) for x, f in zip(latents, features, strict=True)]
        x = self.patches(latents)  # 1 1 n d
        frame = self.spread(pack.frame)[0, 0]  # n
        time: Time = self.time(timestep)  # f 1 1 d, f 1 1 6 d
        embedding, modulation = (part[:, 0, 0].index_select(0, frame)[None, None] for part in time)
        words = self.words(text, text_lengths)._replace(sequences=pack.held(frame))  # s l d
        place = pack.turns(self.config.head_dim)  # n c/2
        for number, block in enumerate(self.blocks):
            x = block(x, modulation, words, place)  # 1 1 n d
            if watch is not None:
                watch(number, x)
        made = pack.clips(self.head(x, embedding), side)  # c+f t h w each
        if local is None:
            return made
        both = [one.split([self.config.channels, self.config.local_channels]) for one in made]
        return [
            velocity + local.after((own + more)[None], at[None])[0]
            for (velocity, more), own, at in zip(both, features, levels, strict=True)
        ]

    def beside(self, latents: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        """The latents, with the condition as further channels where this model takes one."""
        if not self.config.condition_channels:
            return latents
        if condition is None:
            raise UserError("This model animates a picture; give it the first frame.")
        condition = condition.to(latents.dtype).expand(len(latents), -1, -1, -1, -1)
        return torch.cat([latents, condition], dim=1)

    @torch.no_grad()
    def init_weights(self) -> None:
        """Weights to begin training from (drawn from torch's global generator).

        Every part that adds to the stream begins at zero through its last product, while its gate is one: the
        whole product learns from the first step, where a gate at zero would let only the gate learn.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.time.second.weight, std=0.02)
        zero = [self.time.modulation, self.head.project]
        blocks = list(self.blocks)
        if self.control is not None:
            blocks += self.control.blocks
            zero += [layer for layer in self.control.leave if isinstance(layer, nn.Linear)]
        for block in blocks:
            assert isinstance(block, Block)
            zero += [block.self_attention.out, block.cross_attention.out, block.feed_forward.down]
            block.table.zero_()
            block.table[[2, 5]] = 1.0
        for module in zero:
            nn.init.zeros_(module.weight)
        self.head.table.zero_()
        if self.local is not None:
            self.local.init_weights()


def forward_flops(config: TransformerConfig, *, tokens: int, words: int, times: int = 1) -> int:
    """Floating-point operations of the products in one clip's forward pass; training costs three times that.

    tokens: n of the clip. words: l as given to the model (with lengths, one more counts). times: 1, or t.
    """
    d, patch = config.width, config.patch_side**2
    values = (
        config.channels + config.condition_channels // 2 + config.local_channels
    ) * patch  # mean of what comes in and what goes out
    token = d * (6 * d + 2 * config.hidden) + 2 * d * (tokens + words)  # q k v out, q out; scores and sums
    per_block = tokens * token + words * 2 * d * d
    around = (
        tokens * 2 * values * d + words * d * (config.text_dim + d) + times * d * (config.freq_dim + 7 * d)
    )
    if config.control_layers:
        around += tokens * config.control_channels * patch * d + tokens * d * d * (
            1 + len(config.control_layers)
        )
    local = (
        local_flops(config.local, config.channels, config.local_width, tokens * patch) if config.local else 0
    )
    return 2 * ((config.layers + len(config.control_layers)) * per_block + around) + local
