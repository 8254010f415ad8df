"""The network that reads a clip of the studio: what each pixel belongs to, and what happens in the clip as a whole.

b clips, t frames, h w pixels, c channels. A frame's features are mixed with its neighbours' by short convolutions over
time and by local correlations with a later frame (a cheap optical flow, which is what tells a pan from an orbit). A
small decoder brings them back to half resolution, where each pixel says how likely it belongs to an object, of which
colour and shape, and how far away that object's centre lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ParserConfig", "ParserNetwork", "Reading"]

CENTRE_SCALE = 8.0  # offsets leave the network in units of this many half-resolution pixels


@dataclass(frozen=True, kw_only=True)
class ParserConfig:
    """The words it tells apart, and its widths at 1/2, 1/4, 1/8 and 1/16 of the resolution."""

    colours: tuple[str, ...]
    shapes: tuple[str, ...]
    events: tuple[str, ...]
    cameras: tuple[str, ...]
    widths: tuple[int, int, int, int] = (16, 24, 48, 72)
    correlation: int = 16
    reach: int = 3
    lags: tuple[int, int] = (1, 4)


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

    def forward(self, x: Tensor, b: int) -> Tensor:
        x = F.relu(x + self.two(F.relu(self.one(x))))
        return self.time(x, b) if self.time else x


class Flow(nn.Module):
    """Correlations of every place with the (2 reach + 1)^2 places around it in later frames."""

    def __init__(self, c: int, config: ParserConfig) -> None:
        super().__init__()
        self.reach, self.lags = config.reach, config.lags
        self.project = nn.Conv2d(c, config.correlation, 1)
        self.out = nn.Conv2d(len(config.lags) * (2 * config.reach + 1) ** 2 + 2, c, 1)

    def forward(self, x: Tensor, b: int) -> Tensor:
        h, w = x.shape[-2:]
        features = F.normalize(self.project(x).float(), dim=1).flatten(2).unflatten(0, (b, -1))  # b t c (h w)
        near, inside = self._window(h, w, x.device)
        maps = []
        for lag in self.lags:
            every = features.mT @ _shifted(features, lag)  # b t (h w) (h w)
            maps.append(every.gather(3, near.expand(*every.shape[:2], -1, -1)) * inside)
        ys = torch.linspace(-1, 1, h, device=x.device)[:, None].expand(h, w).reshape(-1, 1)
        xs = torch.linspace(-1, 1, w, device=x.device).expand(h, w).reshape(-1, 1)
        place = torch.cat([ys, xs], dim=1).expand(*features.shape[:2], -1, -1)
        flow = torch.cat([*maps, place], dim=3).flatten(0, 1).mT.unflatten(2, (h, w))
        return self.out(flow.to(x.dtype))

    def _window(self, h: int, w: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(flat index of each neighbour, 1 where it lies in the picture), (h w) k."""
        span = torch.arange(-self.reach, self.reach + 1, device=device)
        ys = torch.arange(h, device=device)[:, None, None, None] + span[:, None]  # h 1 k 1
        xs = torch.arange(w, device=device)[:, None, None] + span  # w 1 k
        inside = ((ys >= 0) & (ys < h) & (xs >= 0) & (xs < w)).reshape(h * w, -1)
        near = (ys.clamp(0, h - 1) * w + xs.clamp(0, w - 1)).reshape(h * w, -1)
        return near, inside.float()


class Story(nn.Module):
    """Frame vectors b t c -> logits, by dilated convolutions over time and a mean, a maximum and the two ends."""

    def __init__(self, c: int, width: int, classes: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(c, width, 1)
        self.steps = (1, 2, 4, 8)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3, dilation=step) for step in self.steps)
        self.out = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x.transpose(1, 2))
        for layer, step in zip(self.layers, self.steps, strict=True):
            x = x + layer(F.pad(F.relu(x), (step, step), mode="replicate"))
        x = F.relu(x)
        return self.out(torch.cat([x.mean(dim=2), x.amax(dim=2), x[:, :, 0], x[:, :, -1]], dim=1))


class ParserNetwork(nn.Module):
    """frames (b t 3 h w) in 0..1, h and w multiples of 16, t >= 2 -> Reading."""

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        self.config = config
        w2, w4, w8, w16 = config.widths
        self.stem = nn.Sequential(ConvNorm(3, w2, stride=2), nn.ReLU(), ConvNorm(w2, w2), nn.ReLU())
        self.to4, self.blocks4 = ConvNorm(w2, w4, stride=2), nn.ModuleList([Block(w4, 0)])
        self.to8, self.blocks8 = ConvNorm(w4, w8, stride=2), nn.ModuleList([Block(w8, 1), Block(w8, 2)])
        self.flow = Flow(w8, config)
        self.to16, self.blocks16 = ConvNorm(w8, w16, stride=2), nn.ModuleList([Block(w16, 2), Block(w16, 4)])
        self.up8, self.up4, self.up2 = (
            ConvNorm(w16, w8, kernel=1), ConvNorm(w8, w4, kernel=1), ConvNorm(w4, w2, kernel=1)
        )  # fmt: skip
        self.mend8, self.mend4 = ConvNorm(w8, w8), ConvNorm(w4, w4)
        self.pixel = nn.Sequential(ConvNorm(w2, 24), nn.ReLU())
        self.parts = (1, len(config.colours), len(config.shapes), 2)
        self.head = nn.Conv2d(24, sum(self.parts), 1)
        self.event = Story(2 * w16, 64, len(config.events))
        self.camera = Story(2 * w16, 48, len(config.cameras))

    def forward(self, frames: Tensor) -> Reading:
        b = frames.shape[0]
        x2 = self.stem((frames - 0.5).flatten(0, 1).contiguous(memory_format=torch.channels_last))
        x4 = self._run(self.blocks4, F.relu(self.to4(x2)), b)  # (b t) c h/4 w/4
        x8 = F.relu(self.to8(x4))
        x8 = self._run(self.blocks8, x8 + self.flow(x8, b), b)  # (b t) c h/8 w/8
        x16 = self._run(self.blocks16, F.relu(self.to16(x8)), b)  # (b t) c h/16 w/16

        y8 = F.relu(self.mend8(F.relu(x8 + _double(self.up8(x16)))))
        y4 = F.relu(self.mend4(F.relu(x4 + _double(self.up4(y8)))))
        y2 = self.pixel(F.relu(x2 + _double(self.up2(y4))))  # (b t) c h/2 w/2
        dense = self.head(y2).unflatten(0, (b, -1)).movedim(2, -1).float()
        object_, colour, shape, centre = dense.split(self.parts, dim=-1)

        pooled = torch.cat([x16.mean(dim=(2, 3)), x16.amax(dim=(2, 3))], dim=1).unflatten(0, (b, -1))
        return Reading(
            object=object_[..., 0],
            colour=colour,
            shape=shape,
            centre=centre * CENTRE_SCALE,
            event=self.event(pooled).float(),
            camera=self.camera(pooled).float(),
        )

    @staticmethod
    def _run(blocks: nn.ModuleList, x: Tensor, b: int) -> Tensor:
        for block in blocks:
            x = block(x, b)
        return x


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
