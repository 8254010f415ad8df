"""Weights and LoRAs that would give a wrong video, or an error of Python's, are refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sorairo.checkpoints.adapters.lora import module_name
from sorairo.checkpoints.headers import read_header, weight_entries
from sorairo.checkpoints.lora import read_lora
from sorairo.checkpoints.tensors import load_weights
from sorairo.nn.weights import all_finite, read_weights
from sorairo.types import UserError

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e5m2, torch.float8_e4m3fn]


def shell() -> nn.Module:
    with torch.device("meta"):
        return nn.Linear(4, 6)


def weights(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"weight": torch.ones(6, 4), "bias": torch.ones(6)} | changes


def raw(path: Path, header: object, data: bytes = bytes(8)) -> Path:
    """A .safetensors file with any header at all."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_seen_wherever_it_is(dtype: torch.dtype, value: float) -> None:
    for at in (0, 5000, (1 << 20) + 3):
        tensor = torch.linspace(-400, 400, (1 << 20) + 9).to(dtype)
        assert all_finite(tensor)
        tensor[at] = torch.tensor(value if dtype != torch.float8_e4m3fn else torch.nan).to(
            dtype
        )  # no infinity
        assert not all_finite(tensor)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_values_are_finite(dtype: torch.dtype) -> None:
    limits = torch.finfo(dtype)
    assert all_finite(torch.tensor([limits.max, limits.min, limits.tiny, 0.0], dtype=torch.float64).to(dtype))


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    save_file(weights(bias=torch.tensor([0, 0, 0, 0, torch.nan, 0])), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"model.safetensors: bias holds numbers that are not finite"):
        load_weights(shell(), tmp_path)
    with pytest.raises(UserError, match="bias holds numbers that are not finite"):
        read_weights(tmp_path, "model")


def test_whole_numbers_in_place_of_weights_are_refused(tmp_path: Path) -> None:
    save_file(weights(weight=torch.ones(6, 4, dtype=torch.int8)), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"weight holds whole numbers \(int8\)"):
        load_weights(shell(), tmp_path)


