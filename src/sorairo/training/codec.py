"""Training of the video codec on crops of rendered or recorded clips."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sorairo.checkpoints.adapters.wan_codec import config_to_wan, state_to_wan
from sorairo.codec.losses import charbonnier, edges, halve, psnr, scale_penalty
from sorairo.codec.model import Codec, CodecConfig
from sorairo.codec.norm import compile_norms
from sorairo.training.codec_data import Crops, CropShape, as_model_video
from sorairo.training.codec_sheet import side_by_side

__all__ = ["CodecObjective", "CodecObjectiveConfig"]


@dataclass(frozen=True, kw_only=True)
class CodecObjectiveConfig:
    """The loss and the data of a codec run.

    noise: largest deviation, in units of each channel's scale, of the noise on the decoder's input; drawn per clip and
    reached after noise_ramp steps. edges, scale: weights of those terms. equivariance: share of the steps that also
    ask for decode(halve(latents)) = halve(video) (EQ-VAE, Kouzelis et al. 2025). decoder_only: the encoder stays.
    """

    shapes: tuple[CropShape, ...] = ()
    seed: int = 0
    noise: float = 0.12
    noise_ramp: int = 1500
    edges: float = 0.25
    scale: float = 0.02
    equivariance: float = 0.2
    decoder_only: bool = False
    compiled: bool = True
    held_out: int = 16


@dataclass
class CodecObjective:
    """An Objective (see training/objective.py) over pixel shards: train-*.safetensors, heldout-*.safetensors."""

    codec: Codec
    config: CodecObjectiveConfig
    train_shards: list[Path]
    held_out_shards: list[Path]
    models: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        self.crops = Crops(self.train_shards, self.config.shapes, self.config.seed)
        self.models = {"codec": self.codec}
        frozen = (self.codec.encoder, self.codec.quant) if self.config.decoder_only else ()
        for module in frozen:
            module.requires_grad_(False)
        if self.config.compiled:
            compile_norms(self.codec)

    def settings(self) -> dict[str, Any]:
        """What decides the losses."""
        return {
            "codec": asdict(self.codec.config),
            "codec_loss": asdict(self.config),
            "shards": [path.name for path in self.train_shards],
        }

    def batch(self, step: int) -> Tensor:
        """uint8 b t h w 3"""
        return self.crops.batch(step)

    def loss(self, batch: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstruction from noisy latents, edges, unit scale and, now and then, equivariance to halving."""
        config, dtype = self.config, self.codec.post_quant.weight.dtype
        video = as_model_video(batch, dtype)  # b 3 t h w
        with torch.set_grad_enabled(not config.decoder_only):
            mean, _ = self.codec.moments(video)  # b z t' h' w'
        z = self.noisy(mean, step)
        error = self.codec.pixels(z).float() - video.float()
        parts = {"pixels": charbonnier(error), "edges": edges(error)}
        total = parts["pixels"] + config.edges * parts["edges"]
        if not config.decoder_only:
            parts["scale"] = scale_penalty(mean)
            total = total + config.scale * parts["scale"]
        draw = float(torch.rand(()))
        if draw < config.equivariance and min(z.shape[-2:]) % 2 == 0:
            small = self.codec.pixels(halve(z)).float() - halve(video.float())
            parts["halved"] = charbonnier(small)
            total = total + 0.5 * parts["halved"]
        parts["psnr"] = 10 * torch.log10(4 / error.square().mean())
        return total, {name: part.detach() for name, part in parts.items()}

    def noisy(self, mean: Tensor, step: int) -> Tensor:
        """Latents with noise of a size drawn per clip, relative to each channel's scale in this batch."""
        ramp = min(1.0, (step + 1) / self.config.noise_ramp)
        sigma = torch.rand(mean.shape[0], 1, 1, 1, 1) * (self.config.noise * ramp)
        rms = mean.detach().float().square().mean(dim=(0, 2, 3, 4), keepdim=True).sqrt()
        noise = torch.randn(mean.shape) * sigma * rms
        return mean + noise.to(mean)

    def count(self, batch: Tensor) -> tuple[int, int]:
        """Clips and pixels."""
        return batch.shape[0], batch[..., 0].numel()

    def flops(self, batch: Tensor) -> float:
        """Three passes' worth of the convolutions, the share of equivariance included roughly."""
        b, t, h, w, _ = batch.shape
        return 3 * b * forward_flops(self.codec.config, t, h, w) * (1 + 0.2 * self.config.equivariance)

    def sample(self, folder: Path, step: int) -> dict[str, float]:
        """PSNR on held-out clips, whole; and originals over reconstructions."""
        scores: dict[str, list[Tensor]] = {}
        pairs = []
        for clip in self.crops.whole(self.held_out_shards, self.config.held_out):
            video = as_model_video(clip[None], self.codec.post_quant.weight.dtype)
            mean, _ = self.codec.moments(video)
            back = self.codec.pixels(mean).clamp(-1, 1)
            scores.setdefault("psnr", []).append(psnr(back, video))
            scores.setdefault("psnr_noisy", []).append(
                psnr(self.codec.pixels(mean + 0.1 * torch.randn(mean.shape).to(mean)).clamp(-1, 1), video)
            )
            pairs.append((video[0], back[0]))
        side_by_side(pairs[:6], folder / "held_out.png")
        return {name: float(torch.cat(values).mean()) for name, values in scores.items()}

    def export(self, folder: Path) -> None:
        """vae/config.json and vae/diffusion_pytorch_model.safetensors (bf16) in diffusers' layout."""
        stats = latent_statistics(self.codec, self.crops.whole(self.train_shards, 300))
        write_codec(self.codec, folder / "vae", *stats)


