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
    """Make `codec` (fp32) encode to `space`, by clips, b 3 t h w in [-1, 1] with t = 1 + 4k; a hundred crops will do.

    Raises UserError for a codec of another form than the default's (patch 4, three stages, both halving time).
    """
    config = codec.config
    form = (config.patch_size, config.halve_time, config.shortcut, config.dim_mult, config.num_res_blocks)
    if form != (4, (True, True), True, (1, 4, 4), 1) or config.encoder_widths[1] < 2 * config.z_dim + 16:
        raise UserError("Only encoders of the default's form can be fitted; train this one instead.")
    encoder = codec.encoder
    for module in encoder.modules():
        if isinstance(module, ResidualBlock):
            blank(module.conv2)
    blank(encoder.middle.attention.proj)
    x = fit_patches(encoder.conv_in, video)
    x = fit_small_blocks(encoder.stages[0], x, video)
    x = fit_large_blocks(encoder.stages[1], x, video, space)
    x = encoder.middle(encoder.stages[2](x))
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
    count = conv.out_channels - 1
    mean, basis = principal(rows(x), count)
    assert conv.bias is not None
    blank(conv)
    conv.weight[:count, :, 2, 1, 1] = basis.T
    conv.bias[:count] = -mean @ basis
    conv.bias[-1] = CONSTANT
    return conv(x)


def fit_small_blocks(stage: nn.Module, x: Tensor, video: Tensor) -> Tensor:
    """8x8 pixels of two frames in principal components: first each frame as if it stood still, then pairs."""
    width, (block, down, time) = x.shape[1], layers(stage)
    centre, basis = principal(blocks(video, 2, 8).flatten(0, 3), width - 1)
    goal = grid((blocks(video, 2, 8) - centre) @ basis)
    still = grid((blocks_of_stills(video, 2, 8) - centre) @ basis)
    spread_gain(block.norm1, x, 1.0)
    alone = average_of_stills(x, width)
    fit_space(down.space, x, still - alone[:, :-1], constant=CONSTANT / 2)
    frames = spatial(down, x)
    fit_time(time, frames, goal - average_down(x, width, time=2, space=2)[:, :-1])
    return stage(x)


def fit_large_blocks(stage: nn.Module, x: Tensor, video: Tensor, space: LatentSpace) -> Tensor:
    """16x16 pixels of four frames in the latent space: its first frames in some channels, its others in others.

    The rest of the channels carry principal components, so that pairs of frames lose nothing on their way through.
    """
    block, down, time = layers(stage)
    z, width = space.still.shape[1], time.out_channels
    rest = width - 4 - 2 * z  # the average hands the constant to the last four
    latents = space.encode(video) * QUIET
    centre, basis = principal(blocks(video, 4, 16).flatten(0, 3), rest)
    quads = grid((blocks(video, 4, 16) - centre) @ basis)
    pairs = grid((blocks_of_pairs(video) - centre) @ basis)
    stills = firsts(space, mean_of_pairs(video)) * QUIET
    assert block.shortcut is not None
    embed(block.shortcut)
    y = block.shortcut(x)
    spread_gain(block.norm1, x, 1.0)
    alone = average_of_stills(x, width)
    goal = torch.cat([stills, torch.zeros_like(stills), pairs], 1)
    fit_space(down.space, y, goal - alone[:, :-4], constant=0.0)
    frames = spatial(down, y)
    goal = torch.cat([torch.zeros_like(latents), latents, quads], 1)
    fit_time(time, frames, goal - average_down(x, width, time=2, space=2)[:, :-4])
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


def mean_of_pairs(video: Tensor) -> Tensor:
    """b 3 (1+2k) h w -> b 3 1+k h w: the first frame, then means of two"""
    return torch.cat([video[:, :, :1], (video[:, :, 1::2] + video[:, :, 2::2]) / 2], 2)


def blocks(video: Tensor, frames: int, side: int) -> Tensor:
    """b 3 (1+fk) h w -> b 1+k h' w' (3 frames side side): what each position covers; the first frame is repeated."""
    video = torch.cat([video[:, :, :1].expand(-1, -1, frames - 1, -1, -1), video], dim=2)
    b, c, t, h, w = video.shape
    x = video.reshape(b, c, t // frames, frames, h // side, side, w // side, side)
    return x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)


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


def blocks_of_stills(video: Tensor, frames: int, side: int) -> Tensor:
    """As `blocks`, for every frame as if it were a still: b 3 t h w -> b t h' w' (3 frames side side)"""
    b, c, t, h, w = video.shape
    stills = video.transpose(1, 2).reshape(b * t, c, 1, h, w)
    return blocks(stills, frames, side)[:, 0].unflatten(0, (b, t))


def blocks_of_pairs(video: Tensor) -> Tensor:
    """16x16x4 blocks of each pair of frames, each frame twice: b 3 (1+2k) h w -> b 1+k h' w' d"""
    pairs = blocks(video, 2, 16).unflatten(4, (3, 2, -1))
    return pairs.repeat_interleave(2, dim=5).flatten(4)


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


def embed(conv: CausalConv3d) -> None:
    """A 1x1x1 convolution that hands its channels on, and adds silent ones."""
    blank(conv)
    conv.weight[: conv.in_channels, :, 0, 0, 0] = torch.eye(conv.in_channels)


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
