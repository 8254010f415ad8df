"""What came about in a simulated clip, judged from its state alone: captions may say only what stands here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sorairo.worlds.cameras import View, project
from sorairo.worlds.layout import rotation_matrices
from sorairo.worlds.physics import LOOK, STEP, Trajectory
from sorairo.worlds.scene import Scene, apparent_width

__all__ = [
    "Story",
    "bounces",
    "came_about",
    "crowded",
    "direction",
    "relation",
    "still_story",
    "tell",
    "well_seen",
]

RATE = 1.0 / (LOOK * STEP)  # looks a second
AIRBORNE = 0.25  # seconds in the air that count as a bounce: 4 to 6 cm high
STILL = 0.06  # m/s


@dataclass(frozen=True, kw_only=True)
class Story:
    """event and variant name the phrases that are true; actors are the objects in them, in order.

    direction: of the first actor, as the camera sees it at the start. bounces: of the first actor. first: which actor
    came down first. others: (relation, object): the first actor stands in that relation to the object throughout.
    """

    event: str
    variant: str
    actors: tuple[int, ...]
    direction: str
    bounces: int = 0
    first: int = 0
    others: tuple[tuple[str, int], ...] = ()


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """[start, stop) of each run of True in a boolean vector."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def first_touch(touch: np.ndarray) -> float:
    """Seconds until a contact (looks) begins; infinity if it never does."""
    return float(np.argmax(touch) / RATE) if touch.any() else float("inf")


def bounces(on_floor: np.ndarray) -> int:
    """Visible bounces from the contact with the floor (looks): flights of AIRBORNE seconds after the first contact."""
    if not on_floor.any():
        return 0
    after = ~on_floor[int(np.argmax(on_floor)) :]
    closed = [(a, b) for a, b in runs(after) if b < len(after)]
    opened = [(a, b) for a, b in runs(after) if b == len(after)]
    return sum(b - a >= AIRBORNE * RATE for a, b in closed) + sum(
        b - a >= 0.6 * AIRBORNE * RATE for a, b in opened
    )


def direction(motion: Trajectory, view: View, index: int) -> str:
    """Where an object went, as the camera sees it in the first frame."""
    path = motion.position[-1, index] - motion.position[0, index]
    across = float(path @ view.right[0])
    flat = view.forward[0] * np.array([1.0, 1.0, 0.0])
    along = float(path @ flat / np.linalg.norm(flat))
    if abs(across) >= abs(along):
        return "to the right" if across > 0 else "to the left"
    return "away from the camera" if along > 0 else "towards the camera"


def relation(at: np.ndarray, depth: np.ndarray, one: int, other: int) -> str:
    """How `one` stands to `other` in every frame. at (t n 2) in [-1, 1], depth (t n) in metres."""
    gap = at[:, one, 0] - at[:, other, 0]
    deeper = depth[:, one] - depth[:, other]
    if (gap < -0.14).all():
        return "to the left of"
    if (gap > 0.14).all():
        return "to the right of"
    if (deeper < -0.3).all():
        return "in front of"
    if (deeper > 0.3).all():
        return "behind"
    return "past" if gap[0] * gap[-1] < 0 and min(abs(gap[0]), abs(gap[-1])) > 0.14 else "near"


def crowded(scene: Scene, motion: Trajectory, view: View) -> bool:
    """True if discs in place of the objects already cover one another too much: spares a drawing."""
    at, depth = project(view, motion.position)
    widths = np.array([apparent_width(body.shape, body.size) for body in scene.objects])
    place, radius = at * np.array(view.tan), widths / 2 / depth  # (t n 2), (t n), both in tangents
    gap = np.linalg.norm(place[:, :, None] - place[:, None], axis=-1)
    cover = np.clip((radius[:, :, None] + radius[:, None] - gap) / (2 * radius[:, :, None]), 0.0, 1.0)
    cover = np.where(depth[:, None] < depth[:, :, None], cover, 0.0).max(axis=2)
    return bool((cover.mean(axis=0) > 0.3).any() or cover.max() > 0.85)


