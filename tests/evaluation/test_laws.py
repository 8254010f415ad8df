import numpy as np
import pytest

from sorairo.evaluation.laws import arcs_of, motion_errors


def bouncing(frames=33, pull=0.06, keep=0.8, noise=0.02, seed=0):
    """A ball dropped from rest, drifting to the right, in object sizes; a fine Euler integration."""
    y, v, path = 0.0, 0.0, []
    for t in range(frames):
        path.append((0.2 * t, y))
        for _ in range(50):
            v += pull / 50
            y += v / 50
            if y > 4 and v > 0:
                y, v = 4.0, -v * keep
    return np.array(path) + np.random.default_rng(seed).normal(0, noise, (frames, 2))


def test_a_bounce_is_cut_at_its_contacts_and_gravity_is_read_off():
    arcs = arcs_of(bouncing())
    assert [arc.start for arc in arcs[:2]] == [0, 12]
    assert all(arc.acceleration[1] == pytest.approx(0.06, rel=0.1) for arc in arcs[:2])


def test_true_motion_leaves_little_unexplained():
    errors = motion_errors([bouncing()])
    assert errors.motion < 0.1 and errors.gravity < 0.1 and errors.bounce < 0.15


def test_shuffled_frames_and_gained_speed_are_errors():
    path = bouncing()
    shuffled = path[np.random.default_rng(0).permutation(len(path))]
    assert motion_errors([shuffled]).motion > 10 * motion_errors([path]).motion
    assert motion_errors([bouncing(pull=0.12, keep=1.4, frames=20)]).bounce > 0.2


def test_rolling_and_sliding_to_a_stop_are_smooth():
    t = np.arange(17.0)
    rolling = np.stack([0.3 * t, 0 * t], axis=1)
    sliding = np.stack([0.5 * np.minimum(t, 10) - 0.025 * np.minimum(t, 10) ** 2, 0 * t], axis=1)
    for path in (rolling, sliding):
        errors = motion_errors([path])
        assert errors.motion < 0.02 and errors.velocity < 0.02 and np.isnan(errors.gravity)


def test_unseen_frames_are_no_motion():
    path = bouncing()
    path[5:9] = np.nan
    assert all(arc.stop <= 5 or arc.start >= 9 for arc in arcs_of(path))
    assert np.isnan(motion_errors([np.full((9, 2), np.nan)]).motion)
    assert np.isnan(motion_errors([]).motion)
