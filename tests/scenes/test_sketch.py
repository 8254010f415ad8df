"""A scene's sketch: outlines in flat colours, and what the embedding sees of it."""

from __future__ import annotations

import pytest
import torch

from sorairo.codec.latent_space import LatentSpace
from sorairo.scenes.embedding import CLEAR, SceneEmbedding
from sorairo.scenes.maps import MAPS
from sorairo.scenes.sketch import sketch
from sorairo.scenes.tracks import COLOURS, SHAPES, SLOTS, Tracks


def scene(*objects: tuple[str, str, float, float, float], horizon: float = -2.0, frames: int = 3) -> Tracks:
    """Objects (shape, colour, x, y, distance) a quarter as wide and half as high as the picture, at rest."""
    blank = SLOTS - len(objects)
    places = [[x, y, 0.25, 0.5, far] for _, _, x, y, far in objects] + [[0.0, 0.0, 0.25, 0.5, 6.0]] * blank
    return Tracks(
        place=torch.tensor(places)[None, :, None].expand(-1, -1, frames, -1).clone(),
        shape=torch.tensor([[SHAPES.index(one[0]) for one in objects] + [0] * blank]),
        colour=torch.tensor([[COLOURS.index(one[1]) for one in objects] + [0] * blank]),
        there=torch.tensor([[True] * len(objects) + [False] * blank]),
        camera=torch.tensor([0.0, 0.0, 0.0, horizon, 6.0]).expand(1, frames, 5).clone(),
    )


def covered(tracks: Tracks, size: tuple[int, int] = (64, 64)) -> torch.Tensor:
    """How much of the first frame's pixels differs from the empty scene."""
    return (sketch(tracks, size, 2) != sketch(scene(), size, 2)).any(1)[0, 0].float()


@pytest.mark.parametrize(
    ("shape", "share"), [("cube", 1.0), ("cylinder", 1.0), ("ball", torch.pi / 4), ("cone", 0.5)]
)
def test_an_outline_covers_what_its_shape_does(shape, share):
    there = covered(scene((shape, "red", 0.0, 0.0, 6.0)), (256, 256))
    assert float(there.mean()) == pytest.approx(share * 0.25 * 0.5, rel=0.08)
    rows, columns = there.any(1).nonzero(), there.any(0).nonzero()
    assert abs(int(rows.min()) - 64) <= 2 and abs(int(rows.max()) - 191) <= 2
    assert abs(int(columns.min()) - 96) <= 2 and abs(int(columns.max()) - 159) <= 2


def test_a_cone_is_narrow_at_its_top():
    there = covered(scene(("cone", "red", 0.0, 0.0, 6.0)))
    assert there[20].sum() < there[32].sum() < there[44].sum()


def test_the_nearer_hides_the_farther_whatever_their_order():
    near, far = ("cube", "red", 0.0, 0.0, 3.0), ("cube", "blue", 0.0, 0.0, 9.0)
    one, other = sketch(scene(near, far), (32, 32), 2), sketch(scene(far, near), (32, 32), 2)
    assert torch.equal(one, other)
    red, _, blue = one[0, :, 0, 16, 16]
    assert red > blue


def test_a_mirrored_scene_has_a_mirrored_sketch():
    tracks = scene(("cone", "teal", -0.4, 0.2, 4.0), ("ball", "pink", 0.5, 0.0, 5.0), horizon=-0.3)
    assert torch.allclose(
        sketch(tracks.mirrored(), (32, 48), 2), sketch(tracks, (32, 48), 2).flip(-1), atol=1e-5
    )


def test_it_moves_from_frame_to_frame_and_keeps_to_the_middle_square():
    tracks = scene(("ball", "black", 0.0, 0.0, 6.0))
    tracks.place[0, 0, :, 0] = torch.tensor([-0.5, 0.0, 0.5])
    video = sketch(tracks, (32, 64), 2)
    assert video.shape == (1, 3, 5, 32, 64)
    dark = (video[0].mean(0) < 0).float()  # f h w
    across = (dark * torch.arange(64)).sum((1, 2)) / dark.sum((1, 2))
    assert torch.all(across.diff() > 0)
    assert float(across.min()) >= 16 and float(across.max()) <= 48


def test_the_sky_ends_at_the_horizon():
    picture = sketch(scene(horizon=-0.5), (64, 64), 2)[0, 2, 0, :, 0]  # blue, from top to bottom
    assert torch.all(picture[:15] > picture[-1]) and torch.all(picture[17:] == picture[-1])


def test_the_embedding_sees_maps_and_the_sketch_as_latents():
    space = LatentSpace.fit([torch.rand(2, 3, 5, 32, 32) * 2 - 1], z=8, shared=4, rows=60)
    embedding = SceneEmbedding(16, 2, space)
    tracks = scene(("ball", "red", 0.0, 0.0, 6.0))
    seen = embedding.look(tracks, (4, 8))
    assert seen.shape == (1, MAPS + 8, 3, 4, 8)
    assert torch.allclose(seen[:, MAPS:] / CLEAR, space.encode(sketch(tracks, (32, 64), 2)), atol=1e-5)
    assert embedding(seen).abs().max() == 0  # until it has learnt
    assert {name for name, _ in embedding.named_parameters()} == {"embed.weight"}