def well_seen(scene: Scene, visible: np.ndarray, still: bool = False) -> bool:
    """True if a viewer can count the objects. visible (t n): fraction of each object's pixels seen."""
    if still:
        return bool(visible.min() > 0.5)
    for index, body in enumerate(scene.objects):
        seen = visible[:, index]
        if body.role != "hides" and (seen.mean() < 0.75 or seen.min() < 0.25):
            return False
    return True


def came_about(scene: Scene, motion: Trajectory) -> bool:
    """True if the scene's event happened and nothing else did, seen or not."""
    count = len(scene.objects)
    moved = np.linalg.norm(motion.position - motion.position[0], axis=-1).max(axis=0)
    for index, body in enumerate(scene.objects):
        if body.role == "stands" and (moved[index] > 0.02 or motion.touch[:, index, :count].any()):
            return False
    return motion.stable and _JUDGES[scene.event](scene, motion, None) is not None


def tell(scene: Scene, motion: Trajectory, view: View, visible: np.ndarray | None = None) -> Story | None:
    """The story of a scene that came about; None if `visible` (t n), where given, belies it."""
    told = _JUDGES[scene.event](scene, motion, visible)
    if told is None:
        return None
    variant, facts = told
    actors = tuple(i for i, body in enumerate(scene.objects) if body.role != "stands")
    at, depth = project(view, motion.position)
    others = tuple(
        (relation(at, depth, actors[0], i), i)
        for i, body in enumerate(scene.objects)
        if body.role == "stands"
    )
    path = direction(motion, view, actors[-1] if scene.event == "collapse" else actors[0])
    return Story(event=scene.event, variant=variant, actors=actors, direction=path, others=others, **facts)


def still_story(scene: Scene, motion: Trajectory, view: View) -> Story:
    """The story of one frame: who stands where."""
    at, depth = project(view, motion.position)
    others = tuple((relation(at, depth, 0, i), i) for i in range(1, len(scene.objects)))
    return Story(event="still", variant="still", actors=(0,), direction="", others=others)


Told = tuple[str, dict[str, int]] | None


def _speed(motion: Trajectory, index: int) -> np.ndarray:
    return np.linalg.norm(motion.velocity[:, index], axis=-1)


def _lean(motion: Trajectory, index: int) -> np.ndarray:
    """Cosine between an object's axis now and at the start, (t)."""
    axis = rotation_matrices(motion.rotation[:, index])[..., 2]
    return axis @ axis[0]


def _path(motion: Trajectory, index: int) -> float:
    return float(np.linalg.norm(motion.position[-1, index, :2] - motion.position[0, index, :2]))


def _alone(motion: Trajectory, index: int) -> bool:
    """True if the object met no other object and no prop."""
    count = motion.position.shape[1]
    return not motion.touch[:, index, :count].any() and not motion.touch[:, index, count + 1].any()


def _seconds(motion: Trajectory) -> float:
    return len(motion.touch) / RATE


def _rolls(scene: Scene, index: int) -> str:
    return "rolls" if np.linalg.norm(scene.objects[index].spin) > 0.5 else "slides"


