"""Configuration files of a model folder: a wrong type, value or key is refused by name before anything is built."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.types import UserError

TRANSFORMER, VAE, INDEX = "transformer/config.json", "vae/config.json", "model_index.json"
WRONG: list[tuple[str, str, Any]] = [
    (TRANSFORMER, "num_layers", 10**9),
    (TRANSFORMER, "num_layers", 0),
    (TRANSFORMER, "num_layers", "2"),
    (TRANSFORMER, "num_layers", 200),  # within bounds, but its weights are not there
    (TRANSFORMER, "num_attention_heads", -1),
    (TRANSFORMER, "attention_head_dim", 10**30),
    (TRANSFORMER, "patch_size", [1, [2], 2]),
    (TRANSFORMER, "eps", 0.0),
    (TRANSFORMER, "cross_attn_norm", "yes"),
    (TRANSFORMER, "rope_theta", 10000),
    (VAE, "z_dim", None),
    (VAE, "dim_mult", [10**9]),
    (VAE, "latents_std", [0.0]),
    (VAE, "spatial_factor", 4),
]


@pytest.mark.parametrize(
    ("file", "key", "value"), WRONG, ids=[f"{key}={value!r:.20}" for _, key, value in WRONG]
)
def test_a_wrong_value_is_named(tiny_folder: Path, tmp_path: Path, file: str, key: str, value: Any) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    values = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(values | {key: value}))
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        load_checkpoint(folder, "fp32")
    # A depth within bounds is found by the missing weights, which name the file.
    assert (key if value != 200 else "config.json") in str(caught.value)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("file", [TRANSFORMER, VAE, INDEX])
def test_three_thousand_nested_lists(tiny_folder: Path, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    (folder / file).write_text('{"num_layers": ' + "[" * 3000 + "]" * 3000 + "}")
    with pytest.raises(UserError):
        load_checkpoint(folder, "fp32")


@pytest.mark.parametrize("file", [TRANSFORMER, VAE])
def test_notes_of_other_programs_harm_nothing(tiny_folder: Path, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    values = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(values | {"_diffusers_version": "0.36.0", "_name_or_path": "x"}))
    load_checkpoint(folder, "fp32")
