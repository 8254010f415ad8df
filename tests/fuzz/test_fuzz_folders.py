"""Mutated model folders, weights, LoRAs, plans and requests: refused in one sentence, or right; never another error.

A few hundred cases run with every test; `make test-all` runs ten thousand.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.checkpoints.lora import read_lora
from sorairo.dit.folder import load_class_model
from sorairo.jobs.plans import plan_to_dict, stored_plan
from sorairo.jobs.request import Request
from sorairo.prompts.styles import read_styles
from sorairo.types import Plan, Span, UserError
from tests.dit.test_generate import save_pipeline

SLOWEST = 10.0  # seconds a case may take
LARGEST = 2 * 2**30  # bytes that a case may add to the process

ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    3,
    10**9,
    10**30,
    -(10**9),
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "12",
    "\ud800",
    "x" * 5000,
    "../../etc/passwd",
    "\x1b[31m",
    [],
    [1],
    [0, 0],
    [[[[[]]]]],
    {},
    {"a": {"b": []}},
]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested JSON."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def mutated(value: Any, draw: random.Random) -> Any:
    """One to three values of nested JSON changed, dropped, added or moved."""
    value = copy.deepcopy(value)
    for _ in range(draw.randint(1, 3)):
        found = list(places(value))
        if not found:
            return draw.choice(ODD)
        *path, last = draw.choice(found)
        parent = value
        for key in path:
            parent = parent[key]
        how = draw.random()
        if how < 0.65:
            parent[last] = copy.deepcopy(draw.choice(ODD)) if draw.random() < 0.95 else nested(300)
        elif how < 0.85:
            del parent[last]
        elif isinstance(parent, dict):
            parent[
                draw.choice(["extra", "_name", "num_layers", last + "s" if isinstance(last, str) else "k"])
            ] = draw.choice(ODD)
    return value


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Bytes changed, cut, doubled or put in."""
    data, how = bytearray(data), draw.random()
    at = draw.randrange(min(len(data), draw.choice([16, 400, len(data)])))
    if how < 0.5:
        for _ in range(draw.randint(1, 4)):
            data[min(len(data) - 1, at + draw.randrange(8))] = draw.randrange(256)
    elif how < 0.7:
        del data[at:]
    elif how < 0.85:
        data[at:at] = bytes(draw.randrange(256) for _ in range(draw.randint(1, 9)))
    else:
        data[:8] = draw.choice([0, 1, 2**31, 2**63, 10**6]).to_bytes(8, "little")
    return bytes(data)


@contextmanager
def watched(what: object) -> Iterator[None]:
    """The case ends well or with a UserError, in time, and without gigabytes."""
    start, before = time.monotonic(), memory()
    try:
        yield
    except UserError as error:
        assert len(str(error)) < 1500, (what, str(error))  # a sentence, not the file
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}\n{what}") from error
    assert time.monotonic() - start < SLOWEST and memory() - before < LARGEST, what


def memory() -> int:
    """The address space of this process in bytes."""
    return (
        int(Path("/proc/self/statm").read_text().split()[0]) * 4096
        if Path("/proc/self/statm").exists()
        else 0
    )


def text_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)


def fuzz_folder(
    folder: Path, work: Path, draw: random.Random, load: Callable[[Path], object] | None = None
) -> None:
    load = load or (lambda path: load_checkpoint(path, "fp32"))
    copied = work / "model"
    shutil.copytree(folder, copied)
    files = sorted(path for path in copied.rglob("*") if path.suffix in (".json", ".safetensors"))
    path = draw.choice([one for one in files if one.suffix == ".json"] if draw.random() < 0.75 else files)
    if path.suffix == ".json" and draw.random() < 0.9 and path.stat().st_size < 200_000:
        path.write_text(text_of(mutated(json.loads(path.read_text()), draw)))
    else:
        path.write_bytes(damaged(path.read_bytes(), draw))
    try:
        with watched((path.relative_to(copied), path.read_bytes()[:600])):
            load(copied)
    finally:
        shutil.rmtree(copied)


