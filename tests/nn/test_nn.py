import math

import pytest
import torch
import torch.nn.functional as F

from sorairo.nn import attention as attention_module
from sorairo.nn.attention import attention, in_blocks
from sorairo.nn.norm import LayerNorm, RMSNorm, modulate
from sorairo.nn.precision import bf16_pays
from sorairo.nn.rope import rotate, turns


def qkv(queries=5, keys=7):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, count, 8, generator=generator) for count in (queries, keys, keys)]


def test_both_ways_of_attention_agree(monkeypatch):
    q, k, v = qkv()
    products = attention(q, k, v)
    monkeypatch.setattr(attention_module, "FEW", 0)
    assert torch.allclose(products, attention(q, k, v), atol=1e-6)


def test_a_bias_hides_keys_and_counts_them():
    q, k, v = qkv(keys=4)
    bias = torch.tensor([0.0, -math.inf, 0.0, math.log(3)])
    again = [0, 2, 3, 3, 3]
    assert torch.allclose(attention(q, k, v, bias), attention(q, k[:, :, again], v[:, :, again]), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_are_torchs(dtype):
    x = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    close = {"atol": 1e-6} if dtype == torch.float32 else {"atol": 0.02}
    layer, rms = LayerNorm(16), RMSNorm(16)
    assert layer(x).dtype == rms(x).dtype == dtype
    assert torch.allclose(layer(x), F.layer_norm(x.float(), (16,), eps=1e-6).to(dtype), **close)
    assert torch.allclose(rms(x), F.rms_norm(x.float(), (16,), eps=1e-6).to(dtype), **close)
    shift, scale = torch.full((16,), 2.0), torch.full((16,), 0.5)
    assert torch.allclose(modulate(x, shift, scale).float(), layer(x.float()) * 1.5 + 2, atol=0.05)


def test_rotary_scores_depend_on_distance_alone():
    grid, c = (3, 4, 5), 32
    by = turns(grid, c)
    assert by.cos.shape == (60, 16)
    q, k = (torch.randn(c, generator=torch.Generator().manual_seed(i)).expand(1, 1, 60, c) for i in (0, 1))
    scores = (rotate(q, by) @ rotate(k, by).transpose(-1, -2)).view(*grid, *grid)
    assert torch.allclose(scores[0, 0, 0, 1, 2, 3], scores[1, 1, 1, 2, 3, 4], atol=1e-4)
    assert not torch.allclose(scores[0, 0, 0, 1, 2, 3], scores[0, 0, 0, 2, 1, 3], atol=1e-2)
    assert torch.allclose(rotate(q, by).norm(dim=-1), q.norm(dim=-1), atol=1e-5)


def test_blocks_of_queries_are_attention():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 16).bfloat16() for n in (1100, 700, 700))
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    with torch.no_grad():
        assert (in_blocks(q, k, v) - exact).abs().max() < 1e-2
        assert torch.equal(attention(q, k, v), in_blocks(q, k, v))


@pytest.mark.parametrize(
    ("has", "pays"),
    [
        ({"amx_bf16": True, "avx512_bf16": True, "avx512_fp16": True}, True),  # Sapphire Rapids
        ({"amx_bf16": False, "avx512_bf16": True, "avx512_fp16": True}, False),  # its AMX hidden
        ({"amx_bf16": False, "avx512_bf16": True, "avx512_fp16": False}, True),  # Zen 4
        ({"avx512_bf16": False, "avx512_fp16": False}, False),  # older
        ({}, False),  # Arm
    ],
)
def test_bf16_only_where_it_is_faster(monkeypatch, has, pays):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert bf16_pays() is pays
