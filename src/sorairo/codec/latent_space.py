"""A latent space in closed form: the principal components of blocks of pixels, with a name for time.

The encoder is trained to compute it and the decoder to undo it, each on its own, so that the space is fixed before
either network is good, and a transformer trained on it stays right while they improve.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sorairo.types import UserError

__all__ = ["LatentSpace", "unblock"]


class LatentSpace(nn.Module):
    """Latents of video, each position from its own block of 2 x 8 x 8 pixels (the first frame: 1 x 8 x 8).

    The first `shared` channels say what a block shows on average over its frames, in the components of still blocks.
    The others say, in the first frame, the finer components of the still, and after it what changes from frame to
    frame. A component of deviation s is scaled to s**0.3: nearly equal, with large areas still louder than detail.

    still: (3*side*side, z), columns orthonormal. change: (frames*3*side*side, z - shared). spread: (2, z), the
    deviation of every channel, first frames and others.
    """

    mean: Tensor
    still: Tensor
    change: Tensor
    spread: Tensor

    def __init__(self, mean: Tensor, still: Tensor, change: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.shared = still.shape[1] - change.shape[1]
        self.frames = change.shape[0] // still.shape[0]
        self.side = round((still.shape[0] / 3) ** 0.5)
        for name, value in {"mean": mean, "still": still, "change": change, "spread": spread}.items():
            self.register_buffer(name, value.float().contiguous())

    @property
    def space_factor(self) -> int:
        """Pixels per latent position along a side."""
        return self.side

    @property
    def time_factor(self) -> int:
        """Frames per latent frame, after the first."""
        return self.frames

    @classmethod
    def blank(cls, z: int, shared: int, frames: int, side: int) -> LatentSpace:
        """One of these sizes, whose components are to be loaded."""
        pixels = 3 * side * side
        return cls(
            torch.zeros(pixels),
            torch.zeros(pixels, z),
            torch.zeros(frames * pixels, z - shared),
            torch.ones(2, z),
        )

    @classmethod
    def fit(
        cls,
        videos: Iterable[Tensor],
        z: int = 24,
        shared: int = 14,
        frames: int = 2,
        side: int = 8,
        rows: int = 800,
    ) -> LatentSpace:
        """From videos (b 3 t h w in [-1, 1]), `rows` blocks of each, by randomised decomposition (Halko 2011)."""
        generator = torch.Generator().manual_seed(0)
        stills, changes = [], []
        for video in videos:
            first = _blocks(video[:, :, :1].float(), 1, side).flatten(0, 3).squeeze(-2)
            stills.append(_some(first, rows, generator))
            if video.shape[2] > 1:
                changes.append(
                    _some(_blocks(video[:, :, 1:].float(), frames, side).flatten(0, 3), rows, generator)
                )
        x, y = torch.cat(stills), torch.cat(changes)  # n d, n f d
        mean = x.mean(0)
        x, y = x - mean, y - mean
        with torch.random.fork_rng():
            torch.manual_seed(0)
            _, _, still = torch.svd_lowrank(x, q=z, niter=6)
            on_average = y.mean(1) @ still[:, :shared]  # n k
            moved = y - (on_average @ still[:, :shared].T).unsqueeze(1)
            _, _, change = torch.svd_lowrank(moved.flatten(1), q=z - shared, niter=6)
        after = torch.cat([on_average, moved.flatten(1) @ change], dim=1)
        return cls(mean, still, change, torch.stack([(x @ still).std(0), after.std(0)]))

    def scale(self) -> Tensor:
        """(2, z): what a component is divided by, for a deviation of spread**0.3 over its mean."""
        aim = self.spread**0.3
        return self.spread / aim * aim.square().mean().sqrt()

    def encode(self, video: Tensor) -> Tensor:
        """b 3 (1+2k) h w in [-1, 1] -> b z (1+k) h/8 w/8"""
        scale = self.scale()
        first = (_blocks(video[:, :, :1].float(), 1, self.side).squeeze(-2) - self.mean) @ self.still
        z = [first / scale[0]]
        if video.shape[2] > 1:
            x = _blocks(video[:, :, 1:].float(), self.frames, self.side) - self.mean  # b t h w f d
            on_average = x.mean(-2) @ self.still[:, : self.shared]
            moved = x - (on_average @ self.still[:, : self.shared].T).unsqueeze(-2)
            z.append(torch.cat([on_average, moved.flatten(-2) @ self.change], dim=-1) / scale[1])
        return torch.cat(z, dim=1).movedim(-1, 1)

    def decode(self, z: Tensor) -> Tensor:
        """b z (1+k) h w -> b 3 (1+2k) 8h 8w, the best that a linear map can do"""
        parts = [unblock(blocks, self.side) for blocks in self.blocks(z) if blocks.shape[1]]
        return torch.cat(parts, dim=2).clamp(-1, 1)

    def blocks(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels by position: b z (1+k) h w -> of the first b 1 h w 1 (3 s s), of the others b k h w f (3 s s)."""
        scale, z = self.scale(), z.float().movedim(1, -1)
        first = ((z[:, :1] * scale[0]) @ self.still.T).unsqueeze(-2)
        after = z[:, 1:] * scale[1]
        flat = (after[..., : self.shared] @ self.still[:, : self.shared].T).unsqueeze(-2)
        moved = (after[..., self.shared :] @ self.change.T).unflatten(-1, (self.frames, -1))
        return first + self.mean, flat + moved + self.mean

    def save(self, path: Path) -> None:
        """Write the components as safetensors."""
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, path)

    @classmethod
    def load(cls, path: Path) -> LatentSpace:
        """Read what `save` wrote. Raises UserError when there is no such file or it is damaged."""
        try:
            return cls(**load_file(path))
        except (OSError, SafetensorError, TypeError) as error:
            raise UserError(f"{path} does not hold the latent space's components: {error}.") from error


def _blocks(video: Tensor, frames: int, side: int) -> Tensor:
    """b 3 (t f) (h s) (w s) -> b t h w f (3 s s)"""
    b, c, t, h, w = video.shape
    x = video.reshape(b, c, t // frames, frames, h // side, side, w // side, side)
    return x.permute(0, 2, 4, 6, 3, 1, 5, 7).flatten(5)


def unblock(x: Tensor, side: int) -> Tensor:
    """b t h w f (3 s s) -> b 3 (t f) (h s) (w s)"""
    b, t, h, w, f, _ = x.shape
    x = x.reshape(b, t, h, w, f, 3, side, side).permute(0, 5, 1, 4, 2, 6, 3, 7)
    return x.reshape(b, 3, t * f, h * side, w * side)


def _some(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:count]]
