"""The encoder in closed form: each of its layers fitted by least squares to compute a linear latent space.

The residual blocks start as nothing, so what is left of an encoder is a chain of small linear maps (and norms, which a
large constant channel makes linear). Fitting them one after another takes seconds, where training them takes hours and
ends further from the space.

Letters: b clips, c channels, t h w a grid, n rows (positions), d features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sorairo.codec.blocks import ResidualBlock
from sorairo.codec.latent_space import LatentSpace
from sorairo.codec.model import Codec
from sorairo.codec.norm import ChannelRMSNorm
from sorairo.codec.patches import patchify
from sorairo.codec.resample import Downsample, average_down
from sorairo.codec.stages import DownStage
from sorairo.nn.causal_conv import CausalConv3d, frames_to_images
from sorairo.types import UserError

__all__ = ["fit_encoder"]

CONSTANT = 4.0  # the last channel of every layer: what the norms measure the others against
QUIET = 0.03  # the scale of everything beside it


@torch.no_grad()
def fit_encoder(codec: Codec, space: LatentSpace, video: Tensor) -> None:
    """Make `codec` (fp32) encode to `space`, by clips, b 3 t h w in [-1, 1] with t = 1 + 2k; a hundred crops will do.

    Raises UserError for a codec of another form than the default's (patch 4, two stages, the first halving time).
    """
    config, shared = codec.config, space.shared
    form = (config.patch_size, config.halve_time, config.shortcut, config.dim_mult, config.num_res_blocks)
    least = 2 * config.z_dim + 1
    if form != (4, (True,), True, (1, 1), 1) or config.encoder_widths[0] < least or shared < 1:
        raise UserError("Only encoders of the default's form can be fitted; train this one instead.")
    encoder = codec.encoder
    for module in encoder.modules():
        if isinstance(module, ResidualBlock):
            blank(module.conv2)
    blank(encoder.middle.attention.proj)
    x = fit_patches(encoder.conv_in, video)
    x = fit_blocks(encoder.stages[0], x, video, space)
    x = encoder.middle(encoder.stages[1](x))
    spread_gain(encoder.norm_out, x, 0.02)  # so small that SiLU is a straight line
    assert encoder.conv_out.bias is not None
    blank(encoder.conv_out)
    z = config.z_dim
    weight, bias = least_squares(rows(encoder.norm_out(x)), rows(space.encode(video)))
    encoder.conv_out.weight[:z, :, 2, 1, 1], encoder.conv_out.bias[:z] = weight.T, bias
    blank(codec.quant)
    codec.quant.weight[:, :, 0, 0, 0] = torch.eye(2 * z)


def fit_patches(conv: CausalConv3d, video: Tensor) -> Tensor:
    """4x4 patches in principal components, and the constant. Returns the layer's output."""
    x = patchify(video, 4)
    count = min(conv.out_channels - 1, x.shape[1])
    mean, basis = principal(rows(x), count)
    assert conv.bias is not None
    blank(conv)
    conv.weight[:count, :, 2, 1, 1] = basis.T
    conv.bias[:count] = -mean @ basis
    conv.bias[-1] = CONSTANT
    return conv(x)


def fit_blocks(stage: nn.Module, x: Tensor, video: Tensor, space: LatentSpace) -> Tensor:
    """8x8 pixels of two frames in the latent space: its first frames in some channels, its others in others.

    The channels that are left carry the components of stills after those of the space, so that the convolution in
    time knows both of its frames in full.
    """
    block, down, time = layers(stage)
    width = x.shape[1]
    rest = width - 1 - 2 * space.still.shape[1]  # the last channel is the constant's
    stills = firsts(space, video) * QUIET
    centre, basis = principal(frame_blocks(video).flatten(0, 3), space.still.shape[1] + rest)
    finer = grid((frame_blocks(video) - centre) @ basis[:, space.still.shape[1] :])
    spread_gain(block.norm1, x, 1.0)
    alone = average_of_stills(x, width)
    goal = torch.cat([stills, torch.zeros_like(stills), finer], 1)
    fit_space(down.space, x, goal - alone[:, : goal.shape[1]], constant=CONSTANT / 2)
    frames = spatial(down, x)
    latents = space.encode(video) * QUIET
    goal = torch.cat([torch.zeros_like(latents), latents], 1)
    fit_time(time, frames, goal - average_down(x, width, time=2, space=2)[:, : goal.shape[1]])
    return stage(x)


def layers(stage: nn.Module) -> tuple[ResidualBlock, Downsample, nn.Conv3d]:
    """The only block of a stage, its change of grid, and the part of that in time."""
    assert isinstance(stage, DownStage)
    block, down = stage.blocks[0], stage.down
    assert isinstance(block, ResidualBlock) and down is not None and down.time is not None
    return block, down, down.time


def firsts(space: LatentSpace, stills: Tensor) -> Tensor:
    """b 3 t h w -> b z t h' w': every frame as the first of a clip"""
    b, c, t, h, w = stills.shape
    alone = stills.transpose(1, 2).reshape(b * t, c, 1, h, w)
    return space.encode(alone)[:, :, 0].unflatten(0, (b, t)).transpose(1, 2)


