"""The questions: held-out clips of a world, decided by seeds alone, with their prompts and facts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sorairo.types import UserError
from sorairo.worlds import WorldClip, get_world

__all__ = ["Facts", "Prompt", "Suite", "facts_of", "prompt_of"]

SPACING = 1_000_000  # seeds between two suites
REFERENCE = 500_000  # where a suite's second, disjoint set of clips begins


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is true of a clip. objects: (colour, shape) of each. emerges: whether all that goes behind a wall comes
    out again; None without a wall. relations: (how, which object, to which other). order: of two objects that fall,
    which lands first and which second; None where there are no two.
    """

    objects: tuple[tuple[str, str], ...]
    event: str
    camera: str
    emerges: bool | None = None
    relations: tuple[tuple[str, int, int], ...] = ()
    order: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One question to a model: make this clip. size: (width, height)."""

    text: str
    seed: int
    size: tuple[int, int]
    frames: int
    fps: float


@dataclass(frozen=True, kw_only=True)
class Suite:
    """`count` held-out clips of a world. Another seed is another, disjoint suite. events: only these, all if empty."""

    world: str = "studio"
    circle: int = 1
    count: int = 200
    size: tuple[int, int] = (96, 96)
    frames: int = 17
    fps: float = 8.0
    seed: int = 0
    events: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.count <= REFERENCE:
            raise UserError(f"A suite has 1 to {REFERENCE} prompts, not {self.count}.")
        if self.frames < 13:
            raise UserError(f"{self.frames} frames are too few to show an event; score at least 13.")

    def clips(self) -> Iterator[WorldClip]:
        """The clips that prompts and facts are taken from, in order."""
        return self._render(self.seed * SPACING)

    def reference(self) -> Iterator[WorldClip]:
        """As many other clips of the same kind: what Frechet distances are measured to."""
        return self._render(self.seed * SPACING + REFERENCE)

    def _render(self, first: int) -> Iterator[WorldClip]:
        for seed in range(first, first + self.count):
            yield self.clip(seed)

    def clip(self, seed: int) -> WorldClip:
        """One held-out clip of this kind."""
        return get_world(self.world).clip(
            seed,
            size=self.size,
            frames=self.frames,
            fps=self.fps,
            circle=self.circle,
            split="heldout",
            events=self.events,
        )

    def shuffle(self) -> np.ndarray:
        """For each clip the index of another one (count,): the prompts of the chance column."""
        order = np.random.default_rng(self.seed).permutation(self.count)
        other = np.empty(self.count, dtype=int)
        other[order] = np.roll(order, 1)  # one cycle, so no prompt meets its own clip
        return other


def facts_of(clip: WorldClip) -> Facts:
    """The facts of a world's clip, from its state. Cameras have a direction: "pan left", "dolly in", "still"."""
    state = clip.state
    story = state["story"]
    actors = [int(actor) for actor in story["actors"]]
    two = state["event"] == "drop" and len(actors) == 2
    first = int(story["first"])
    return Facts(
        objects=tuple((str(body["colour"]), str(body["shape"])) for body in state["objects"]),
        event=str(state["event"]),
        camera=str(state["camera_move"]),
        emerges=str(story["variant"]).endswith("out") if state["event"] == "hide" else None,
        relations=tuple((str(how), actors[0], int(other)) for how, other in story["others"]),
        order=(actors[first], actors[1 - first]) if two else None,
    )


def prompt_of(clip: WorldClip, suite: Suite) -> Prompt:
    """The question for a clip: a wording that training never saw, and one for the camera, chosen by its seed.

    Only wordings that name every object are fair questions ("a tower of three cubes" leaves the colours open);
    where none does, the exact caption stands in.
    """
    from sorairo.worlds.templates import CAMERA_WORDS

    facts = facts_of(clip)
    wordings = clip.captions.heldout_paraphrases
    rotated = wordings[clip.seed % len(wordings) :] + wordings[: clip.seed % len(wordings)]
    exact = clip.captions.long
    text = next((wording for wording in rotated if _names_all(wording, facts)), exact)
    camera = CAMERA_WORDS[facts.camera]
    if not any(words in text for words in (camera.long, *camera.heldout)):
        text = text if text.endswith(".") else text + "."
        text = f"{text} {camera.heldout[clip.seed // 2 % len(camera.heldout)]}"
    return Prompt(
        text=text[0].upper() + text[1:], seed=clip.seed, size=suite.size, frames=suite.frames, fps=suite.fps
    )


def _names_all(text: str, facts: Facts) -> bool:
    words = re.findall("[a-z]+", text.lower())
    return all(colour in words for colour, _ in facts.objects)
