"""Rates of a processor: measured once, kept, measured again where what was kept cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sorairo.nn import rates as module
from sorairo.nn.rates import Rates, measured, rates, rates_file

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Products that are over at once, in a cache of the test's own."""
    monkeypatch.setattr(module, "WIDTH", 64)
    monkeypatch.setattr(module, "MOST_ROWS", 32)
    monkeypatch.setenv("SORAIRO_CACHE", str(tmp_path))


def test_rates_are_measured_once_for_a_processor_torch_and_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = rates(CPU)
    assert min(first.fp32, first.bf16, first.int8) > 0
    assert rates(CPU) == first
    (key,) = json.loads(rates_file().read_text())
    assert torch.__version__ in key and f"{torch.get_num_threads()} threads" in key
    monkeypatch.setattr(torch, "__version__", "99.0")
    rates(CPU)
    assert len(json.loads(rates_file().read_text())) == 2


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', "null"])
def test_a_damaged_cache_is_written_anew(text: str) -> None:
    rates_file().parent.mkdir(parents=True, exist_ok=True)
    rates_file().write_text(text)
    assert rates(CPU) == rates(CPU)


def test_rates_that_are_no_numbers_are_measured_again() -> None:
    rates(CPU)
    (key,) = json.loads(rates_file().read_text())
    rates_file().write_text(json.dumps({key: {"fp32": "fast", "bf16": -1.0, "int8": None}}))
    assert rates(CPU).fp32 > 0


def test_a_home_that_cannot_be_written_to_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORAIRO_CACHE", "/proc/nowhere")
    assert rates(CPU).fp32 > 0


def test_a_device_without_a_product_has_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: object) -> None:
        raise NotImplementedError("no such product")

    monkeypatch.setattr("sorairo.nn.quantised.product", refused)
    found = measured(CPU)
    assert found.int8 == 0 and found.fp32 > 0


def test_rates_are_numbers() -> None:
    with pytest.raises(ValueError, match="TFLOP/s"):
        Rates(fp32=-1.0, bf16=1.0, int8=1.0)


def test_the_cache_is_where_the_system_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SORAIRO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert rates_file() == tmp_path / "xdg" / "sorairo" / "rates.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert rates_file() == Path.home() / ".cache" / "sorairo" / "rates.json"
