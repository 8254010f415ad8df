"""Tracks of a clip's objects: of the world's clips, as latents, as maps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sorairo.data.maps import state_map
from sorairo.data.tracks import tracks_of
from sorairo.scenes.maps import CAMERA, MAPS, MOVES, scene_maps
from sorairo.scenes.tracks import CHANNELS, COLOURS, KINDS, POSITIONS, SHAPES, Tracks
from sorairo.types import UserError
from sorairo.worlds import get_world, palette
from sorairo.worlds.cameras import View, project


@pytest.fixture(scope="module")
def clips():
    world = get_world("studio")
    return [world.clip(seed, size=(64, 64), circle=1, masks=True) for seed in (900_000, 900_002, 900_004)]


def ball(x: float = 0.0, width: float = 0.5, depth: float = 6.0, colour: str = "red") -> Tracks:
    """One ball that stands still, in the first of two slots."""
    place = torch.tensor([x, 0.0, width, width, depth]).expand(1, 2, 3, 5).clone()
    return Tracks(
        place=place,
        shape=torch.tensor([[SHAPES.index("ball"), 0]]),
        colour=torch.tensor([[COLOURS.index(colour), 0]]),
        there=torch.tensor([[True, False]]),
        camera=torch.tensor([0.0, 0.0, 0.0, -1.0, 6.0]).expand(1, 3, 5),
    )


def both(one: Tracks, other: Tracks) -> Tracks:
    """The first object of each."""
    return Tracks(
        **{
            name: torch.cat([getattr(one, name)[:, :1], getattr(other, name)[:, :1]], 1)
            for name in ("place", "shape", "colour", "there")
        },
        camera=one.camera,
    )


def test_names_are_the_worlds():
    assert SHAPES == palette.SHAPES
    assert tuple(palette.COLOURS) == COLOURS


def test_tracks_come_back_from_their_latents(clips):
    for clip in clips:
        tracks = tracks_of(clip, 9)
        latents = tracks.encode()
        assert latents.shape == (1, CHANNELS, 9, 1, POSITIONS)
        back = Tracks.decode(
            latents + 0.1 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
        )
        assert torch.equal(back.there, tracks.there)
        assert torch.equal(back.shape[back.there], tracks.shape[back.there])
        assert torch.equal(back.colour[back.there], tracks.colour[back.there])
        exact = Tracks.decode(latents).place - tracks.place
        assert float(exact[tracks.there].abs().max()) < 1e-3
        assert float((Tracks.decode(latents).camera - tracks.camera).abs().max()) < 1e-3


def test_scenes_from_before_the_camera_are_refused(clips):
    """Their last object was taken for the camera."""
    with pytest.raises(UserError, match="another version made it"):
        Tracks.decode(tracks_of(clips[0], 9).encode()[..., :-1])


def test_what_is_in_the_tracks_is_what_the_clip_shows(clips):
    """Maps of tracks, which know outlines only roughly, agree with those of what every pixel shows."""
    for clip in clips:
        seen = state_map(clip, (9, 8, 8)).float() / 255
        told = scene_maps(tracks_of(clip, 9), (8, 8))[0, : len(KINDS)]
        assert float((seen - told).abs().sum() / seen.sum()) < 0.3


def test_a_still_has_one_frame(clips):
    clip = get_world("studio").clip(900_000, size=(64, 64), frames=1, circle=1)
    assert tracks_of(clip, 1).encode().shape[2] == 1


def test_an_object_cut_by_the_edge_keeps_its_size():
    world = get_world("studio")
    clip = next(
        clip
        for clip in (world.clip(seed, size=(64, 64), circle=1, leaves=True) for seed in range(200, 260))
        if np.isnan(clip.state["box"][-1, clip.state["story"]["actors"][0]]).any()
    )
    tracks = tracks_of(clip, 9)
    assert bool(tracks.place.isfinite().all())
    size = tracks.place[0, 0, :, 2] * tracks.place[0, 0, :, 4]  # width times distance: the object's own
    assert float(size.max() / size.min()) < 1.6
    assert abs(float(tracks.place[0, 0, -1, 0])) > 0.9


def test_a_mirror_exchanges_left_and_right(clips):
    tracks = tracks_of(clips[0], 9)
    maps, turned = scene_maps(tracks, (8, 8)), scene_maps(tracks.mirrored(), (8, 8))
    assert torch.allclose(maps[:, : len(KINDS)].flip(-1), turned[:, : len(KINDS)], atol=1e-6)


def test_what_is_nearer_hides():
    red, blue = ball(depth=4.0), ball(depth=8.0, colour="blue")
    maps = scene_maps(both(red, blue), (8, 8))[0]
    there = maps[: len(KINDS), 0, 3:5, 3:5].mean((1, 2))
    assert float(there[KINDS.index("red")]) == 1
    assert float(there[KINDS.index("blue")]) == 0


def test_maps_cover_as_much_as_the_object_and_lie_in_the_middle_square():
    small, wide = scene_maps(ball(), (16, 16))[0], scene_maps(ball(), (16, 32))[0]
    area = float(small[KINDS.index("ball"), 0].sum()) / 256
    assert abs(area - 3.1416 * 0.25**2) < 0.01
    assert torch.allclose(wide[: len(KINDS), :, :, 8:24], small[: len(KINDS)], atol=1e-6)
    assert small.shape == (MAPS, 3, 16, 16)


def test_around_an_object_a_map_says_where_in_it_one_is():
    near, across, down, width, _ = scene_maps(ball(x=0.5), (16, 16))[0, len(KINDS) : -len(CAMERA), 0]
    inside = near == 1
    assert inside.any() and not inside.all()
    columns = torch.arange(16).expand(16, 16)
    assert float(across[inside & (columns < 11)].max()) < 0 < float(across[inside & (columns > 12)].min())
    assert bool((down[inside][:3] < 0).all())
    assert torch.allclose(width[inside], torch.tensor(2 * np.log(0.5 / 0.3)).float())
    assert float(near[:, 0].max()) == 0


def test_nothing_gives_nothing():
    empty = ball()
    empty.there[:] = False
    assert float(scene_maps(empty, (8, 8)).abs().max()) == 0


@pytest.fixture(scope="module")
def filmed():
    """A clip of each move of circle 1's cameras."""
    world, found = get_world("studio"), {}
    for seed in range(900_000, 900_200):
        move = world.subject(seed, circle=1)[1]
        if move not in found:
            found[move] = world.clip(seed, size=(64, 64), circle=1)
    return found


