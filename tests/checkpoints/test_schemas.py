"""The schemas know every key that diffusers writes, and refuse what would build another network than the file means."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from sorairo.checkpoints.schemas import SchedulerFile, TransformerFile, VaeFile
from sorairo.config import Schema, check, parse_json
from sorairo.types import UserError

OWN = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 2], "num_res_blocks": 1, "temperal_downsample": [True]}
CODEC: dict[str, Any] = OWN | {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("WanTransformer3DModel", TransformerFile),
        ("AutoencoderKLWan", VaeFile),
        ("UniPCMultistepScheduler", SchedulerFile),
        ("FlowMatchEulerDiscreteScheduler", SchedulerFile),
    ],
)
def test_the_defaults_of_diffusers_classes_are_allowed(name: str, schema: type[Schema]) -> None:
    import diffusers

    parameters = inspect.signature(getattr(diffusers, name).__init__).parameters.values()
    values = {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
    check(
        schema, values | {"_class_name": name, "_diffusers_version": "0.42.1", "_name_or_path": "somewhere"}
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"z_dim": 10**9}, "z_dim: input should be less than"),
        ({"z_dim": "4"}, "z_dim: input should be a valid integer"),
        ({"z_dim": True}, "z_dim: input should be a valid integer"),
        ({"dropout": float("nan")}, "dropout: input should be"),
        ({"dim_mult": []}, "dim_mult: list should have at least 1 item"),
        ({"latents_std": [1.0, 0.0, 1.0, 1.0]}, "latents_std.1: input should be greater than 0"),
        ({"rotary": 2}, "unknown key 'rotary'"),
    ],
)
def test_a_value_out_of_bounds_is_named(change: dict[str, Any], words: str) -> None:
    check(VaeFile, CODEC | {"_name_or_path": "somewhere"})
    with pytest.raises(UserError, match=f"vae/config.json: {words}"):
        check(VaeFile, CODEC | change, where="vae/config.json")


@pytest.mark.parametrize(
    "text", [b"[" * 3000 + b"]" * 3000, b"[]", b"\xff{}", b"{", b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_what_is_no_json_object_is_damaged(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config.json is damaged"):
        parse_json(text, where=str(tmp_path / "config.json"))
