"""A denoising step at the widths of Wan 2.1 1.3B beside diffusers' WanTransformer3DModel, in one run.

    python bench/wan.py [--layers 3] [--grid 5 30 68] [--rounds 2] [--threads N] [--no-memory]

`layers` of the 30, with the same random weights in both: all layers are alike, and the rest of the model is 2% of
the time. 2,550 tokens and 60 words of umT5, as for 17 frames of 544x240. A B A B, the fastest of the rounds counts;
`cpu` is processor seconds, which a busy machine does not stretch; the ratio is diffusers' cpu over ours in the same
dtype. `int8` has the products of the blocks in 8 bits, and all else in that dtype. PSNR is against diffusers in float32
(in its own dtype with --dtypes bfloat16). `compiled` is what `generate` does with a model of this size; `once` is the
first call, which compiles. Where OpenVINO is installed (pip install openvino) it runs diffusers' model too; with nncf
also in 8 bits, after a look at the same step. Where stable-diffusion.cpp is built (python bench/_sdcpp.py) it has rows,
with and without its flash attention, and with q8_0 and float16 weights. `memory` (MiB) is what one step adds to the
peak of a process of its own. The codec of the same family:
python bench/codec.py --preset wan2.1 --size 96x64 --frames 9
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import _sdcpp
import torch
from _peak import added
from torch import Tensor

from sorairo.checkpoints.adapters.wan import to_wan, to_wan_config
from sorairo.checkpoints.adapters.wan_original import to_original
from sorairo.nn.precision import processor_name
from sorairo.nn.quantised import Int8Linear
from sorairo.nn.rates import measured
from sorairo.transformer.compiling import compile_blocks
from sorairo.transformer.model import Transformer, forward_flops
from sorairo.transformer.presets import PRESETS

Call = Callable[[], Tensor]
WORDS = 60
# (weights in another form than the row's dtype, flash attention)
SDCPP = {
    "sd.cpp": ("", False),
    "sd.cpp flash": ("", True),
    "sd.cpp f16 weights": ("f16", False),
    "sd.cpp f16 flash": ("f16", True),
    "sd.cpp q8_0": ("q8_0", False),
    "sd.cpp q8_0 flash": ("q8_0", True),
}
WAYS = (
    "diffusers",
    "ours",
    "ours compiled",
    "ours int8",
    "ours int8 compiled",
    *(["openvino"] if find_spec("openvino") else []),
    *(["openvino int8"] if find_spec("openvino") and find_spec("nncf") else []),
    *(SDCPP if _sdcpp.LIBRARY.exists() else []),
)


def calls(
    layers: int, grid: tuple[int, int, int], dtype: torch.dtype, ways: tuple[str, ...] = WAYS
) -> dict[str, Call]:
    """Each way's step on the same latents, words and time."""
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    config = replace(PRESETS["wan-1.3b"], layers=layers)
    with torch.device("meta"):
        ours = Transformer(config)
        theirs = WanTransformer3DModel.from_config(to_wan_config(config))
    ours = ours.to_empty(device="cpu").to(dtype)
    for name, parameter in ours.named_parameters():
        torch.nn.init.normal_(parameter, std=0.02)
        if "norm" in name and name.endswith("weight"):
            torch.nn.init.ones_(parameter)
    latents = torch.randn(1, config.channels, *grid).to(dtype)
    words = torch.zeros(1, config.text_len, config.text_dim, dtype=dtype)
    words[:, :WORDS] = torch.randn(1, WORDS, config.text_dim)
    time_, lengths = torch.tensor([700.0]), torch.tensor([WORDS])
    made: dict[str, Call] = {}
    if "diffusers" in ways:
        theirs = WanTransformer3DModel.from_config(to_wan_config(config)).to(dtype).eval()
        theirs.load_state_dict(to_wan(ours.state_dict(), config))
        made["diffusers"] = lambda: theirs(latents, time_, words, return_dict=False)[0]
    if "ours" in ways:
        made["ours"] = lambda: ours(latents, time_, words[:, :WORDS], lengths)
    if "ours compiled" in ways:
        compiled = Transformer(config).to(dtype)
        compiled.load_state_dict(ours.state_dict())
        compile_blocks(compiled)
        made["ours compiled"] = lambda: compiled(latents, time_, words[:, :WORDS], lengths)
    for way in (way for way in ways if way.startswith("ours int8")):
        eight = Transformer(config).to(dtype).eval().requires_grad_(False)
        eight.load_state_dict(ours.state_dict())
        for name, layer in list(eight.get_submodule("blocks").named_modules()):
            parent, _, last = name.rpartition(".")
            if type(layer) is torch.nn.Linear:
                setattr(eight.get_submodule("blocks").get_submodule(parent), last, Int8Linear.of(layer))
        if "compiled" in way:
            compile_blocks(eight)
        made[way] = lambda eight=eight: eight(latents, time_, words[:, :WORDS], lengths)
    for way in (way for way in ways if way.startswith("openvino")):
        full = WanTransformer3DModel.from_config(to_wan_config(config)).float().eval()
        full.load_state_dict(
            {name: tensor.float() for name, tensor in to_wan(ours.state_dict(), config).items()}
        )
        eight = way == "openvino int8"
        made[way] = by_openvino(full, dtype, latents.float(), time_, words.float(), eight=eight)
    for way in (way for way in ways if way in SDCPP):
        form, flash = SDCPP[way]
        if form == "f16" and dtype != torch.bfloat16:
            continue
        kind = torch.float16 if form == "f16" else dtype
        theirs_too = to_original(ours.state_dict(), config)
        model = _sdcpp.Model(
            {name: tensor.to(kind) for name, tensor in theirs_too.items()},
            layers,
            flash_attention=flash,
            q8=form == "q8_0",
        )
        made[way] = lambda model=model: model(latents, float(time_), words)
    return made


