"""The scene of a clip that begins from nothing: drawn before its picture, by models that have a scene/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sorairo.flow.windows import Window
from sorairo.generation.timeline import Timeline
from sorairo.scenes.directed import latent_times, scene_of, tracks_of_scene
from sorairo.scenes.model import GOING_ON
from sorairo.scenes.times import at_frames, groups_of
from sorairo.scenes.tracks import Tracks
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video
from sorairo.types import Plan, Scene, UserError

if TYPE_CHECKING:
    from sorairo.checkpoints.folder import Checkpoint
    from sorairo.text.encoder import TextStates

__all__ = [
    "ClipScene",
    "anchor",
    "drawn_scene",
    "drawn_tracks",
    "draws_scenes",
    "longest",
    "notes_of_scene",
    "windows_of",
]

STREAM = 0x5CE7E  # keeps a scene's noise apart from the picture's, whose seed is the same


class ClipScene:
    """The scene of one clip, window by window, each going on from the one before.

    Objects go on from their places in the frames that a window shares with those made before it, and stay what they
    are as long as the words do. If other words bring other objects, a scene begins from nothing.
    """

    def __init__(self, model: Checkpoint, plan: Plan) -> None:
        assert model.scene is not None
        self.model, self.plan, self.scene = model, plan, model.scene
        self.step = model.codec.config.time_factor
        self._generator = torch.Generator().manual_seed((plan.seed ^ STREAM) % (1 << 63))
        self._names: Tracks | None = None  # what the objects are
        self._text: str | None = None  # the words of the window before
        self._rows: dict[int, Tensor] = {}  # by frame: places of all objects, then the camera's (k+1 5)

    def tokens(self, window: Window, text: str, texts: Mapping[str, TextStates]) -> Tensor:
        """The argument `scene` (2 t s d) of the picture's transformer.

        The first is the prompt's, the second zero: the prediction without words knows no scene either, so guidance
        follows both (docs/scene.md). text: the words that hold in the window. texts: the states of all of the clip's.
        """
        width, height = (side // self.model.codec.config.space_factor for side in self.plan.size)
        tokens = self.scene.tokens(self.tracks(window, text, texts), (height, width))
        return torch.cat([tokens, torch.zeros_like(tokens)])

    def tracks(self, window: Window, text: str, texts: Mapping[str, TextStates]) -> Tracks:
        """The tracks (n = 1) of a window, which the next one goes on from."""
        count = 1 + (window.stop - window.start - 1) // self.step
        if self.plan.scene is not None:
            times = latent_times(count, self.step, self.plan.fps) + window.start / self.plan.fps
            return tracks_of_scene(self.plan.scene, times)
        known = self._known(window, count)
        moved = torch.zeros(5)
        if known is not None:
            moved = anchor(*known)
            known = (replace(known[0], camera=known[0].camera + moved), known[1])
        words, nothing = texts[text], texts[self.plan.negative]
        goes_on = known is not None and text == self._text
        drawn = self.scene.tracks(
            self._later(text) if goes_on else words, nothing, count, self._generator, known
        )
        if known is not None and not _same_objects(drawn, known[0]):
            if goes_on:
                drawn = replace(known[0], place=drawn.place, camera=drawn.camera)
            else:
                drawn, moved = self.scene.tracks(words, nothing, count, self._generator), torch.zeros(5)
        self._text = text
        self._keep(window, drawn, moved)
        return drawn

    def whole(self, texts: Mapping[str, TextStates], windows: list[Window]) -> Tracks:
        """The tracks of the whole clip of one prompt, without its picture."""
        for window in windows:
            first = self.tracks(window, self.plan.spans[0].text, texts)
        if len(windows) == 1:
            return first
        assert self._names is not None
        count = 1 + (self.plan.frames - 1) // self.step
        rows = [
            torch.stack([self._rows[frame] for frame in group]).mean(0)
            for group in groups_of(count, self.step)
        ]
        return self._tracks(rows)

    def _later(self, text: str) -> TextStates:
        """The words of what goes on; without the mark that they do where there is no room for it."""
        try:
            return self.model.text.encode([GOING_ON + text])
        except UserError:
            return self.model.text.encode([text])

    def _known(self, window: Window, count: int) -> tuple[Tracks, Tensor] | None:
        """(the tracks of a window as far as they are known, and which of its latent frames those are (t))."""
        rows: list[Tensor | None] = []
        for group in groups_of(count, self.step):
            there = [self._rows.get(self._frame(window.start + frame)) for frame in group]
            found = [row for row in there if row is not None]
            rows.append(torch.stack(found).mean(0) if len(found) == len(there) else None)
        some = next((row for row in rows if row is not None), None)
        if some is None:
            return None
        kept = torch.tensor([row is not None for row in rows])
        if kept.all():  # something of it is made again
            return None
        return self._tracks([some if row is None else row for row in rows]), kept

    def _tracks(self, rows: list[Tensor]) -> Tracks:
        assert self._names is not None
        values = torch.stack(rows, 1)  # k+1 t 5
        return replace(self._names, place=values[None, :-1], camera=values[None, -1])

    def _keep(self, window: Window, drawn: Tracks, moved: Tensor) -> None:
        self._names = drawn
        place, camera = at_frames(drawn.place, self.step)[0], at_frames(drawn.camera, self.step)[0] - moved
        rows = torch.cat([place, camera[None]]).movedim(1, 0)  # f k+1 5
        for frame in range(window.start, window.stop):
            if window.first <= frame < window.last or self._frame(frame) not in self._rows:
                self._rows[self._frame(frame)] = rows[frame - window.start]

    def _frame(self, frame: int) -> int:
        return frame % self.plan.frames if self.plan.loop else frame


def draws_scenes(model: Checkpoint, plan: Plan) -> bool:
    """Whether a clip is made along a scene: by a model that draws them, from nothing."""
    return model.scene is not None and not plan.known and not plan.back


def windows_of(model: Checkpoint, plan: Plan, timeline: Timeline) -> list[Window]:
    """The windows of a clip, none longer than a scene if it is made along one."""
    most = model.info.max_frames
    return timeline.windows(min(most, longest(model)) if draws_scenes(model, plan) else most)


def drawn_tracks(model: Checkpoint, prompt: str, frames: int, seed: int) -> Tracks:
    """The tracks that a clip of this prompt and seed is made along.

    Raises UserError where the model draws none, and for what `generate` would refuse too.
    """
    if model.scene is None:
        raise UserError(f"{model.info.name} draws no scenes; use a model that does, such as default.")
    plan = text_to_video(prompt, model.abilities, Ask(frames=frames, seed=seed))
    model.abilities.check(plan)
    timeline = Timeline(plan, model.codec.config.time_factor)
    texts = {text: model.text.encode([text]) for text in (prompt, plan.negative)}
    return ClipScene(model, plan).whole(texts, windows_of(model, plan, timeline))


def drawn_scene(model: Checkpoint, prompt: str, frames: int | None = None, seed: int = 0) -> Scene:
    """The same as a Scene. frames: None takes the model's usual length."""
    tracks = drawn_tracks(model, prompt, model.info.default_frames if frames is None else frames, seed)
    times = latent_times(tracks.place.shape[2], model.codec.config.time_factor, model.info.fps)
    return scene_of(tracks, times)


