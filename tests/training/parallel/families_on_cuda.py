"""A program: every family of open weights, from files and words to pixels, on a CUDA device that is not there.

See on_cuda.py. Arguments: the library made of cuda_stand_in.cpp, an empty folder, a family, and ways of `generate`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

if not os.environ.get("WITH_CUDA"):
    ctypes.CDLL(sys.argv[1])  # before torch asks which devices there are
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import modeling_utils

from sorairo.checkpoints.folder import Checkpoint, load_checkpoint, read_info
from sorairo.checkpoints.lora import apply_loras
from sorairo.checkpoints.memory import streaming
from sorairo.config import to_json
from sorairo.dit.ddpm import Betas
from sorairo.dit.folder import load_class_model
from sorairo.dit.generate import denoise as denoise_picture
from sorairo.generation import chunks, continued, memory
from sorairo.generation.generate import Denoising, denoising_of, encode_texts
from sorairo.types import Known, Plan, Span, Video
from tests.checkpoints.wan_folders import FAMILIES, FRAMES, SIZE, saved
from tests.dit.test_generate import save_pipeline

CUDA, META = torch.device("cuda", 0), torch.device("meta")
WORDS = "a red ball drops"
LEFT: list[torch.Tensor] = []
"""What was moved, and where to: freeing fake parameters that were copied from the meta device ends the process."""


class Numbers(TorchDispatchMode):
    """Numbers that the host asks for: there are none, so each is 1 (finite, true)."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.is_nonzero.default, torch.ops.aten.equal.default):
            return True
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default):
            return 1.0 if args[0].dtype.is_floating_point else 1 if args[0].dtype != torch.bool else True
        for tensor in args:
            if isinstance(tensor, FakeTensor):
                tensor.constant = None  # of what torch.tensor() makes; it would be moved to a real device
        return func(*args, **(kwargs or {}))


class AtOnce:
    """In the place of a ThreadPoolExecutor, in this thread: another one would be outside of the mode."""

    def __init__(self, *_: Any) -> None:
        pass

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(call())
        return done


class Stream:
    """A stream of the device that is not there."""

    def __init__(self, device: torch.device | None = None) -> None:
        pass

    def synchronize(self) -> None:
        pass


@contextmanager
def device() -> Iterator[None]:
    """Tensors without numbers, on the CPU and on CUDA."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "ThreadPoolExecutor", AtOnce)
        patch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * 10**9, 80 * 10**9))
        patch.setattr(torch.cuda, "Stream", Stream)
        patch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        patch.setattr(torch.cuda, "current_stream", Stream)
        patch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
        patch.setattr(nn.Module, "_apply", _apply)
        for name in ("_fill", "_empty", "load_weights"):
            patch.setattr(streaming, name, keeping(getattr(streaming, name)))
        # asks an empty tensor for the device that modules are made on, which a fake one cannot tell
        patch.setattr(modeling_utils, "get_torch_context_manager_or_global_device", lambda: META)
        with FakeTensorMode(allow_non_fake_inputs=True), Numbers(), torch.inference_mode():
            yield


def keeping(change: Callable[..., None]) -> Callable[..., None]:
    """A function that changes a module's parameters, after which those that it had are still there."""

    def changed(module: nn.Module, *rest: Any) -> None:
        LEFT.extend(module.parameters())
        change(module, *rest)
        LEFT.extend(module.parameters())

    return changed


def _apply(self: nn.Module, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> nn.Module:
    """torch's cannot move fake parameters, which it would exchange in place."""
    for module in self.modules():
        for name, value in module._parameters.items():
            if value is not None:
                LEFT.extend((value, fn(value)))
                module._parameters[name] = nn.Parameter(LEFT[-1], requires_grad=False)
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = fn(value)
    return self


def plan_for(name: str, model: Checkpoint) -> Plan:
    """Two guided steps from words, and from the pictures that a family takes."""
    family = FAMILIES.get(name, {})
    places = [0] if family.get("pictures") or name in ("helios", "longcat") else []
    places += [FRAMES - 1] if family.get("places") else []
    size = (128, 64) if model.sampler.pyramid else SIZE  # a pyramid's sides are multiples of 64
    picture = Video(frames=np.zeros((1, size[1], size[0], 3), np.uint8), fps=16.0)
    return Plan(
        size=size,
        frames=FRAMES,
        fps=model.info.fps,
        spans=(Span(text=WORDS),),
        seed=0,
        steps=None if model.times or model.sampler.pyramid else 2,
        guidance=4.0,
        known=tuple(Known(video=picture, at=place) for place in places),
    )


def lora(folder: Path, family: str) -> str:
    """A LoRA of one layer."""
    name = "transformer.blocks.0." + ("attn.proj" if family == "longcat" else "attn1.to_q")
    down, up = torch.randn(2, 32), torch.randn(32, 2)
    save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}, folder / "lora.safetensors")
    return str(folder / "lora.safetensors")


