"""The student that ships: four Euler steps without guidance, for words and for known frames."""

from __future__ import annotations

import numpy as np

import sorairo


def test_fast_takes_four_steps_and_keeps_given_frames() -> None:
    model = sorairo.load("fast", dtype="fp32")
    assert (model.info.default_steps, model.info.default_guidance) == (4, 1.0)
    assert (model.sampler.name, model.shift) == ("euler", 4.0)
    first = model.generate("A red ball rolls to the right.", size=(64, 64), frames=17, seed=1).video
    assert len(first) == 17 and np.ptp(first.frames) > 100
    longer = model.extend(first, "A red ball rolls to the right.", seconds=0.5, seed=1).video
    assert len(longer) > 17 and (longer.frames[:17] == first.frames).all()
