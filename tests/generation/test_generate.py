from dataclasses import replace

import numpy as np
import pytest
import torch

import sorairo
from sorairo.flow.backward import backward
from sorairo.generation.denoise import noise_for
from sorairo.generation.generate import generate
from sorairo.generation.timeline import Timeline
from sorairo.pixels import to_frames
from sorairo.tasks.ask import Ask, frames_for
from sorairo.tasks.text_to_video import text_to_video
from sorairo.types import Known, Span, UserError, Video
from sorairo.video.read import read_video

PROMPT = "a red ball drops onto the floor"


@pytest.fixture(scope="module")
def model(tiny_folder):
    return sorairo.load(tiny_folder, "fp32")


def plan(model, prompt=PROMPT, **changes):
    return text_to_video(prompt, model.abilities, Ask(**{"seed": 1, **changes}))


def test_three_lines_of_python(model, tmp_path):
    clip = model.generate(PROMPT, seconds=0.6, seed=3)
    assert clip.video.frames.shape == (5, 64, 64, 3)
    assert clip.video.frames.dtype == np.uint8
    assert clip.video.fps == 8.0
    assert set(clip.timings) == {"text", "denoise", "decode", "policy"}
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


def noise_clip(frames=5, size=(64, 64), seed=0):
    width, height = size
    values = np.random.default_rng(seed).integers(0, 255, (frames, height, width, 3), dtype=np.uint8)
    return Video(frames=values, fps=8.0)


def test_known_frames_come_out_untouched_wherever_they_are(model):
    video = noise_clip()
    asked = plan(model, frames=13, steps=2)
    for at in (0, 3, 4, 8):  # at the beginning, on a step of the model or not, at the end
        made = generate(replace(asked, known=(Known(video=video, at=at),)), model)[0].video.frames
        assert np.array_equal(made[at : at + 5], video.frames)
        assert len(np.unique(made.reshape(13, -1), axis=0)) == 13  # all others are there, too


def test_what_is_made_depends_on_what_is_known(model):
    asked = plan(model, frames=9, steps=3)
    one, other = (
        generate(replace(asked, known=(Known(video=noise_clip(seed=seed)),)), model)[0].video.frames
        for seed in (1, 2)
    )
    assert not np.array_equal(one[5:], other[5:])


