"""A program: a training step, and a clip from noise to pixels, on a CUDA device that is not there.

FakeTensorMode computes shapes, dtypes and devices without numbers, and refuses each operation that mixes devices, as a
GPU does. Arguments: the library made of cuda_stand_in.cpp, a folder of a model, a folder for shards.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

if not os.environ.get("WITH_CUDA"):
    ctypes.CDLL(sys.argv[1])  # before torch asks which devices there are
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from sorairo.checkpoints.folder import Checkpoint, load_checkpoint
from sorairo.generation.denoise import denoise
from sorairo.training.optim.ema import Ema
from sorairo.training.optim.optimizer import OptimConfig, Optimizer
from sorairo.training.parallel.placement import Placement
from sorairo.training.parallel.processes import Share
from tests.training.parallel.ranks import diffusion, shards_of_clips

CUDA = torch.device("cuda", 0)


class Finite(TorchDispatchMode):
    """Numbers that the host asks for: there are none, so each is 1 (finite, true)."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default):
            return 1.0 if args[0].dtype.is_floating_point else 1 if args[0].dtype != torch.bool else True
        return func(*args, **(kwargs or {}))


def train(folder: Path, move: bool = True) -> None:
    """A step with bf16, recomputation, state maps, Muon, AdamW and the average. move: the batch to the device."""
    shards_of_clips(folder)
    objective = diffusion(folder)  # real, as its batch is, until it is moved
    batch = objective.batch(0, Share())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        batch = replace(batch, **tree_map_only(torch.Tensor, mode.from_tensor, vars(batch)))
        placement = Placement(device=CUDA, dtype=torch.bfloat16, checkpointing=True)
        placement.place(objective.models)
        named = placement.parameters(objective.models)
        optimizer = Optimizer(named, OptimConfig(), placement.dtype)
        ema = Ema(optimizer.weights, 0.9)
        with Finite():
            loss, parts = objective.loss(placement.put(batch) if move else batch, 0, Share())
            loss.backward()
            assert optimizer.step(scale=1.0) == 1.0
            ema.update(optimizer.weights, 0)
        made = [loss, *parts.values(), *optimizer.state().values(), *ema.state().values()]
        assert all(isinstance(p, FakeTensor) and p.device == CUDA for _, p in named)
        assert {value.device for value in made if value.ndim} == {CUDA} and loss.device == CUDA


def generate(folder: Path) -> None:
    """Four guided steps and the decoder."""
    real: Checkpoint = load_checkpoint(str(folder), "fp32")
    texts = [real.text.encode(["A red ball."]), real.text.encode([""])]
    with FakeTensorMode(allow_non_fake_inputs=True), Finite(), torch.no_grad():
        transformer, codec = real.transformer.to(CUDA, torch.bfloat16), real.codec.to(CUDA, torch.bfloat16)
        model = replace(real, device=CUDA, dtype=torch.bfloat16)
        assert next(transformer.parameters()).device == CUDA
        latents = denoise(
            model,
            texts=texts,
            scale=3.0,
            sampler=model.sampler,
            noise=torch.randn(1, codec.config.z_dim, 2, 4, 4),
            sigmas=model.sampler.sigmas(4, model.shift),
            noises=torch.Generator().manual_seed(0),
        )
        pixels = codec.decode(latents.to(model.dtype))
        assert latents.device == pixels.device == CUDA and bool(torch.isfinite(pixels).all())


if __name__ == "__main__":
    train(Path(sys.argv[3]))
    try:
        train(Path(sys.argv[3]), move=False)
    except RuntimeError as error:
        assert "same device" in str(error), error
    else:
        raise AssertionError("a batch that stays on the CPU is not found out")
    generate(Path(sys.argv[2]))
    print("on cuda")