def frame_blocks(video: Tensor) -> Tensor:
    """b 3 t (8h) (8w) -> b t h w 192: the 8x8 pixels under each position of every frame"""
    b, c, t, h, w = video.shape
    x = video.reshape(b, c, t, h // 8, 8, w // 8, 8)
    return x.permute(0, 2, 3, 5, 1, 4, 6).flatten(4)


def principal(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """n d -> the mean (d) and the leading components (d count), scaled by 1/sqrt(d) so that values stay below 1."""
    count = min(count, x.shape[1])
    mean = x.mean(0)
    some = x[torch.randperm(len(x))[:20000]] - mean
    basis = (
        torch.svd_lowrank(some, q=count, niter=3)[2]
        if count < x.shape[1]
        else torch.linalg.svd(some, False)[2].T
    )
    return mean, basis / x.shape[1] ** 0.5


def least_squares(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """n d, n c -> weight (d c) and bias (c) with the least square error, barely damped."""
    mx, my = x.mean(0), y.mean(0)
    scale = x.std(0)
    use = scale > 1e-5 + 1e-3 * mx.abs()  # not the constant, whose small changes would get huge weights
    a, b = ((x - mx)[:, use] / scale[use]).double(), (y - my).double()
    gram = a.T @ a
    gram += 1e-5 * len(a) * torch.eye(len(gram), dtype=gram.dtype)
    weight = x.new_zeros(x.shape[1], y.shape[1])
    weight[use] = torch.linalg.solve(gram, a.T @ b).to(x.dtype) / scale[use, None]
    return weight, my - mx @ weight


def sample(x: Tensor, y: Tensor, count: int = 24000) -> tuple[Tensor, Tensor]:
    """The same random rows of both."""
    pick = torch.randperm(len(x))[:count]
    return x[pick], y[pick]


def rows(x: Tensor) -> Tensor:
    """b c t h w -> (b t h w) c"""
    return x.movedim(1, -1).flatten(0, -2)


def grid(x: Tensor) -> Tensor:
    """b t h w c -> b c t h w"""
    return x.movedim(-1, 1)


def windows(images: Tensor, padding: int, stride: int = 1) -> Tensor:
    """(b t) c h w -> (b t h' w') (c 9): what a 3x3 kernel sees"""
    return F.unfold(images, 3, padding=padding, stride=stride).transpose(1, 2).flatten(0, 1)


def average_of_stills(x: Tensor, width: int) -> Tensor:
    """The shortcut's average of each frame as if it were the first: b c t h w -> b width t h/2 w/2"""
    frames = x.transpose(1, 2).flatten(0, 1).unsqueeze(2)  # (b t) c 1 h w
    return (
        average_down(frames, width, time=2, space=2)[:, :, 0].unflatten(0, (x.shape[0], -1)).transpose(1, 2)
    )


def spatial(down: Downsample, x: Tensor) -> Tensor:
    """The spatial half of a Downsample: b c t h w -> b c t h/2 w/2"""
    images = F.pad(frames_to_images(x), (0, 1, 0, 1))
    return down.space(images).unflatten(0, (x.shape[0], -1)).transpose(1, 2)


def fit_space(conv: nn.Conv2d, x: Tensor, goal: Tensor, *, constant: float) -> None:
    """Fit a strided kernel to b c t h/2 w/2; the constant goes to its last channel."""
    assert conv.bias is not None
    blank(conv)
    images = F.pad(frames_to_images(x), (0, 1, 0, 1))
    seen = windows(images, 0, 2).unflatten(1, (-1, 3, 3))[:, :, :2, :2].flatten(1)  # only the block itself
    weight, bias = least_squares(*sample(seen, rows(goal)))
    conv.weight[: goal.shape[1], :, :2, :2] = weight.T.unflatten(1, (-1, 2, 2))
    conv.bias[: goal.shape[1]] = bias
    conv.bias[-1] = constant


def fit_time(conv: nn.Conv3d, frames: Tensor, goal: Tensor) -> None:
    """Fit a kernel over three frames, two apart, to b c 1+k h w, whose first frame is not its business."""
    assert conv.bias is not None
    blank(conv)
    seen = torch.cat([frames[:, :, 1::2], frames[:, :, 2::2]], 1)
    weight, bias = least_squares(*sample(rows(seen), rows(goal[:, :, 1:])))
    width = frames.shape[1]
    conv.weight[: goal.shape[1], :, 1, 0, 0] = weight[:width].T
    conv.weight[: goal.shape[1], :, 2, 0, 0] = weight[width:].T
    conv.bias[: goal.shape[1]] = bias


def blank(module: nn.Module) -> None:
    """All weights zero."""
    for parameter in module.parameters():
        parameter.zero_()


def spread_gain(norm: ChannelRMSNorm, x: Tensor, size: float) -> None:
    """Gains that bring the channels of a norm's output towards one size, half way (in the logarithm) for quiet ones."""
    level = rows(x / x.square().mean(1, keepdim=True).sqrt()).square().mean(0).sqrt()
    loud = level[:-1].max()  # the last is the constant
    gain = size / (level * level.clamp(min=loud / 100)).sqrt()
    norm.weight.copy_(torch.where(level > loud * 1e-4, gain, 1.0))
