"""What the server's models can make, read from their folders without loading them."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from sorairo.serving.errors import ApiError
from sorairo.serving.settings import Settings
from sorairo.tasks.abilities import Abilities

__all__ = [
    "OFFICIAL",
    "OLD",
    "Fitted",
    "draws_scenes",
    "fit",
    "model_for",
    "models",
    "public",
    "reported",
    "without_folders",
]

OLD = ("sora-2", "sora-2-pro")
"""Names, and how dated ones begin, that stand for the operator's model."""
OFFICIAL = ("720x1280", "1280x720", "1024x1792", "1792x1024")
"""The sizes of OpenAI's schema. Its clients refuse a Video with another one where they are strict."""
EXAMPLES = (
    "A red ball rolls into a blue cube, the camera moves closer.",
    "A green ball hits a yellow cube.",
    "A purple ball and an orange cube drop onto the floor.",
)


@lru_cache(maxsize=32)
def _info(folder: Path, changed: float) -> Any:
    from sorairo.checkpoints.find import own_info

    if own := own_info(folder):
        return own
    from sorairo.checkpoints.folder import read_info  # imports torch

    return read_info(folder)


def info_of(model: str) -> Any:
    """The ModelInfo of a name or folder. Raises UserError."""
    from sorairo.checkpoints.find import find_folder

    folder = find_folder(model)
    path = folder / "sorairo.json"
    return _info(folder, os.path.getmtime(path) if path.is_file() else 0.0)


def draws_scenes(model: str) -> bool:
    """Whether a model draws scenes, and follows one that is set. Raises UserError."""
    from sorairo.checkpoints.find import find_folder

    return (find_folder(model) / "scene").is_dir()


def public(model: str) -> str:
    """What a client calls a model: its name, or the last part of its folder, since the rest is the operator's."""
    return os.path.basename(os.path.normpath(model)) if os.path.isabs(model) else model


def without_folders(settings: Settings, text: str) -> str:
    """A sentence for a client, without the operator's folders."""
    for folder in (settings.model, str(settings.folder), settings.files):
        if os.path.isabs(folder):
            text = text.replace(folder, public(folder))
    return text


def names(settings: Settings) -> dict[str, str]:
    """What clients call each model, and its name or folder: the operator's first, then those that ship."""
    from sorairo.checkpoints.find import model_names

    return {public(settings.model): settings.model} | {
        name: name for name in model_names() if name != public(settings.model)
    }


def model_for(settings: Settings, asked: str | None) -> str:
    """The real model of a name that a client sends. Raises ApiError for one that is neither real nor old."""
    if not asked or asked in OLD or asked.startswith(("sora-2-", "gpt-image", "dall-e")):
        return settings.model
    if asked in names(settings):
        return names(settings)[asked]
    raise ApiError(
        400,
        f"There is no model {asked[:80]!r}; the models are {', '.join(names(settings))}.",
        param="model",
        code="model_not_found",
    )


def abilities(model: str) -> Abilities:
    """A model as tasks see it. Raises UserError."""
    info = info_of(model)
    return Abilities(
        name=info.name,
        sizes=info.sizes,
        max_frames=info.max_frames,
        default_frames=info.default_frames,
        fps=info.fps,
        step=4,
        conditioning=info.conditioning,
        needs=info.needs,
        only_steps=len(info.times) or None,
    )


class Fitted:
    """A size and a length that the model can make, and what to tell of the difference."""

    def __init__(self, size: str, seconds: str, notes: list[str]) -> None:
        self.size, self.seconds, self.notes = size, seconds, notes


def fit(settings: Settings, model: str, size: str | None, seconds: float | None) -> Fitted:
    """Map what is asked for to what the model can make, or refuse it. Raises ApiError."""
    able = abilities(model)
    sizes = [f"{width}x{height}" for width, height in able.sizes]
    wanted, notes = size or sizes[0], []
    if wanted not in sizes:
        if not settings.fit_requests:
            raise ApiError(
                400,
                f"The model {public(model)} cannot make {wanted[:20]}; it makes {', '.join(sizes)}.",
                param="size",
                code="invalid_size",
            )
        width, height = _numbers(wanted)
        nearest = min(
            able.sizes,
            key=lambda one: (round(abs(_ratio(one) - _ratio((width, height))), 3), -one[0] * one[1]),
        )
        wanted = f"{nearest[0]}x{nearest[1]}"
        notes.append(f"The model {public(model)} does not make {width}x{height}; this is {wanted}.")
    most = (able.longest - 1) / able.fps
    length = able.default_frames / able.fps if seconds is None else seconds
    if not 0 < length <= most:
        if length <= 0 or not settings.fit_requests:
            raise ApiError(
                400,
                f"The model {public(model)} makes up to {most:g} seconds, not {length:g}.",
                param="seconds",
                code="invalid_seconds",
            )
        notes.append(f"The model {public(model)} does not make {length:g} seconds; this has {most:g}.")
        length = most
    return Fitted(wanted, f"{length:g}", notes)


def reported(settings: Settings, size: str) -> str:
    """The size that a Video names whose caller named none: one of OpenAI's, of the same shape; `sorairo.actual_size` is
    the real one. A strict server names the real one in both places."""
    width, height = _numbers(size)
    return size if not settings.fit_requests else "1280x720" if width > height else "720x1280"


def _numbers(size: str) -> tuple[int, int]:
    from sorairo.jobs.request import parsed_size

    width, height = parsed_size(size) or (0, 0)
    if not width or not height:
        raise ApiError(
            400, "A size is WIDTHxHEIGHT in pixels, both above 0.", param="size", code="invalid_size"
        )
    return width, height


def _ratio(size: tuple[int, int]) -> float:
    from math import log

    return log(size[0] / size[1])


def models(settings: Settings) -> list[dict[str, Any]]:
    """All models as OpenAI lists them, with what each can make under `sorairo`."""
    from sorairo.jobs.request import ARGS
    from sorairo.prompts.styles import styles
    from sorairo.tasks.scene import COLOURS, SHAPES, SLOTS

    listed = []
    presets = [{"name": one.name, "about": one.about} for one in styles().values()]
    for name, model in names(settings).items():
        info, able = info_of(model), abilities(model)
        verbs = list(ARGS) if able.windows else ["generate", *(["animate"] if able.needs else []), "upscale"]
        facts = {
            "default": model == settings.model,
            "title": info.name,
            "sizes": [f"{width}x{height}" for width, height in info.sizes],
            "default_size": "{}x{}".format(*info.sizes[0]),
            "fps": info.fps,
            "frames": {"step": able.step, "default": info.default_frames, "most": able.longest},
            "max_seconds": (able.longest - 1) / info.fps,
            "default_steps": info.default_steps,
            "default_guidance": info.default_guidance,
            "verbs": verbs,
            "vocabulary": list(info.vocabulary) or None,
            "styles": presets,
            "examples": list(EXAMPLES) if name == "default" else [],
            "expands": True,
            "scene": None,
        }
        if draws_scenes(model):
            facts["scene"] = {"objects": SLOTS, "shapes": SHAPES, "colours": COLOURS}
        listed.append({"id": name, "object": "model", "created": 0, "owned_by": "sorairo", "sorairo": facts})
    return listed
