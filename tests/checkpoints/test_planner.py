import warnings
from dataclasses import replace

import pytest
import torch

import sorairo
from sorairo.checkpoints.export import export
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.checkpoints.memory.estimates import Ask, Blueprint, blueprint, video_blueprint
from sorairo.checkpoints.memory.planner import RUNTIME, load_within, parse_memory, plan_for, plan_memory
from sorairo.checkpoints.memory.working import Part, Stage
from sorairo.codec.model import Codec
from sorairo.codec.presets import PRESETS as CODECS
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError
from tests.checkpoints.wan_folders import pipeline, umt5

ASK = Ask(size=(64, 64), frames=9)


def stages(ask, dtype):
    return [
        Stage(name="text", parts=("text_encoder",), working=0),
        Stage(name="transformer", parts=("transformer",), working=100),
        Stage(name="decode", parts=("vae",), working=900 * ask.frames // 9, in_pieces=50),
    ]


MODEL = Blueprint(
    configs=(None, None),
    parts=(
        Part(name="text_encoder", parameters=400, dtype=None, streamed=50),
        Part(name="transformer", parameters=200, dtype="bf16", streamed=20),
        Part(name="vae", parameters=10, dtype=None),
    ),
    asks=(ASK, Ask(size=(64, 64), frames=1)),
    stages=stages,
)


def plan(limit, model=MODEL):
    return plan_memory(model, ASK, torch.bfloat16, RUNTIME + limit)


def test_the_fastest_way_that_fits():
    ways = [(limit, plan(limit)) for limit in (2200, 1400, 1350, 900, 540, 300)]
    assert [(way.keep, way.pieces, way.stream) for _, way in ways] == [
        (True, False, False),  # 2 * 610 + 900
        (False, False, False),  # 2 * 210 + 900
        (False, False, False),
        (False, True, False),  # 2 * 410
        (False, True, True),
        (False, True, True),
    ]
    assert all(way.peak <= RUNTIME + limit for limit, way in ways)
    assert dict(ways[0][1].stages) == {
        "text": RUNTIME + 1220,
        "transformer": RUNTIME + 1320,
        "decode": RUNTIME + 2120,
    }
    assert dict(ways[-1][1].stages) == {
        "text": RUNTIME + 120,
        "transformer": RUNTIME + 160,
        "decode": RUNTIME + 110,
    }


def test_what_does_not_fit_is_said_with_what_would():
    with pytest.raises(UserError, match=r"64x64, 9 frames needs 0\.3 GB at the least.*give more memory"):
        plan(10)
    whole = Blueprint(
        configs=(None, None),
        parts=MODEL.parts,
        asks=MODEL.asks,
        stages=lambda ask, dtype: [Stage(name="decode", parts=("vae",), working=900 * ask.frames)],
    )
    with pytest.raises(UserError, match="64x64 would fit"):
        plan(2000, whole)


def test_sizes_of_memory():
    assert parse_memory("8GB") == 8 * 10**9
    assert parse_memory(" 1.5 gib") == 3 * 2**29
    assert parse_memory("500M") == 5 * 10**8
    for wrong in ("8", "much", "0GB", "-1GB", "8 apples"):
        with pytest.raises(UserError, match="such as 8GB"):
            parse_memory(wrong)


def test_a_folder(tiny_folder):
    assert plan_for("8GB", tiny_folder, torch.float32).keep
    said = str(plan_for("8GB", tiny_folder, torch.float32, (96, 64), 9))
    assert said.startswith("At most 0.3 GB (text 0.3, transformer 0.3, decode 0.3): all weights stay")
    with pytest.raises(UserError, match="at the least"):
        plan_for("100MB", tiny_folder, torch.float32)


def test_a_model_held_leanly_makes_the_same_clip(tiny_folder):
    prompt = {"prompt": "a red ball drops", "frames": 9, "seed": 1, "steps": 2}
    whole = sorairo.load(tiny_folder, "fp32")
    lean = replace(whole, **vars(load_checkpoint(tiny_folder, "fp32", stream=True, pieces=True)))
    assert all(p.is_meta for p in lean.transformer.blocks.parameters()) and lean.codec.lean
    want, got = (model.generate(**prompt).video.frames.astype(int) for model in (whole, lean))
    assert abs(want - got).max() <= 1
    assert load_within("8GB", tiny_folder, "fp32").dtype == torch.float32


def test_decoding_in_pieces_is_the_same_in_less_memory():
    torch.manual_seed(0)
    codec = Codec(CODECS["tiny"]).eval().requires_grad_(False)
    latents = torch.randn(1, codec.config.z_dim, 5, 2, 3)
    whole = codec.decode(latents)
    codec.lean = True
    assert torch.allclose(codec.decode(latents), whole, atol=1e-5)
    text = Part(name="text_encoder", parameters=1, dtype=None)
    model = video_blueprint(PRESETS["tiny"], replace(CODECS["tiny"], z_dim=8), text, ())
    *_, decode = model.stages(Ask(size=(128, 128), frames=65), torch.float32)
    assert decode.in_pieces is not None and decode.in_pieces < 0.7 * decode.working


@pytest.mark.parametrize("layout", ["diffusers", "original"])
def test_umt5_on_disk_can_be_streamed(tmp_path, layout):
    pipe = pipeline("wan2.1-t2v")
    pipe.text_encoder = umt5(num_layers=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe.save_pretrained(tmp_path / "m")
    folder = tmp_path / "m"
    if layout == "original":
        folder = tmp_path / "original"
        export(tmp_path / "m", folder, layout)
    text = {part.name: part for part in blueprint("m", folder).parts}["text_encoder"]
    stack = pipe.text_encoder.encoder
    assert text.parameters == sum(p.numel() for p in stack.parameters())
    away = sum(p.numel() for block in stack.block[2:] for p in block.parameters())
    assert text.streamed == text.parameters - away
    held = load_checkpoint(folder, "fp32", stream=True).text.load()
    assert sum(p.numel() for p in held.parameters() if not p.is_meta) < text.streamed
    made = plan_memory(blueprint("m", folder), Ask(size=(96, 64), frames=5), torch.float32, 10**10)
    assert made.keep and not made.stream


def test_a_bert_stays(tiny_folder):
    text = {part.name: part for part in blueprint("tiny", tiny_folder).parts}["text_encoder"]
    assert text.streamed is None