def test_a_second_file_of_weights_does_not_override_the_first(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "model.safetensors")
    save_file({"weight": torch.zeros(6, 4)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"model.safetensors, other.safetensors"):
        weight_entries(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(weights(), "model.safetensors")}))
    module = shell()
    load_weights(module, tmp_path)
    assert torch.equal(module.weight, torch.ones(6, 4))
    index.write_text(json.dumps({"weight_map": {"weight": "other.safetensors", "bias": "model.safetensors"}}))
    with pytest.raises(UserError, match="weight is both in"):
        weight_entries(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 3000,
        "{}",
        "null",
        '{"weight_map": []}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": 1}}',
        '{"weight_map": {"a": ["b"]}}',
        '{"weight_map": {"a": "../m.safetensors"}}',
        '{"weight_map": {"a": "missing.safetensors"}}',
        '{"weight_map": {"a": "."}}',
        '{"n": %s}' % ("1" * 5000),
    ],
)
def test_a_broken_index_is_one_sentence(tmp_path: Path, text: str) -> None:
    save_file(weights(), tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(text)
    for read in (weight_entries, lambda folder: read_weights(folder, "model")):
        with pytest.raises(UserError) as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"\xff\xfe{}",
        {"x": 1},
        {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "y": {"dtype": "F32"}},
        {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "xy"},
        {"x": {"dtype": "F32", "shape": [2, -1], "data_offsets": [0, -8]}},
        {"x": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}},
        {"x": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F4", "shape": [1], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}},
        {"x": {"dtype": "F32", "shape": [10**30], "data_offsets": [0, 4 * 10**30]}},
        {"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}},
        {"__metadata__": [1]},
        {"__metadata__": {"a": {}}},
    ],
)
def test_a_broken_header_is_one_sentence(tmp_path: Path, header: Any) -> None:
    path = raw(tmp_path / "x.safetensors", header)
    for read in (read_header, read_lora):
        with pytest.raises(UserError) as caught:
            read(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def lora(path: Path, module: str = "blocks.0.self_attn.q", **changes: torch.Tensor | None) -> Path:
    parts = {
        "lora_down.weight": torch.ones(2, 4),
        "lora_up.weight": torch.ones(6, 2),
        "alpha": torch.tensor(1.0),
    }
    parts |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    save_file({f"{module}.{name}": tensor for name, tensor in parts.items() if tensor is not None}, path)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lora_down__weight": torch.full((2, 4), torch.nan)},
            "lora_down.weight holds numbers that are not finite",
        ),
        ({"alpha": torch.tensor(torch.inf)}, "alpha holds numbers that are not finite"),
        ({"alpha": torch.ones(3)}, "alpha is not one number"),
        (
            {"lora_up__weight": torch.ones(6, 2, dtype=torch.int8)},
            r"whole numbers \(int8\): a quantised LoRA",
        ),
        ({"lora_up__weight": torch.ones(2)}, "is no matrix"),
        ({"lora_up__weight": torch.ones(6, 0), "lora_down__weight": torch.ones(0, 4)}, "is no matrix"),
    ],
)
def test_broken_loras_are_refused_by_name(
    tmp_path: Path, changes: dict[str, torch.Tensor], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_lora(lora(tmp_path / "x.safetensors", **changes))


def test_an_alpha_may_be_a_whole_number(tmp_path: Path) -> None:
    (change,) = read_lora(lora(tmp_path / "x.safetensors", alpha=torch.tensor(4))).changes.values()
    assert not isinstance(change, torch.Tensor) and change.scale == 2


@pytest.mark.parametrize(
    "config",
    [
        "[]",
        "{",
        '{"lora_alpha": "four"}',
        '{"lora_alpha": NaN}',
        '{"lora_alpha": true}',
        '{"lora_alpha": 1e999}',
        '{"lora_alpha": 1, "alpha_pattern": [1]}',
        '{"lora_alpha": 1, "alpha_pattern": {"(a+)+$": 2}}',
        '{"lora_alpha": 1, "alpha_pattern": {"[": 2}}',
        '{"lora_alpha": 1, "alpha_pattern": {"q": null}}',
    ],
)
def test_a_broken_scale_is_one_sentence(tmp_path: Path, config: str) -> None:
    path = lora(tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(UserError, match=r"adapter_config\.json"):
        read_lora(path)


@pytest.mark.parametrize(
    "theirs",
    [
        "lora_unet_blocks_0_self_attn_q",
        "lora_unet_blocks_0.self_attn.q",
        "lora_transformer_blocks_0_attn1_to_q",
        "lora_transformer_blocks_0.attn1.to_q",
        "lora_transformer_blocks_0_self_attn_q",
        "lora_unet__blocks_0_self_attn_q",
        "lora_unet_diffusion_model_blocks_0_self_attn_q",
        "lora_wan_blocks_0_self_attn_q",
        "pipe.dit.blocks.0.self_attn.q",
        "pipe.dit.blocks.0.attn1.to_q",
        "model.diffusion_model.blocks.0.self_attn.q",
        "base_model.model.blocks.0.self_attn.q",
        "transformer.base_model.model.blocks.0.attn1.to_q",
        "module.blocks.0.self_attn.q",
        "transformer._orig_mod.blocks.0.self_attn.q",
        "unet.blocks.0.self_attn.q",
        "diffusion_model.model.blocks.0.self_attn.q",
    ],
)
def test_styles_of_keys_name_the_same_layer(theirs: str) -> None:
    assert module_name(theirs) == "blocks.0.self_attention.q"


@pytest.mark.parametrize(
    "config", ['{"peft_type": "LOKR", "alpha": 8, "r": 4}', '{"lora_alpha": 4, "use_dora": true}']
)
def test_other_kinds_of_pefts_are_refused(tmp_path: Path, config: str) -> None:
    """Read as a plain LoRA they would be other changes."""
    path = lora(tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(UserError, match=r"PEFT's .*(LOKR|DoRA)"):
        read_lora(path)


def test_another_transformers_layer_is_not_this_ones() -> None:
    assert module_name("transformer_2.blocks.0.attn1.to_q").startswith("transformer_2.")


def test_styles_with_numbers_inside_a_name() -> None:
    assert module_name("lora_transformer_blocks_11_ffn_net_0_proj") == "blocks.11.feed_forward.up"
    assert module_name("lora_transformer_blocks_2_attn1_to_out_0") == "blocks.2.self_attention.out"
    assert module_name("lora_transformer_blocks_2_attn2_norm_k") == "blocks.2.cross_attention.norm_k"


def test_of_a_large_tensor_blocks_are_read(tmp_path: Path) -> None:
    """A part that is not finite is seen when it is as long as the blocks are apart, and at both ends."""
    tensor = torch.zeros((1 << 22) + 12345, dtype=torch.bfloat16)
    assert all_finite(tensor)
    for start, stop in ((0, 1), (len(tensor) - 1, len(tensor)), (1_234_567, 1_234_567 + 10 * (1 << 16))):
        tensor[start:stop] = torch.nan
        assert not all_finite(tensor)
        tensor[start:stop] = 0
