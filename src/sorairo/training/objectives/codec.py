"""Training of the codec's decoder to undo a fixed latent space, on crops of rendered or recorded clips.

The encoder is fitted to the space in closed form (codec_start.py) and stays. So whatever is trained on the latents
stays right, however long the decoder goes on improving.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sorairo.checkpoints.adapters.wan_codec import config_to_wan, state_to_wan
from sorairo.codec.latent_space import LatentSpace
from sorairo.codec.losses import charbonnier, edges, psnr
from sorairo.codec.model import Codec, CodecConfig
from sorairo.training.objectives.codec_data import Crops, CropShape, as_model_video
from sorairo.training.objectives.codec_sheet import side_by_side
from sorairo.training.parallel.processes import ALONE, Share

__all__ = ["CodecObjective", "CodecObjectiveConfig"]


@dataclass(frozen=True, kw_only=True)
class CodecObjectiveConfig:
    """The loss and the data of a codec run.

    noise: largest deviation of the noise on the decoder's input (latents have about unit deviation); drawn per clip and
    reached after noise_ramp steps, so that what a transformer gets nearly right is decoded well. edges: weight of that
    term. held_out: clips that are scored.
    """

    shapes: tuple[CropShape, ...] = ()
    seed: int = 0
    noise: float = 0.1
    noise_ramp: int = 1500
    edges: float = 0.25
    held_out: int = 16


@dataclass(frozen=True, kw_only=True)
class CodecBatch:
    """clips: uint8 (b t h w 3), a share of the `total` clips of a step. latents: what they are to be decoded from
    (b z t h w); None: the space's latents of the clips."""

    clips: Tensor
    total: int
    latents: Tensor | None = None


@dataclass
class CodecObjective:
    """An Objective (see training/objective.py) over pixel shards: train-*.safetensors, heldout-*.safetensors."""

    codec: Codec
    space: LatentSpace
    config: CodecObjectiveConfig
    train_shards: list[Path]
    held_out_shards: list[Path]
    models: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        self.crops = Crops(self.train_shards, self.config.shapes, self.config.seed)
        self.models = {"codec": self.codec}
        for module in (self.codec.encoder, self.codec.quant):
            module.requires_grad_(False)

    def settings(self) -> dict[str, Any]:
        """What decides the losses."""
        return {
            "codec": asdict(self.codec.config),
            "codec_loss": asdict(self.config),
            "shards": [path.name for path in self.train_shards],
        }

    def batch(self, step: int, share: Share = ALONE) -> CodecBatch:
        """Crops of training clips."""
        clips = self.crops.batch(step)
        return CodecBatch(clips=clips[share.rows(len(clips))], total=len(clips))

    def loss(self, batch: CodecBatch, step: int, share: Share = ALONE) -> tuple[Tensor, dict[str, Tensor]]:
        """Pixels and edges of what the decoder makes of the space's latents, slightly noised."""
        video = as_model_video(batch.clips, torch.float32)  # b 3 t h w
        with torch.no_grad():
            space = self.space.to(video.device)
            z = space.encode(video) if batch.latents is None else batch.latents.to(video.device)
            noise = self.noise(batch.total, z.shape[1:], step)[share.rows(batch.total)]
        made = self.pixels(z + noise.to(z)).float()
        error = made - video
        parts = {"pixels": charbonnier(error), "edges": edges(error)}
        total = parts["pixels"] + self.config.edges * parts["edges"]
        parts["psnr"] = 10 * torch.log10(4 / error.square().mean())
        return total, {name: part.detach() for name, part in parts.items()}

    def pixels(self, z: Tensor) -> Tensor:
        """What the decoder in training makes of latents: b z t h w -> b 3 t h w, not clamped."""
        return self.codec.pixels(z.to(self.codec.post_quant.weight.dtype))

    def noise(self, clips: int, shape: Sequence[int], step: int) -> Tensor:
        """Noise for that many clips' latents, of a size drawn per clip; from torch's global generator, on the CPU."""
        ramp = min(1.0, (step + 1) / self.config.noise_ramp)
        return torch.randn(clips, *shape) * torch.rand(clips, 1, 1, 1, 1) * self.config.noise * ramp

    def count(self, batch: CodecBatch) -> tuple[int, int]:
        """Clips and pixels."""
        return len(batch.clips), batch.clips[..., 0].numel()

    def flops(self, batch: CodecBatch) -> float:
        """Three passes' worth of the decoder's convolutions."""
        b, t, h, w, _ = batch.clips.shape
        return 3 * b * forward_flops(self.codec.config, t, h, w)

    def sample(self, folder: Path, step: int) -> dict[str, float]:
        """PSNR on held-out clips, whole; and originals over reconstructions."""
        scores: dict[str, list[Tensor]] = {"psnr": [], "psnr_noisy": [], "psnr_linear": []}
        weight = self.codec.post_quant.weight
        pairs, space = [], self.space.to(weight.device)
        for clip in self.crops.whole(self.held_out_shards, self.config.held_out):
            video = as_model_video(clip[None].to(weight.device), torch.float32)
            z, _ = self.codec.moments(video.to(self.codec.quant.weight.dtype))
            noised = z + 0.1 * torch.randn(z.shape).to(z)
            back, rough = (self.pixels(x).clamp(-1, 1) for x in (z, noised))
            scores["psnr"].append(psnr(back, video))
            scores["psnr_noisy"].append(psnr(rough, video))
            scores["psnr_linear"].append(psnr(space.decode(z), video))
            pairs.append((video[0].cpu(), back[0].cpu()))
        side_by_side(pairs[:6], folder / "held_out.png")
        return {name: float(torch.cat(values).mean()) for name, values in scores.items()}

    def export(self, folder: Path) -> None:
        """vae/config.json and vae/diffusion_pytorch_model.safetensors (bf16) in diffusers' layout."""
        write_codec(self.codec, folder / "vae")


def write_codec(codec: Codec, folder: Path, sigma: float = 0.05) -> None:
    """Write a codec (bf16) as diffusers does; the posterior's deviation, trained by nothing, is written as `sigma`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = codec.config
    state = {name: value.detach().float().clone() for name, value in codec.state_dict().items()}
    z = config.z_dim
    state["quant.weight"][z:] = 0
    state["quant.bias"][z:] = 2 * math.log(sigma)
    theirs = {name: value.contiguous().bfloat16() for name, value in state_to_wan(state, config).items()}
    (folder / "config.json").write_text(json.dumps(config_to_wan(config), indent=2) + "\n")
    save_file(theirs, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})


def forward_flops(config: CodecConfig, frames: int, height: int, width: int) -> float:
    """Floating-point operations of decoding one clip, convolutions only."""
    c, before, blocks = config.decoder_widths, config.decoder_widths[-1], config.num_res_blocks + 1
    scale = 2 ** (len(c) - 1)
    t, h, w = (
        1 + (frames - 1) // config.time_factor,
        height // config.patch_size // scale,
        width // config.patch_size // scale,
    )
    total = 54 * t * h * w * (config.z_dim * before + 4 * before**2)
    halve = (*reversed(config.halve_time), None)
    for out, time in zip(reversed(c), halve, strict=True):
        total += 54 * t * h * w * (before * out + (2 * blocks - 1) * out**2)
        if time is not None:
            t, h, w = 1 + (t - 1) * (2 if time else 1), 2 * h, 2 * w
            total += 18 * t * h * w * out**2
        before = out
    return total + 54 * t * h * w * before * 3 * config.patch_size**2
