import numpy as np
import pytest

from sorairo.evaluation.evaluate import Evaluation
from sorairo.evaluation.metrics import Estimate
from sorairo.evaluation.report import END, START, markdown, scorecard, splice
from sorairo.evaluation.suites import Suite
from sorairo.types import UserError


@pytest.fixture
def card():
    half = Estimate(value=0.5, low=0.42, high=0.58, count=200)
    scores = {"event": {"model": half, "real": half}, "FD-TransNetV2": {"real": half}}
    evaluation = Evaluation(suite=Suite(), scores=scores, mistakes={"model": {}}, prompts=[], first={})
    return scorecard(evaluation)


def test_the_table_has_a_row_per_question_and_only_columns_that_exist(card):
    table = markdown(card)
    assert "| | this model | real clips (reference) |" in table
    assert "| right event, % | 50.0 [42, 58] | 50.0 [42, 58] |" in table
    assert "| FD-TransNetV2, clips |  | 0.500 [0.420, 0.580] |" in table
    assert "frozen" not in table


def test_splice_replaces_only_what_stands_between_the_markers(card, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    splice(markdown(card), readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{START}\n| |") and text.endswith(f"{END}\nafter\n") and "old" not in text
    splice("new\n", readme)
    assert readme.read_text() == f"before\n{START}\nnew\n{END}\nafter\n"


def test_a_file_without_markers_is_refused(tmp_path):
    path = tmp_path / "x.md"
    path.write_text("nothing")
    with pytest.raises(UserError, match="scorecard:start"):
        splice("", path)


def test_suites_are_refused_or_shuffled_by_seed_alone():
    with pytest.raises(UserError, match="prompts"):
        Suite(count=0)
    with pytest.raises(UserError, match="frame"):
        Suite(frames=1)
    order = Suite(count=7).shuffle()
    assert sorted(order) == list(range(7)) and not np.any(order == np.arange(7))
    assert np.array_equal(order, Suite(count=7).shuffle())