def _drop(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    count = len(scene.objects)
    falling = [i for i, body in enumerate(scene.objects) if body.role == "falls"]
    landed = [first_touch(motion.touch[:, i, count]) for i in falling]
    hops = [bounces(motion.touch[:, i, count]) for i in falling]
    if not all(_alone(motion, i) for i in falling) or not 0.2 < min(landed) <= max(landed) < 0.75 * _seconds(
        motion
    ):
        return None
    if len(falling) == 2:
        if abs(landed[0] - landed[1]) < 0.15:
            return None
        return "two", {"first": int(landed[1] < landed[0])}
    if scene.objects[0].shape == "ball" and not hops[0]:
        return None
    return ("bounces" if hops[0] else "lands"), {"bounces": hops[0]}


def _roll(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    speed = _speed(motion, 0)
    if not _alone(motion, 0) or _path(motion, 0) < 0.8 or speed.min() < 0.5 * speed[0]:
        return None
    return "rolls", {}


def _slide(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    stopped = _speed(motion, 0)[-2:].max() < STILL
    if not _alone(motion, 0) or _path(motion, 0) < 0.6 or not stopped or _lean(motion, 0).min() < 0.97:
        return None
    return "slides", {}


def _ramp(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    count = len(scene.objects)
    on_ramp, on_floor = motion.touch[:, 0, count + 1], motion.touch[:, 0, count]
    off = np.flatnonzero(on_ramp)
    if (
        not len(off)
        or not on_floor[-8:].any()
        or off[-1] / RATE > 0.85 * _seconds(motion)
        or _path(motion, 0) < 1.2
    ):
        return None
    if motion.touch[:, 0, :count].any() or motion.position[0, 0, 2] - motion.position[-1, 0, 2] < 0.3:
        return None
    if _rolls_by_shape(scene) == "slides" and _lean(motion, 0).min() < 0.7:
        return None
    return _rolls_by_shape(scene), {}


def _rolls_by_shape(scene: Scene) -> str:
    return "slides" if scene.objects[0].shape in ("cube", "cone") else "rolls"


def _collide(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    meets = first_touch(motion.touch[:, 0, 1])
    late = np.arange(len(motion.velocity)) > meets / _seconds(motion) * len(motion.velocity) + 0.5
    if not 0.25 < meets < 0.6 * _seconds(motion) or not late.any():
        return None
    if _speed(motion, 1)[late].max() < 0.3 or _path(motion, 1) < 0.15:
        return None
    if scene.objects[1].shape != "ball" and _lean(motion, 1).min() < 0.9:
        return None  # fell over: that is another event
    return _rolls(scene, 0), {}


def _crash(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    meets = first_touch(motion.touch[:, 0, 1])
    before = int(meets / _seconds(motion) * (len(motion.velocity) - 1)) if np.isfinite(meets) else 0
    if not 0.3 < meets < 0.6 * _seconds(motion) or min(_speed(motion, i)[before] for i in (0, 1)) < 0.4:
        return None
    return "meets", {}


def _topple(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    meets = first_touch(motion.touch[:, 0, 1])
    if not 0.2 < meets < 0.6 * _seconds(motion) or _lean(motion, 1)[-1] > 0.5:
        return None
    return _rolls(scene, 0), {}


def _collapse(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    top = sum(body.role == "falls over" for body in scene.objects) - 1
    if motion.position[-1, top, 2] > 0.55 * motion.position[0, top, 2] or _path(motion, top) < 0.3:
        return None
    return "collapses", {}


def _swing(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    side = motion.position[:, 0, 0]
    if not _alone(motion, 0) or motion.touch[:, 0].any() or side.min() > -0.25 or side.max() < 0.25:
        return None
    return "swings", {}


def _hide(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    body, end, speed = scene.objects[0], abs(motion.position[-1, 0, 0]), _speed(motion, 0)
    half = scene.props[0].size[0]
    comes_out = end > half + 0.5 * max(body.size) and speed.min() > 0.2
    if not comes_out and (speed[-2:].max() > 0.1 or end > half - 0.5 * max(body.size)):
        return None
    if not _alone(motion, 0) or (body.shape == "cube" and _lean(motion, 0).min() < 0.97):
        return None
    if visible is not None:
        seen = visible[:, 0]
        if seen[0] < 0.85 or seen.min() > 0.05 or (seen[-1] < 0.85 if comes_out else seen[-1] > 0.05):
            return None
    return f"{_rolls(scene, 0)} {'out' if comes_out else 'in'}", {}


def _edge(scene: Scene, motion: Trajectory, visible: np.ndarray | None) -> Told:
    count = len(scene.objects)
    lands = first_touch(motion.touch[:, 0, count])
    if not motion.touch[:8, 0, count + 1].any() or not 0.5 < lands < 0.85 * _seconds(motion):
        return None
    if motion.touch[:, 0, :count].any() or motion.position[-1, 0, 2] > motion.position[0, 0, 2] - 0.2:
        return None
    return _rolls(scene, 0), {}


_JUDGES = {
    "drop": _drop,
    "roll": _roll,
    "slide": _slide,
    "ramp": _ramp,
    "collide": _collide,
    "crash": _crash,
    "topple": _topple,
    "collapse": _collapse,
    "swing": _swing,
    "hide": _hide,
    "edge": _edge,
}
