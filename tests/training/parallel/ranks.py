"""Processes that form a team, for tests: they are forked from a server that has imported torch once."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from sorairo.data.latents import KINDS
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.maps import KINDS_MAPPED
from sorairo.data.shards import write_shard
from sorairo.nn.together import join, leave
from sorairo.training.loop import TrainConfig, Trainer, train
from sorairo.training.metrics import read_metrics
from sorairo.training.objectives.alignment import AlignmentConfig
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.parallel.sharding import Shards, local
from sorairo.transformer.context import split_context
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS

CONFIG = TrainConfig(dtype="fp32", compile=False, tensorboard=False, sample_every=0, threads=1)
SHAPE = (3, 6, 10)  # latent t h w: 15 tokens of a frame, which no number of processes here divides


def on_ranks(count: int, work: Callable[..., None], *args: Any, seconds: float = 300) -> None:
    """work(*args) in `count` processes that know of each other; fails where one of them does."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.parallel.ranks"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    team = [
        context.Process(target=_member, args=(rank, count, port, work, args), daemon=True)
        for rank in range(count)
    ]
    for process in team:
        process.start()
    for process in team:
        process.join(seconds)
    assert [process.exitcode for process in team] == [0] * count
    for process in team:
        process.close()


def _member(rank: int, count: int, port: int, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({key: str(value) for key, value in values.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    join()
    work(*args)
    leave()


def shards_of_clips(
    folder: Path, clips: int = 16, shape: tuple[int, int, int] = SHAPE, name: str = "0"
) -> None:
    """Latents, words and state maps that no model could predict."""
    config, (t, h, w) = PRESETS["tiny"], shape
    generator = torch.Generator().manual_seed(1)
    tensors = {f"text_{kind}": torch.randn(clips, 5, config.text_dim, generator=generator) for kind in KINDS}
    tensors = {name: words.bfloat16() for name, words in tensors.items()}
    tensors["text_lengths"] = torch.randint(1, 6, (clips, len(KINDS)), dtype=torch.int32, generator=generator)
    tensors["latents"] = torch.randn(clips, config.channels, t, h, w, generator=generator).bfloat16()
    there = torch.randint(255, (clips, len(KINDS_MAPPED), t, h, w), generator=generator)
    tensors["map"] = there.byte()
    write_shard(folder / "latents" / f"{name}.safetensors", tensors, [{}] * clips)


def mixed_shards(folder: Path) -> None:
    """Clips of four shapes, one of them of stills."""
    for index, shape in enumerate((SHAPE, (2, 4, 6), (4, 6, 4), (1, 8, 8))):
        shards_of_clips(folder, 6, shape, str(index))


def diffusion(folder: Path, heads: int = 4, packed: bool = False) -> Diffusion:
    """A tiny transformer with state maps, convolutions and all; its weights are drawn so that none is zero."""
    torch.manual_seed(0)
    config = replace(PRESETS["tiny"], heads=heads, head_dim=8, local=1, local_width=8)
    loader = Loader(
        folder / "latents",
        folder / "lists",
        LoaderConfig(tokens=4 * 45, word_cost=0.0, maps=True, packed=packed),
        torch.zeros(1, config.text_dim),
    )
    transformer = Transformer(config)
    align = DiffusionConfig(align=AlignmentConfig(block=0, objects=4.0))
    objective = Diffusion(transformer, loader, align, lambda *_: {}, export)
    for network in objective.models.values():
        for p in network.parameters():
            torch.nn.init.normal_(p, std=0.1)
    return objective


def export(transformer: Transformer, folder: Path) -> None:
    save_file(transformer.state_dict(), folder / "transformer.safetensors")


def run(folder: Path, run_dir: Path, steps: int, packed: bool = False, **settings: Any) -> None:
    """Train for some steps, in a run folder, on the shards of a folder."""
    train(diffusion(folder, packed=packed), replace(CONFIG, steps=steps, **settings), run_dir)


def losses(run_dir: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run_dir / "metrics.jsonl")]


def gradients(folder: Path, run_dir: Path, packed: bool = False, **settings: Any) -> None:
    """Write the whole gradients of step 0, as means over all processes."""
    trainer = Trainer(diffusion(folder, packed=packed), replace(CONFIG, steps=1, **settings), run_dir)
    loss, _ = trainer.objective.loss(trainer.batch(0), 0, trainer.team.share)
    loss.backward()
    working = trainer.optimizer.working
    trainer.placement.average(working.values(), 0.0)
    shards: Shards = trainer.optimizer.shards
    whole = {
        name: shards.whole(name, local(p.grad)) if name in shards else p.grad
        for name, p in working.items()
        if p.grad is not None
    }
    if trainer.team.leads:
        run_dir.mkdir(parents=True, exist_ok=True)
        save_file({name: grad.contiguous() for name, grad in whole.items()}, run_dir / "grads.safetensors")


def velocity(path: Path) -> None:
    """Write the velocity of two clips, computed by the team together."""
    net = diffusion(path.parent).transformer
    if "RANK" in os.environ:
        split_context(net, torch.distributed.group.WORLD)
    torch.manual_seed(5)
    latents, text = torch.randn(2, net.config.channels, *SHAPE), torch.randn(2, 5, net.config.text_dim)
    with torch.inference_mode():
        made = net(latents, torch.tensor([[900.0, 500, 3], [0, 1, 700]]), text, torch.tensor([5, 2]))
    if os.environ.get("RANK", "0") == "0":
        save_file({"velocity": made}, path)


def mixed_team(folder: Path) -> None:
    """Clips of mixed shapes among two processes: a row that is split, clips that are shared, and weights too."""
    gradients(folder, folder / "context", packed=True, context=2)
    gradients(folder, folder / "shard", packed=True, shard=2)
    run(folder, folder / "run", 20, packed=True, context=2)


def mixed_grid(folder: Path) -> None:
    """The same among four: a row split between two, weights among all."""
    gradients(folder, folder / "grid", packed=True, context=2, shard=2)
    run(folder, folder / "grid-run", 20, packed=True, context=2, shard=2)


def small_team(folder: Path) -> None:
    """All that the quick test wants of two processes."""
    gradients(folder, folder / "context", context=2)
    gradients(folder, folder / "shard", shard=2)
    run(folder, folder / "run", 4, shard=2)
    velocity(folder / "velocity.safetensors")
