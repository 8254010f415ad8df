"""Windows cover every gap, see what is known beside it, and have lengths that the model was trained on."""

from __future__ import annotations

import numpy as np
import pytest

from sorairo.flow.windows import Window, plan_windows


def firm(text: str) -> np.ndarray:
    """ "##..": known, known, not, not."""
    return np.array([mark == "#" for mark in text])


def spans(windows: list[Window]) -> list[tuple[int, int, int, int]]:
    return [(window.start, window.stop, window.first, window.last) for window in windows]


def planned(known: str, *, step: int = 4, longest: int = 17, overlap: int = 4, **options) -> list[Window]:
    windows = plan_windows(firm(known), step=step, longest=longest, overlap=overlap, **options)
    done = firm(known)
    for window in windows:
        length = window.stop - window.start
        assert (length - 1) % step == 0 and length <= longest
        assert window.start <= window.first < window.last <= window.stop
        made = np.arange(window.first, window.last)
        made = made % len(done) if options.get("loop") else made[(made >= 0) & (made < len(done))]
        assert not done[made].any()
        done[made] = True
    assert done.all()
    return windows


def test_what_fits_is_one_window():
    assert spans(planned("." * 17)) == [(0, 17, 0, 17)]
    assert spans(planned(".")) == [(0, 1, 0, 1)]
    assert spans(planned("#....")) == [(0, 5, 1, 5)]
    assert spans(planned("#" * 5 + "." * 4)) == [(0, 9, 5, 9)]
    assert planned("#####") == []


def test_a_long_clip_grows_by_windows_that_overlap():
    assert spans(planned("." * 41)) == [
        (0, 17, 0, 17),
        (12, 29, 17, 29),
        (24, 41, 29, 41),
    ]


def test_a_clip_of_any_length_ends_a_step_of_its_windows():
    assert spans(planned("#######" + "." * 8)) == [(2, 15, 7, 15)]
    assert spans(planned("##" + "." * 6)) == [(1, 10, 2, 8)]  # two frames too many are made


def test_backward():
    assert spans(planned("....." + "#" * 8)) == [(0, 13, 0, 5)]
    assert spans(planned("." * 6 + "#")) == [(-3, 10, 0, 6)]  # a still fills a step
    assert spans(planned("." * 29 + "#" * 8)) == [(16, 33, 16, 29), (3, 20, 3, 16), (-2, 15, 0, 3)]


def test_between_two_known_ends():
    assert spans(planned("#" * 5 + "." * 4 + "#" * 4)) == [(0, 13, 5, 9)]
    assert spans(planned("#....#")) == [(0, 9, 1, 5)]
    windows = planned("#" * 5 + "." * 24 + "#" * 5)
    assert windows[-1].start < windows[-1].first and windows[-1].stop >= 33  # both sides are in sight
    assert windows[-1].last == 29


def test_a_gap_that_is_no_whole_number_of_steps_keeps_both_ends():
    (window,) = planned("#" * 5 + "." * 3 + "#" * 6)
    assert (window.first, window.last) == (5, 8) and window.stop >= 13


def test_words_cut_windows():
    windows = planned("." * 17, cuts=[8])
    assert [(window.first, window.last) for window in windows] == [(0, 8), (8, 17)]
    assert windows[1].start == 7  # from one frame: with more in sight a model goes on with what was
    assert planned("#" + "." * 16 + "#", cuts=[4, 10])[-1].start == 9  # and so towards something known
    assert [window.last for window in planned("#" + "." * 16 + "#", cuts=[4, 10])] == [4, 10, 17]
    assert [window.first for window in planned("." * 16 + "#", cuts=[4, 10])] == [10, 4, 0]


@pytest.mark.parametrize("frames", [9, 17, 33, 81])
def test_a_loop_closes_with_its_beginning_in_sight(frames):
    windows = planned("." * frames, loop=True)
    assert windows[0].first == 0 and windows[0].last <= max(5, frames // 2 + 1)
    assert windows[-1].last == frames and windows[-1].stop > frames


def test_a_clip_becomes_a_loop():
    assert spans(planned("#" * 9 + "." * 8, loop=True)) == [(4, 21, 9, 17)]
    (window,) = planned("...." + "#" * 9 + "....", loop=True)
    assert (window.first, window.last) == (13, 21)


@pytest.mark.parametrize("step", [1, 2, 4])
@pytest.mark.parametrize("loop", [False, True])
def test_anything_at_all_is_covered(step, loop):
    chance = np.random.default_rng(step)
    for _ in range(60):
        marks = "".join(chance.choice(["#", "."], size=chance.integers(1, 12)).repeat(chance.integers(1, 9)))
        if loop and len(marks) <= 2 * step:
            marks += "." * 2 * step
        cuts = sorted(set(chance.integers(1, len(marks) + 1, 2).tolist()) - {len(marks)})
        windows = planned(marks, step=step, longest=1 + 4 * step, cuts=cuts, loop=loop, overlap=step)
        assert bool(windows) == ("." in marks)  # and `planned` asserts that they cover it, each frame once
