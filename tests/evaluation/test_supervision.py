"""Weak to strong: the figures are the paper's, and a student of noisy labels passes its supervisor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sorairo.evaluation.supervision import (
    ProbeConfig,
    balanced,
    bootstrapped,
    confident_target,
    frame_classifier,
    probe,
    recovered,
    selected,
)


def test_the_gap_that_is_recovered() -> None:
    assert recovered(0.7, 0.8, 0.9) == pytest.approx(0.5)
    assert recovered(0.7, 0.6, 0.9) == pytest.approx(-0.5)
    assert recovered(0.88, 0.9, 0.9) is None  # too small a gap for a share to mean anything


def test_both_classes_count_alike() -> None:
    truth = torch.tensor([1.0, 0, 0, 0])
    assert balanced(torch.zeros(4), truth) == 0.5
    assert balanced(truth, truth) == 1.0


def test_the_students_own_guesses_keep_the_base_rate_and_come_in_slowly() -> None:
    said, weak = torch.linspace(0.1, 0.9, 10), torch.tensor([1.0] * 3 + [0.0] * 7)
    config = ProbeConfig(way="confident")
    assert torch.equal(confident_target(said, weak, 0.0, config), weak)
    late = confident_target(said, weak, 0.5, config)
    assert torch.allclose(2 * late - weak, (said > 0.65).float())  # the upper three
    early = confident_target(said, weak, 0.08, config)
    assert 0 < (early - weak).abs().max() <= 0.5 * 0.08 + 1e-6


@pytest.mark.parametrize("way", ["naive", "confident", "bootstrapped"])
def test_a_student_passes_a_supervisor_that_is_wrong_at_random(way: str) -> None:
    rng = torch.Generator().manual_seed(1)
    features = torch.randn(1200, 12, generator=rng)
    truth = (features[:, :3].sum(1) > 0).float()
    wrong = torch.rand(1200, generator=rng) < 0.25
    weak = torch.where(wrong, 1 - truth, truth)
    learn, test = slice(0, 800), slice(800, None)
    if way == "bootstrapped":
        stages = [features[learn, :6], features[learn]]
        student = bootstrapped(stages, weak[learn], ProbeConfig(), 0)
    else:
        student = probe(features[learn], weak[learn], ProbeConfig(way=way))  # pyright: ignore[reportArgumentType]
    ceiling = probe(features[learn], truth[learn], ProbeConfig())
    share = recovered(
        balanced(weak[test], truth[test]),
        balanced(student(features[test]), truth[test]),
        balanced(ceiling(features[test]), truth[test]),
    )
    assert share is not None and share > 0.6


def test_a_reader_of_many_values_does_not_learn_few_wrong_labels_by_heart() -> None:
    """Three times as many values as labels, of which a third are wrong: the parts kept back choose a small reader."""
    rng = torch.Generator().manual_seed(2)
    hidden = torch.randn(700, 4, generator=rng)
    features = hidden @ torch.randn(4, 900, generator=rng) + torch.randn(700, 900, generator=rng)
    truth = (hidden[:, 0] > 0).float()
    weak = torch.where(torch.rand(700, generator=rng) < 0.33, 1 - truth, truth)
    chosen = selected(features[:300], weak[:300], ProbeConfig(), seed=0)
    small = balanced(probe(features[:300], weak[:300], chosen)(features[300:]), truth[300:])
    greedy = ProbeConfig(components=299, penalty=1e-6)
    heart = probe(features[:300], weak[:300], greedy)
    assert balanced(heart(features[:300]), weak[:300]) > 0.95  # all mistakes too
    assert small > 0.85 > balanced(heart(features[300:]), truth[300:])


def test_a_supervisor_of_single_frames_learns_what_a_frame_shows() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 60, (80, 32, 32, 3), dtype=np.uint8)
    labels = torch.from_numpy(rng.integers(0, 2, 80).astype("f4"))
    frames[labels.numpy() > 0.5, 8:16, 8:16] += 150
    asked = torch.stack([labels, 1 - labels, torch.full_like(labels, torch.nan)], 1)
    asked[:10, 1] = torch.nan  # where a question does not apply, nothing is learnt
    score = frame_classifier(frames[:60], asked[:60], seed=0, epochs=8)
    said = score(frames[60:])
    assert balanced(said[:, 0], labels[60:]) > 0.9 and balanced(said[:, 1], 1 - labels[60:]) > 0.9
    assert said.isfinite().all()
