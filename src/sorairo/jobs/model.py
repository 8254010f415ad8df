"""Model: every verb from Python, by the same door as the command line and the server.

import sorairo
model = sorairo.load("default")
model.extend("ball.mp4", "The red ball lies still.", seconds=1).save("longer.mp4")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from sorairo.checkpoints.folder import Checkpoint, load_checkpoint
from sorairo.types import Plan, Scene, Video

if TYPE_CHECKING:  # PyAV comes with these, which loading a model does without
    from sorairo.generation.generate import Progress
    from sorairo.jobs.record import Clip
    from sorairo.tasks.storyboard import Card

__all__ = ["Model", "Settings", "load"]

Input = str | Path | Video


class Settings(TypedDict, total=False):
    """What every verb takes besides its own subject; see Request. seed: 0 if it is not given.

    progress is told (stage, done, of).
    """

    size: tuple[int, int] | str | None
    seconds: float | None
    frames: int | None
    seed: int | None
    steps: int | None
    guidance: float | None
    shift: float | None
    sampler: str | None
    negative: str
    style: str | None
    expand: bool
    fit: str
    background: str
    upscale: int | None
    references: Sequence[str]
    control: str | None
    control_scale: float
    cache: float | None
    progress: Progress | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Model(Checkpoint):
    """A Checkpoint with a method for every verb. Inputs are files, or Videos of the model's size and rate.

    Each method returns a Clip and raises UserError.
    """

    def generate(self, prompt: str, *, scene: Scene | None = None, **settings: Unpack[Settings]) -> Clip:
        """A clip from words; frames=1 is a still. scene: where things are, for models that draw scenes."""
        return self._clip("generate", prompt, [], {"scene": scene}, settings)

    def draw_scene(self, prompt: str, *, frames: int | None = None, seed: int = 0) -> Scene:
        """What `generate` would draw first: where each object is, and the camera. Raises UserError."""
        from sorairo.generation.scenes import drawn_scene

        return drawn_scene(self, prompt, frames, seed)

    def animate(self, picture: Input, prompt: str, **settings: Unpack[Settings]) -> Clip:
        """A clip that begins with a picture."""
        return self._clip("animate", prompt, [picture], {}, settings)

    def extend(
        self, clip: Input, prompt: str | None = None, *, before: bool = False, **settings: Unpack[Settings]
    ) -> Clip:
        """A clip that goes on, or with `before` begins earlier. seconds, frames: of the new part."""
        return self._clip("extend", prompt, [clip], {"before": before}, settings)

    def loop(
        self,
        clip: Input | None = None,
        prompt: str | None = None,
        *,
        free: bool = False,
        **settings: Unpack[Settings],
    ) -> Clip:
        """A loop from words alone, or of a clip with a way back to its beginning."""
        return self._clip("loop", prompt, [] if clip is None else [clip], {"free": free}, settings)

    def connect(self, first: Input, last: Input, prompt: str, **settings: Unpack[Settings]) -> Clip:
        """From one clip or picture to another. seconds, frames: of the part between."""
        return self._clip("connect", prompt, [first, last], {}, settings)

    def recut(
        self,
        clip: Input,
        prompt: str | None = None,
        *,
        keep: tuple[float, float],
        **settings: Unpack[Settings],
    ) -> Clip:
        """A clip with a kept span (from, to in seconds) and new frames around it."""
        return self._clip("recut", prompt, [clip], {"keep": keep}, settings)

    def edit(
        self,
        clip: Input,
        prompt: str,
        *,
        strength: float = 0.6,
        region: tuple[int, int, int, int] | None = None,
        **settings: Unpack[Settings],
    ) -> Clip:
        """A clip changed by words, all of it or a region (x, y, width, height in pixels of the output)."""
        return self._clip("edit", prompt, [clip], {"strength": strength, "region": region}, settings)

    def remix(self, clip: Input, change: str, *, strength: float = 0.9, **settings: Unpack[Settings]) -> Clip:
        """A clip of ours with one thing changed. Its seed is used unless another is set."""
        return self._clip("remix", change, [clip], {"strength": strength}, {"seed": None, **settings})

    def blend(
        self,
        first: Input,
        last: Input,
        prompt: str | None = None,
        *,
        curve: str = "smooth",
        **settings: Unpack[Settings],
    ) -> Clip:
        """One clip turns into another; curve: linear, smooth, early or late."""
        return self._clip("blend", prompt, [first, last], {"curve": curve}, settings)

    def upscale(self, clip: Input) -> Clip:
        """A clip or a picture at twice its width and height; no frame is generated."""
        from sorairo.jobs.enlarge import doubled
        from sorairo.jobs.source import Source

        return doubled(Source.of(clip), "white", lambda stage, done, of: None)

    def storyboard(self, cards: Sequence[Card], **settings: Unpack[Settings]) -> Clip:
        """Cards on a timeline, see tasks.Card."""
        pictures: list[Input] = [card.picture for card in cards if card.picture is not None]
        numbers = iter(range(len(pictures)))
        values = [
            {
                "at": card.at,
                "words": card.words,
                "picture": None if card.picture is None else next(numbers),
            }
            for card in cards
        ]
        return self._clip("storyboard", None, pictures, {"cards": values}, settings)

    def make(self, plans: Plan | Iterable[Plan], progress: Progress | None = None) -> list[Clip]:
        """The clips of Plans, in order, without the sound of their inputs."""
        from sorairo.generation.generate import samples
        from sorairo.jobs.making import making_of
        from sorairo.jobs.record import clip_of

        plans = [plans] if isinstance(plans, Plan) else list(plans)
        origins = [[video.origin.path for video in plan.inputs if video.origin] for plan in plans]
        makings = [making_of("", self.folder, list(dict.fromkeys(paths))) for paths in origins]
        made = samples(plans, self, progress=progress)
        return [clip_of(sample, making=making) for sample, making in zip(made, makings, strict=True)]

    def _clip(
        self, verb: str, prompt: str | None, inputs: Sequence[Input], args: dict[str, Any], settings: Settings
    ) -> Clip:
        from sorairo.jobs.prepare import job_of, wanted
        from sorairo.jobs.request import Request
        from sorairo.jobs.run import clips
        from sorairo.jobs.source import Source

        values: dict[str, Any] = {"seed": 0, **settings}
        progress = values.pop("progress", None)
        names = [str(one) if isinstance(one, str | Path) else "frames in memory" for one in inputs]
        request = Request.parse(
            {"verb": verb, "prompt": prompt, "sources": names, "args": args, "model": self.info.name} | values
        )
        want = wanted(request, [Source.of(one) for one in inputs])
        job = job_of(want, self, lambda sentence: None)
        tell = progress or (lambda stage, done, of: None)
        return next(clips(want, job, self, tell, lambda: False))


def load(name_or_folder: str | Path = "default", dtype: str = "auto", device: str = "cpu") -> Model:
    """A model that ships in the package, by name, or one in a folder. Raises UserError."""
    checkpoint = load_checkpoint(name_or_folder, dtype, device)
    return Model(**{one.name: getattr(checkpoint, one.name) for one in fields(checkpoint)})
