"""Scene + trajectory + view -> frames and object masks, by a ray-casting shader on an EGL context.

A clip is one texture, its frames above one another, and each pass is one instanced draw over all of them: sky, floor,
shadows on the floor, bodies (4 samples a pixel, shaded once), development, masks.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from sorairo.types import UserError
from sorairo.worlds.cameras import View
from sorairo.worlds.layout import Layout, lay_out
from sorairo.worlds.physics import Trajectory
from sorairo.worlds.scene import Scene

__all__ = ["Picture", "Renderer", "renderer"]

FRAMES = 64  # in one atlas, as in studio.glsl
ROWS = 8192  # of pixels in one atlas
SHAPE_CODE = {"ball": "ball", "cube": "box", "cylinder": "cylinder", "cone": "cone", "capsule": "capsule"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """frames uint8 (t h w 3); masks uint8 (t h w): number of the object seen, from 1, else 0.

    alone uint8 (t h w): bit i is set where object i would be seen if nothing stood in front of it.
    """

    frames: np.ndarray
    masks: np.ndarray
    alone: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Atlas:
    """The surfaces that a clip of one size is drawn on."""

    samples: Any
    resolved: Any
    developed: Any
    masks: Any

    def release(self) -> None:
        for surface in (self.samples, self.resolved, self.developed, self.masks):
            for texture in (*surface.color_attachments, surface.depth_attachment):
                if texture is not None:
                    texture.release()
            surface.release()


class Renderer:
    """One OpenGL context of this thread; make it through `renderer()`."""

    def __init__(self) -> None:
        os.environ.setdefault(
            "LP_NUM_THREADS", "0"
        )  # workers are processes; a thread pool in each only contends
        try:
            import moderngl
        except ImportError as error:
            raise UserError('Simulated worlds need moderngl: pip install "sorairo[worlds]".') from error
        try:
            self.gl: Any = moderngl.create_context(standalone=True, backend="egl", require=400)  # pyright: ignore
        except Exception as error:  # the binding raises a bare Exception
            raise UserError(
                "No software OpenGL was found; on Debian: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri."
            ) from error
        self.flags = moderngl
        self.first = 0  # the clip's frame at the top of the atlas
        self.source = files("sorairo.worlds").joinpath("studio.glsl").read_text()
        self.square = self.gl.buffer(np.array([0, 0, 1, 0, 0, 1, 1, 1], dtype="f4").tobytes())
        self.blocks = [
            self.gl.buffer(reserve=size) for size in (64 * FRAMES, 48 * 16 * FRAMES, 16 * (11 + 16))
        ]
        self.passes: dict[tuple[str, str], tuple[Any, Any, Any]] = {}
        self.atlases: dict[tuple[int, int], Atlas] = {}

    def draw(self, scene: Scene, motion: Trajectory, view: View, size: tuple[int, int]) -> Picture:
        """The clip at (width, height), as many frames as the view has."""
        step = max(1, min(FRAMES, ROWS // size[1]))
        layout = lay_out(scene, motion, view, size)
        parts = [self._atlas_of(layout, at, size) for at in range(0, len(view.eye), step)]
        return Picture(
            frames=np.concatenate([color for color, _ in parts]),
            masks=np.concatenate([masks[..., 1] for _, masks in parts]),
            alone=np.concatenate([masks[..., 0] for _, masks in parts]),
        )

    def _atlas_of(self, layout: Layout, first: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        gl, flags, (width, height) = self.gl, self.flags, size
        count = min(max(1, min(FRAMES, ROWS // height)), len(layout.cameras) - first)
        frames = slice(first, first + count)
        atlas = self._atlas((width, height * count))
        for binding, values in enumerate((layout.cameras[frames], layout.rows[frames], layout.scene)):
            self.blocks[binding].write(values.tobytes())
            self.blocks[binding].bind_to_uniform_block(binding)
        sizes = (width, height), (width, height * count)

        self.first = first
        atlas.samples.use()
        gl.enable_only(flags.NOTHING)
        atlas.samples.clear(depth=1.0)
        self._run("sky", "", layout.sky[frames], *sizes)
        self._run("floor", "", layout.floor[frames], *sizes)
        gl.enable_only(flags.BLEND)
        gl.blend_func = flags.DST_COLOR, flags.ZERO
        for shape, instances in layout.shadows.items():
            self._run("shadow", shape, instances[:, frames], *sizes)
        gl.enable_only(flags.DEPTH_TEST)
        for shape, instances in layout.bodies.items():
            self._run("body", shape, instances[:, frames], *sizes)
        gl.copy_framebuffer(atlas.resolved, atlas.samples)

        atlas.developed.use()
        gl.enable_only(flags.NOTHING)
        atlas.resolved.color_attachments[0].use(0)
        self._run("develop", "", layout.whole[frames], *sizes)

        atlas.masks.use()
        atlas.masks.clear(depth=1.0)
        gl.enable_only(flags.DEPTH_TEST)
        for shape, instances in layout.bodies.items():
            self._run("mask", shape, instances[:, frames], *sizes)
        masks = np.frombuffer(atlas.masks.read(components=2, alignment=1), np.uint8).copy()
        atlas.masks.clear()
        gl.enable_only(flags.BLEND)
        gl.blend_func = flags.ONE, flags.ONE
        for shape, instances in layout.bodies.items():
            self._run("mask", shape, instances[:, frames], *sizes)
        masks[0::2] = np.frombuffer(atlas.masks.read(components=2, alignment=1), np.uint8)[0::2]
        color = np.frombuffer(atlas.developed.read(components=3, alignment=1), np.uint8)
        return color.reshape(count, height, width, 3), masks.reshape(count, height, width, 2)

    def _run(self, name: str, shape: str, instances: np.ndarray, frame: Any, atlas: Any) -> None:
        """One pass: instances (... 14) float32, rectangles with what stands in them (see layout.py)."""
        program, vertices, buffer = self._pass(name, shape)
        rectangles = instances.reshape(-1, instances.shape[-1])
        rectangles = rectangles[rectangles[:, 2] > rectangles[:, 0]].copy()
        if not len(rectangles):
            return
        rectangles[:, 4] -= self.first
        buffer.write(rectangles.astype("f4").tobytes())
        program["frame_size"].value = frame
        program["atlas_size"].value = atlas
        vertices.render(self.flags.TRIANGLE_STRIP, vertices=4, instances=len(rectangles))

    def _pass(self, name: str, shape: str) -> tuple[Any, Any, Any]:
        if (name, shape) not in self.passes:
            code = SHAPE_CODE.get(shape, "ball")
            head = f"#version 400\n#define PASS_{name}\n#define {code.upper()}\n"
            head += f"#define HIT hit_{code}\n#define NORMAL normal_{code}\n#define SD sd_{code}\n"
            program = self.gl.program(
                vertex_shader=head + "#define VERTEX\n" + self.source, fragment_shader=head + self.source
            )
            for binding, block in enumerate(("Cameras", "Bodies", "Scene")):
                if block in program:
                    program[block].binding = binding
            buffer = self.gl.buffer(reserve=56 * FRAMES * 16)
            content = [
                (self.square, "2f", "corner"),
                (buffer, "4f 2f 4f 4f /i", "rect", "place", "tint", "finish"),
            ]
            self.passes[name, shape] = (
                program,
                self.gl.vertex_array(program, content, skip_errors=True),
                buffer,
            )
        return self.passes[name, shape]

    def _atlas(self, size: tuple[int, int]) -> Atlas:
        if size not in self.atlases:
            if len(self.atlases) >= 4:
                self.atlases.pop(next(iter(self.atlases))).release()
            gl = self.gl
            self.atlases[size] = Atlas(
                samples=gl.framebuffer(
                    gl.texture(size, 4, samples=4, dtype="f2"), gl.depth_renderbuffer(size, samples=4)
                ),
                resolved=gl.framebuffer(gl.texture(size, 4, dtype="f2")),
                developed=gl.framebuffer(gl.texture(size, 4)),
                masks=gl.framebuffer(gl.texture(size, 2), gl.depth_renderbuffer(size)),
            )
        return self.atlases[size]


_OF_THREAD = threading.local()  # OpenGL draws nothing for a thread that has not made the context


def renderer() -> Renderer:
    """This thread's renderer, made on first use."""
    if not hasattr(_OF_THREAD, "renderer"):
        _OF_THREAD.renderer = Renderer()
    return _OF_THREAD.renderer
