"""Damaged files of tensors, indexes and media: the result is right, or one sentence and exit code 2.

No case takes 10 s or adds 2 GB. Most run in this process, since each would otherwise wait for torch. Case N of a kind
is the same in every run. Folders, plans and styles: test_fuzz_folders.py.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sorairo.checkpoints.headers import weight_entries
from sorairo.checkpoints.lora import read_lora
from sorairo.checkpoints.tensors import read_tensors
from sorairo.cli.errors import exit_code
from sorairo.video.read import read_metadata, read_notes, read_video
from tests.fuzz.mutate import damaged_bytes, damaged_values

SECONDS = 10
BYTES = 2 << 30
FEW, MANY = 30, 1000  # cases of each kind

Case = Callable[[random.Random], None]


class Late(BaseException):
    """A case that took too long; no handler of ours may take it for an error of the file."""


@contextmanager
def watched() -> Iterator[None]:
    def late(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(kind: str, case: Case, count: int) -> None:
    faults: list[str] = []
    refused = 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        start = time.monotonic()
        try:
            with watched():
                case(random.Random(f"{kind} {number}"))
        except (Exception, Late) as error:
            refused += 1
            if isinstance(error, MemoryError) or exit_code(error) != 2:
                faults.append(f"{kind} {number}: {type(error).__name__}: {str(error)[:200]}")
        if time.monotonic() - start > SECONDS:
            faults.append(f"{kind} {number}: more than {SECONDS} s")
    print(f"{kind}: {count} cases, {refused} refused")
    unit = 1 if sys.platform == "darwin" else 1024
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * unit
    assert not faults, "\n".join(faults)
    assert grown < BYTES


def safetensors(path: Path) -> Path:
    pair = {
        "blocks.0.self_attn.q.lora_A.weight": torch.randn(2, 8),
        "blocks.0.self_attn.q.lora_B.weight": torch.randn(8, 2),
    }
    save_file(pair | {"blocks.0.self_attn.q.alpha": torch.tensor(2.0)}, path)
    return path


def damaged_header(data: bytes, dice: random.Random) -> bytes:
    """A file of tensors with damage in the header's values, in its bytes, or in those of the tensors."""
    length = int.from_bytes(data[:8], "little")
    if dice.random() < 0.5:
        return damaged_bytes(data, dice)
    text = json.dumps(damaged_values(json.loads(data[8 : 8 + length]), dice)).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def damaged_json(path: Path, dice: random.Random) -> bytes:
    data = path.read_bytes()
    if dice.random() < 0.2:
        return damaged_bytes(data, dice)
    return json.dumps(damaged_values(json.loads(data), dice)).encode()


def media(folder: Path) -> list[Path]:
    from PIL import Image

    from sorairo.types import Video
    from sorairo.video.write import write_video

    frames = np.random.default_rng(0).integers(0, 255, (4, 32, 48, 3), dtype=np.uint8)
    video, paths = Video(frames=frames, fps=8.0), []
    for name in ("a.mp4", "a.gif", "a.webp", "a.png"):
        write_video(video, folder / name)
        paths.append(folder / name)
    for name in ("a.jpg", "a.bmp", "a.tiff"):
        Image.fromarray(frames[0]).save(folder / name)
        paths.append(folder / name)
    return paths


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    base = tmp_path_factory.mktemp("fuzz")
    tensors, clips = safetensors(base / "good.safetensors").read_bytes(), media(base)
    sharded = base / "sharded"
    sharded.mkdir()
    safetensors(sharded / "one.safetensors")
    index = base / "index.json"
    names = [
        name
        for name in json.loads(tensors[8 : 8 + int.from_bytes(tensors[:8], "little")])
        if name != "__metadata__"
    ]
    index.write_text(
        json.dumps({"metadata": {"total_size": 260}, "weight_map": dict.fromkeys(names, "one.safetensors")})
    )

    def header(dice: random.Random) -> None:
        (base / "bad.safetensors").write_bytes(damaged_header(tensors, dice))
        read_tensors(base / "bad.safetensors")

    def lora(dice: random.Random) -> None:
        (base / "bad.safetensors").write_bytes(damaged_header(tensors, dice))
        read_lora(base / "bad.safetensors")

    def shards(dice: random.Random) -> None:
        (sharded / "model.safetensors.index.json").write_bytes(damaged_json(index, dice))
        weight_entries(sharded)

    def clip(dice: random.Random) -> None:
        source = dice.choice(clips)
        bad = base / f"bad{source.suffix}"
        bad.write_bytes(damaged_bytes(source.read_bytes(), dice))
        assert read_video(bad).frames.shape[-1] == 3

    def facts(dice: random.Random) -> None:
        source = dice.choice(clips)
        bad = base / f"bad{source.suffix}"
        bad.write_bytes(damaged_bytes(source.read_bytes(), dice))
        read_metadata(bad)
        read_notes(bad)

    return {"header": header, "lora": lora, "shards": shards, "clip": clip, "facts": facts}


KINDS = ("header", "lora", "shards", "clip", "facts")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_read_right_or_refused(cases: dict[str, Case], kind: str) -> None:
    run(kind, cases[kind], FEW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_five_thousand_damaged_files(cases: dict[str, Case], kind: str) -> None:
    run(kind, cases[kind], MANY)


@pytest.mark.slow
def test_a_process_ends_with_code_0_or_2(tmp_path: Path) -> None:
    for number, source in enumerate(media(tmp_path)):
        bad = tmp_path / f"bad{source.suffix}"
        bad.write_bytes(damaged_bytes(source.read_bytes(), random.Random(number)))
        command = [sys.executable, "-m", "sorairo", "show", str(bad)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode in (0, 2), ended.stderr
        assert "Traceback" not in ended.stderr