def floor_points(view: View) -> np.ndarray:
    """Where rays through the first frame's lower half meet the floor: (n 3)."""
    x, y = (side.ravel() for side in np.meshgrid(np.linspace(-0.6, 0.6, 5), np.linspace(0.0, 0.6, 4)))
    rays = view.forward[0] + x[:, None] * view.tan[0] * view.right[0] - y[:, None] * view.tan[1] * view.up[0]
    return view.eye[0] - rays * (view.eye[0, 2] / rays[:, 2])[:, None]


@pytest.mark.parametrize(("move", "error"), [("still", 1e-3), ("pan", 0.05), ("dolly", 0.15)])
def test_the_camera_says_how_the_floor_moves(filmed, move, error):
    """Points of the floor go where the maps say, from the first frame to the last: in halves of the picture."""
    clip = filmed[move]
    view = View(**clip.state["view"])
    tracks = tracks_of(clip, 1 + (len(view.eye) - 1))  # one latent frame each
    maps = scene_maps(tracks, (32, 32))[0, -len(CAMERA) :, -1] / MOVES
    points = floor_points(view)
    before, after = (project(view, np.repeat(points[None], len(view.eye), 0))[0][frame] for frame in (0, -1))
    inside = (np.abs(after) < 0.9).all(1)
    assert inside.sum() > 4
    rows, columns = (((after[inside, axis] + 1) / 2 * 32).astype(int) for axis in (1, 0))
    told = np.stack([maps[0][rows, columns], maps[1][rows, columns]], -1)
    moved = (after - before)[inside]
    assert move == "still" or np.abs(moved).max() > 0.2
    assert np.abs(told - moved).mean() < error


def test_a_camera_that_is_mirrored_turns_the_other_way(filmed):
    tracks = tracks_of(filmed["pan"], 9)
    seen, mirror = (scene_maps(one, (8, 8))[:, -len(CAMERA) :] for one in (tracks, tracks.mirrored()))
    assert torch.allclose(seen[:, 0].flip(-1), -mirror[:, 0], atol=1e-5)
    assert torch.allclose(seen[:, 1].flip(-1), mirror[:, 1], atol=1e-5)


def test_training_says_the_cameras_move_in_more_ways_than_the_world():
    """In paraphrases alone, in no wording of the scorecard, and a move the other way in no case."""
    from recipes.scene import CAMERAS, in_other_words, wordings
    from sorairo.worlds.templates import CAMERA_WORDS

    scored = {words for one in CAMERA_WORDS.values() for words in one.heldout}
    ours = {words for move in CAMERAS for words in wordings(move)}
    assert not ours & scored and not ours & {one for words in CAMERA_WORDS.values() for one in words.trained}
    clip, heard = get_world("studio").clip(900_002, size=(64, 64), circle=1), set()
    move = clip.state["camera_move"]
    for seed in range(400):
        long, short, one, two = in_other_words(
            ("long", "short", f"A ball. {CAMERA_WORDS[move].long}", "A cube."), replace(clip, seed=seed)
        )
        assert (long, short, two) == ("long", "short", "A cube.")
        heard.add(one.removeprefix("A ball. "))
    assert heard == {CAMERA_WORDS[move].long, *wordings(move)}
