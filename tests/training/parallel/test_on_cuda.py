"""Training and generation leave nothing on the CPU: run on CUDA tensors without numbers, where there is no GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
WAN = ("wan2.1-t2v", "wan2.2-ti2v", "wan2.2-t2v-a14b", "wan2.1-i2v", "wan2.1-flf2v", "wan2.2-i2v-a14b")
WAYS = ("resident", "LoRA", "int8", "offloaded")
OTHERS = ("wan2.1-vace", "skyreels-v2", "skyreels-v2-df", "causal", "helios", "helios-distilled", "longcat")


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What autograd asks of a device, compiled; torch for CPUs has none for CUDA."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    library, torch_folder = tmp_path_factory.mktemp("cuda") / "stand_in.so", Path(torch.__file__).parent
    command = [compiler, "-O0", "-std=c++20", "-shared", "-fPIC", f"-I{torch_folder / 'include'}"]
    command += [str(HERE / "cuda_stand_in.cpp"), "-o", str(library), f"-L{torch_folder / 'lib'}"]
    subprocess.run([*command, "-lc10", "-ltorch_cpu"], check=True)
    return library


@pytest.mark.slow
def test_a_step_and_a_clip_on_cuda(stand_in: Path, tiny_folder: Path, tmp_path: Path) -> None:
    assert "on cuda" in on_cuda("on_cuda.py", stand_in, tiny_folder, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", WAN + OTHERS)
def test_a_family_of_open_weights_on_cuda(stand_in: Path, family: str, tmp_path: Path) -> None:
    """Loaded, with a LoRA, in 8 bits, and with a LoRA and blocks in their files: guided steps and decoding."""
    said = on_cuda("families_on_cuda.py", stand_in, tmp_path, family, *WAYS).splitlines()
    assert said == [*(f"{family} {way} on cuda" for way in WAYS), "found"]


@pytest.mark.slow
def test_a_picture_of_a_class_on_cuda(stand_in: Path, tmp_path: Path) -> None:
    assert "dit on cuda" in on_cuda("families_on_cuda.py", stand_in, tmp_path, "dit")


def on_cuda(program: str, library: Path, *arguments: Path | str) -> str:
    """What a program beside this file prints, with the stand-in for a device."""
    env = {
        **os.environ,
        "LD_LIBRARY_PATH": str(Path(torch.__file__).parent / "lib"),
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    if torch.version.cuda:
        env["WITH_CUDA"] = "1"
    command = [sys.executable, "-W", "ignore", str(HERE / program), str(library), *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
