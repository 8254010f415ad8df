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

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b c t h w -> b z t' h' w'"""
        x = in_turn(self.conv_in, x, cache)
        for stage in self.stages:
            x = stage(x, cache)
        x = self.middle(x, cache)
        return self.conv_out(self.norm_out(x), cache)


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

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b z t h w -> b c t' h' w'"""
        x = self.conv_in(x, cache)
        x = self.middle(x, cache)
        for stage in self.stages:
            x = stage(x, cache)
        return in_turn(lambda some, kept: self.conv_out(self.norm_out(some), kept), x, cache)
