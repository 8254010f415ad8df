"""A scene as a picture: the objects' outlines at some moments, one beside another."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from sorairo.scenes.directed import tracks_of_scene
from sorairo.scenes.sketch import GROUND, PAINT, SKY
from sorairo.scenes.tracks import Tracks
from sorairo.tasks.scene import COLOURS, SHAPES
from sorairo.types import Scene

__all__ = ["draw_moment", "draw_scene"]

MOMENTS, SIDE, GAP = 5, 160, 6
EDGE, PAPER = "#111827", "#ffffff"


def draw_scene(scene: Scene) -> Image.Image:
    """Five moments from the first to the last place of anything."""
    last = max((place.at for one in scene.objects for place in one.path), default=0.0)
    tracks = tracks_of_scene(scene, np.linspace(0.0, last, MOMENTS))
    sheet = Image.new("RGB", (MOMENTS * (SIDE + GAP) - GAP, SIDE), PAPER)
    for moment in range(MOMENTS):
        sheet.paste(draw_moment(tracks, moment, SIDE), (moment * (SIDE + GAP), 0))
    return sheet


def draw_moment(tracks: Tracks, moment: int, side: int) -> Image.Image:
    """The outlines of one latent frame, the farthest first, below the horizon."""
    picture = Image.new("RGB", (side, side), GROUND)
    draw = ImageDraw.Draw(picture)
    horizon = (float(tracks.camera[0, moment, 3]) + 1) / 2 * side
    if horizon > 0:
        draw.rectangle((0, 0, side, horizon), SKY)
    for slot in tracks.place[0, :, moment, 4].argsort(descending=True).tolist():
        if not tracks.there[0, slot]:
            continue
        x, y, width, height, _ = tracks.place[0, slot, moment].tolist()
        middle = ((x + 1) / 2 * side, (y + 1) / 2 * side)
        left, top = middle[0] - width * side / 2, middle[1] - height * side / 2
        right, bottom = left + width * side, top + height * side
        paint, shape = PAINT[COLOURS[int(tracks.colour[0, slot])]], SHAPES[int(tracks.shape[0, slot])]
        if shape in ("ball", "capsule"):
            draw.ellipse((left, top, right, bottom), paint, EDGE)
        elif shape == "cone":
            draw.polygon([(middle[0], top), (right, bottom), (left, bottom)], paint, EDGE)
        else:
            draw.rectangle((left, top, right, bottom), paint, EDGE)
    return picture
