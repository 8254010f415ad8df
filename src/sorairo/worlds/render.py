"""Scene + trajectory + view -> frames and object masks, by one ray-casting shader on an EGL context.

A clip is one texture, its frames above one another: one draw a frame, two reads a clip.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from sorairo.types import UserError
from sorairo.worlds.cameras import View
from sorairo.worlds.palette import COLOURS, FLOORS, MATERIALS, SKIES, linear
from sorairo.worlds.physics import Trajectory
from sorairo.worlds.scene import Body, Scene, bounding_radius

__all__ = ["Picture", "Renderer", "renderer"]

SLOTS = 16
ORDER = ("ball", "cube", "cylinder", "cone", "capsule")
FRAME_FLOATS = 4 * (4 + 3 * SLOTS)
EXPOSURE = 0.93


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """frames uint8 (t h w 3); masks uint8 (t h w): index of the object seen, from 1, else 0.

    alone uint8 (t h w): bit i is set where object i would be seen if nothing stood in front; front uint8 (t h w): the
    object really seen there (masks, but of the same sub-pixel as `alone`).
    """

    frames: np.ndarray
    masks: np.ndarray
    alone: np.ndarray
    front: np.ndarray


def rotation_matrices(q: np.ndarray) -> np.ndarray:
    """Quaternions w x y z (... 4) -> matrices local to world (... 3 3)."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


