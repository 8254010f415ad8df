"""The two networks that read a clip of the studio: what each pixel belongs to, and what happens in the clip.

b clips, t frames, h w pixels, c channels. `Pixels` looks at one frame at a time and says at half resolution how likely
a place belongs to an object, of which colour and shape, and how far away that object's centre lies. `Story` looks at
every other frame, scaled to 64 pixels on the short side; local correlations between frames (a cheap optical flow) are
what tells a pan from an orbit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ParserConfig", "ParserNetwork", "Reading"]

CENTRE_SCALE = 8.0  # offsets leave the network in units of this many half-resolution pixels
STORY_SIDE = 64  # pixels on the short side of what Story sees


@dataclass(frozen=True, kw_only=True)
class ParserConfig:
    """The words it tells apart, and its widths: of Pixels at 1/2, 1/4 and 1/8, of Story at 1/4, 1/8 and 1/16."""

    colours: tuple[str, ...]
    shapes: tuple[str, ...]
    events: tuple[str, ...]
    cameras: tuple[str, ...]
    pixels: tuple[int, int, int] = (16, 32, 48)
    story: tuple[int, int, int] = (24, 48, 72)
    correlation: int = 16
    reach: int = 3
    lag: int = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """Raw outputs, y x at half resolution: object b t y x, colour b t y x colours, shape b t y x shapes, centre
    b t y x 2 (x y offset to the middle of the object, in half-resolution pixels), event b events, camera b cameras;
    logits all but `centre`.
    """

    object: Tensor
    colour: Tensor
    shape: Tensor
    centre: Tensor
    event: Tensor
    camera: Tensor


class ConvNorm(nn.Module):
    def __init__(self, c_in: int, c_out: int, *, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


def _shifted(x: Tensor, step: int) -> Tensor:
    """b t ...: every frame becomes the one `step` later (earlier if negative); beyond the ends they repeat."""
    t = x.shape[1]
    step = max(min(step, t - 1), 1 - t)
    if step >= 0:
        return torch.cat([x[:, step:], x[:, -1:].expand(-1, step, *x.shape[2:])], dim=1)
    return torch.cat([x[:, :1].expand(-1, -step, *x.shape[2:]), x[:, :step]], dim=1)


class TimeMix(nn.Module):
    """Adds what two neighbouring frames tell. x: (b t) c h w."""

    def __init__(self, c: int, step: int) -> None:
        super().__init__()
        self.step = step
        self.change = ConvNorm(2 * c, c, kernel=1)

    def forward(self, x: Tensor, b: int) -> Tensor:
        frames = x.unflatten(0, (b, -1))
        around = torch.cat([_shifted(frames, -self.step), _shifted(frames, self.step)], dim=2).flatten(0, 1)
        return F.relu(x + self.change(around))


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut, then frames `step` away; step = 0 looks at no other frame."""

    def __init__(self, c: int, step: int) -> None:
        super().__init__()
        self.one = ConvNorm(c, c)
        self.two = ConvNorm(c, c)
        self.time = TimeMix(c, step) if step else None

    def forward(self, x: Tensor, b: int = 1) -> Tensor:
        x = F.relu(x + self.two(F.relu(self.one(x))))
        return self.time(x, b) if self.time else x