def clip(model: Checkpoint, plan: Plan) -> torch.Tensor:
    """Words to pixels, each part on the device."""
    texts = encode_texts([plan], model)
    denoising = denoising_of(plan, model, texts)
    seen: list[torch.Tensor] = []
    made: list[torch.Tensor] = []

    def shown(pixels: torch.Tensor) -> np.ndarray:
        """In the place of to_frames: the host cannot read what has no numbers."""
        made.append(pixels)
        return np.zeros((1, *pixels.shape[2:], 3), np.uint8)

    with pytest.MonkeyPatch.context() as patch:
        for module in (chunks, continued, memory):
            patch.setattr(module, "to_frames", shown)
        denoising.run(lambda step, data: seen.append(data))
    assert len(seen) == denoising.steps
    if isinstance(denoising, Denoising):
        assert denoising.latents is not None
        seen.append(denoising.latents)
        made = [model.codec.decode(denoising.latents.to(model.dtype))]
    assert {one.device for one in (*seen, *made)} == {CUDA}
    return torch.cat(made, dim=2)[:, :, : plan.frames]


def generate(name: str, way: str, folder: Path, change: str) -> None:
    """A family in one way: loaded onto the device, words to pixels. way: a dtype, a LoRA, or blocks in their files."""
    how = {"stream": way == "offloaded", "pieces": way == "offloaded", "keep": way != "offloaded"}
    with device():
        model = load_checkpoint(folder, "int8" if way == "int8" else "bf16", CUDA, **how)
        if way in ("LoRA", "offloaded"):
            model = apply_loras(model, [change])
        plan = plan_for(name, model)
        pixels = clip(model, plan)
        assert isinstance(pixels, FakeTensor) and pixels.device == CUDA
        assert pixels.shape == (1, 3, plan.frames, plan.size[1], plan.size[0])


def picture(folder: Path) -> None:
    """A class to a picture, by a DiT. Its levels are the host's, which has no numbers for them here."""
    with device(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Betas, "abar_at", lambda self, t, end=1.0: 1 - (t + 1) / 1001 if t >= 0 else end)
        model = load_class_model(folder, torch.bfloat16, CUDA)
        noise = lambda shape: torch.zeros(shape)  # noqa: E731
        latents = denoise_picture(
            model, noise(torch.Size([1, 4, 8, 8])), [3], steps=2, guidance=4.0, noise=noise
        )
        pixels = model.codec.decode(latents.to(torch.bfloat16))
        assert isinstance(pixels, FakeTensor) and latents.device == pixels.device == CUDA


def causal(folder: Path) -> None:
    """A Wan that makes one latent frame after another in three steps."""
    saved("wan2.1-t2v", folder)
    info = read_info(folder)
    few = {"default_steps": 3, "default_guidance": 1.0}
    to_json(replace(info, chunk=1, times=(1000.0, 757.0, 522.0), **few), folder / "sorairo.json")


def stays(folder: Path) -> None:
    """What stays on the CPU is found."""
    with device():
        model = load_checkpoint(folder, "bf16", CUDA)
        model.codec.latents_mean = model.codec.latents_mean.cpu()
        try:
            model.codec.decode(torch.zeros(1, 4, 2, 8, 12, device=CUDA, dtype=torch.bfloat16))
        except RuntimeError as error:
            assert "same device" in str(error), error
        else:
            raise AssertionError("a mean that stays on the CPU is not found out")


if __name__ == "__main__":
    place, family, ways = Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
    if family == "dit":
        save_pipeline(place / family)
        picture(place / family)
        print("dit on cuda", flush=True)
        sys.exit()
    change = lora(place, family)
    causal(place / family) if family == "causal" else saved(family, place / family)
    for way in ways:
        generate(family, way, place / family, change)
        print(family, way, "on cuda", flush=True)
    stays(place / family)
    print("found", flush=True)
