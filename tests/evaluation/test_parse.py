import numpy as np
import pytest
import torch

from sorairo.evaluation.judge import judge, physics
from sorairo.evaluation.network import ParserNetwork
from sorairo.evaluation.parse import Parser, load_parser, save_weights
from sorairo.evaluation.suites import Facts
from sorairo.types import UserError, Video
from tests.evaluation.toy import CONFIG, discs, perfect


@pytest.fixture(scope="module")
def parser():
    torch.manual_seed(0)
    return Parser(ParserNetwork(CONFIG))


def line(start, stop, frames=17):
    return np.linspace(start, stop, frames)


def test_objects_that_pass_in_front_of_each_other_keep_their_names(parser):
    masks = discs([line((8, 20), (40, 20)), line((40, 21), (8, 21))])
    objects = [("red", "ball"), ("blue", "cube")]
    parsed = parser.decode(perfect(masks, objects, "drop", "pan"), (96, 96))
    assert parsed.names() == sorted(objects)
    facts = Facts(objects=tuple(objects), event="drop", camera="pan")
    assert all(value == 1 for value in judge(parsed, facts).values() if value == value)
    assert judge(parsed, Facts(objects=facts.objects, event="hide", camera="pan"))["all"] == 0


def test_neighbours_of_one_colour_stay_two(parser):
    masks = discs([line((15, 20), (15, 24)), line((24, 20), (24, 24))])
    parsed = parser.decode(perfect(masks, [("red", "ball"), ("red", "ball")], "drop", "still"), (96, 96))
    assert len(parsed.objects) == 2


def test_a_path_is_in_pixels_and_as_long_as_the_clip(parser):
    parsed = parser.decode(
        perfect(discs([line((8, 20), (40, 20))]), [("red", "ball")], "drop", "still"), (96, 96)
    )
    path = parsed.objects[0].path
    assert path.shape == (17, 2)
    assert path[0] == pytest.approx([16.5, 40.5], abs=1)
    errors = physics(parsed, Facts(objects=(("red", "ball"),), event="drop", camera="still"), (96, 96))
    assert errors["motion"] < 0.1 and np.isnan(errors["permanence"])


@pytest.mark.parametrize(("comes_out", "expected"), [(("red", "ball"), 1.0), (("blue", "cube"), 0.0)])
def test_what_comes_out_from_behind_a_wall_must_be_what_went_in(parser, comes_out, expected):
    path = line((6, 24), (42, 24), 25)
    masks = discs([path], wall=(18, 30))
    late = (masks > 0) & (np.arange(25) > 12)[:, None, None]
    masks[late] = 2
    parsed = parser.decode(perfect(masks, [("red", "ball"), comes_out], "hide", "still"), (96, 96))
    assert len(parsed.objects) == (1 if expected else 2)
    facts = Facts(objects=(("red", "ball"),), event="hide", camera="still", emerges=True)
    assert physics(parsed, facts, (96, 96))["permanence"] == expected


def test_any_size_and_length_goes_through_the_network(parser):
    for t, h, w in ((2, 64, 40), (5, 50, 96)):
        frames = np.random.default_rng(0).integers(0, 255, (t, h, w, 3), dtype=np.uint8)
        assert parser(Video(frames=frames, fps=8.0)).event in CONFIG.events


def test_weights_survive_a_file_and_a_wrong_file_is_explained(parser, tmp_path):
    video = Video(frames=np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8), fps=8.0)
    save_weights(parser.network, tmp_path / "w.safetensors")
    loaded = load_parser(tmp_path / "w.safetensors")
    assert loaded.config == CONFIG
    assert loaded(video).event_sure == pytest.approx(parser(video).event_sure, abs=1e-2)
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="no parser weights"):
        load_parser(tmp_path / "broken.safetensors")
