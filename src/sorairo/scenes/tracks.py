"""The objects of a clip as tracks, and its camera. A track says what an object is, and its place and size in every
latent frame; the camera's says where the middle of the floor is, and how far.

Legend: n clips, k slots (one for each object), t latent frames, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sorairo.tasks.scene import COLOURS, SHAPES, SLOTS
from sorairo.types import UserError

__all__ = [
    "CHANNELS",
    "COLOURS",
    "DISTANCE",
    "KINDS",
    "PLACE",
    "POSITIONS",
    "SHAPES",
    "SIZE",
    "SLOTS",
    "Tracks",
]

POSITIONS = SLOTS + 1  # of a latent frame: the objects, then the camera
KINDS = (*SHAPES, *COLOURS)
PLACE = 5  # x, y, width, height, depth; of the camera: x, y, turn, horizon, distance
CHANNELS = PLACE + 1 + len(KINDS)  # and whether there is an object at all
SIZE, DISTANCE = 0.3, 6.0  # a usual object: part of the picture's short side, and metres from the lens
# What places, sizes and distances are multiplied by, for about unit variance, which latents have too
PLACES, SIZES, DISTANCES = 3.0, 2.5, 3.0
CAMERAS = 6.0  # of the camera, which has few of a scene's numbers: louder, or its words are learnt last


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """place: (n k t 5), x and y of the middle from -1 to 1 across the picture's middle square, width and height as
    parts of its side, depth in metres. shape, colour: int (n k), places in SHAPES and COLOURS. there: bool (n k).

    camera: (n t 5). x and y of the point of the floor at which the clip's middle frame looks, as places are; by how
    much the camera has turned around it since the first frame, in radians; y of the horizon, above the picture where it
    is less than -1; metres to the point.
    """

    place: Tensor
    shape: Tensor
    colour: Tensor
    there: Tensor
    camera: Tensor

    def mirrored(self) -> Tracks:
        """As a mirror shows them: left and right exchanged."""
        sign, turned = torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0]), torch.tensor([-1.0, 1.0, -1.0, 1.0, 1.0])
        return replace(self, place=self.place * sign, camera=self.camera * turned)

    def encode(self) -> Tensor:
        """What the scene's transformer denoises: (n c t 1 k+1), every value of about unit variance."""
        x, y, width, height, depth = self.place.unbind(-1)  # n k t each
        numbers = [
            PLACES * x,
            PLACES * y,
            SIZES * (width.clamp_min(1e-3) / SIZE).log(),
            SIZES * (height.clamp_min(1e-3) / SIZE).log(),
            DISTANCES * (depth.clamp_min(1e-3) / DISTANCE).log(),
        ]
        t = x.shape[2]
        shape = _names(self.shape, len(SHAPES))[:, :, None].expand(-1, -1, t, -1)  # n k t 5
        colour = _names(self.colour, len(COLOURS))[:, :, None].expand(-1, -1, t, -1)  # n k t 12
        values = torch.cat([torch.stack(numbers, -1), shape, colour], -1)  # n k t c-1
        values = values * self.there[:, :, None, None]
        there = (2.0 * self.there - 1)[:, :, None, None].expand(-1, -1, t, 1)
        values = torch.cat([values[..., :PLACE], there, values[..., PLACE:]], -1)  # n k t c
        values = torch.cat([values, _camera(self.camera)[:, None]], 1)  # n k+1 t c
        return values.permute(0, 3, 2, 1)[:, :, :, None]  # n c t 1 k

    @classmethod
    def decode(cls, latents: Tensor) -> Tracks:
        """The tracks that latents (n c t 1 k+1) stand for; names by the largest mean over a clip.

        Raises UserError for scenes of another form, such as those from before scenes had a camera.
        """
        if latents.shape[1] != CHANNELS or latents.shape[4] != POSITIONS:
            raise UserError(
                f"A scene has {CHANNELS} numbers for each of {POSITIONS} positions, not {latents.shape[1]} for"
                f" {latents.shape[4]}: another version made it; make the data again in a new folder."
            )
        values = latents[:, :, :, 0].permute(0, 3, 2, 1).float()  # n k+1 t c
        values, camera = values[:, :-1], values[:, -1, :, :PLACE]
        x, y, width, height, depth = values[..., :PLACE].unbind(-1)
        place = [
            x / PLACES,
            y / PLACES,
            SIZE * (width / SIZES).clamp(-3, 2).exp(),
            SIZE * (height / SIZES).clamp(-3, 2).exp(),
            DISTANCE * (depth / DISTANCES).clamp(-2, 2).exp(),
        ]
        names = values[..., PLACE + 1 :].mean(2)  # n k 17
        at_x, at_y, turn, horizon, distance = camera.unbind(-1)  # n t
        seen = [
            at_x / CAMERAS,
            at_y / CAMERAS,
            turn / CAMERAS,
            horizon / CAMERAS - 1,
            DISTANCE * (distance / CAMERAS).clamp(-2, 2).exp(),
        ]
        return cls(
            place=torch.stack(place, -1),
            shape=names[..., : len(SHAPES)].argmax(-1),
            colour=names[..., len(SHAPES) :].argmax(-1),
            there=values[..., PLACE].mean(2) > 0,
            camera=torch.stack(seen, -1),
        )


def _camera(camera: Tensor) -> Tensor:
    """The camera (n t 5) as the last position of a scene: (n t c)."""
    x, y, turn, horizon, distance = camera.unbind(-1)
    far = (distance.clamp_min(1e-3) / DISTANCE).log()
    numbers = CAMERAS * torch.stack([x, y, turn, horizon + 1, far], -1)
    there, names = torch.ones_like(numbers[..., :1]), torch.zeros(*numbers.shape[:-1], len(KINDS))
    return torch.cat([numbers, there, names], -1)


def _names(index: Tensor, count: int) -> Tensor:
    """Places in a list (n k) -> unit-variance marks (n k count)."""
    share = 1 / count
    marks = torch.nn.functional.one_hot(index.long(), count).float()
    return (marks - share) / (share * (1 - share)) ** 0.5
