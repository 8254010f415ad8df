"""run: files one by one, cancelled within a step, and nothing half-written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sorairo.generation.generate import generate, samples
from sorairo.jobs.models import Models
from sorairo.jobs.request import Request
from sorairo.jobs.run import run
from sorairo.pixels import to_frames
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video
from sorairo.types import Cancelled, UserError
from sorairo.video import read_video

WORDS = "a red ball drops"


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


def asked(tiny_folder: Path, **more: Any) -> Request:
    return Request.parse(
        {"verb": "generate", "prompt": WORDS, "model": str(tiny_folder), "seed": 1, "steps": 3} | more
    )


def test_each_is_written_when_it_is_made(models: Models, tiny_folder: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / f"{number}.webp" for number in range(3)]
    told: list[tuple[str, int, int]] = []
    made = run(
        asked(tiny_folder, number=3), models, outputs=outputs, progress=lambda *what: told.append(what)
    )
    for number, result in enumerate(made):
        assert result.path == outputs[number] and len(read_video(result.path)) == 5
        assert [path.exists() for path in outputs] == [index <= number for index in range(3)]
        assert result.record["seed"] == 1 + number == result.sample.plan.seed
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == [
        "load",
        "text",
        "denoise",
        "decode",
        "encode",
    ]
    assert [done for stage, done, of in told if stage == "denoise"] == [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9]


def test_cancelled_within_a_step(models: Models, tiny_folder: Path, tmp_path: Path) -> None:
    outputs, steps = [tmp_path / "1.mp4", tmp_path / "2.mp4"], []

    def preview(latents: torch.Tensor, step: int) -> None:
        assert latents.shape == (1, 8, 2, 4, 4) and bool(torch.isfinite(latents).all())
        steps.append(step)

    made = run(
        asked(tiny_folder, number=2, steps=8),
        models,
        outputs=outputs,
        cancelled=lambda: len(steps) >= 11,
        preview=preview,
    )
    assert next(made).path == outputs[0]
    with pytest.raises(Cancelled):
        next(made)
    assert len(steps) == 11 and sorted(tmp_path.iterdir()) == [outputs[0]]
    with pytest.raises(Cancelled):
        next(run(asked(tiny_folder), models, outputs=outputs[:1], cancelled=lambda: True))


def test_a_preview_becomes_the_picture(models: Models, tiny_folder: Path) -> None:
    """What a step foresees comes near what is made, and the last one is it."""
    model, seen = models.get(asked(tiny_folder)), []
    plan = text_to_video(WORDS, model.abilities, Ask(seed=1, steps=4, guidance=1))
    with torch.inference_mode():
        (made,) = samples([plan], model, preview=lambda data, step: seen.append(data))
        frames = to_frames(model.codec.decode(seen[-1].to(model.dtype)))[0]
    assert len(seen) == 4 and abs(frames.astype(int) - made.video.frames).max() <= 1


def test_models_are_shared_between_requests_that_want_them_alike(tiny_folder: Path) -> None:
    models = Models()
    one = models.get(asked(tiny_folder))
    assert models.get(asked(tiny_folder, seed=9, size="96x64")) is one
    assert models.get(asked(tiny_folder, dtype="fp32", compile=False)) is not one
    models.drop()
    assert models.get(asked(tiny_folder)) is not one


@pytest.mark.parametrize(
    ("more", "names", "words"),
    [
        ({}, ["a.mp4", "b.mp4"], "as many outputs"),
        ({}, ["a.avi"], "must end in"),
        ({"number": 2}, ["a.mp4", "../same/a.mp4"], "one file"),
        ({"fit": "zoom"}, ["a.mp4"], "zoom"),
        ({"upscale": 3}, ["a.mp4"], "--upscale"),
        ({"style": "none"}, ["a.mp4"], "no style"),
        ({"cache": -1}, ["a.mp4"], "olerance"),
        ({"prompt": None}, ["a.mp4"], "needs words"),
    ],
)
def test_refused_before_a_model_is_loaded(
    tmp_path: Path, more: dict[str, Any], names: list[str], words: str
) -> None:
    folder = tmp_path / "same"
    folder.mkdir()
    with pytest.raises(UserError, match=words):
        run(asked(Path("no model"), **more), Models(), outputs=[folder / name for name in names])
    assert not any(folder.iterdir())


@pytest.mark.parametrize("step", [1, 3])
def test_numbers_that_are_not_finite_stop_at_their_step(models: Models, tiny_folder: Path, step: int) -> None:
    model, calls = models.get(asked(tiny_folder)), []

    def spoil(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return output * float("nan") if len(calls) == step else output

    hook = model.transformer.register_forward_hook(spoil)
    try:
        plan = text_to_video(WORDS, model.abilities, Ask(seed=1, steps=4, guidance=1))
        with pytest.raises(UserError, match=f"Step {step} of 4 .*--dtype fp32"):
            generate(plan, model)
    finally:
        hook.remove()
    assert len(calls) == step
