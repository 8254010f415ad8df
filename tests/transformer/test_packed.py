"""Clips of mixed sizes in one row of tokens: each is computed as if it were alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sorairo.nn.attention import attention
from sorairo.nn.packed import Sequences, attend_each, attend_to_own
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS

CONFIG = replace(PRESETS["tiny"], local=1, local_width=8)
SHAPES = (
    (3, 4, 4),
    (3, 4, 4),
    (2, 4, 6),
    (1, 6, 4),
    (3, 4, 4),
)  # latent t h w; the last is no neighbour of its like


def network() -> Transformer:
    torch.manual_seed(0)
    made = Transformer(CONFIG)
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return made


def given() -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    clips = [torch.randn(CONFIG.channels, *shape, generator=generator) for shape in SHAPES]
    times = 1000 * torch.rand(sum(t for t, _, _ in SHAPES), generator=generator)
    text = torch.randn(len(SHAPES), 7, CONFIG.text_dim, generator=generator)
    return clips, times, text, torch.tensor([7, 1, 3, 5, 2])


def test_packed_clips_are_those_of_separate_passes() -> None:
    net, (clips, times, text, lengths) = network(), given()
    packed = net(clips, times, text, lengths)
    sum(clip.square().sum() for clip in packed).backward()
    gradients = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad()
    total = torch.zeros(())
    for index, (clip, at) in enumerate(zip(clips, times.split([t for t, _, _ in SHAPES]), strict=True)):
        row = slice(index, index + 1)
        own = text[row, : int(lengths[index])]
        alone = net(clip[None], at[None], own, lengths[row])
        torch.testing.assert_close(packed[index], alone[0], atol=1e-5, rtol=1e-5)
        total = total + alone.square().sum()
    total.backward()
    for name, p in net.named_parameters():
        error = (gradients[name] - p.grad).norm() / p.grad.norm().clamp_min(1e-6)
        assert float(error) < 1e-5, (name, float(error))


def test_clips_do_not_see_each_other() -> None:
    net, (clips, times, text, lengths) = network(), given()
    before = net(clips, times, text, lengths)
    clips[2] = clips[2] + 1
    text[2] += 1
    after = net(clips, times, text, lengths)
    assert [bool(torch.equal(a, b)) for a, b in zip(before, after, strict=True)] == [
        True,
        True,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("counts", [(5,), (4, 4, 2, 4), (0, 3, 0, 3)])
def test_attention_for_each_sequence(counts: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(2)
    q, k, v = (torch.randn(1, 2, sum(counts), 8, generator=generator) for _ in range(3))
    words = torch.randn(2, len(counts), 2, 6, 8, generator=generator)
    bias = torch.randn(len(counts), 1, 1, 6, generator=generator)
    seen, own = attend_each(q, k, v, Sequences(counts)), attend_to_own(q, *words, bias, Sequences(counts))
    start = 0
    for index, count in enumerate(counts):
        at = slice(start, start + count)
        if count:
            torch.testing.assert_close(seen[:, :, at], attention(q[:, :, at], k[:, :, at], v[:, :, at]))
            row = slice(index, index + 1)
            theirs = attention(q[:, :, at], words[0, row], words[1, row], bias[row])
            torch.testing.assert_close(own[:, :, at], theirs)
        start += count


def test_a_watch_sees_the_row() -> None:
    net, (clips, times, text, lengths) = network(), given()
    seen: list[torch.Size] = []
    net(clips, times, text, lengths, watch=lambda number, x: seen.append(x.shape))
    assert seen == [torch.Size((1, 1, 12 + 12 + 12 + 6 + 12, CONFIG.width))] * CONFIG.layers
