"""What a training costs on any number of GPUs: python bench/scale.py [--measure]

Without options: the model of docs/scale.md, in seconds: time, memory, failures and money on 8 to 1,024 GPUs, beside
Open-Sora 2.0's $200k. Every assumption is a constant at the top. With --measure: the default transformer on 1, 2 and 4
processes of this machine, what each holds beside what the model says, and processor seconds of a step. On a busy
machine wall-clock time does not compare; processor seconds do.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from sorairo.nn.together import join, leave
from sorairo.training.loop import TrainConfig
from sorairo.training.optim.ema import Ema
from sorairo.training.optim.optimizer import OptimConfig, Optimizer
from sorairo.training.parallel.placement import Placement
from sorairo.training.parallel.sharding import local
from sorairo.transformer.model import Transformer, TransformerConfig, forward_flops
from sorairo.transformer.presets import PRESETS

# Assumptions. None is measured here: no GPU was at hand.
PEAK = 989e12  # dense bf16 products a second: NVIDIA's data sheet of the H100 SXM and the H200
KERNELS = 0.40  # of that peak while products run; 0.35 to 0.45 is published for attention of these lengths
NVLINK = 0.8 * 450e9  # bytes a second and direction between GPUs of a node, 80% of the data sheet
NETWORK = 0.8 * 50e9  # bytes a second and GPU between nodes: one 400 Gb/s port each, 80%
MEMORY = 0.7 * 3.35e12  # bytes a second of a GPU's own memory (H100), 70%
LATENCY = 15e-6  # seconds of a collective operation, times log2 of its members
NODE = 8  # GPUs
JITTER = 0.01  # by how much the slowest of n nodes is slower than the mean, times log2 n
DOLLARS = 2.0  # of one GPU hour: Open-Sora 2.0's own price
GPU_HOURS_PER_FAILURE = 16384 * 54 * 24 / 419  # Llama 3 (arXiv 2407.21783, section 3.3.4): 419 in 54 days
RESTART = (
    300.0  # seconds until a run of many nodes computes again: rendezvous, loading, compiled kernels from disk
)
CHECKPOINT_MINUTES = 4.0  # TrainConfig's

BF16, FP32 = 2, 4


@dataclass(frozen=True, kw_only=True)
class Layout:
    """gpus = copies x shard x context, as --shard and --context divide them; clips: in a batch of each group."""

    gpus: int
    shard: int
    context: int
    clips: int = 1

    @property
    def divided(self) -> int:
        """Processes that share one copy of the weights."""
        return self.shard * self.context if self.shard > 1 else 1


def weights(config: TransformerConfig) -> tuple[int, int]:
    """(all, those that Muon moves): matrices of the blocks."""
    d, h = config.width, config.hidden
    matrices = config.layers * (8 * d * d + 2 * d * h)
    around = d * (config.text_dim + config.freq_dim + 8 * d) + 2 * config.channels * 4 * d
    return matrices + around, matrices


def held(config: TransformerConfig, layout: Layout) -> float:
    """Bytes of weights, gradients, masters, moments and the average on one GPU."""
    every, muon = weights(config)
    state = (
        every * (2 * BF16 + 3 * FP32) + (every - muon) * FP32
    )  # working, gradient; master, first, average; second
    return state / layout.divided


def activations(config: TransformerConfig, layout: Layout, tokens: int) -> float:
    """Bytes that a step holds besides, with recomputed blocks: their inputs, one block at work, two gathered blocks."""
    d, h, here = config.width, config.hidden, layout.clips * tokens / layout.context
    inputs = config.layers * here * d * BF16
    block = here * (10 * d * BF16 + 6 * d * FP32 + 2 * h * BF16)
    gathered = 2 * (8 * d * d + 2 * d * h) * BF16 if layout.divided > 1 else 0
    return inputs + block + gathered


def speed(members: int) -> float:
    """Bytes a second of one GPU within a group of neighbours."""
    return NVLINK if members <= NODE else NETWORK


def step(config: TransformerConfig, layout: Layout, tokens: int, words: int = 512) -> dict[str, float]:
    """Seconds of one step, by part. Weights travel while blocks compute; tokens and Muon's matrices do not."""
    every, muon = weights(config)
    forward = forward_flops(config, tokens=tokens, words=words) * layout.clips / layout.context
    compute = 4 * forward / (PEAK * KERNELS)  # once more forward for recomputation
    copies = layout.gpus // layout.divided
    share = (layout.divided - 1) / layout.divided
    weights_sent = (
        every * share * (2 * BF16 + FP32) / speed(layout.divided)
    )  # gathered twice, gradients scattered
    if copies > 1:
        weights_sent += 2 * every * FP32 / layout.divided * (copies - 1) / copies / speed(layout.gpus)
    weights_sent += 3 * config.layers * LATENCY * max(1, layout.gpus).bit_length()
    p = layout.context
    tokens_sent = 0.0
    if p > 1:
        one = (
            4 * layout.clips * tokens / p * config.width * BF16 * (p - 1) / p
        )  # q k v there, the result back
        tokens_sent = 3 * config.layers * (one / speed(p) + 2 * LATENCY * p.bit_length())
    matrices = 2 * muon * FP32 / layout.divided * share / speed(layout.divided)
    products = (
        5 * 2 * 128 * 3 * muon / layout.divided / (PEAK * KERNELS)
    )  # Newton-Schulz on blocks of 128 rows
    update = 60 * every / layout.divided / MEMORY  # bytes read and written for each weight
    nodes = max(1, layout.gpus // NODE)
    jitter = 1 + JITTER * (nodes.bit_length() - 1)
    hidden = max(compute, weights_sent)
    whole = (hidden + tokens_sent) * jitter + matrices + products + update
    return {
        "step": whole,
        "compute": compute,
        "weights": weights_sent,
        "tokens": tokens_sent,
        "optimizer": matrices + products + update,
        "mfu": 0.75 * compute * KERNELS / whole,  # recomputation does not count
    }


def lost(gpus: int) -> tuple[float, float]:
    """(failures a day, share of the time that they cost): half the way to the last checkpoint, and the restart."""
    a_day = gpus * 24 / GPU_HOURS_PER_FAILURE
    return a_day, a_day * (CHECKPOINT_MINUTES * 30 + RESTART) / 86400


STAGES = (  # Open-Sora 2.0 (arXiv 2503.09642): clips, latent t h w of ours for 81 frames, its GPU days on H200
    ("256 px, words", 70e6, (21, 32, 32), 2240),
    ("256 px, words and pictures", 10e6, (21, 32, 32), 384),
    ("768 px", 5e6, (21, 96, 96), 1536),
)


def tables() -> None:
    """The tables of docs/scale.md."""
    print(
        "| model | tokens of a clip | GPUs | --shard | --context | s a step | of peak, % | GB a GPU |"
        " failures a day | lost, % |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    cases = [("wan-1.3b", (21, 60, 104), 8, 1), ("wan-14b", (21, 90, 160), 64, 4)]
    for name, (t, h, w), shard, context in cases:
        config, tokens = PRESETS[name], t * h * w // 4
        for gpus in (8, 64, 256, 1024):
            layout = Layout(gpus=gpus, shard=max(1, min(shard, gpus) // context), context=context)
            found, (a_day, cost) = step(config, layout, tokens), lost(gpus)
            memory = (held(config, layout) + activations(config, layout, tokens)) / 1e9
            print(
                f"| {name} | {tokens:,} | {gpus:,} | {layout.shard} | {context} | {found['step']:.2f} |"
                f" {100 * found['mfu']:.0f} | {memory:.0f} | {a_day:.2f} | {100 * cost:.2f} |"
            )
    print()
    print(
        "| stage | clips, millions | tokens | GPU days | dollars | Open-Sora 2.0's GPU days | its dollars |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    sums = [0.0, 0.0]
    for stage, clips, (t, h, w), theirs in STAGES:
        tokens, gpus = t * h * w // 4, 224
        small = 8 if h == 32 else 1
        layout = Layout(gpus=gpus, shard=8, context=1, clips=small)
        a_step = step(PRESETS["wan-1.3b"], layout, tokens)["step"] * (1 + lost(gpus)[1])
        days = clips / (gpus * small) * a_step * gpus / 86400
        sums = [sums[0] + days, sums[1] + theirs]
        print(
            f"| {stage} | {clips / 1e6:.0f} | {tokens:,} | {days:,.0f} | {days * 24 * DOLLARS:,.0f} | {theirs:,} |"
            f" {theirs * 24 * DOLLARS:,.0f} |"
        )
    ours, theirs = (f"{days:,.0f} | {days * 24 * DOLLARS:,.0f}" for days in sums)
    print(f"| all | | | {ours} | {theirs} |")


def worker(shard: int, context: int, steps: int) -> None:
    """One process of a measurement: the default transformer on four clips a step."""
    torch.set_num_threads(1)
    join()
    placement = Placement.choose("cpu", "fp32", compile=False, shard=shard, context=context)
    torch.manual_seed(0)
    net = Transformer(PRESETS["default"])
    net.init_weights()
    placement.place({"net": net})
    optimizer = Optimizer(placement.parameters({"net": net}), OptimConfig(), torch.float32, placement.team)
    placement.cast({"net": net})
    ema = Ema(optimizer.weights, TrainConfig().ema_decay)
    rows = placement.team.share.rows(4)
    data, text = torch.randn(4, 24, 9, 12, 12)[rows], torch.randn(4, 16, 384)[rows]
    spent = []
    for _ in range(steps):
        wall, processor = time.perf_counter(), time.process_time()
        net(data, torch.rand(len(data), 9) * 1000, text).square().mean().backward()
        placement.average(optimizer.working.values(), 0.0)
        gradients = sum(local(p.grad).nbytes for p in optimizer.working.values() if p.grad is not None)
        optimizer.step(1.0)
        ema.update(optimizer.weights, 0)
        spent.append((time.perf_counter() - wall, time.process_time() - processor))
    states = [*optimizer.state().values(), *ema.state().values(), *map(local, optimizer.working.values())]
    found = {
        "bytes": sum(value.nbytes for value in states) + gradients,
        "spent": sorted(spent)[len(spent) // 2],
    }
    found["processor"] = sorted(two for _, two in spent)[len(spent) // 2]
    if placement.team.leads:
        Path(os.environ["OUT"]).write_text(json.dumps(found))
    leave()


def member(rank: int, of: int, port: int, out: Path, shard: int, context: int, steps: int) -> None:
    """worker, as torchrun would start it."""
    values = {"RANK": rank, "WORLD_SIZE": of, "MASTER_PORT": port, "OUT": out, "MASTER_ADDR": "127.0.0.1"}
    os.environ.update({name: str(value) for name, value in values.items()}, GLOO_SOCKET_IFNAME="lo")
    worker(shard, context, steps)


def measure(steps: int) -> None:
    """Each layout in processes of its own."""
    print("| processes | --shard | --context | MB held, model | MB held, measured | processor s | wall s |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    config = PRESETS["default"]
    every, muon = weights(config)
    for processes, shard, context in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 1, 2), (4, 1, 1), (4, 2, 2)):
        with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            probe.close()
            out = Path(folder) / "out.json"
            context_of = multiprocessing.get_context("fork")  # what is imported here is not imported again
            team = [
                context_of.Process(target=member, args=(rank, processes, port, out, shard, context, steps))
                for rank in range(processes)
            ]
            for process in team:
                process.start()
            for process in team:
                process.join()
            found = json.loads(out.read_text())
        # here the working weights and gradients are float32
        divided = Layout(gpus=processes, shard=shard, context=context).divided
        model = (every * 5 + (every - muon)) * FP32 / divided / 1e6
        print(
            f"| {processes} | {shard} | {context} | {model:.0f} | {found['bytes'] / 1e6:.0f} |"
            f" {found['processor']:.2f} | {found['spent'][0]:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", help="measure on this machine instead")
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    if options.measure:
        measure(options.steps)
    else:
        tables()


if __name__ == "__main__":
    main()
