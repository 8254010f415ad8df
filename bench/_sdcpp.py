"""stable-diffusion.cpp's Wan transformer, alone and with any number of layers, for bench/wan.py.

    python bench/_sdcpp.py

downloads the sources (the sdist of stable-diffusion-cpp-python, by pip), compiles ggml for this processor and
bench/sdcpp.cpp to runs/sdcpp/libsdcpp.so; CMake and a C++17 compiler are needed.
bench/wan.py has its rows once that is there.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

HERE = Path(__file__).resolve().parent
HOME = HERE.parent / "runs" / "sdcpp"
LIBRARY = HOME / "libsdcpp.so"
PACKAGE = "stable-diffusion-cpp-python"
VERSION = "0.4.7"
# OpenMP off: ggml's own threads, so that none outlive a step and spin beside torch's
CMAKE = (
    "-DGGML_NATIVE=ON",
    "-DGGML_LLAMAFILE=ON",
    "-DGGML_OPENMP=OFF",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DSD_BUILD_EXAMPLES=OFF",
)
LIBRARIES = ("zip.c.o", "libggml.a", "libggml-cpu.a", "libggml-base.a")
SOURCES = ("model.cpp", "name_conversion.cpp", "util.cpp", "ggml_graph_cut.cpp", "model_io/*.cpp")


def build(jobs: int) -> None:
    """Downloads and compiles; what is there already is kept."""
    HOME.mkdir(parents=True, exist_ok=True)
    name = f"{PACKAGE.replace('-', '_')}-{VERSION}"
    if not (HOME / name).exists():
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", PACKAGE, "-d", str(HOME)]
        subprocess.run([*pip, f"{PACKAGE}=={VERSION}"], check=True)
        with tarfile.open(HOME / f"{name}.tar.gz") as archive:
            archive.extractall(HOME, filter="data")
    root, made = HOME / name / "vendor" / "stable-diffusion.cpp", HOME / "build"
    options = [
        *CMAKE,
        "-DCMAKE_BUILD_TYPE=Release",
        "-DCMAKE_POSITION_INDEPENDENT_CODE=ON",
    ]
    subprocess.run(["cmake", "-S", str(root), "-B", str(made), *options], check=True)
    targets = ["--target", "ggml", "zip", "-j", str(jobs)]
    subprocess.run(["cmake", "--build", str(made), *targets], check=True)
    folders = [root, root / "src", root / "include", root / "thirdparty", root / "ggml" / "include"]
    sources = [HERE / "sdcpp.cpp", *(file for pattern in SOURCES for file in (root / "src").glob(pattern))]
    libraries = [next(made.rglob(name)) for name in LIBRARIES]
    compiler = ["c++", "-std=c++17", "-O2", "-march=native", "-shared", "-fPIC", "-DGGML_MAX_NAME=128"]
    command = [*compiler, *(f"-I{folder}" for folder in folders), *map(str, sources), *map(str, libraries)]
    subprocess.run([*command, "-lpthread", "-ldl", "-o", str(LIBRARY)], check=True)


class Model:
    """The transformer from the authors' names and shapes (adapters/wan_original.py), in the tensors' own types.

    q8: with the weights of the blocks' products in q8_0.
    """

    def __init__(
        self, tensors: dict[str, Tensor], layers: int, *, flash_attention: bool, q8: bool = False
    ) -> None:
        self.library = ctypes.CDLL(str(LIBRARY))
        self.library.sdcpp_load.restype = ctypes.c_void_p
        self.library.sdcpp_step.restype = ctypes.c_bool
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("wan.gguf" if q8 else "wan.safetensors")
            if q8:
                write_q8(path, tensors)
            else:
                save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
            self.model = self.library.sdcpp_load(str(path).encode(), layers, ctypes.c_bool(flash_attention))
        if not self.model:
            raise RuntimeError("stable-diffusion.cpp could not load the transformer.")

    def __call__(self, latents: Tensor, time: float, words: Tensor) -> Tensor:
        """latents: 1 c t h w; words: 1 text_len text_dim, zeros after the last word. float32, as the result is."""
        latents, words = latents.float().contiguous(), words.float().contiguous()
        out = torch.empty_like(latents)
        shape = (ctypes.c_int64 * 4)(*latents.shape[1:])
        done = self.library.sdcpp_step(
            ctypes.c_void_p(self.model),
            torch.get_num_threads(),
            _pointer(latents),
            shape,
            ctypes.c_float(time),
            _pointer(words),
            ctypes.c_int64(words.shape[1]),
            ctypes.c_int64(words.shape[2]),
            _pointer(out),
        )
        if not done:
            raise RuntimeError("stable-diffusion.cpp could not compute the step.")
        return out

    def __del__(self) -> None:
        if getattr(self, "model", None):
            self.library.sdcpp_free(ctypes.c_void_p(self.model))


def write_q8(path: Path, tensors: dict[str, Tensor]) -> None:
    """A GGUF file with the blocks' products in q8_0 and all else in float32."""
    import gguf

    writer = gguf.GGUFWriter(path, "wan")
    q8 = gguf.GGMLQuantizationType.Q8_0
    for name, tensor in tensors.items():
        values = tensor.float().contiguous().numpy()
        if values.ndim > 4:  # ggml has four sides, and keeps a kernel's two first ones together
            values = values.reshape(-1, *values.shape[2:])
        if values.ndim == 2 and name.startswith("blocks."):
            writer.add_tensor(name, gguf.quants.quantize(values, q8), raw_dtype=q8)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


if __name__ == "__main__":
    build(jobs=int(sys.argv[1]) if len(sys.argv) > 1 else 2)
