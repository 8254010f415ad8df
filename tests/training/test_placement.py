"""Networks and batches are on the device that was chosen, and only there.

No machine of the tests has a GPU. torch's meta device stands in (tensors without numbers), and every operation that
would mix it with the CPU is refused, as a GPU refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sorairo.codec.latent_space import LatentSpace
from sorairo.codec.model import Codec, CodecConfig
from sorairo.data.latents import KINDS
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.maps import KINDS_MAPPED
from sorairo.data.shards import write_shard
from sorairo.training.loop import TrainConfig, train
from sorairo.training.metrics import read_metrics
from sorairo.training.objective import Objective
from sorairo.training.objectives.alignment import AlignmentConfig
from sorairo.training.objectives.codec import CodecObjective, CodecObjectiveConfig
from sorairo.training.objectives.codec_data import CropShape
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.objectives.distill import Distill, DistillConfig
from sorairo.training.objectives.upscaler import UpscalerObjective, UpscalerObjectiveConfig
from sorairo.training.optim.ema import Ema
from sorairo.training.optim.optimizer import OptimConfig, Optimizer
from sorairo.training.parallel.placement import Placement, find_device, working_dtype
from sorairo.training.parallel.processes import Share
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError
from sorairo.upscale.network import Upscaler, UpscalerConfig
from tests.training.toy import Toy

META = torch.device("meta")
CROSSING = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class OneDevice(TorchDispatchMode):
    """Operations see tensors of one device, or single numbers of the CPU, or carry from one to the other."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        devices = {tensor.device.type for tensor in tensors if tensor.ndim or tensor.device.type != "cpu"}
        if len(devices) > 1 and func not in CROSSING:
            raise RuntimeError(f"{func} mixes devices: {devices}")
        return func(*args, **(kwargs or {}))


def diffusion(folder: Path, noise: Literal["batch", "clip"] = "batch") -> Diffusion:
    config, (n, t, h, w) = PRESETS["tiny"], (8, 3, 4, 4)
    tensors = {f"text_{kind}": torch.randn(n, 5, config.text_dim).bfloat16() for kind in KINDS}
    tensors["text_lengths"] = torch.randint(1, 6, (n, len(KINDS)), dtype=torch.int32)
    tensors["latents"] = torch.randn(n, config.channels, t, h, w).bfloat16()
    tensors["map"] = torch.randint(255, (n, len(KINDS_MAPPED), t, h, w)).byte()
    write_shard(folder / "latents" / "0.safetensors", tensors, [{}] * n)
    loader = Loader(
        folder / "latents",
        folder / "lists",
        LoaderConfig(tokens=64, maps=True),
        torch.zeros(1, config.text_dim),
    )
    transformer = Transformer(config)
    transformer.init_weights()
    align = DiffusionConfig(align=AlignmentConfig(block=0, objects=4.0), noise=noise)
    return Diffusion(transformer, loader, align, lambda *_: {}, lambda *_: None)


def codec(folder: Path) -> CodecObjective:
    write_shard(folder / "a.safetensors", {"frames": torch.randint(255, (4, 9, 32, 32, 3)).byte()}, [{}] * 4)
    return CodecObjective(
        codec=Codec(CodecConfig(base_dim=32, z_dim=8, dim_mult=(1, 1), halve_time=(True,))),
        space=LatentSpace.fit([torch.rand(4, 3, 9, 32, 32)], z=8, shared=4),
        config=CodecObjectiveConfig(shapes=(CropShape(frames=5, size=(16, 32), batch=4, weight=1),)),
        train_shards=[folder / "a.safetensors"],
        held_out_shards=[],
    )


def upscaler(folder: Path) -> UpscalerObjective:
    sizes = {"frames": 48, "halves": 24, "decoded": 24}
    tensors = {name: torch.randint(255, (4, 5, side, side, 3)).byte() for name, side in sizes.items()}
    write_shard(folder / "a.safetensors", tensors, [{}] * 4)
    return UpscalerObjective(
        network=Upscaler(UpscalerConfig(width=16, blocks=1)),
        config=UpscalerObjectiveConfig(crop=12, batch=4),
        train_shards=[folder / "a.safetensors"],
        held_out_shards=[],
    )


def student(way: Literal["consistency", "dmd"], folder: Path) -> Distill:
    teacher = diffusion(folder)
    loader = Loader(
        folder / "latents", folder / "lists", LoaderConfig(tokens=64, drop=0.0), teacher.loader.empty
    )
    config = DistillConfig(way=way)
    return Distill(teacher.transformer, loader, config, lambda *_: {}, lambda *_: None)


