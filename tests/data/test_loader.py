import collections
import dataclasses
import logging

import numpy as np
import pytest
import torch

from sorairo.data.latents import KINDS, Bucket, LatentPlan, make_latents, shard_name
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.packs import pack_steps
from sorairo.data.shards import read_shard
from sorairo.data.sources.worlds import Worlds
from sorairo.types import UserError, Video
from sorairo.worlds import Captions, WorldClip

WIDTH = 6
PLAN = LatentPlan(
    shards=6,
    clips=8,
    run=1,
    buckets=(Bucket(size=(64, 64), frames=17, share=2), Bucket(size=(96, 64), frames=5, share=1)),
)
CONFIG = LoaderConfig(tokens=60, refresh=4, round_words=2, word_cost=0.01)


def render(seeds, bucket):
    w, h = bucket.size
    for seed in seeds:
        frames = np.full((bucket.frames, h, w, 3), seed % 256, dtype=np.uint8)
        captions = Captions(
            long=f"clip {seed} " + "very " * (seed % 5), short=f"clip {seed}", paraphrases=("a", "b")
        )
        yield WorldClip(video=Video(frames=frames, fps=8.0), captions=captions, state={}, seed=seed)


def encode(frames):
    n, t, h, w, _ = frames.shape
    value = torch.from_numpy(frames[:, 0, 0, 0, 0].astype(np.float32))
    value[value == 13] = float("nan")
    return value.view(n, 1, 1, 1, 1).expand(n, 4, 1 + (t - 1) // 4, h // 16, w // 16).clone()


def words(sentences):
    lengths = torch.tensor([len(sentence.split()) for sentence in sentences])
    states = torch.zeros(len(sentences), 12, WIDTH)
    for row, length in enumerate(lengths):
        states[row, :length] = float(length)
    return states, lengths


@pytest.fixture
def folder(tmp_path):
    make_latents(PLAN, tmp_path / "latents", source=Worlds(render), encode=encode, words=words)
    return tmp_path / "latents"


def loader(folder, name="lists", **changes):
    return Loader(
        folder, folder.parent / name, dataclasses.replace(CONFIG, **changes), torch.full((2, WIDTH), -1.0)
    )


def same(a, b):
    return (
        torch.equal(a.latents, b.latents)
        and torch.equal(a.text, b.text)
        and torch.equal(a.lengths, b.lengths)
    )


def test_any_first_shards_have_the_mix():
    order = [bucket.frames for bucket in dataclasses.replace(PLAN, shards=30).bucket_of()]
    assert order.count(17) == 20 and order[:6].count(17) == 4


def test_latents_are_made_once_and_whole(folder, caplog):
    shard = read_shard(folder / shard_name(0))
    assert shard["latents"].shape == (8, 4, 5, 4, 4) and shard["text_lengths"].shape == (8, len(KINDS))
    assert shard.records[3]["captions"]["short"] == "clip 3"
    assert len(read_shard(folder / shard_name(1))) == 7  # seed 13 was not finite
    (folder / shard_name(2)).write_bytes(b"cut short")
    stamp = (folder / shard_name(0)).stat().st_mtime_ns
    made = make_latents(
        dataclasses.replace(PLAN, shards=7), folder, source=Worlds(render), encode=encode, words=words
    )
    assert (made.written, made.kept) == (2, 5)
    assert (folder / shard_name(0)).stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="fps"):
        make_latents(
            dataclasses.replace(PLAN, fps=4.0), folder, source=Worlds(render), encode=encode, words=words
        )


def test_an_error_in_the_renderer_is_raised(tmp_path):
    def broken(seeds, bucket):
        yield from render([1, 2], bucket)
        raise UserError("no OpenGL")

    with pytest.raises(UserError, match="no OpenGL"):
        make_latents(PLAN, tmp_path, source=Worlds(broken), encode=encode, words=words)


def test_a_batch_is_a_function_of_seed_and_step(folder):
    first, again = loader(folder), loader(folder, "other")
    ahead = [first.batch(step) for step in range(12)]
    for step in (11, 3, 7, 0):
        assert same(ahead[step], again.batch(step))
    assert not all(same(ahead[step], loader(folder, "third", seed=1).batch(step)) for step in range(12))


def test_shapes_stills_words_and_drops(folder):
    running = loader(folder, stills=0.4)
    batches = [running.batch(step) for step in range(100)]
    shapes = {tuple(batch.latents.shape[2:]) for batch in batches}
    assert shapes == {(5, 4, 4), (1, 4, 4), (2, 4, 6), (1, 4, 6)}
    for batch in batches:
        assert batch.text.shape[1] % 2 == 0 and batch.text.shape[1] - int(batch.lengths.max()) < 2
        for states, length in zip(batch.text, batch.lengths, strict=True):
            assert (states[:length] != 0).all() and not states[length:].any()
            assert states[0, 0] in (-1, length)  # the empty sentence, or the words' own number
    dropped = torch.cat([batch.text[:, 0, 0] == -1 for batch in batches]).float().mean()
    assert 0.05 < dropped < 0.16


def test_shards_that_join_later_do_not_change_what_was_drawn(folder):
    running = loader(folder)
    before = [running.batch(step) for step in range(4)]
    make_latents(
        dataclasses.replace(PLAN, shards=12), folder, source=Worlds(render), encode=encode, words=words
    )
    after = [running.batch(step) for step in range(4, 40)]
    assert (
        max(int(batch.latents.max()) for batch in before)
        < 48
        <= max(int(batch.latents.max()) for batch in after)
    )
    resumed = loader(folder)
    for step, batch in enumerate(before + after):
        assert same(batch, resumed.batch(step))


def test_a_damaged_shard_is_left_out_and_counted(folder, caplog):
    path = folder / shard_name(0)
    path.write_bytes(path.read_bytes()[:-20])
    running = loader(folder)
    with caplog.at_level(logging.WARNING):
        running.batch(0)
    assert running.skipped == {shard_name(0)} and "1 so far" in caplog.text


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="holds no shards"):
        loader(tmp_path / "none").batch(0)


def test_mixed_steps_cost_the_same_and_give_every_clip_its_turn(folder):
    mixed = loader(folder, packed=True, stills=0.3, tokens=100, refresh=50)
    costs, seen = [], collections.Counter()
    for step in range(50):
        batch = mixed.mixed(step)
        again = (
            loader(folder, packed=True, stills=0.3, tokens=100, refresh=50).mixed(step) if step < 2 else batch
        )
        assert all(map(torch.equal, again.latents, batch.latents)) and torch.equal(again.text, batch.text)
        assert [tuple(clip.shape[1:]) for clip in batch.latents] == [batch.shapes[i] for i in batch.places]
        shapes = [tuple(clip.shape[1:]) for clip in batch.latents]
        assert shapes == sorted(shapes)
        costs.append(sum(t * h * w / 4 + 0.4 for t, h, w in batch.shapes))
        seen.update(float(clip[0, 0, 0, 0]) for clip in batch.latents)
    assert abs(np.mean(costs) - 100) < 3 and max(costs) < 100 + 25
    assert len(seen) == 47 and max(seen.values()) - min(seen.values()) <= 1  # one of 48 is not finite


def test_a_clip_dearer_than_a_step_has_a_step_of_its_own():
    rng = np.random.default_rng(0)
    steps = pack_steps([(5, 8, 8)] * 3, steps=4, budget=10, per_clip=1, per_position=0.25, stills=0, rng=rng)
    assert [len(step) for step in steps] == [1, 1, 1, 1]