def by_openvino(theirs: torch.nn.Module, dtype: torch.dtype, *given: Tensor, eight: bool) -> Call:
    """diffusers' model as OpenVINO compiles it for this processor, told to compute in that dtype.

    eight: with products in 8 bits as nncf makes them, by what it sees of this very step.
    """
    import openvino

    class Alone(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = theirs

        def forward(self, latents: Tensor, time: Tensor, words: Tensor) -> Tensor:
            return self.model(latents, time, words, return_dict=False)[0]

    settings = {
        "INFERENCE_PRECISION_HINT": {torch.float32: "f32", torch.bfloat16: "bf16"}[dtype],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    graph = openvino.convert_model(Alone(), example_input=given, input=[tuple(x.shape) for x in given])
    arrays = [x.numpy() for x in given]
    if eight:
        import nncf

        kind = nncf.ModelType.TRANSFORMER
        graph = nncf.quantize(graph, nncf.Dataset([tuple(arrays)]), model_type=kind, subset_size=1)
    compiled = openvino.Core().compile_model(graph, "CPU", settings)
    return lambda: torch.from_numpy(compiled(arrays)[0])


@torch.inference_mode()
def timed(call: Call) -> tuple[float, float, Tensor]:
    """(seconds, processor seconds, the result)"""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def memory(layers: int, grid: tuple[int, int, int], dtype: torch.dtype, way: str) -> float:
    """MiB that one step adds to what this process holds, at its peak (Linux)."""
    call = calls(layers, grid, dtype, (way,))[way]
    if way == "ours compiled":
        timed(call)  # compiling needs memory of its own
    return added(lambda: timed(call))


def psnr(x: Tensor, reference: Tensor) -> float:
    """Decibels; the peak is the reference's range."""
    error = (x.float() - reference.float()).square().mean().clamp(min=1e-20)
    return float(20 * torch.log10((reference.max() - reference.min()).float()) - 10 * torch.log10(error))


def peak(tokens: int, width: int, hidden: int, dtype: torch.dtype) -> float:
    """TFLOP/s of a plain product of that shape; the best of several."""
    a, b = torch.randn(tokens, width).to(dtype), torch.randn(width, hidden).to(dtype)
    return 2e-12 * tokens * width * hidden / min(timed(lambda: a @ b)[0] for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--grid", type=int, nargs=3, default=(5, 30, 68), help="latent t h w")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument(
        "--ways", nargs="+", default=WAYS, choices=WAYS, help="the first is what ratios are to"
    )
    parser.add_argument("--no-memory", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    # What is freed goes back at once in the processes that measure memory (glibc; read when they start)
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    grid = tuple(options.grid)
    config = replace(PRESETS["wan-1.3b"], layers=options.layers)
    tokens = grid[0] * grid[1] * grid[2] // 4
    flops = forward_flops(config, tokens=tokens, words=WORDS + 1)
    reference: Tensor | None = None
    print(f"{processor_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"rates, TFLOP/s: {measured(torch.device('cpu'))}")
    heads = ("seconds", "cpu", "TFLOP/s", "ratio", "PSNR dB", "once", "memory")
    print(f"{options.layers} layers, {tokens} tokens".ljust(30) + "".join(f"{head:>9}" for head in heads))
    for dtype in (getattr(torch, name) for name in options.dtypes):
        ways = calls(options.layers, grid, dtype, tuple(options.ways))
        once = {way: timed(call) for way, call in ways.items()}  # compiles, and pages everything in
        best = {way: (9e9, 9e9) for way in ways}
        for _ in range(options.rounds):
            for way, call in ways.items():
                wall, cpu, result = timed(call)
                best[way] = (min(best[way][0], wall), min(best[way][1], cpu))
                reference = result if reference is None else reference
        for way, (wall, cpu) in best.items():
            row = f"{way}, {str(dtype)[6:]}".ljust(30)
            row += f"{wall:9.2f}{cpu:9.2f}{flops / wall / 1e12:9.3f}{best[options.ways[0]][1] / cpu:9.2f}"
            row += f"{psnr(once[way][2], reference):9.1f}{once[way][0]:9.1f}"
            if not options.no_memory:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    row += f"{pool.apply(memory, (options.layers, grid, dtype, way)):9.0f}"
            print(row, flush=True)
        print(
            f"plain product, {str(dtype)[6:]}".ljust(48)
            + f"{peak(tokens, config.width, config.hidden, dtype):9.3f}"
        )


if __name__ == "__main__":
    main()