@torch.no_grad()
def latent_statistics(codec: Codec, clips: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and deviation per latent channel (z,) over clips (each uint8 t h w 3)."""
    total = square = torch.zeros(codec.config.z_dim, dtype=torch.float64)
    count = 0
    for clip in clips:
        mean, _ = codec.moments(as_model_video(clip[None], codec.post_quant.weight.dtype))
        values = mean.double()
        total = total + values.sum(dim=(0, 2, 3, 4))
        square = square + values.square().sum(dim=(0, 2, 3, 4))
        count += values[:, 0].numel()
    average = total / count
    return average.float(), (square / count - average.square()).clamp(min=1e-12).sqrt().float()


def write_codec(codec: Codec, folder: Path, mean: Tensor, std: Tensor, sigma: float = 0.05) -> None:
    """Write a codec as diffusers does. The posterior's deviation is written as `sigma` of each channel's own."""
    folder.mkdir(parents=True, exist_ok=True)
    config = CodecConfig(
        **asdict(codec.config) | {"latents_mean": tuple(mean.tolist()), "latents_std": tuple(std.tolist())}
    )
    state = {name: value.detach().float().clone() for name, value in codec.state_dict().items()}
    z = config.z_dim
    state["quant.weight"][z:] = 0
    state["quant.bias"][z:] = 2 * (sigma * std).log()
    theirs = {name: value.contiguous().bfloat16() for name, value in state_to_wan(state, config).items()}
    (folder / "config.json").write_text(json.dumps(config_to_wan(config), indent=2) + "\n")
    save_file(theirs, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})


def forward_flops(config: CodecConfig, frames: int, height: int, width: int) -> float:
    """Floating-point operations of encoding and decoding one clip, convolutions only."""
    total = 0.0
    for widths, blocks in ((config.encoder_widths, config.num_res_blocks), (config.decoder_widths, config.num_res_blocks + 1)):
        t, h, w = frames, height // config.patch_size, width // config.patch_size
        pixels = 3 * config.patch_size**2
        total += 54 * t * h * w * pixels * widths[0]
        before = widths[0]
        for i, c in enumerate(widths):
            cells = t * h * w
            total += 54 * cells * (c * before + (2 * blocks - 1) * c * c)
            if i < len(widths) - 1:
                after = widths[i + 1] if blocks > config.num_res_blocks else c
                total += 18 * cells * after * after / (1 if blocks > config.num_res_blocks else 4)
                h, w = h // 2, w // 2
                t = 1 + (t - 1) // 2 if config.halve_time[i] else t
            before = c
        total += 54 * t * h * w * (4 * widths[-1] ** 2 + widths[-1] * config.z_dim)
    return total
