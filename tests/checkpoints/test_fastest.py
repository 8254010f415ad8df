"""What `auto` stands for with a large model, and what a step is said to take."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sorairo.checkpoints import fastest as module
from sorairo.checkpoints.fastest import fastest, fastest_of
from sorairo.checkpoints.folder import load_checkpoint, open_model
from sorairo.checkpoints.memory.estimates import Ask, Blueprint
from sorairo.checkpoints.memory.pace import pace_of
from sorairo.checkpoints.memory.working import Part
from sorairo.cli.main import app
from sorairo.codec.presets import PRESETS as CODECS
from sorairo.nn.quantised import is_quantised
from sorairo.nn.rates import Rates
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS

CPU = torch.device("cpu")
AVX2 = Rates(fp32=0.07, bf16=0.006, int8=0.06)
ZEN4 = Rates(fp32=0.09, bf16=0.21, int8=0.40)
AMX = Rates(fp32=0.1, bf16=1.0, int8=1.1)


def of(monkeypatch: pytest.MonkeyPatch, found: Rates) -> None:
    """Let this processor be one of those rates."""
    monkeypatch.setattr("sorairo.checkpoints.fastest.rates", lambda device: found)
    monkeypatch.setattr("sorairo.checkpoints.memory.pace.rates", lambda device: found)


@pytest.mark.parametrize(("found", "best"), [(AVX2, "fp32"), (ZEN4, "int8"), (AMX, "bf16")])
def test_what_loses_more_must_be_faster_by_a_quarter(found: Rates, best: str) -> None:
    assert fastest_of(found) == best


def test_auto_of_a_large_model_is_what_is_fastest_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tiny_folder: Path
) -> None:
    of(monkeypatch, ZEN4)
    layout = open_model(tiny_folder)
    assert fastest("auto", layout, CPU) == ("auto", "")  # small: the rule
    monkeypatch.setattr(module, "LARGE", 1)
    dtype, said = fastest("auto", layout, CPU)
    assert dtype == "int8" and re.match(
        r"--dtype auto is int8 here \(at least 38 dB from fp32\): products at 0\.4 TFLOP/s", said
    )
    assert fastest("fp32", layout, CPU) == ("fp32", "")
    assert fastest("auto", layout, torch.device("cuda")) == ("auto", "")
    model = load_checkpoint(tiny_folder)
    assert said in model.notes and is_quantised(model.transformer)
    of(monkeypatch, AVX2)
    model = load_checkpoint(tiny_folder)
    assert model.dtype == torch.float32 and not is_quantised(model.transformer)
    assert "auto is fp32 here (no loss)" in model.notes[-1]


def blueprint(size: str) -> Blueprint:
    """The shapes that a pace needs, without the rest."""
    part = Part(name="transformer", parameters=1_418_996_800, dtype="bf16")
    return Blueprint(
        configs=(PRESETS[size], CODECS["wan2.1"]), parts=(part,), asks=(), stages=lambda ask, dtype: []
    )


def test_a_step_takes_its_products_at_the_rates_that_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Ask(size=(544, 240), frames=17)  # 2,550 tokens, as in bench/wan.py
    of(monkeypatch, AVX2)
    model = blueprint("wan-1.3b")
    pace = pace_of(model, CPU)
    assert pace is not None and pace.dtype == "fp32"
    one_pass = 30 / 3 * 0.77e12  # docs/speed.md: 3 layers, 0.09 TFLOP/s, 8.52 s
    assert pace.step_seconds(ask) == pytest.approx(2 * one_pass / 0.9 / 0.07e12, rel=0.05)
    of(monkeypatch, ZEN4)
    in_8_bits = pace_of(model, CPU)
    assert in_8_bits is not None and in_8_bits.dtype == "int8"
    of(monkeypatch, replace(ZEN4, int8=0.0))
    in_16_bits = pace_of(model, CPU)
    assert in_16_bits is not None and in_16_bits.dtype == "bf16"
    assert 1.4 < in_16_bits.step_seconds(ask) / in_8_bits.step_seconds(ask) < 0.40 / 0.21


@pytest.mark.slow
@torch.inference_mode()
def test_what_is_said_is_right_within_a_third() -> None:
    """One layer of Wan 1.3B at 780 tokens, by rates that are measured here; processor time, not the clock's."""
    model = blueprint("wan-1.3b")
    config = replace(PRESETS["wan-1.3b"], layers=1)
    part = replace(model.parts[0], parameters=1)  # too few for `auto` to choose 8 bits
    pace = pace_of(replace(model, configs=(config, CODECS["wan2.1"]), parts=(part,)), CPU)
    assert pace is not None
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[pace.dtype]
    network = Transformer(config).to(dtype).eval()
    words = torch.randn(1, 512, 4096, dtype=dtype)
    given = torch.randn(1, 16, 2, 30, 52, dtype=dtype), torch.tensor([500.0]), words
    network(*given)
    took = []
    for _ in range(3):
        start = time.process_time()
        network(*given)
        took.append(2 * (time.process_time() - start) / torch.get_num_threads())
    assert pace.step_seconds(Ask(size=(416, 240), frames=5)) == pytest.approx(min(took), rel=1 / 3)


def test_info_says_what_a_step_takes(monkeypatch: pytest.MonkeyPatch, tiny_folder: Path) -> None:
    of(monkeypatch, AVX2)
    done = CliRunner().invoke(app, ["models", "info", str(tiny_folder), "--memory"], catch_exceptions=False)
    assert "a step here, in fp32" in done.stdout and re.search(r" GB +[\d.e-]+ s\n", done.stdout)


def test_in_8_bits_blocks_in_their_files_give_the_same_numbers(tiny_folder: Path) -> None:
    """As `auto` and --memory may choose together."""
    resident, streamed = (load_checkpoint(tiny_folder, "int8", stream=stream) for stream in (False, True))
    config = resident.transformer.config
    given = (
        torch.randn(1, config.channels, 2, 8, 8),
        torch.tensor([500.0]),
        torch.randn(1, 4, config.text_dim),
    )
    with torch.inference_mode():
        expected = resident.transformer(*given)
        for _ in range(2):
            assert torch.equal(streamed.transformer(*given), expected)
