"""Words -> the tracks of a clip's objects -> what the picture's transformer is told of them.

A scene is a video of its own: one position for each object and one for the camera, over the clip's latent frames. So
what draws it is the same transformer as draws pictures, with the same flow and solver, at a hundredth of the work. Two
stages, first where things are and then how they look: Lian et al. 2023 (LLM-grounded video diffusion, arXiv
2309.17444), whose first stage is a language model.
"""

# Letters: b batch, c channels, t latent frames, h w latent grid, k slots, l words, d width

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sorairo.codec.latent_space import LatentSpace
from sorairo.flow.guidance import cfg, with_known
from sorairo.flow.schedule import timestep_of, unipc_sigmas
from sorairo.flow.solvers import unipc
from sorairo.scenes.embedding import SceneEmbedding
from sorairo.scenes.tracks import CHANNELS, POSITIONS, Tracks
from sorairo.text.encoder import TextStates
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.types import UserError

__all__ = ["GOING_ON", "SceneConfig", "SceneModel", "steady"]

GOING_ON = "It goes on. "  # before the words of what goes on from tracks before it
LEAST = 4  # latent frames of a scene: a window of a longer clip has a first one, and three to share out
BENDS = 2  # the degree of the curve that a drawn camera follows; where it is told to stand it would tremble


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """layers, heads, head_dim, hidden, text_dim, text_len, freq_dim: of the scene's transformer. width, side: of the
    picture's transformer's tokens, and latent positions along the side of each. frames: the latent frames of training.
    channels, shared, time_factor, space_factor: of the latents that its sketch is seen as (codec/latent_space.py).
    steps, guidance, shift: of drawing a scene."""

    layers: int = 6
    heads: int = 4
    head_dim: int = 64
    hidden: int = 768
    text_dim: int = 384
    text_len: int = 96
    freq_dim: int = 256
    width: int = 256
    side: int = 2
    frames: int = 9
    channels: int = 24
    shared: int = 14
    time_factor: int = 2
    space_factor: int = 8
    steps: int = 12
    guidance: float = 1.5
    shift: float = 1.0

    def __post_init__(self) -> None:
        if self.frames < LEAST:
            raise UserError(f"scene: frames is {self.frames}; scenes have at least {LEAST} latent frames.")
        names = (
            "layers heads head_dim hidden text_dim width side frames channels time_factor space_factor steps"
        )
        for name in names.split():
            if not 1 <= getattr(self, name) <= 1 << 16:
                raise UserError(f"scene: {name} is {getattr(self, name)}, which is out of bounds.")
        if not 0 <= self.shared <= self.channels:
            raise UserError(
                f"scene: shared is {self.shared} of {self.channels} channels, which is out of bounds."
            )

    @property
    def transformer(self) -> TransformerConfig:
        return TransformerConfig(
            channels=CHANNELS,
            patch_side=1,
            layers=self.layers,
            heads=self.heads,
            head_dim=self.head_dim,
            hidden=self.hidden,
            text_dim=self.text_dim,
            text_len=self.text_len,
            freq_dim=self.freq_dim,
        )


class SceneModel(nn.Module):
    """The scene's transformer, and the embedding by which the picture's transformer sees what it draws."""

    def __init__(self, config: SceneConfig):
        super().__init__()
        self.config = config
        self.transformer = Transformer(config.transformer)
        space = LatentSpace.blank(config.channels, config.shared, config.time_factor, config.space_factor)
        self.embedding = SceneEmbedding(config.width, config.side, space)

    @torch.no_grad()
    def tracks(
        self,
        words: TextStates,
        nothing: TextStates,
        frames: int,
        generator: torch.Generator,
        known: tuple[Tracks, Tensor] | None = None,
    ) -> Tracks:
        """The tracks (n = 1) of a clip of `frames` latent frames, under its words.

        words, nothing: the prompt's states and the negative words'. known: tracks of that length, and which of their
        latent frames are to be kept, bool (t); the others go on from them. What an object is, the others say.
        """
        weight = self.transformer.head.project.weight
        longest = max(int(words.lengths[0]), int(nothing.lengths[0]))
        states = torch.zeros(2, longest, words.states.shape[-1], device=weight.device, dtype=weight.dtype)
        lengths = torch.cat([words.lengths, nothing.lengths]).to(weight.device)
        for row, one in enumerate((words, nothing)):
            count = int(one.lengths[0])
            states[row, :count] = one.states[0, :count].to(states)

        def velocity(x: Tensor, sigma: float | Tensor) -> Tensor:
            if isinstance(sigma, Tensor):  # 1 t
                times = (1000 * sigma).expand(2, -1)
            else:
                times = torch.full((2,), float(timestep_of(sigma)), device=x.device)
            said = self.transformer(x.to(weight.dtype).expand(2, -1, -1, -1, -1), times, states, lengths)
            asked, other = said.float().chunk(2)
            return cfg(asked, other, self.config.guidance)

        noise = torch.randn(1, CHANNELS, frames, 1, POSITIONS, generator=generator).to(weight.device)
        sigmas = unipc_sigmas(self.config.steps, self.config.shift)
        if known is None:
            tracks = Tracks.decode(unipc(velocity, noise, sigmas).cpu())
            return replace(tracks, camera=steady(tracks.camera))
        there, kept = known[0].encode().to(noise), known[1].to(noise.device)
        led = with_known(velocity, there, noise, 1 - kept.float()[None])
        drawn = unipc(led, noise, sigmas).cpu()
        tracks, new = Tracks.decode(drawn), Tracks.decode(drawn[:, :, ~known[1]])
        return replace(
            tracks, shape=new.shape, colour=new.colour, there=new.there, camera=steady(tracks.camera)
        )

    @torch.no_grad()
    def tokens(self, tracks: Tracks, grid: tuple[int, int]) -> Tensor:
        """What the picture's transformer adds to its tokens: (n t s d). grid: h w of the latents."""
        return self.embedding(self.embedding.look(tracks, grid))


def steady(camera: Tensor) -> Tensor:
    """A camera's track (n t 5) as the nearest curve of degree BENDS: a camera has mass, so it moves smoothly."""
    frames = camera.shape[1]
    powers = torch.linspace(-1, 1, frames)[:, None] ** torch.arange(min(BENDS, frames - 1) + 1)
    return powers @ (torch.linalg.pinv(powers) @ camera)