def fuzz_class_folder(folder: Path, work: Path, draw: random.Random) -> None:
    source = work / "dit"
    if not source.is_dir():
        save_pipeline(source)
    fuzz_folder(source, work, draw, load_class_model)


def fuzz_lora(folder: Path, work: Path, draw: random.Random) -> None:
    path = work / "lora.safetensors"
    names = [
        "lora_unet_blocks_0_self_attn_q",
        "transformer.blocks.0.attn1.to_q",
        "blocks.0.ffn.0",
        "diffusion_model.x",
    ]
    tensors = {}
    for name in draw.sample(names, draw.randint(1, 3)):
        tensors[f"{name}.lora_down.weight"] = torch.ones(draw.randint(1, 4), 8, dtype=draw.choice(DTYPES))
        tensors[f"{name}.lora_up.weight"] = torch.ones(8, draw.randint(1, 4), dtype=draw.choice(DTYPES))
        tensors[f"{name}.alpha"] = torch.tensor(draw.choice([1.0, float("nan"), -1.0, 0.0]))
    save_file(tensors, path)
    if draw.random() < 0.7:
        path.write_bytes(damaged(path.read_bytes(), draw))
    with watched(path.read_bytes()[:600]):
        read_lora(path)


DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int8]


def fuzz_plan(folder: Path, work: Path, draw: random.Random) -> None:
    plan = Plan(
        size=(32, 32), frames=9, fps=8.0, spans=(Span(text="a ball"), Span(text="more", start=4)), seed=1
    )
    record = {"software": "sorairo 0.1.0", "model": "default", "plan": plan_to_dict(plan)}
    changed = mutated(record, draw)
    if isinstance(changed, dict):
        with watched(changed):
            stored_plan(changed, work / "a.mp4")


def fuzz_request(folder: Path, work: Path, draw: random.Random) -> None:
    requests = [
        {"verb": "generate", "prompt": "a ball", "size": "96x96", "seed": 1, "steps": 2},
        {"verb": "recut", "prompt": "a ball", "sources": ["a.mp4"], "args": {"keep": [0.0, 1.0]}},
        {
            "verb": "edit",
            "prompt": "a ball",
            "sources": ["a.mp4"],
            "args": {"strength": 0.5, "region": [0, 0, 8, 8]},
        },
        {
            "verb": "storyboard",
            "args": {"cards": [{"at": 0.0, "words": "a ball"}, {"at": 1.0, "words": None}]},
        },
    ]
    changed = mutated(draw.choice(requests), draw)
    if isinstance(changed, dict):
        with watched(changed):
            Request.parse(changed)


def fuzz_styles(folder: Path, work: Path, draw: random.Random) -> None:
    path = work / "styles.toml"
    data = (
        b'[film]\nabout = "grain"\nwords = "{prompt}, film"\nnegative = "blur"\nsteps = 20\nguidance = 4.5\n'
    )
    path.write_bytes(damaged(data, draw))
    with watched(path.read_bytes()):
        read_styles(path)


KINDS: dict[str, tuple[Callable[[Path, Path, random.Random], None], int]] = {
    "folders": (fuzz_folder, 120),
    "DiT folders": (fuzz_class_folder, 80),
    "LoRAs": (fuzz_lora, 80),
    "plans": (fuzz_plan, 120),
    "requests": (fuzz_request, 120),
    "styles": (fuzz_styles, 80),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_hundred(kind: str, tiny_folder: Path, tmp_path: Path) -> None:
    make, count = KINDS[kind]
    for seed in range(count):
        make(tiny_folder, tmp_path, random.Random(f"{kind} {seed}"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand(kind: str, tiny_folder: Path, tmp_path: Path) -> None:
    for seed in range(2000):
        KINDS[kind][0](tiny_folder, tmp_path, random.Random(f"{kind} slow {seed}"))