def through_codec(model, video):
    pixels = torch.from_numpy(video.frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
    with torch.inference_mode():
        return to_frames(model.codec.decode(model.codec.encode(pixels)))[0]


def distance(a, b):
    return np.abs(a.astype(float) - b.astype(float)).mean()


def test_an_edit_departs_the_further_the_stronger_it_is(model):
    video = noise_clip(9)
    asked = plan(model, frames=9, steps=12)
    far = [
        distance(
            generate(replace(asked, known=(Known(video=video, hold=1 - strength),)), model)[0].video.frames,
            through_codec(model, video),
        )
        for strength in (0.02, 0.3, 0.9)
    ]
    assert far == sorted(far) and far[0] < far[-1] / 2


def test_outside_a_region_nothing_changes(model):
    video = noise_clip(9)
    for hold, size in ((0.4, 9), (0.0, 9)):
        known = (Known(video=video, hold=hold, region=(16, 16, 32, 24)),)
        made = generate(replace(plan(model, frames=size, steps=2), known=known), model)[0].video.frames
        inside = np.zeros((64, 64), bool)
        inside[16:40, 16:48] = True
        assert np.array_equal(made[:, ~inside], video.frames[:, ~inside])
        assert distance(made[:, inside], video.frames[:, inside]) > 5


def test_an_edit_may_be_of_any_length_and_longer_than_the_model(model):
    video = noise_clip(27)
    known = (Known(video=video, hold=0.5),)
    made = generate(replace(plan(model, steps=2), frames=27, known=known), model)[0].video.frames
    assert made.shape == video.frames.shape


def test_a_long_clip_is_made_in_windows(model):
    told = []
    clip = generate(plan(model, frames=41, steps=2), model, lambda *what: told.append(what))[0]
    assert len(clip.video) == 41 and clip.notes == ()
    denoised = [(done, of) for stage, done, of in told if stage == "denoise"]
    assert denoised[-1] == (6, 6) and len(denoised) == 7  # three windows
    first = generate(plan(model, frames=17, steps=2), model)[0].video.frames
    assert np.array_equal(clip.video.frames[:17], first)  # the first window is the short clip
    again = generate([plan(model, seed=8), plan(model, frames=41, steps=2)], model)[1].video.frames
    assert np.array_equal(again, clip.video.frames)


def test_windows_keep_the_latents_that_they_share(model):
    """What was made is not sent through the codec again: the second window sees the first one's own latents."""
    timeline = Timeline(plan(model, frames=29), 4)
    first, second = timeline.windows(17)
    latents = torch.randn(1, 8, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        timeline.add(first, to_frames(model.codec.decode(latents))[0], latents)
        known = timeline.known(second, model.codec, model.device, model.dtype)
    assert known is not None and known.cap.tolist() == [[0, 0, 1, 1, 1]]
    assert torch.equal(known.latents[:, :, 1], latents[:, :, 4])
    assert second.start == 12 and known.pinned is None


def test_what_the_codec_loses_of_a_known_frame_stays_where_nothing_moved(model):
    """Decoded a little too dark, the made frames get the known frame's own shade; what moved does not."""
    timeline = Timeline(replace(plan(model, frames=9), known=(Known(video=noise_clip(5)),)), 4)
    (window,) = timeline.windows(17)
    pixels = np.concatenate([timeline.frames[:5], np.repeat(timeline.frames[4:5], 4, axis=0)])
    pixels = np.clip(pixels, 10, 245) - 5
    pixels[5:, :8, :8] = 255 * (pixels[5:, :8, :8] < 128)  # something has come there
    timeline.add(window, pixels, torch.zeros(1, 8, 3, 4, 4))
    assert np.array_equal(timeline.frames[:5], noise_clip(5).frames)
    assert np.array_equal(timeline.frames[5:, 8:], np.repeat(noise_clip(5).frames[4:], 4, axis=0)[:, 8:])
    assert np.array_equal(timeline.frames[5:, :8, :8], pixels[5:, :8, :8])


def test_a_still_background_does_not_jump_beside_a_known_frame(model):
    """Made a level lighter all over, it begins as it was known, and reaches its own level within REACH frames."""
    grey = Video(frames=np.full((5, 64, 64, 3), 100, np.uint8), fps=8.0)
    timeline = Timeline(replace(plan(model, frames=17), known=(Known(video=grey),)), 4)
    (window,) = timeline.windows(17)
    pixels = np.full((17, 64, 64, 3), 100, np.uint8)
    pixels[5:] += 2
    pixels[5:, :8, :8] += 30  # something has come there
    timeline.add(window, pixels, torch.zeros(1, 8, 5, 8, 8))
    shown = timeline.frames[:, 40, 40, 0]
    assert list(shown[:6]) == [100] * 6 and list(shown[13:]) == [102] * 4
    assert np.all(np.diff(shown.astype(int)) >= 0)
    assert np.all(timeline.frames[5:, :8, :8] == 132)


def test_words_hold_in_their_span(model):
    def frames(*texts):
        spans = tuple(Span(text=text, start=8 * index) for index, text in enumerate(texts))
        return generate(replace(plan(model, frames=17, steps=2), spans=spans), model)[0].video.frames

    both, other, one = frames("a ball", "a cube"), frames("a ball", "the floor"), frames("a ball")
    assert np.array_equal(both[:8], other[:8]) and not np.array_equal(both[8:], other[8:])
    assert not np.array_equal(both[8:], one[8:])


def test_a_loop_has_the_length_that_was_asked_for(model):
    for frames in (9, 17, 33):
        asked = replace(plan(model, frames=frames, steps=2), loop=True)
        assert len(generate(asked, model)[0].video) == frames
    video = noise_clip(5)
    asked = replace(plan(model, frames=13, steps=2), loop=True, known=(Known(video=video, at=4),))
    assert np.array_equal(generate(asked, model)[0].video.frames[4:9], video.frames)


@pytest.mark.parametrize("frames", [9, 33, 61])
def test_the_second_half_of_a_loop_leads_back_over_the_first(model, frames):
    asked = replace(plan(model, frames=frames, steps=2), loop=True, back=0.4)
    timeline, turn = Timeline(asked, 4), 1 + 4 * ((frames - 1) // 4 // 2)
    windows = timeline.windows(17)
    there = [window for window in windows if window.last <= turn]
    assert [timeline.top(window) for window in windows] == [1.0] * len(there) + [0.6] * (
        len(windows) - len(there)
    )
    for window in there:
        shape = (window.stop - window.start, *timeline.frames.shape[1:])
        pixels = np.random.default_rng(window.first).integers(0, 256, shape, dtype=np.uint8)
        timeline.add(window, pixels, torch.zeros(1, 1, 1 + (len(pixels) - 1) // 4, 1, 1))
    assert np.array_equal(timeline.frames[turn:], backward(timeline.frames[:turn], frames - turn))

    back, free = (generate(one, model)[0].video.frames for one in (asked, replace(asked, back=0.0)))
    assert len(back) == len(free) == frames
    assert np.array_equal(back[: there[0].last], free[: there[0].last]) and not np.array_equal(back, free)


def test_models_that_were_not_trained_for_it_say_so(model):
    untrained = replace(model, info=replace(model.info, conditioning=()))
    known = (Known(video=noise_clip(1)),)
    clip = generate(replace(plan(model, frames=9, steps=2), known=known), untrained)[0]
    assert np.array_equal(clip.video.frames[0], noise_clip(1).frames[0])
    assert len(clip.notes) == 1 and "not trained" in clip.notes[0]
    first = replace(model, info=replace(model.info, conditioning=("first",)))
    assert generate(replace(plan(model, frames=9, steps=2), known=known), first)[0].notes == ()
    assert generate(plan(model, frames=21, steps=2), first)[0].notes


def test_a_size_that_was_not_trained_is_made_and_noted(model):
    made = generate(plan(model, size=(32, 128), steps=1), model)[0]
    assert made.video.size == (32, 128)
    assert "not trained for 32x128" in made.notes[0]
    assert not generate(plan(model, steps=1), model)[0].notes


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
        ({"frames": 99}, "97 is nearest"),
        ({"frames": 10001}, "3597 is nearest"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"steps": 0}, "Steps"),
        ({"steps": 1001}, "Steps"),
        ({"guidance": -1.0}, "Guidance"),
        ({"guidance": float("nan")}, "Guidance"),
        ({"seconds": 3600.0}, "at most 450"),
        ({"seconds": 1.0, "frames": 5}, "not both"),
    ],
)
def test_what_cannot_be_made_is_refused(model, changes, message):
    with pytest.raises(UserError, match=message):
        generate(plan(model, **changes), model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 24.0}, "frames a second"),
        ({"spans": ()}, "first frame"),
        ({"spans": (Span(text="a ball", start=1),)}, "first frame"),
        ({"spans": (Span(text="a ball"), Span(text="a cube", start=5))}, "within the clip"),
        ({"spans": (Span(text="a ball"), Span(text="a cube"))}, "one after another"),
        ({"spans": (Span(text="a ball", stop=2), Span(text="a cube", start=4))}, "no gap"),
        ({"spans": (Span(text="a ball"), Span(text=" ", start=4))}, "empty"),
        ({"loop": True}, "at least 9"),
        ({"back": 0.4}, "Only of a loop"),
        ({"loop": True, "frames": 9, "back": 1.0}, "Only of a loop"),
        ({"loop": True, "frames": 9, "back": 0.4, "known": (Known(video=noise_clip()),)}, "Only of a loop"),
        ({"known": (Known(video=noise_clip(9)),)}, "outside"),
        ({"known": (Known(video=noise_clip(), at=-1),)}, "outside"),
        ({"known": (Known(video=noise_clip(), hold=1.5),)}, "0 to 1"),
        ({"known": (Known(video=noise_clip(size=(96, 64))),)}, "size"),
        ({"known": (Known(video=noise_clip(), region=(40, 0, 32, 32)),)}, "not inside"),
    ],
)
def test_plans_that_make_no_sense_are_refused(model, changes, message):
    with pytest.raises(UserError, match=message):
        generate(replace(plan(model), **changes), model)


def test_seconds_become_the_nearest_count_of_frames(model):
    seconds = (0.1, 0.6, 1.0, 2.0, 2.2, 20.0)
    assert [frames_for(s, model.abilities) for s in seconds] == [1, 5, 9, 17, 17, 161]


def test_words_that_were_never_seen(model):
    assert model.info.unknown_words("A red dragon drops.") == ["dragon"]
