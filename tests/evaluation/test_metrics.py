import numpy as np
import pytest

from sorairo.evaluation.metrics import frechet, frechet_estimate, mean_estimate


def test_frechet_of_gaussians_is_the_closed_form():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((20_000, 3)) * [1.0, 2.0, 0.5]
    b = rng.standard_normal((20_000, 3)) * [2.0, 2.0, 1.0] + [1.0, 0.0, 0.0]
    assert frechet(a, b) == pytest.approx(1.0 + 1.0 + 0.25, rel=0.03)


def test_frechet_matches_a_matrix_root_when_there_is_one():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((40, 5)), rng.standard_normal((30, 5)) @ rng.standard_normal((5, 5))
    ca, cb = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.linalg.eigvals(ca @ cb).real).sum()
    gap = a.mean(0) - b.mean(0)
    assert frechet(a, b) == pytest.approx(gap @ gap + np.trace(ca) + np.trace(cb) - 2 * roots)


def test_frechet_with_fewer_samples_than_dimensions_is_sound():
    rng = np.random.default_rng(2)
    a = rng.standard_normal((10, 200))
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a, a + 1) == pytest.approx(200)
    assert frechet(a, a[:1].repeat(10, axis=0)) > 0


def test_an_interval_holds_its_value_and_narrows_with_clips():
    rng = np.random.default_rng(3)
    few, many = mean_estimate(rng.random(20) < 0.7), mean_estimate(rng.random(2000) < 0.7)
    assert few and many
    assert few.low <= few.value <= few.high
    assert many.high - many.low < few.high - few.low
    assert many.low < 0.7 < many.high


def test_questions_that_do_not_arise_are_left_out():
    estimate = mean_estimate(np.array([1.0, np.nan, 0.0]))
    assert estimate and estimate.count == 2 and estimate.value == 0.5
    assert mean_estimate(np.array([np.nan])) is None


def test_frechet_estimate_resamples_whole_clips():
    rng = np.random.default_rng(4)
    estimate = frechet_estimate(rng.standard_normal((30, 2, 4)), rng.standard_normal((40, 2, 4)) + 1)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.count == 30
