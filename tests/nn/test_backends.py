"""Kernels of attention that are chosen by name: right ones are used, wrong ones are refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.nn.attention import attention
from sorairo.nn.backends import BACKENDS, backend
from sorairo.transformer.compiling import use_attention
from sorairo.transformer.experts import Experts
from sorairo.types import UserError

CPU = torch.device("cpu")


@pytest.mark.parametrize(("name", "dtype"), [("torch", torch.float32), ("blocks", torch.bfloat16)])
def test_kernels_that_are_right_are_taken(name: str, dtype: torch.dtype) -> None:
    chosen = backend(name, CPU, dtype)
    q = torch.randn(1, 2, 700, 32)
    with torch.inference_mode():
        torch.testing.assert_close(attention(q, q, q, blocks=chosen), attention(q, q, q))


def unscaled(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


def black(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.full_like(q, torch.nan)


def without_the_rest(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Keys behind the last full block are forgotten."""
    full = k.shape[-2] // 64 * 64
    return F.scaled_dot_product_attention(q, k[..., :full, :], v[..., :full, :])


def failing(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("no kernel image is available")


@pytest.mark.parametrize("kernel", [unscaled, black, without_the_rest])
def test_kernels_that_give_wrong_numbers_are_refused(kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "sage", kernel)
    with pytest.raises(
        UserError, match=r"--attention sage gives wrong numbers on cpu .*use --attention auto"
    ):
        backend("sage", CPU, torch.float32)


def test_kernels_that_are_not_there_or_do_not_work_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sageattention", None)
    with pytest.raises(UserError, match="pip install sageattention"):
        backend("sage", CPU, torch.float32)
    with pytest.raises(UserError, match="no attention 'fast'; choose auto or one of: torch, blocks"):
        backend("fast", CPU, torch.float32)
    monkeypatch.setitem(BACKENDS, "flash", failing)
    with pytest.raises(UserError, match=r"flash does not work on cpu in torch\.float32: no kernel image"):
        backend("flash", CPU, torch.float32)


def test_packages_are_called_as_they_are_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs need a GPU; these have their signatures."""
    sage, flash = ModuleType("sageattention"), ModuleType("flash_attn")

    def sageattn(q, k, v, tensor_layout="HND", is_causal=False):
        assert tensor_layout == "HND" and not is_causal
        return F.scaled_dot_product_attention(q, k, v)

    def flash_attn_func(q, k, v):
        across = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(*across).transpose(1, 2)

    monkeypatch.setattr(sage, "sageattn", sageattn, raising=False)
    monkeypatch.setattr(flash, "flash_attn_func", flash_attn_func, raising=False)
    monkeypatch.setitem(sys.modules, "sageattention", sage)
    monkeypatch.setitem(sys.modules, "flash_attn", flash)
    for name in ("sage", "flash"):
        assert backend(name, CPU, torch.float32).name == name


def test_every_block_attends_by_it(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        calls.append(q.shape[-2])
        return F.scaled_dot_product_attention(q, k, v)

    monkeypatch.setattr("sorairo.nn.attention.FEW", 0)
    monkeypatch.setitem(BACKENDS, "sage", counted)
    chosen = backend("sage", CPU, torch.float32)
    calls.clear()
    plain = load_checkpoint(tiny_folder, "fp32").transformer
    config = plain.config
    given = (
        torch.randn(1, config.channels, 2, 8, 8),
        torch.tensor([500.0]),
        torch.randn(1, 4, config.text_dim),
    )
    lengths = torch.tensor([4])
    experts = Experts(lambda: plain, lambda: plain, config, boundary=0.4)
    with torch.inference_mode():
        expected = plain(*given, lengths)
        use_attention(experts, chosen, compiled=False)
        torch.testing.assert_close(experts(*given, lengths), expected)
    assert calls == [32] * config.layers
