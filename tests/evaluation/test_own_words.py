"""People's own words as a suite."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from sorairo.evaluation.network import ParserConfig, ParserNetwork
from sorairo.evaluation.own_words import QUESTIONS, own_words, score_own_words
from sorairo.evaluation.parse import Parser
from sorairo.types import Video
from sorairo.worlds.palette import COLOURS, SHAPES
from sorairo.worlds.splits import EVENTS
from sorairo.worlds.templates import CAMERA_WORDS


def test_a_hundred_prompts_of_five_people_about_things_that_there_are():
    found = own_words()
    assert Counter(one.person for one in found) == dict.fromkeys(
        ("child", "film", "engineer", "learner", "terse"), 20
    )
    assert len({one.prompt.text for one in found}) == len({one.prompt.seed for one in found}) == 100
    for one in found:
        assert one.facts.event in EVENTS
        for colour, shape in one.facts.objects:
            assert colour in COLOURS and shape in SHAPES
            assert colour in one.prompt.text.lower()
    alone = own_words(most=1)
    assert len(alone) == 80 and all(one.facts.event in ("drop", "roll", "slide") for one in alone)


def test_scores_come_person_by_person():
    torch.manual_seed(0)
    config = ParserConfig(colours=tuple(COLOURS), shapes=SHAPES, events=EVENTS, cameras=tuple(CAMERA_WORDS))
    asked = own_words(size=(32, 32), frames=13)[18:22]

    def grey(prompts):
        return [Video(frames=np.full((13, 32, 32, 3), 128, np.uint8), fps=8.0) for _ in prompts]

    scores = score_own_words(asked, Parser(ParserNetwork(config)), grey)
    assert list(scores) == ["child", "all", "film"]
    assert scores["all"]["count"].count == 4 and set(scores["film"]) == set(QUESTIONS)


def test_no_prompt_so_small_is_one_sentence(tmp_path):
    from typer.testing import CliRunner

    from sorairo.cli.eval import app
    from sorairo.types import UserError

    done = CliRunner().invoke(app, ["words", "--most", "0", "--out", str(tmp_path / "words")])
    assert isinstance(done.exception, UserError) and "--most is 1 or more" in str(done.exception)
    assert not (tmp_path / "words").exists()
