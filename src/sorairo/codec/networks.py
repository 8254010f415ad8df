"""The encoder and the decoder: stages of falling and rising resolution around a middle with attention."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sorairo.codec.blocks import Middle
from sorairo.codec.norm import NormSiLU
from sorairo.codec.stages import DownStage, UpStage
from sorairo.nn.causal_conv import CausalConv3d, TimeCache, in_turn

__all__ = ["Decoder", "Encoder"]


class Encoder(nn.Module):
    """Pixels (folded by the patch) -> moments of the latents, twice z channels."""

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        z: int,
        *,
        blocks: int,
        halve_time: Sequence[bool],
        shortcut: bool,
    ) -> None:
        super().__init__()
        self.conv_in = CausalConv3d(in_channels, widths[0], 3)
        self.stages = nn.ModuleList()
        for i, (before, width) in enumerate(zip([widths[0], *widths], widths, strict=False)):
            space = i < len(widths) - 1
            time = space and halve_time[i]
            self.stages.append(DownStage(before, width, blocks, space=space, time=time, shortcut=shortcut))
        self.middle = Middle(widths[-1])
        self.norm_out = NormSiLU(widths[-1])
        self.conv_out = CausalConv3d(widths[-1], z, 3)
        self.fine = [*halve_time, True].index(True)  # stages before time is first halved

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b c t h w -> b z t' h' w'"""
        x = in_turn(self.start, x, cache, widest=self.conv_in.out_channels)
        for stage in self.stages[self.fine :]:
            x = stage(x, cache)
        x = self.middle(x, cache)
        return self.conv_out(self.norm_out(x), cache)

    def start(self, x: Tensor, cache: TimeCache | None) -> Tensor:
        """What gives a frame for a frame at the finest grids, where a clip is largest: b c t h w -> b c' t h' w'"""
        x = self.conv_in(x, cache)
        for stage in self.stages[: self.fine]:
            x = stage(x, cache)
        return x


class Decoder(nn.Module):
    """Latents -> pixels (folded by the patch). `widths` is fine to coarse, as the encoder's."""

    def __init__(
        self,
        z: int,
        widths: Sequence[int],
        out_channels: int,
        *,
        blocks: int,
        halve_time: Sequence[bool],
        shortcut: bool,
    ) -> None:
        super().__init__()
        rising = [widths[-1], *reversed(widths)]
        doubling = [*reversed(halve_time), False]
        self.conv_in = CausalConv3d(z, rising[0], 3)
        self.middle = Middle(rising[0])
        self.stages = nn.ModuleList()
        before = rising[0]
        for i, width in enumerate(rising[1:]):
            space = i < len(widths) - 1
            after = width if shortcut else width // 2
            self.stages.append(
                UpStage(
                    before,
                    width,
                    blocks + 1,
                    up_channels=after,
                    space=space,
                    time=space and doubling[i],
                    shortcut=shortcut,
                )
            )
            before = after
        self.norm_out = NormSiLU(rising[-1])
        self.conv_out = CausalConv3d(rising[-1], out_channels, 3)
        self.fine = [*halve_time, True].index(True)  # doublings of the grid behind the last of time

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b z t h w -> b c t' h' w'"""
        x = self.conv_in(x, cache)
        x = self.middle(x, cache)
        coarse = len(self.stages) - 1 - self.fine
        for stage in self.stages[:coarse]:
            x = stage(x, cache)
        widest = 4**self.fine * self.conv_out.in_channels  # of a place of x, when it has become finest
        return in_turn(self.end, x, cache, widest=widest)

    def end(self, x: Tensor, cache: TimeCache | None) -> Tensor:
        """What gives a frame for a frame at the finest grids, where a clip is largest: b c t h w -> b c' t h' w'"""
        for stage in self.stages[len(self.stages) - 1 - self.fine :]:
            x = stage(x, cache)
        return self.conv_out(self.norm_out(x), cache)
