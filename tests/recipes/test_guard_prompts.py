"""The written prompts of the guard: how many, in which languages, what is held out; a user's own set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench import guard as bench
from recipes.guard import PROMPTS, read, training
from sorairo.safety.categories import CATEGORIES
from sorairo.safety.lexicon import Lexicon
from sorairo.safety.normalise import fold

FILES = sorted(PROMPTS.rglob("*.txt"))
HELD = [path for path in FILES if "held_out" in path.parent.name]
LINES = {path: list(read(path)) for path in FILES}


def test_half_of_at_least_3000_are_benign_in_six_languages() -> None:
    prompts = training()
    benign = [one for one in prompts if not one.labels]
    assert len(prompts) >= 3000 and 0.5 <= len(benign) / len(prompts) < 0.6
    assert sum(one.near != "general" for one in benign) > len(benign) / 2  # look-alikes
    assert {"en", "es", "fr", "de", "zh", "ru"} <= {one.language for one in prompts}
    counted = Counter(label for one in prompts for label in one.labels)
    assert set(counted) == set(CATEGORIES) - {"minors"}


def test_nothing_that_is_held_out_is_trained_on() -> None:
    taught = {fold(line) for path in FILES if path not in HELD for *_, line in LINES[path]}
    taught |= {fold(one.text) for one in training()}
    held = {fold(line) for path in HELD for *_, line in LINES[path]}
    assert len(held) > 1300 and not held & taught
    spoken = {language for path in HELD for _, _, language, _ in LINES[path]}
    assert {"it", "ja"} <= spoken and not {"it", "ja"} & {one.language for one in training()}


def test_nobody_under_age_is_in_a_harmful_sexual_one() -> None:
    lexicon = Lexicon.load()
    assert not any(lexicon.young(fold(one.text)) for one in training() if "sexual" in one.labels)
    held = [line for path in HELD for label, *_, line in LINES[path] if label == "sexual"]
    assert len(held) > 50 and not any(lexicon.young(fold(line)) for line in held)


@pytest.mark.parametrize("kind", ["txt", "csv", "folder"])
def test_a_set_of_a_users_own(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as T2VSafetyBench's, one text file for each category; nothing of it is kept."""
    path = {"txt": tmp_path / "own.txt", "csv": tmp_path / "own.csv", "folder": tmp_path / "own"}[kind]
    if kind == "folder":
        path.mkdir()
        (path / "gore.txt").write_text("a gory decapitation, blood everywhere\n\na red ball\n")
    elif kind == "csv":
        path.write_text('category,prompt\ngore,"a gory decapitation, blood everywhere"\ngore,a red ball\n')
    else:
        path.write_text("a gory decapitation, blood everywhere\na red ball\n")
    bench.measure_file(path)
    name = "all" if kind == "txt" else "gore"
    assert f"| {name} | 2 | 50.0 [9, 91] |" in capsys.readouterr().out
