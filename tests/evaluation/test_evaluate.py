import numpy as np
import pytest
import torch

from sorairo.evaluation.clips import ClipStore
from sorairo.evaluation.evaluate import evaluate, psnr
from sorairo.evaluation.network import ParserConfig, ParserNetwork
from sorairo.evaluation.parse import Parser
from sorairo.evaluation.report import markdown, scorecard
from sorairo.evaluation.suites import Suite, facts_of, prompt_of
from sorairo.types import UserError, Video

SUITE = Suite(count=2, size=(64, 32), frames=13, circle=1)


@pytest.fixture(scope="module")
def parser():
    from sorairo.worlds.palette import COLOURS, SHAPES
    from sorairo.worlds.splits import EVENTS
    from sorairo.worlds.templates import CAMERA_WORDS

    torch.manual_seed(0)
    config = ParserConfig(colours=tuple(COLOURS), shapes=SHAPES, events=EVENTS, cameras=tuple(CAMERA_WORDS))
    return Parser(ParserNetwork(config))


@pytest.fixture(scope="module")
def clips():
    return list(SUITE.clips())


def grey(prompts):
    return [
        Video(frames=np.full((p.frames, p.size[1], p.size[0], 3), 128, np.uint8), fps=p.fps) for p in prompts
    ]


def test_prompts_are_held_out_name_every_object_and_the_camera(clips):
    for clip in clips:
        prompt, facts = prompt_of(clip, SUITE), facts_of(clip)
        assert all(colour in prompt.text for colour, _ in facts.objects)
        assert prompt.text[0].isupper() and prompt.text.endswith(".")
        assert prompt.text not in (clip.captions.short, *clip.captions.paraphrases)
    assert [prompt_of(clip, SUITE) for clip in SUITE.clips()] == [prompt_of(clip, SUITE) for clip in clips]


def test_all_columns_and_the_first_clips(parser, clips):
    stages = []
    evaluation = evaluate(
        SUITE, parser, model_fn=grey, codec_fn=lambda video: video, show=2,
        progress=lambda stage, done, of: stages.append((stage, done, of)),
    )  # fmt: skip
    assert set(evaluation.scores["event"]) == {"model", "real", "codec", "shuffled"}
    assert evaluation.scores["event"]["real"] == evaluation.scores["event"]["codec"]
    assert evaluation.scores["psnr"]["codec"].value == 100
    distances = evaluation.scores["FD-TransNetV2"]
    assert set(distances) == {"real", "codec", "model", "frozen"}
    assert distances["real"].value < distances["model"].value
    assert len(evaluation.first["model"]) == 2
    assert np.array_equal(evaluation.first["real"][0].frames, clips[0].video.frames)
    assert ("distances", 8, 8) in stages
    assert "right camera" in markdown(scorecard(evaluation))


def test_real_clips_alone_are_a_scorecard_too(parser):
    evaluation = evaluate(SUITE, parser, distances=False)
    assert set(evaluation.scores["objects"]) == {"real", "shuffled"}


def test_generated_clips_are_made_once_and_belong_to_one_model(tmp_path, clips):
    prompts = [prompt_of(clip, SUITE) for clip in clips]
    asked = []

    def make(part):
        asked.extend(prompt.seed for prompt in part)
        return grey(part)

    first = list(ClipStore(tmp_path, SUITE, "a").fill(prompts[:1], make))
    again = list(ClipStore(tmp_path, SUITE, "a").fill(prompts, make))
    assert asked == [prompt.seed for prompt in prompts]
    assert len(first) == 1 and len(again) == 2 and again[0].frames.shape == (13, 32, 64, 3)
    with pytest.raises(UserError, match="another --out"):
        ClipStore(tmp_path, SUITE, "b")


def test_psnr_of_one_level_is_48_db():
    a = np.full((2, 4, 4, 3), 100, np.uint8)
    assert psnr(Video(frames=a + 1, fps=8.0), Video(frames=a, fps=8.0)) == pytest.approx(48.13, abs=0.01)
