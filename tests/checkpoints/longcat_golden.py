"""What LongCat-Video's authors' own code computes, for tests/checkpoints/test_longcat.py: longcat_golden.safetensors.

    python -m tests.checkpoints.longcat_golden CLONE

CLONE is a clone of github.com/meituan-longcat/LongCat-Video (MIT). Its transformer and its pipeline run as they are, on
the CPU, with tiny weights and inputs that are sines, so that nothing but their results has to be stored. Their
attention needs a CUDA kernel; torch's takes its place, without any block-sparse one.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

GOLDEN = Path(__file__).with_name("longcat_golden.safetensors")
SHAPE = {
    "in_channels": 4,
    "out_channels": 4,
    "hidden_size": 32,
    "depth": 2,
    "num_heads": 2,
    "caption_channels": 32,
    "mlp_ratio": 4,
    "adaln_tembed_dim": 24,
    "frequency_embedding_size": 32,
}
SIZE, FRAMES, SHIFT = (64, 32), 17, 12.0  # width and height in pixels: 8 x 4 cells of the codec
GRID = (5, 4, 8)
WORDS = (3, 2)
"""How many tokens the prompt and the negative words have, of 8 that attention counts."""
TEXT_LEN, GUIDANCE = 8, 4.0


def waves(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    """Numbers without a pattern that the model could hide behind, the same wherever they are made."""
    count = torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float64)
    return (scale * torch.sin(count * (1.7 + 0.37 * seed) + count.square() * 0.013)).float().view(shape)


def weights(of: dict[str, torch.Size]) -> dict[str, torch.Tensor]:
    """Of a model with those tensors; norms are near one."""
    made = {}
    for seed, (name, shape) in enumerate(sorted(of.items())):
        near_one = "norm" in name and name.endswith("weight")
        made[name] = waves(*shape, seed=seed, scale=0.3) + near_one
    return made


def shapes() -> dict[str, torch.Size]:
    """Of every tensor of their transformer."""
    width, times, words = SHAPE["hidden_size"], SHAPE["adaln_tembed_dim"], SHAPE["caption_channels"]
    hidden, head, patch = 256, width // SHAPE["num_heads"], 4 * SHAPE["in_channels"]
    layers = {
        "t_embedder.mlp.0": (times, SHAPE["frequency_embedding_size"]),
        "t_embedder.mlp.2": (times, times),
        "y_embedder.y_proj.0": (width, words),
        "y_embedder.y_proj.2": (width, width),
        "final_layer.adaLN_modulation.1": (2 * width, times),
        "final_layer.linear": (patch, width),
    }
    made: dict[str, tuple[int, ...]] = {"x_embedder.proj.weight": (width, SHAPE["in_channels"], 1, 2, 2)}
    made["x_embedder.proj.bias"] = (width,)
    for n in range(SHAPE["depth"]):
        block = f"blocks.{n}"
        layers[f"{block}.adaLN_modulation.1"] = (6 * width, times)
        layers[f"{block}.attn.qkv"] = (3 * width, width)
        layers[f"{block}.cross_attn.kv_linear"] = (2 * width, width)
        for name in ("attn.proj", "cross_attn.q_linear", "cross_attn.proj"):
            layers[f"{block}.{name}"] = (width, width)
        for name in ("attn.q_norm", "attn.k_norm", "cross_attn.q_norm", "cross_attn.k_norm"):
            made[f"{block}.{name}.weight"] = (head,)
        for name, shape in {"w1": (hidden, width), "w2": (width, hidden), "w3": (hidden, width)}.items():
            made[f"{block}.ffn.{name}.weight"] = shape
        for part in ("weight", "bias"):
            made[f"{block}.pre_crs_attn_norm.{part}"] = (width,)
    for name, shape in layers.items():
        made |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return {name: torch.Size(shape) for name, shape in made.items()}


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    """States of the prompt and of the negative words (2 l d), and how many of each are words (2)."""
    return waves(2, TEXT_LEN, 32, seed=101), torch.tensor(WORDS)


def noise(t: int = GRID[0]) -> torch.Tensor:
    return waves(1, 4, t, *GRID[1:], seed=102)


def known(t: int) -> torch.Tensor:
    """Latents of what came before."""
    return waves(1, 4, t, *GRID[1:], seed=103)


def main(clone: Path) -> None:
    from safetensors.torch import save_file

    model = theirs(clone)
    made = {f"step.{name}": value for name, value in steps(model).items()}
    made |= {f"clip.{name}": value for name, value in clips(clone, model).items()}
    save_file({name: value.contiguous() for name, value in made.items()}, GOLDEN)
    print({name: tuple(value.shape) for name, value in made.items()})


def theirs(clone: Path) -> Any:
    """Their transformer."""
    sys.path.insert(0, str(clone))
    for name in ("block_sparse_attention.bsa_interface", "context_parallel.ulysses_wrapper"):  # CUDA only
        stub: Any = types.ModuleType(f"longcat_video.{name}")
        stub.flash_attn_bsa_3d = None
        stub.ulysses_wrapper = lambda function: function
        sys.modules[stub.__name__] = stub
    from longcat_video.modules import attention  # pyright: ignore
    from longcat_video.modules.longcat_video_dit import LongCatVideoTransformer3DModel  # pyright: ignore

    def process(self: Any, q: Any, k: Any, v: Any, shape: Any) -> Any:
        return F.scaled_dot_product_attention(q, k, v)

    def process_words(self: Any, x: Any, cond: Any, lengths: list[int]) -> Any:
        b, n, c = x.shape
        q = self.q_norm(self.q_linear(x).view(b, n, self.num_heads, self.head_dim)).transpose(1, 2)
        k, v = self.kv_linear(cond).view(1, -1, 2, self.num_heads, self.head_dim).unbind(2)
        k = self.k_norm(k)
        each, start = [], 0
        for one, length in zip(q, lengths, strict=True):
            here = slice(start, start + length)
            keys, values = (part[0, here].transpose(0, 1) for part in (k, v))
            each.append(F.scaled_dot_product_attention(one, keys, values))
            start += length
        return self.proj(torch.stack(each).transpose(1, 2).reshape(b, n, c))

    attention.Attention._process_attn = process
    attention.MultiHeadCrossAttention._process_cross_attn = process_words
    model = LongCatVideoTransformer3DModel(**SHAPE, cp_split_hw=[1, 1], text_tokens_zero_pad=True).eval()
    assert shapes() == {name: tensor.shape for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights(shapes()))
    return model


def mask_of(lengths: torch.Tensor) -> torch.Tensor:
    return (torch.arange(TEXT_LEN) < lengths[:, None]).long()


@torch.no_grad()
def steps(model: Any) -> dict[str, torch.Tensor]:
    """What the transformer says of latents, of both texts at once; theirs is data less noise."""
    states, lengths = texts()
    time = torch.tensor([700.0, 700.0])
    x, told = noise().repeat(2, 1, 1, 1, 1), {"encoder_attention_mask": mask_of(lengths)}
    told["encoder_hidden_states"] = states[:, None]
    made = {"words": model(x, time, **told)}
    model.text_tokens_zero_pad = False
    made["no pads"] = model(x, time, **told)
    model.text_tokens_zero_pad = True
    times = time[:, None].repeat(1, GRID[0])
    times[:, :2] = 0
    x[:, :, :2] = known(2)
    made["known"] = model(x, times, num_cond_latents=2, **told)
    empty = torch.zeros(1, 1, TEXT_LEN, 32)
    _, cache = model(known(2), torch.zeros(1, 2), empty, return_kv=True, skip_crs_attn=True)
    made["cached"] = model(x[:, :, 2:], times[:, 2:], num_cond_latents=2, kv_cache_dict=cache, **told)
    return made


@torch.no_grad()
def clips(clone: Path, model: Any) -> dict[str, torch.Tensor]:
    """Latents that their pipeline makes."""
    for name in ("loguru", "ftfy"):  # neither changes a number here
        stub: Any = types.ModuleType(name)
        stub.logger, stub.fix_text = None, str
        sys.modules.setdefault(name, stub)
    from longcat_video.modules.scheduling_flow_match_euler_discrete import (  # pyright: ignore
        FlowMatchEulerDiscreteScheduler,
    )
    from longcat_video.pipeline_longcat_video import LongCatVideoPipeline  # pyright: ignore

    states, lengths = texts()
    masks = mask_of(lengths)

    class Pipe(LongCatVideoPipeline):
        """Given latents in place of the encoders'."""

        before: torch.Tensor

        def encode_prompt(self, do_classifier_free_guidance: bool = True, **_: Any) -> Any:
            return states[:1, None], masks[:1], states[1:, None], masks[1:]

        def get_condition_shape(self, *_: Any, **__: Any) -> Any:
            return SIZE[1], SIZE[0]

        def prepare_latents(self, latents: Any = None, **_: Any) -> Any:
            latents = latents.clone()
            if hasattr(self, "before"):
                latents[:, :, : self.before.shape[2]] = self.before
            return latents

    class Seen:
        """For what its encoders would be shown."""

        config = types.SimpleNamespace(scale_factor_temporal=4, scale_factor_spatial=8, d_model=32)

    pipe = Pipe(None, Seen(), Seen(), FlowMatchEulerDiscreteScheduler(shift=SHIFT), model)
    pipe.device = "cpu"
    pipe._clear_cache = lambda: None
    pixels = torch.zeros(1, 3, SIZE[1], SIZE[0])
    common: dict[str, Any] = {"prompt": "a", "negative_prompt": "b", "num_frames": FRAMES}
    common |= {"guidance_scale": GUIDANCE, "output_type": "latent", "latents": noise()}
    few = {"num_inference_steps": 6, "use_distill": True, "guidance_scale": 1.0}
    sized = {"height": SIZE[1], "width": SIZE[0]}
    made = {"words": pipe.generate_t2v(**common | sized, num_inference_steps=5)}
    made["words distilled"] = pipe.generate_t2v(**common | sized | few)
    pipe.before = known(1)
    made["picture"] = pipe.generate_i2v(pixels, **common, num_inference_steps=5)
    pipe.before = known(2)
    video = [pixels[0].permute(1, 2, 0).numpy()] * 5
    shown: dict[str, Any] = {"video": video, "num_cond_frames": 5}
    made["clip"] = pipe.generate_vc(**common | shown, num_inference_steps=12)
    made["clip distilled"] = pipe.generate_vc(**common | shown | few, enhance_hf=False)
    return made


if __name__ == "__main__":
    main(Path(sys.argv[1]))
