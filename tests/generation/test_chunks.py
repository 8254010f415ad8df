"""Clips chunk by chunk: the first is shown before the rest is made, and known frames go before it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import sorairo
from sorairo.generation.chunks import ChunkedDenoising, chunks_of
from sorairo.generation.generate import encode_texts, generate, stream
from sorairo.types import Known, Plan, Span, UserError, Video


@pytest.fixture(scope="module")
def model(tiny_folder):
    found = sorairo.load(tiny_folder, "fp32")
    info = replace(found.info, chunk=2, times=(1000.0, 937.5, 625.0), default_guidance=1.0, max_frames=17)
    return replace(found, info=info, times=info.times)


def plan_for(model, **changes):
    whole = {"size": model.info.sizes[0], "frames": 17, "fps": model.info.fps, "seed": 3}
    return Plan(**whole | {"spans": (Span(text="a red ball"),)} | changes)


def frames(model, count, seed=0):
    width, height = model.info.sizes[0]
    pixels = np.random.default_rng(seed).integers(0, 255, (count, height, width, 3), dtype=np.uint8)
    return Video(frames=pixels, fps=model.info.fps)


@torch.inference_mode()
def test_the_first_chunk_comes_before_the_rest(model):
    plan, steps = plan_for(model), []
    one = ChunkedDenoising(plan, model, encode_texts([plan], model))
    pieces = one.pieces(lambda step, data: steps.append(step))
    first = next(pieces)
    assert steps == [1, 2, 3] and one.steps == 3 * len(one.chunks) > 3
    assert len(first) == 1 + one.timeline.step
    rest = list(pieces)
    assert steps == list(range(1, one.steps + 1))
    assert np.array_equal(np.concatenate([p.frames for p in (first, *rest)]), one.video().frames)


def test_streamed_is_what_is_made_at_once(model):
    plan = plan_for(model)
    whole = generate(plan, model)[0].video.frames
    assert np.array_equal(np.concatenate([piece.frames for piece in stream(plan, model)]), whole)
    other = generate(replace(plan, frames=13), model)[0].video.frames
    near = np.abs(other[:5].astype(int) - whole[:5]).max()
    assert near <= 1  # what comes later changes nothing


def test_known_frames_go_before(model):
    for count in (1, 7):
        known = frames(model, count)
        plan = plan_for(model, known=(Known(video=known),))
        sample = generate(plan, model)[0]
        assert np.array_equal(sample.video.frames[:count], known.frames)
        assert not any("blended in" in note for note in sample.notes)
        other = generate(replace(plan, known=(Known(video=frames(model, count, 1)),)), model)[0]
        assert not np.array_equal(sample.video.frames[count:], other.video.frames[count:])


def test_with_words_in_turn_with_guidance_and_longer_than_trained(model):
    spans = (Span(text="a red ball"), Span(text="a blue cube", start=9))
    plan = plan_for(model, frames=33, spans=spans, guidance=2.0, negative="green")
    assert len(generate(plan, model)[0].video) == 33


def test_what_it_cannot_do_is_refused(model):
    with pytest.raises(UserError, match="from their beginning on"):
        generate(plan_for(model, loop=True), model)


def test_chunks():
    assert list(chunks_of(8, 0, 3)) == [(0, 3), (3, 6), (6, 8)]
    assert list(chunks_of(8, 1, 3)) == [(0, 1), (1, 4), (4, 7), (7, 8)]
    assert list(chunks_of(5, 4, 3)) == [(0, 3), (3, 4), (4, 5)]