OBJECTIVES = {
    "diffusion": diffusion,
    "codec": codec,
    "upscaler": upscaler,
    "consistency": partial(student, "consistency"),
    "dmd": partial(student, "dmd"),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_whole_step_stays_on_the_device(name: str, tmp_path: Path) -> None:
    objective: Objective = OBJECTIVES[name](tmp_path)
    batch = objective.batch(0, Share())
    placement = Placement(device=META, dtype=torch.bfloat16)
    with OneDevice():
        placement.place(objective.models)
        named = placement.parameters(objective.models)
        assert {p.device for _, p in named} == {META}
        optimizer = Optimizer(named, OptimConfig(), placement.dtype)
        ema = Ema(optimizer.weights, 0.9)
        loss, parts = objective.loss(placement.put(batch), 0, Share())
        loss.backward()
        assert {value.device for value in (loss, *parts.values())} == {META}
        grads = [p.grad for p in optimizer.working.values() if p.grad is not None]
        assert grads and {grad.device for grad in grads} == {META}
        optimizer.update(shrink=1.0, scale=1.0)
        ema.update(optimizer.weights, 0)
        with ema.inside(optimizer.working):
            pass
        state = optimizer.state() | ema.state()
        assert {value.device for key, value in state.items() if key != "optim_steps"} == {META}


def test_what_stays_on_the_cpu_is_found_out(tmp_path: Path) -> None:
    """The stand-in is worth something: without the move of the batch the same step is refused."""
    objective = diffusion(tmp_path)
    with OneDevice(), pytest.raises(RuntimeError, match="mixes devices"):
        Placement(device=META).place(objective.models)
        objective.loss(objective.batch(0), 0)


@pytest.mark.parametrize("name", [*OBJECTIVES, "noise of each clip"])
def test_shares_of_a_batch_are_its_rows_and_their_mean_is_its_loss(name: str, tmp_path: Path) -> None:
    objective = OBJECTIVES.get(name, partial(diffusion, noise="clip"))(tmp_path)
    for network in objective.models.values():  # what begins at zero would agree by itself
        for p in network.parameters():
            torch.nn.init.normal_(p, std=0.05)
    shares = [Share(index=index, of=2) for index in range(2)]
    losses = []
    for share in (Share(), *shares):
        torch.manual_seed(3)
        losses.append(objective.loss(objective.batch(1, share), 1, share)[0].detach())
    counts = [objective.count(objective.batch(1, share))[0] for share in (Share(), *shares)]
    assert counts[0] == counts[1] + counts[2] and counts[1] == counts[2]
    torch.testing.assert_close((losses[1] + losses[2]) / 2, losses[0], rtol=1e-4, atol=1e-5)


def test_blocks_that_are_computed_again_give_the_same_losses_and_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = diffusion(tmp_path / "a")
    torch.manual_seed(0)
    again = diffusion(tmp_path / "b")
    names = list(again.transformer.state_dict())
    config = TrainConfig(steps=3, dtype="fp32", compile=False, tensorboard=False, sample_every=0)
    train(plain, config, tmp_path / "plain")
    train(again, replace(config, checkpointing=True), tmp_path / "again")
    lines = [read_metrics(tmp_path / run / "metrics.jsonl") for run in ("plain", "again")]
    assert [line["loss"] for line in lines[0]] == pytest.approx([line["loss"] for line in lines[1]], rel=1e-6)
    assert list(again.transformer.state_dict()) == names
    saved = [
        load_file(tmp_path / run / "checkpoints/step-00000003/state.safetensors")
        for run in ("plain", "again")
    ]
    assert saved[0].keys() == saved[1].keys()


def test_a_batch_of_any_make_is_moved() -> None:
    placement = Placement(device=META)
    tensor = torch.zeros(2)
    moved = placement.put({"a": (tensor, None), "b": 3})
    assert moved["a"][0].device.type == "meta" and moved["a"][1] is None and moved["b"] == 3
    assert Placement().put(tensor) is tensor


@pytest.mark.parametrize("name", ["cuda:7", "gpu", "meta", "xpu"])
def test_a_device_that_is_not_there_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no device '{name}'"):
        train(Toy(), TrainConfig(steps=1, device=name, tensorboard=False), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_device_decides_the_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert working_dtype("auto", torch.device("cuda", 0)) == torch.bfloat16
    assert working_dtype("fp32", torch.device("cuda", 0)) == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)  # a processor without bf16
    assert working_dtype("auto") == torch.float32


def test_a_run_may_change_its_device_and_runs_from_before_it_continue(tmp_path: Path) -> None:
    config = TrainConfig(steps=2, tensorboard=False)
    train(Toy(), config, tmp_path)
    path = tmp_path / "settings.json"
    older: Callable[[str], str] = lambda text: text.replace('"device": "auto",', "").replace(  # noqa: E731
        '"compile": true,', ""
    )
    values = json.loads(older(path.read_text()))
    values["train"]["optim"]["adamw_names"] = ["embed", "head", "time.", "conv_in", "conv_out"]
    path.write_text(json.dumps(values))
    assert train(Toy(), replace(config, steps=3, device="cpu"), tmp_path).step == 3
