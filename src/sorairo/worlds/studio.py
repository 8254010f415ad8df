"""The `studio` world: seed -> scene -> physics -> picture -> words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sorairo.types import UserError, Video
from sorairo.worlds.cameras import Shot, frame_shot, project
from sorairo.worlds.captions import Captions
from sorairo.worlds.events import STAGINGS, Hand
from sorairo.worlds.palette import COLOURS, FLOORS, SHAPES, SKIES
from sorairo.worlds.physics import simulate
from sorairo.worlds.render import renderer
from sorairo.worlds.scene import Light, Scene, bounding_radius
from sorairo.worlds.splits import held_out

__all__ = ["Studio", "WorldClip"]


@dataclass(frozen=True, kw_only=True, eq=False)
class WorldClip:
    """A clip with all that is known of it. masks: uint8 (t h w), the object seen, from 1, or None if not asked for."""

    video: Video
    captions: Captions
    state: dict[str, Any]
    seed: int
    masks: np.ndarray | None = None


class Studio:
    """The world of the default model; see docs/world.md."""

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
    ) -> WorldClip:
        """One clip at (width, height), the same for the same arguments in any process."""
        if split not in ("train", "heldout"):
            raise UserError(f"A world has the splits train and heldout, not {split!r}.")
        if not all(16 <= side <= 512 for side in size):
            raise UserError(f"A clip is 16 to 512 pixels wide and high, not {size[0]}x{size[1]}.")
        for attempt in range(100):
            rng = np.random.default_rng(np.random.SeedSequence((0x57D10, seed, attempt)))
            looks, moves = rng.spawn(2)
            scene, shot = self._scene(moves, looks, split)
            motion = simulate(scene, frames, fps)
            radii = np.array([bounding_radius(b.shape, b.size) for b in scene.objects])
            view, _ = frame_shot(shot, size, motion.position, radii, nearest=3.6)
            _, depth = project(view, motion.position)
            across = 2 * radii / depth / min(view.tan) / 2  # of the short side
            if across.min() < 0.15:
                continue
            picture = renderer().draw(scene, motion, view, size)
            body = scene.objects[0]
            words = {"drop": "dropping", "roll": "rolling", "slide": "sliding"}[scene.event]
            name = f"{body.colour} {body.shape}"
            captions = Captions(
                long=f"A {body.size_name} {body.material} {name} is {words} on a {scene.floor} floor under "
                f"{SKIES[scene.sky].words}. The camera is still.",
                short=f"a {name} {words}",
            )
            state = {"event": scene.event, "position": motion.position, "velocity": motion.velocity}
            return WorldClip(
                video=Video(frames=picture.frames, fps=fps),
                captions=captions,
                state=state,
                seed=seed,
                masks=picture.masks if masks else None,
            )
        raise AssertionError(f"seed {seed}: no scene in 100 tries")

    def _scene(
        self, moves: np.random.Generator, looks: np.random.Generator, split: str
    ) -> tuple[Scene, Shot]:
        event = str(moves.choice(list(STAGINGS)))
        hand = Hand(rng=moves, shapes=SHAPES)
        staged = STAGINGS[event](hand)
        objects = []
        for index, body in enumerate(staged.objects):
            kept_out = split == "heldout" and index == 0
            choices = [c for c in COLOURS if held_out(c, body.shape, event) == kept_out]
            material = str(looks.choice(("matte", "shiny", "metal")))
            objects.append(replace(body, colour=str(looks.choice(choices)), material=material))
        facts = {
            "mat_turn": float(looks.uniform(-0.5, 0.5)),
            "mat_x": float(looks.uniform(-0.5, 0.5)),
            "mat_y": float(looks.uniform(-0.2, 0.8)),
            "mat_width": float(looks.uniform(1.7, 2.4)),
            "mat_depth": float(looks.uniform(1.0, 1.5)),
            "mat_corner": float(looks.uniform(0.25, 0.9)),
            "sun_azimuth": float(looks.uniform(-0.22, 0.22)),
            "sun_height": float(looks.uniform(0.05, 0.16)),
            "hill_height": float(looks.uniform(0.025, 0.05)),
            "hill_phase": float(looks.uniform(0.0, 2 * math.pi)),
            "fade": float(looks.uniform(24.0, 34.0)),
        }
        light = Light(
            azimuth=float(looks.choice((-1, 1)) * looks.uniform(0.3, 1.0)),
            elevation=float(looks.uniform(0.8, 1.1)),
            softness=float(looks.uniform(0.10, 0.22)),
        )
        scene = Scene(
            event=event,
            objects=tuple(objects),
            props=staged.props,
            floor=str(looks.choice(list(FLOORS))),
            sky=str(looks.choice(list(SKIES))),
            gravity=staged.gravity,
            light=light,
            camera="still",
            facts=facts,
        )
        shot = Shot(
            move="still",
            amount=0.0,
            azimuth=float(moves.uniform(-staged.azimuth, staged.azimuth)),
            elevation=float(moves.uniform(*staged.elevation)),
            field=float(moves.uniform(0.56, 0.66)),
            sky=0.05,
        )
        return scene, shot
