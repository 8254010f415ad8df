from dataclasses import replace

import numpy as np
import pytest
import torch

import sorairo
from sorairo.generate import generate, noise_for
from sorairo.tasks.text_to_video import frames_for, text_to_video
from sorairo.types import Known, Span, UserError, Video
from sorairo.video.read import read_video

PROMPT = "a red ball drops onto the floor"


@pytest.fixture(scope="module")
def model(tiny_folder):
    return sorairo.load(tiny_folder, "fp32")


def plan(model, prompt=PROMPT, **changes):
    return text_to_video(prompt, model.info, **{"seed": 1, **changes})


def test_three_lines_of_python(model, tmp_path):
    clip = model.generate(PROMPT, seconds=0.6, seed=3)
    assert clip.video.frames.shape == (5, 64, 64, 3)
    assert clip.video.frames.dtype == np.uint8
    assert clip.video.fps == 8.0
    assert set(clip.timings) == {"text", "denoise", "decode"}
    clip.save(tmp_path / "out.mp4")
    assert len(read_video(tmp_path / "out.mp4")) == 5


def test_a_seed_means_the_same_frames_whatever_is_made_beside_it(model):
    plans = [
        plan(model, seed=seed, size=size) for seed, size in [(1, (64, 64)), (2, (96, 64)), (1, (64, 64))]
    ]
    together = [clip.video.frames for clip in generate(plans, model)]
    alone = [generate(p, model)[0].video.frames for p in plans]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
    assert np.array_equal(together[0], together[2])
    other = generate(plan(model, seed=2), model)[0].video.frames
    assert not np.array_equal(together[0], other)


def test_progress_tells_every_stage(model):
    told = []
    generate([plan(model), plan(model, steps=2)], model, lambda *what: told.append(what))
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["text", "denoise", "decode"]
    assert [done for stage, done, of in told if stage == "denoise"] == [0, 1, 2, 3, 3, 4, 5]
    assert told[-1] == ("decode", 2, 2)


def test_known_frames_come_out_as_the_codec_shows_them(model):
    video = Video(frames=np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8), fps=8.0)
    asked = plan(model, frames=9, steps=8)
    made = generate(replace(asked, known=(Known(video=video),)), model)[0].video.frames
    pixels = torch.from_numpy(video.frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
    with torch.inference_mode():
        want = model.codec.decode(model.codec.encode(pixels))
    want = ((want[0].permute(1, 2, 3, 0) + 1) * 127.5).round().byte().numpy()
    assert np.abs(made[:5].astype(int) - want).max() <= 1
    free = generate(asked, model)[0].video.frames
    edited = generate(replace(asked, known=(Known(video=video, hold=0.5),)), model)[0].video.frames
    assert not np.array_equal(edited[:5], made[:5]) and not np.array_equal(edited[:5], free[:5])
    with pytest.raises(UserError, match="whole steps"):
        generate(replace(asked, known=(Known(video=video, at=2),)), model)


def test_noise_is_diffusers_for_the_same_seed(model):
    from diffusers.utils.torch_utils import randn_tensor

    noise = noise_for(plan(model, seed=2**63 - 1), model.codec)
    generator = torch.Generator().manual_seed(2**63 - 1)
    assert torch.equal(noise, randn_tensor((1, 8, 2, 4, 4), generator=generator))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "  "}, "empty"),
        ({"prompt": "a ball and " * 20}, "words too long"),
        ({"negative": "a ball and " * 20}, "words too long"),
        ({"size": (100, 64)}, "nearest that it can make is 96x64"),
        ({"frames": 6}, "5 is nearest"),
        ({"frames": 0}, "1 is nearest"),
        ({"frames": 99}, "17 is nearest"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"steps": 0}, "Steps"),
        ({"steps": 1001}, "Steps"),
        ({"guidance": -1.0}, "Guidance"),
        ({"guidance": float("nan")}, "Guidance"),
        ({"seconds": 60.0}, "at most 2.12"),
        ({"seconds": 1.0, "frames": 5}, "not both"),
    ],
)
def test_what_cannot_be_made_is_refused(model, changes, message):
    with pytest.raises(UserError, match=message):
        generate(plan(model, **changes), model)


def test_plans_of_other_tasks_are_refused(model):
    asked = plan(model)
    with pytest.raises(UserError, match="one text"):
        generate(replace(asked, spans=(Span(text="a ball"), Span(text="a cube", start=4))), model)
    with pytest.raises(UserError, match="loop"):
        generate(replace(asked, loop=True), model)
    with pytest.raises(UserError, match="frames a second"):
        generate(replace(asked, fps=24.0), model)


def test_seconds_become_the_nearest_count_of_frames(model):
    assert [frames_for(s, model.info) for s in (0.1, 0.6, 1.0, 2.0, 2.2)] == [1, 5, 9, 17, 17]


def test_words_that_were_never_seen(model):
    assert model.info.unknown_words("A red dragon drops.") == ["dragon"]
