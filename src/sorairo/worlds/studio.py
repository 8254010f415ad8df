"""The `studio` world: seed -> scene -> physics -> picture -> words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sorairo.types import UserError, Video
from sorairo.worlds.cameras import Shot, View, frame_shot, project
from sorairo.worlds.captions import Captions, caption, vocabulary
from sorairo.worlds.circles import Circle, get_circle
from sorairo.worlds.events import ACTORS, STAGINGS, add_bystanders
from sorairo.worlds.physics import Trajectory, simulate
from sorairo.worlds.render import renderer
from sorairo.worlds.scene import Body, Light, Scene, apparent_width, bounding_radius
from sorairo.worlds.splits import SPLITS, held_out
from sorairo.worlds.staging import Hand, Staged
from sorairo.worlds.state import describe
from sorairo.worlds.story import came_about, crowded, still_story, tell, well_seen

__all__ = ["Studio", "WorldClip"]

ENTROPY = 0x57D10  # of this world, beside the seed and the try
TRIES = 400
SHOTS = 6  # cameras tried on one simulation, which costs more than they do
NEAREST = 3.6  # metres from the lens to the middle of the action
VIEWS = ("eye", "right", "up", "forward")
STAGED = 17  # frames that a leaving object takes from one side of the picture to the other
SMALLEST = 0.135  # an actor's width as a part of the short side


@dataclass(frozen=True, kw_only=True, eq=False)
class WorldClip:
    """A clip with all that is known of it. state: see docs/world.md.

    masks: uint8 (t h w), the number of the object seen, from 1 in the order of the state, 0 elsewhere; None unless
    asked for.
    """

    video: Video
    captions: Captions
    state: dict[str, Any]
    seed: int
    masks: np.ndarray | None = None


class Studio:
    """The world that the default model learns from; see docs/world.md."""

    name = "studio"

    def clip(
        self,
        seed: int,
        size: tuple[int, int] = (96, 96),
        frames: int = 17,
        fps: float = 8.0,
        circle: int = 0,
        split: str = "train",
        masks: bool = False,
        events: Sequence[str] = (),
        leaves: bool = False,
        pace: float = 1.0,
    ) -> WorldClip:
        """One clip at (width, height), the same for the same arguments in any process.

        frames is 1 (a still) or at least 13. split: train never shows a held-out combination of colour, shape and
        event, heldout always does. events: only these of the circle's, all if empty. leaves: what rolls goes on out of
        the picture; otherwise a roll takes as long as the clip, whatever its length, and never leaves. pace: how many
        times faster than usual events are staged, for tests of what lies outside of training (1 is training's); what
        is faster is through before the clip ends, and may leave. Raises UserError for what the world cannot make.
        """
        self.check(seed, size, frames, fps, circle, split, events)
        table = get_circle(circle)
        length = max(frames, 17)
        event, move = self.subject(seed, circle, events)
        move = move if frames > 1 else "still"
        leaving = leaves and event == "roll" and frames > 1
        staged_for = STAGED if leaving else length
        if pace != 1:
            staged_for, leaving = 1 + min(length - 1, max(4, round((length - 1) / pace))), pace > 1
        for attempt in range(TRIES):
            streams = np.random.default_rng(np.random.SeedSequence((ENTROPY, seed, attempt))).spawn(4)
            moves, looks, lens, words = streams
            later = _later(seed, attempt, length) if leaving and pace == 1 else 0
            hand = _hand(
                moves, table, event, (length - 1) / fps / pace if pace != 1 else (staged_for - 1) / fps
            )
            staged = add_bystanders(hand, STAGINGS[event](hand))
            objects = paint(staged.objects, looks, table, event, split)
            if objects is None or len(objects) not in table.objects:
                continue
            scene = dress(replace(staged, objects=objects), looks, table, event)
            motion = simulate(scene, later + length, fps)
            if not came_about(scene, motion):
                continue
            filmed = film(
                lens, staged, move, scene, _part(motion, 0, staged_for) if leaving else motion, size
            )
            if filmed is None:
                continue
            scene, view = filmed
            if leaving:
                motion, view = _part(motion, later, later + length), _lasting(view, length)
            story = tell(scene, motion, view)
            assert story is not None
            if frames == 1:
                motion, view = _moment(motion, view, int(lens.integers(length)))
                story = still_story(scene, motion, view)
            picture = renderer().draw(scene, motion, view, size)
            state = describe(scene, story, motion, view, picture, size, fps)
            seen = state["visibility"]
            if not (seen[0].min() > 0.5 if leaving else well_seen(scene, seen, still=frames == 1)):
                continue
            if event == "hide" and frames > 1 and tell(scene, motion, view, state["visibility"]) is None:
                continue
            return WorldClip(
                video=Video(frames=picture.frames, fps=fps),
                captions=caption(scene, story, words),
                state=state,
                seed=seed,
                masks=picture.masks if masks else None,
            )
        raise UserError(f"Seed {seed} of circle {circle} gave no clip of {frames} frames; take another seed.")

    def check(
        self,
        seed: int,
        size: tuple[int, int],
        frames: int,
        fps: float,
        circle: int,
        split: str,
        events: Sequence[str] = (),
    ) -> None:
        """Raise UserError for what `clip` would refuse, before any work is done."""
        if seed < 0:
            raise UserError(f"A seed is 0 or more, not {seed}.")
        if split not in SPLITS:
            raise UserError(f"A world has the splits {' and '.join(SPLITS)}, not {split!r}.")
        if not all(32 <= side <= 512 for side in size):
            raise UserError(
                f"A clip of this world is 32 to 512 pixels wide and high, not {size[0]}x{size[1]}."
            )
        if frames != 1 and not 13 <= frames <= 257:
            raise UserError(f"A clip of this world has 1 frame or 13 to 257, not {frames}.")
        if not 4.0 <= fps <= 60.0:
            raise UserError(f"This world is filmed at 4 to 60 frames a second, not {fps:g}.")
        known = get_circle(circle).events
        for event in events:
            if event not in known:
                raise UserError(
                    f"Circle {circle} has the events {', '.join(known)}; {event!r} is none of them."
                )

    def subject(self, seed: int, circle: int = 0, events: Sequence[str] = ()) -> tuple[str, str]:
        """The (event, camera move) of a seed, known before anything is simulated: each is as likely as any other."""
        table = get_circle(circle)
        rng = np.random.default_rng(np.random.SeedSequence((ENTROPY, seed)))
        return str(rng.choice(list(events) or table.events)), str(rng.choice(table.cameras))

    def vocabulary(self, circle: int) -> frozenset[str]:
        """The words, in small letters, that captions of this circle can hold."""
        return vocabulary(get_circle(circle))


def _hand(rng: np.random.Generator, table: Circle, event: str, seconds: float) -> Hand:
    least = ACTORS.get(event, 1)
    counts = [count for count in table.objects if count >= least]
    count = int(rng.choice(counts))
    return Hand(rng=rng, shapes=table.shapes, sizes=table.sizes, seconds=seconds, count=count)


def paint(
    objects: tuple[Body, ...], rng: np.random.Generator, table: Circle, event: str, split: str
) -> tuple[Body, ...] | None:
    """The bodies in colours of the split, no two alike; None if these shapes leave no choice."""
    painted: list[Body] = []
    for index, body in enumerate(objects):
        kept_out = split == "heldout" and index == 0
        used = {other.colour for other in painted}
        free = [c for c in table.colours if c not in used]
        choices = [c for c in free if held_out(c, body.shape, event) == kept_out]
        if split == "heldout" and index > 0:
            choices = free
        if not choices:
            return None
        colour, material = str(rng.choice(choices)), str(rng.choice(table.materials))
        painted.append(replace(body, colour=colour, material=material))
    return tuple(painted)


def aim(rng: np.random.Generator, staged: Staged, move: str) -> Shot:
    """A camera move of clearly visible size, from a place that the event allows."""
    sign = 1.0 if rng.random() < 0.5 else -1.0
    span = {
        "still": (0.0, 0.0),
        "pan": (0.16, 0.30),
        "orbit": (0.5, 0.9),
        "dolly": (0.38, 0.62),
        "crane": (0.26, 0.42),
    }
    low, high = staged.elevation
    if move == "crane":
        low, high = 0.28, 0.36
    return Shot(
        move=move,
        amount=sign * float(rng.uniform(*span[move])),
        azimuth=float(rng.uniform(-staged.azimuth, staged.azimuth)),
        elevation=float(rng.uniform(low, high)),
        field=float(rng.uniform(0.56, 0.66)),
        sky=0.05,
    )


def name_of(shot: Shot) -> str:
    """'pan right', 'dolly in', 'still'..."""
    ways = {
        "pan": ("left", "right"),
        "orbit": ("left", "right"),
        "dolly": ("out", "in"),
        "crane": ("down", "up"),
    }
    return f"{shot.move} {ways[shot.move][shot.amount > 0]}" if shot.move in ways else shot.move


def dress(staged: Staged, rng: np.random.Generator, table: Circle, event: str) -> Scene:
    """The staged bodies on a floor, under a sky, in a light."""
    facts = {
        "mat_turn": rng.uniform(-0.5, 0.5),
        "mat_x": rng.uniform(-0.5, 0.5),
        "mat_y": rng.uniform(-0.2, 0.8),
        "mat_width": rng.uniform(1.7, 2.4),
        "mat_depth": rng.uniform(1.0, 1.5),
        "mat_corner": rng.uniform(0.25, 0.9),
        "sun_azimuth": rng.uniform(-0.22, 0.22),
        "sun_height": rng.uniform(0.05, 0.16),
        "hill_height": rng.uniform(0.025, 0.05),
        "hill_phase": rng.uniform(0.0, 2 * math.pi),
        "fade": rng.uniform(24.0, 34.0),
    }
    light = Light(
        azimuth=float(rng.choice((-1, 1)) * rng.uniform(0.3, 1.0)),
        elevation=float(rng.uniform(0.8, 1.1)),
        softness=float(rng.uniform(0.10, 0.22)),
    )
    return Scene(
        event=event,
        objects=staged.objects,
        props=staged.props,
        floor=str(rng.choice(table.floors)),
        sky=str(rng.choice(table.skies)),
        gravity=staged.gravity,
        light=light,
        camera="still",
        facts={name: float(value) for name, value in facts.items()},
    )


def film(
    rng: np.random.Generator,
    staged: Staged,
    move: str,
    scene: Scene,
    motion: Trajectory,
    size: tuple[int, int],
) -> tuple[Scene, View] | None:
    """The scene with the name of its camera move, and the view; None if no try shows the objects large and apart."""
    radii = np.array([bounding_radius(body.shape, body.size) for body in scene.objects])
    for _ in range(SHOTS):
        shot = aim(rng, staged, move)
        view = frame_shot(shot, size, motion.position, radii, NEAREST)
        if _large_enough(scene, motion, view) and not crowded(scene, motion, view):
            return replace(scene, camera=name_of(shot)), view
    return None


def _large_enough(scene: Scene, motion: Trajectory, view: View) -> bool:
    _, depth = project(view, motion.position)
    actors = [index for index, body in enumerate(scene.objects) if body.role != "stands"]
    widths = np.array([apparent_width(body.shape, body.size) for body in scene.objects])
    across = (widths / depth / min(view.tan) / 2)[:, actors]
    return bool(across.min() >= SMALLEST)


def _moment(motion: Trajectory, view: View, frame: int) -> tuple[Trajectory, View]:
    """One frame of a clip, as a clip of one frame."""
    here = slice(frame, frame + 1)
    turned = {name: getattr(view, name)[here] for name in VIEWS}
    return _part(motion, frame, frame + 1), replace(view, **turned)


def _part(motion: Trajectory, start: int, stop: int) -> Trajectory:
    """Some frames of a motion; its looks, between frames, stay whole."""
    fields = ("position", "rotation", "velocity", "spin", "contacts")
    return replace(motion, **{name: getattr(motion, name)[start:stop] for name in fields})


def _lasting(view: View, frames: int) -> View:
    """The view of the first frames; after its end the camera stands still."""
    places = np.arange(frames).clip(0, len(view.eye) - 1)
    return replace(view, **{name: getattr(view, name)[places] for name in VIEWS})


def _later(seed: int, attempt: int, length: int) -> int:
    """At which frame of its way through the picture a leaving object is first seen."""
    rng = np.random.default_rng(np.random.SeedSequence((ENTROPY, seed, attempt, 1)))
    return int(rng.integers(0, 10) if length > STAGED else rng.integers(4, STAGED - 2))
