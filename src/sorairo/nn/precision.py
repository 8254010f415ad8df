"""What a processor is: its name, and which dtype it computes fastest in."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from pathlib import Path

import torch

__all__ = [
    "bf16_pays",
    "device_name",
    "has_int8",
    "has_int8_convolutions",
    "has_int8_pairs",
    "processor_name",
]


class Once:
    """A question about the processor that is asked once. torch.compile, which looks into functions, warns of those that
    functools caches; of this it reads the answer."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self.ask = ask
        self.answer: bool | None = None
        self.__doc__ = ask.__doc__

    def __call__(self) -> bool:
        if self.answer is None:
            self.answer = self.ask()
        return self.answer

    def cache_clear(self) -> None:
        self.answer = None


def bf16_pays(device: torch.device | None = None) -> bool:
    """Whether products in bf16 are faster than in fp32 there (None: the CPU).

    Of CPUs: with AMX, or with AVX512-BF16 where its instruction does twice the work of fp32's in the same time, as on
    Zen 4. Where Intel's AVX512-FP16 is there but no AMX (Sapphire Rapids and later, its AMX hidden from a virtual
    machine), products in bf16 take 1.7 to 1.9 times as long as in fp32. A rule, not a timing: a seed is to mean the
    same frames every time.
    """
    if device is not None and device.type != "cpu":
        return True
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.10
        return torch.cpu._is_avx512_bf16_supported()
    has = torch.cpu.get_capabilities()
    if has.get("amx_bf16"):
        return True
    return bool(has.get("avx512_bf16")) and not has.get("avx512_fp16")


@Once
def has_int8() -> bool:
    """Whether this CPU multiplies int8 by an instruction of its own (VNNI, AMX)."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.10
        return torch.cpu._is_vnni_supported()
    has = torch.cpu.get_capabilities()
    return any(has.get(name) for name in ("avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "i8mm"))


@Once
def has_int8_pairs() -> bool:
    """Whether this CPU, without an instruction for int8, multiplies it in pairs by those for 16 bits (x86 with AVX2),
    and oneDNN is there, which does. A pair's sum is cut off at 16 bits."""
    wide = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    there = torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qlinear_pointwise")
    return not has_int8() and wide and there


@Once
def has_int8_convolutions() -> bool:
    """Whether oneDNN convolves int8 on this CPU, an x86 with AVX2 or more, faster than float32."""
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    return wide and torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qconv2d_pointwise")


def processor_name() -> str:
    """The processor as the system calls it, with its family and model, since clouds give several one name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    said = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in lines if re.match(r"[a-z ]+\s*:", line))
    if "model name" not in said:
        return platform.processor() or platform.machine()
    return f"{said['model name']} (family {said.get('cpu family', '?')}, model {said.get('model', '?')})"


def device_name(device: torch.device) -> str:
    """What the last digits of a computation depend on: the device, and of a CPU its vector instructions."""
    if device.type == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability()}"
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return str(device)