class Flow(nn.Module):
    """Correlations of every place with the (2 reach + 1)^2 places around it in a frame `lag` later."""

    def __init__(self, c: int, config: ParserConfig) -> None:
        super().__init__()
        self.reach, self.lag = config.reach, config.lag
        self.project = nn.Conv2d(c, config.correlation, 1)
        self.out = nn.Conv2d((2 * config.reach + 1) ** 2 + 2, c, 1)

    def forward(self, x: Tensor, b: int) -> Tensor:
        h, w = x.shape[-2:]
        features = F.normalize(self.project(x).float(), dim=1).flatten(2).unflatten(0, (b, -1))  # b t c (h w)
        near, inside = self._window(h, w, x.device)
        every = features.mT @ _shifted(features, self.lag)  # b t (h w) (h w)
        maps = every.gather(3, near.expand(*every.shape[:2], -1, -1)) * inside
        ys = torch.linspace(-1, 1, h, device=x.device)[:, None].expand(h, w).reshape(-1, 1)
        xs = torch.linspace(-1, 1, w, device=x.device).expand(h, w).reshape(-1, 1)
        place = torch.cat([ys, xs], dim=1).expand(*features.shape[:2], -1, -1)
        flow = torch.cat([maps, place.to(maps.dtype)], dim=3).flatten(0, 1).mT.unflatten(2, (h, w))
        return self.out(flow.to(x.dtype))

    def _window(self, h: int, w: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(flat index of each neighbour, 1 where it lies in the picture), (h w) k."""
        span = torch.arange(-self.reach, self.reach + 1, device=device)
        ys = torch.arange(h, device=device)[:, None, None, None] + span[:, None]  # h 1 k 1
        xs = torch.arange(w, device=device)[:, None, None] + span  # w 1 k
        inside = ((ys >= 0) & (ys < h) & (xs >= 0) & (xs < w)).reshape(h * w, -1)
        near = (ys.clamp(0, h - 1) * w + xs.clamp(0, w - 1)).reshape(h * w, -1)
        return near, inside.float()


class Verdict(nn.Module):
    """Frame vectors b t c -> logits, by dilated convolutions over time and a mean, a maximum and the two ends."""

    def __init__(self, c: int, width: int, classes: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(c, width, 1)
        self.steps = (1, 2, 4)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=step) for step in self.steps)
        self.out = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x.transpose(1, 2))
        for layer, step in zip(self.layers, self.steps, strict=True):
            x = x + layer(F.pad(F.relu(x), (step, step), mode="replicate"))
        x = F.relu(x)
        return self.out(torch.cat([x.mean(dim=2), x.amax(dim=2), x[:, :, 0], x[:, :, -1]], dim=1))


class Pixels(nn.Module):
    """frames n 3 h w in -0.5..0.5 -> n y x (1 + colours + 2 + shapes), at half resolution.

    Shapes are told at a quarter of the resolution, where more channels see more of an object.
    """

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        w2, w4, w8 = config.pixels
        self.to2, self.to4, self.to8 = (
            ConvNorm(3, w2, stride=2),
            ConvNorm(w2, w4, stride=2),
            ConvNorm(w4, w8, stride=2),
        )
        self.block4 = Block(w4, 0)
        self.block8 = nn.Sequential(Block(w8, 0), Block(w8, 0))
        self.up4, self.up2 = ConvNorm(w8, w4, kernel=1), ConvNorm(w4, w2, kernel=1)
        self.mend4, self.mend2 = ConvNorm(w4, w4), ConvNorm(w2, 24)
        self.head = nn.Conv2d(24, 1 + len(config.colours) + 2, 1)
        self.shape = nn.Conv2d(w4, len(config.shapes), 1)

    def forward(self, frames: Tensor) -> Tensor:
        x2 = F.relu(self.to2(frames))
        x4 = self.block4(F.relu(self.to4(x2)))
        x8 = self.block8(F.relu(self.to8(x4)))
        y4 = F.relu(self.mend4(F.relu(x4 + _double(self.up4(x8)))))
        y2 = F.relu(self.mend2(F.relu(x2 + _double(self.up2(y4)))))
        return torch.cat([self.head(y2), _double(self.shape(y4))], dim=1).movedim(1, -1).float()


class Story(nn.Module):
    """frames b t 3 h w in -0.5..0.5 -> event and camera logits; and coarse object logits b t y x, to learn by."""

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        w4, w8, w16 = config.story
        self.lag = config.lag
        self.to4 = ConvNorm(9, w4, stride=4, kernel=7)
        self.object = nn.Conv2d(w4, 1, 1)
        self.to8, self.flow, self.block8 = ConvNorm(w4, w8, stride=2), Flow(w8, config), Block(w8, 1)
        self.to16, self.block16 = ConvNorm(w8, w16, stride=2), Block(w16, 2)
        self.event = Verdict(2 * w16, 64, len(config.events))
        self.camera = Verdict(2 * w16, 48, len(config.cameras))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b = frames.shape[0]
        x = _to_scale(frames.flatten(0, 1)).unflatten(0, (b, -1))
        x = torch.cat([x, _shifted(x, 1) - x, _shifted(x, self.lag) - x], dim=2).flatten(0, 1)  # (b t) 9 h w
        x4 = F.relu(self.to4(x.contiguous(memory_format=torch.channels_last)))
        object_ = self.object(x4)[:, 0].unflatten(0, (b, -1)).float()
        x8 = F.relu(self.to8(x4))
        x8 = self.block8(F.relu(x8 + self.flow(x8, b)), b)
        x16 = self.block16(F.relu(self.to16(x8)), b)
        pooled = torch.cat([x16.mean(dim=(2, 3)), x16.amax(dim=(2, 3))], dim=1).unflatten(0, (b, -1))
        return self.event(pooled).float(), self.camera(pooled).float(), object_


class ParserNetwork(nn.Module):
    """frames (b t 3 h w) in 0..1, h and w multiples of 16 -> Reading."""

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        self.config = config
        self.pixels = Pixels(config)
        self.story = Story(config)

    def forward(self, frames: Tensor) -> Reading:
        b, t = frames.shape[:2]
        x = frames - 0.5
        object_, colour, shape, centre = self.read(x.flatten(0, 1))
        halves = [self.story(x[:, start::2])[:2] for start in range(min(2, t))]
        event, camera = (torch.stack(logits).mean(dim=0) for logits in zip(*halves, strict=True))
        dense = [part.unflatten(0, (b, t)) for part in (object_, colour, shape, centre)]
        return Reading(
            object=dense[0], colour=dense[1], shape=dense[2], centre=dense[3], event=event, camera=camera
        )

    def read(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """object n y x, colour, shape and centre n y x k of frames n 3 h w in -0.5..0.5."""
        config = self.config
        out = self.pixels(frames.contiguous(memory_format=torch.channels_last))
        object_, colour, centre, shape = out.split((1, len(config.colours), 2, len(config.shapes)), dim=-1)
        return object_[..., 0], colour, shape, centre * CENTRE_SCALE


def _to_scale(x: Tensor) -> Tensor:
    """n c h w with STORY_SIDE pixels on the short side, both sides multiples of 16."""
    side = min(x.shape[-2:])
    h, w = (max(round(length * STORY_SIDE / side / 16), 1) * 16 for length in x.shape[-2:])
    if (h, w) == tuple(x.shape[-2:]):
        return x
    return F.interpolate(x, size=(h, w), mode="bilinear", align_corners=False, antialias=True)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
