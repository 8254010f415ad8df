"""The video codec: pixels <-> a small grid of latents, in the shapes and the mathematics of Wan's AutoencoderKLWan.

Letters: `b` batch, `t h w` time, height, width (of frames or of the latent grid), `c` channels, `z` latent channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sorairo.codec.networks import Decoder, Encoder
from sorairo.codec.patches import patchify, unpatchify
from sorairo.nn.causal_conv import CausalConv3d, TimeCache, channels_innermost
from sorairo.types import UserError

__all__ = ["Codec", "CodecConfig"]

LARGE = 1 << 23
"""Values at the finest grid that are computed together: a longer or larger clip goes through in pieces."""


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """The shape of a codec.

    base_dim, decoder_base_dim: width at the finest grid of the encoder and of the decoder (None: the same).
    dim_mult: width of each stage as a multiple of it; every stage but the last halves the picture.
    halve_time: for each halving of the picture, whether time is halved as well.
    shortcut: Wan 2.2's averages around each stage. patch_size: pixels folded into channels first (1: none).
    latents_mean, latents_std: per channel over the training set, so that latents come out with mean 0 and deviation 1.
    """

    base_dim: int = 32
    decoder_base_dim: int | None = None
    z_dim: int = 48
    dim_mult: tuple[int, ...] = (1, 2, 2)
    num_res_blocks: int = 1
    halve_time: tuple[bool, ...] = (True, True)
    shortcut: bool = True
    patch_size: int = 4
    latents_mean: tuple[float, ...] = ()
    latents_std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.halve_time) != len(self.dim_mult) - 1:
            raise UserError(
                f"halve_time has {len(self.halve_time)} entries for {len(self.dim_mult)} stages; "
                "give one fewer than stages."
            )
        for name, values in (("latents_mean", self.latents_mean), ("latents_std", self.latents_std)):
            if values and len(values) != self.z_dim:
                raise UserError(f"{name} has {len(values)} entries; give z_dim = {self.z_dim} or none.")
        if self.shortcut and not shortcuts_divide(self.dim_mult):
            raise UserError(
                f"dim_mult {self.dim_mult} does not divide along the shortcuts; "
                "let each stage be 1, 2 or 4 times the one before (the first: times 1) and the last two be equal."
            )

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        return tuple(self.base_dim * m for m in self.dim_mult)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        return tuple((self.decoder_base_dim or self.base_dim) * m for m in self.dim_mult)

    @property
    def space_factor(self) -> int:
        """Pixels per latent position along a side."""
        return self.patch_size * 2 ** (len(self.dim_mult) - 1)

    @property
    def time_factor(self) -> int:
        """Frames per latent frame, after the first."""
        return 2 ** sum(self.halve_time)


def shortcuts_divide(dim_mult: tuple[int, ...]) -> bool:
    """Whether the fixed shortcuts can lead from stage to stage; the last stage keeps its grid, so its width too."""
    pairs = zip((1, *dim_mult), dim_mult, strict=False)
    return dim_mult[-2:] == dim_mult[-1:] * 2 and all(
        after in (before, 2 * before, 4 * before) for before, after in pairs
    )


class Codec(nn.Module):
    """Wan's causal video autoencoder: 1 + 4k frames of pixels (the default: 1 + 2k) <-> 1 + k of normalised latents."""

    latents_mean: Tensor
    latents_std: Tensor

    def __init__(self, config: CodecConfig, *, lean: bool = False) -> None:
        """lean: decode one latent frame after another: slower, in less memory. May be changed at any time."""
        super().__init__()
        self.config, self.lean = config, lean
        shape = {
            "blocks": config.num_res_blocks,
            "halve_time": config.halve_time,
            "shortcut": config.shortcut,
        }
        pixels, z = 3 * config.patch_size**2, config.z_dim
        self.encoder = Encoder(pixels, config.encoder_widths, 2 * z, **shape)
        self.quant = CausalConv3d(2 * z, 2 * z, 1)
        self.post_quant = CausalConv3d(z, z, 1)
        self.decoder = Decoder(z, config.decoder_widths, pixels, **shape)
        mean = torch.tensor(config.latents_mean or (0.0,) * z).view(1, z, 1, 1, 1)
        std = torch.tensor(config.latents_std or (1.0,) * z).view(1, z, 1, 1, 1)
        self.register_buffer("latents_mean", mean, persistent=False)
        self.register_buffer("latents_std", std, persistent=False)
        channels_innermost(self)

    @property
    def space_factor(self) -> int:
        """Pixels per latent position along a side."""
        return self.config.space_factor

    @property
    def time_factor(self) -> int:
        """Frames per latent frame, after the first."""
        return self.config.time_factor

    @torch.no_grad()
    def init_weights(self) -> None:
        """Biases to begin training from, drawn from torch's global generator.

        The norms divide a position's channels by their length, so a signal that is alone in all channels loses its
        size: with biases at zero, brightness could not pass. Biases give the signal something to be measured against.
        """
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter, std=0.3)

    def encode(self, video: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b 3 (1+4k) h w in [-1, 1] -> b z (1+k) h/16 w/16: the mean of the posterior, normalised per channel."""
        mean, _ = self.moments(video, cache)
        return (mean - self.latents_mean.to(mean.dtype)) / self.latents_std.to(mean.dtype)

    def decode(self, latents: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b z (1+k) h w, normalised -> b 3 (1+4k) 16h 16w in [-1, 1]"""
        if self.lean and cache is None:
            return self.one_by_one(latents)
        z = latents * self.latents_std.to(latents.dtype) + self.latents_mean.to(latents.dtype)
        return self.pixels(z, cache).clamp(-1, 1)

    def one_by_one(self, latents: Tensor) -> Tensor:
        """decode(), one latent frame after another."""
        step, side = self.config.time_factor, self.config.space_factor
        b, _, t, h, w = latents.shape
        video, kept, done = latents.new_empty(b, 3, 1 + step * (t - 1), side * h, side * w), TimeCache(), 0
        for latent in latents.split(1, dim=2):
            piece = self.decode(latent, kept)  # b 3 1|step H W
            video[:, :, done : done + piece.shape[2]] = piece
            done += piece.shape[2]
        return video

    def moments(self, video: Tensor, cache: TimeCache | None = None) -> tuple[Tensor, Tensor]:
        """b 3 t h w -> mean and log-variance of the posterior, each b z t' h' w', not normalised"""
        self.check(video, cache)
        if cache is None and (step := self.frames_at_once(video.numel() // 3, video.shape[2])):
            kept, pieces = TimeCache(), torch.split(video[:, :, 1:], step, dim=2)
            parts = [self.moments(piece, kept) for piece in (video[:, :, :1], *pieces)]
            mean, logvar = (torch.cat(part, dim=2) for part in zip(*parts, strict=True))
            return mean, logvar
        x = patchify(video, self.config.patch_size)  # b (3 p p) t h/p w/p
        x = self.encoder(x, cache)  # b 2z t' h' w'
        if cache is not None:
            cache.started = True
        mean, logvar = self.quant(x).chunk(2, dim=1)
        return mean, logvar.clamp(-30, 20)

    def pixels(self, z: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b z t' h' w', not normalised -> b 3 t h w, not clamped"""
        frames = 1 + (z.shape[2] - 1) * self.time_factor
        places = z.numel() // self.config.z_dim // z.shape[2] * frames * self.space_factor**2
        if cache is None and (step := self.frames_at_once(places, frames)):
            kept, pieces = TimeCache(), z.split(step // self.time_factor, dim=2)
            return torch.cat([self.pixels(piece, kept) for piece in pieces], dim=2)
        x = self.post_quant(z.contiguous(memory_format=torch.channels_last_3d))
        x = self.decoder(x, cache)  # b (3 p p) t h/p w/p
        if cache is not None:
            cache.started = True
        return unpatchify(x, self.config.patch_size)

    def frames_at_once(self, places: int, frames: int) -> int:
        """How many frames, a multiple of time_factor, to take at a time; 0: all, being few or kept by autograd.

        places: pixels of all frames.
        """
        if torch.is_grad_enabled() or frames == 1:
            return 0
        width = max(self.config.encoder_widths[0], self.config.decoder_widths[0])
        values = places * width // self.config.patch_size**2
        least = self.time_factor
        return 0 if values <= LARGE else max(least, LARGE * frames // values // least * least)

    def check(self, video: Tensor, cache: TimeCache | None) -> None:
        """Refuse what the grid cannot hold, with the nearest size that it can."""
        frames, height, width = video.shape[2:]
        step, side = self.config.time_factor, self.config.space_factor
        alone = 1 if cache is None or not cache.started else 0
        if frames < alone or (frames - alone) % step:
            near = alone + max(0, round((frames - alone) / step)) * step
            raise UserError(f"{frames} frames do not fit the codec; give {near} ({alone} + {step}k).")
        if height % side or width % side:
            near_w, near_h = (max(1, round(n / side)) * side for n in (width, height))
            raise UserError(f"{width}x{height} does not fit the codec; give {near_w}x{near_h}.")