class Renderer:
    """One OpenGL context of this process; make it through `renderer()`."""

    def __init__(self) -> None:
        os.environ.setdefault(
            "LP_NUM_THREADS", "0"
        )  # workers are processes; a thread pool in each only contends
        try:
            import moderngl
        except ImportError as error:
            raise UserError('Simulated worlds need moderngl: pip install "sorairo[worlds]".') from error
        try:
            self.gl: Any = moderngl.create_context(standalone=True, backend="egl", require=330)  # pyright: ignore
        except Exception as error:  # the binding raises a bare Exception
            raise UserError(
                "No software OpenGL was found; on Debian and Ubuntu: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri."
            ) from error
        source = files("sorairo.worlds").joinpath("studio.glsl").read_text()
        corner = "#version 330\nin vec2 corner; void main() { gl_Position = vec4(corner, 0.0, 1.0); }"
        start = source.index("#version")
        self.program = self.gl.program(vertex_shader=corner, fragment_shader=source[start:])
        self.program["Frame"].binding = 0
        self.program["Scene"].binding = 1
        square = self.gl.buffer(np.array([-1, -1, 3, -1, -1, 3], dtype="f4").tobytes())
        self.square = self.gl.vertex_array(self.program, [(square, "2f", "corner")])
        self.scene_block = self.gl.buffer(reserve=self.program["Scene"].size)
        self.frame_step = -(-4 * FRAME_FLOATS // 256) * 256
        self.targets: dict[tuple[int, int], Any] = {}

    def _target(self, width: int, height: int) -> Any:
        if (width, height) not in self.targets:
            if len(self.targets) > 6:
                for target in self.targets.values():
                    for texture in target.color_attachments:
                        texture.release()
                    target.release()
                self.targets.clear()
            attachments = [self.gl.texture((width, height), 4), self.gl.texture((width, height), 2)]
            self.targets[width, height] = self.gl.framebuffer(attachments)
        return self.targets[width, height]

    def draw(self, scene: Scene, motion: Trajectory, view: View, size: tuple[int, int]) -> Picture:
        """The clip at (width, height). Frames as many as the view has."""
        width, height = size
        frames = view.eye.shape[0]
        per_pass = max(1, 8192 // height)
        scene_bytes, rows = _pack(scene, motion)
        self.scene_block.write(scene_bytes)
        self.scene_block.bind_to_uniform_block(1)
        parts = [
            self._pass(rows[at : at + per_pass], view, at, min(per_pass, frames - at), width, height)
            for at in range(0, frames, per_pass)
        ]
        color = np.concatenate([part[0] for part in parts])
        coverage = np.concatenate([part[1] for part in parts])
        return Picture(
            frames=np.ascontiguousarray(color[..., :3]),
            masks=np.ascontiguousarray(color[..., 3]),
            alone=coverage[..., 0],
            front=coverage[..., 1],
        )

    def _pass(self, rows: np.ndarray, view: View, at: int, count: int, width: int, height: int) -> Any:
        block = np.zeros((count, self.frame_step // 4), dtype="f4")
        here = slice(at, at + count)
        block[:, 0:3] = view.eye[here]
        block[:, 4:7] = view.right[here] * view.tan[0]
        block[:, 8:11] = view.up[here] * view.tan[1]
        block[:, 12:15] = view.forward[here]
        block[:, 16:FRAME_FLOATS] = rows.reshape(count, -1)
        buffer = self.gl.buffer(block.tobytes())
        target = self._target(width, height * count)
        target.use()
        self.program["frame_size"].value = (width, height)
        for index in range(count):
            self.gl.viewport = (0, index * height, width, height)
            buffer.bind_to_uniform_block(0, offset=index * self.frame_step, size=4 * FRAME_FLOATS)
            self.program["frame_row"].value = index * height
            self.square.render()
        color = np.frombuffer(target.read(components=4, attachment=0), np.uint8)
        coverage = np.frombuffer(target.read(components=2, attachment=1, alignment=1), np.uint8)
        buffer.release()
        return color.reshape(count, height, width, 4), coverage.reshape(count, height, width, 2)


def _pack(scene: Scene, motion: Trajectory) -> tuple[bytes, np.ndarray]:
    """(Scene block, world -> local rows (t SLOTS 3 4) float32), slots sorted by shape."""
    frames, count = motion.position.shape[:2]
    bodies: list[tuple[Body, int]] = [(body, i) for i, body in enumerate(scene.objects + scene.props)]
    assert len(bodies) <= SLOTS
    bodies.sort(key=lambda pair: (ORDER.index(pair[0].shape), pair[1]))
    rows = np.zeros((frames, SLOTS, 3, 4))
    size, albedo, look = np.zeros((SLOTS, 4)), np.zeros((SLOTS, 4)), np.zeros((SLOTS, 4))
    for slot, (body, index) in enumerate(bodies):
        if index < count:
            position, rotation = motion.position[:, index], rotation_matrices(motion.rotation[:, index])
        else:
            position, rotation = place_prop(body, scene, motion)
        inverse = np.swapaxes(rotation, -1, -2)
        rows[:, slot, :, :3] = inverse
        rows[:, slot, :, 3] = -np.einsum("tij,tj->ti", inverse, np.broadcast_to(position, (frames, 3)))
        size[slot] = (*body.size, bounding_radius(body.shape, body.size))
        albedo[slot, :3] = linear(COLOURS.get(body.colour, body.colour))
        albedo[slot, 3] = index + 1 if index < count else 0
        material = MATERIALS[body.material]
        look[slot] = (material.reflect, material.gloss, material.metal, 0.0)
    ends = np.cumsum([sum(body.shape == shape for body, _ in bodies) for shape in ORDER])
    head = _lighting(scene, ends)
    block = np.concatenate([head, size, albedo, look]).astype("f4")
    return block.tobytes(), rows.astype("f4")


def place_prop(body: Body, scene: Scene, motion: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """Position (3) or (t 3) and rotation (t 3 3) of a prop; a string follows the object it holds."""
    frames = motion.position.shape[0]
    if body.role == "string":
        held = next(i for i, other in enumerate(scene.objects) if other.hangs)
        rotation = rotation_matrices(motion.rotation[:, held])
        return motion.position[:, held] + rotation[..., 2] * scene.objects[held].hangs / 2, rotation
    fixed = rotation_matrices(np.asarray(body.rotation))
    return np.asarray(body.position), np.broadcast_to(fixed, (frames, 3, 3))


def _lighting(scene: Scene, ends: np.ndarray) -> np.ndarray:
    """The Scene block up to the slots, (11 4)."""
    sky, floor, light, facts = SKIES[scene.sky], FLOORS[scene.floor], scene.light, scene.facts
    flat = math.cos(light.elevation)
    towards = (flat * math.sin(light.azimuth), -flat * math.cos(light.azimuth), math.sin(light.elevation))
    turn, sun_azimuth, sun_height = facts["mat_turn"], facts["sun_azimuth"], facts["sun_height"]
    sun = (
        math.cos(sun_height) * math.sin(sun_azimuth),
        math.cos(sun_height) * math.cos(sun_azimuth),
        math.sin(sun_height),
    )
    return np.array(
        [
            ends[:4],
            (*towards, ends[4]),
            (*(np.array(sky.key) * 0.92), 1.0 / light.softness),
            (*linear(sky.zenith), facts["hill_height"]),
            (*linear(sky.horizon), sky.sun),
            (*linear(sky.hills), facts["hill_phase"]),
            (*linear(floor.colour), facts["fade"]),
            (*linear(floor.mat), facts["mat_corner"]),
            (facts["mat_x"], facts["mat_y"], math.cos(turn), math.sin(turn)),
            (facts["mat_width"], facts["mat_depth"], 0.10, EXPOSURE),
            (*sun, 0.0),
        ]
    )


@cache
def renderer() -> Renderer:
    """This process's renderer, made on first use (about half a second)."""
    return Renderer()