def longest(model: Checkpoint) -> int:
    """The most frames of a window along a scene; 0 where the model draws none."""
    return model.abilities.scene_frames


def notes_of_scene(plan: Plan, model: Checkpoint) -> tuple[str, ...]:
    """A sentence where a model that draws scenes makes a clip without one."""
    if model.scene is None or draws_scenes(model, plan):
        return ()
    return (
        f"{model.info.name} draws a scene first for clips from words alone; this one is made without, so its objects "
        "may merge or lose their shape.",
    )


def anchor(known: Tracks, kept: Tensor) -> Tensor:
    """What is added to the numbers (5) of known tracks' camera so that they are those of a clip of its own.

    The camera is told by the point of the floor that the clip's middle frame looks at, and by its turn since the first
    frame. Where the middle frame will look is foretold from the last two known frames. kept: the known ones, bool (t).
    """
    camera, at = known.camera[0], kept.nonzero()[:, 0]  # t 5, and places
    first, last, middle = int(at[0]), int(at[-1]), (len(camera) - 1) / 2
    speed = camera[last] - camera[last - 1] if last and kept[last - 1] else torch.zeros(5)
    foretold = camera[last] + speed * (middle - last)
    x, y, turn = foretold[0], foretold[1], camera[first, 2]
    return -torch.stack([x, y, turn, torch.zeros(()), torch.zeros(())])


def _same_objects(one: Tracks, other: Tracks) -> bool:
    there = one.there & other.there
    return (
        torch.equal(one.there, other.there)
        and torch.equal(one.shape[there], other.shape[there])
        and torch.equal(one.colour[there], other.colour[there])
    )
