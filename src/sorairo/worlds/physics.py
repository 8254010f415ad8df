"""Scene -> trajectory, by MuJoCo: soft contacts whose damping is set from the restitution that the scene asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sorairo.types import UserError
from sorairo.worlds.scene import Body, Scene

__all__ = ["Trajectory", "simulate"]

STEP = 1.0 / 480  # seconds
STIFFNESS = 40_000.0  # 1/s2 per unit of effective mass: a contact lasts about 16 ms
EXCESS = 0.025  # restitution that steps of this length add to the formula's, measured from 0.1 to 0.85
LOOK = 4  # steps between two looks at the contacts; a frame's time is met to the nearest look


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """Exact motion at the frame times. n objects, m props; units m, s, rad; world frame, z up.

    position (t n 3), rotation (t n 4) as w x y z, velocity and spin (t n 3), touch (looks n n+2): who touches
    whom at 120 looks a second: other objects, then the floor, then any prop. contacts (t n n+2): touched since the
    frame before.
    stable: False if the solver gave up; the numbers are then worthless.
    """

    position: np.ndarray
    rotation: np.ndarray
    velocity: np.ndarray
    spin: np.ndarray
    contacts: np.ndarray
    touch: np.ndarray
    stable: bool


def _mujoco() -> Any:
    try:
        import mujoco
    except ImportError as error:
        raise UserError('Simulated worlds need MuJoCo: pip install "sorairo[worlds]".') from error
    # Its own handler leaves a log file where the user stands; Trajectory.stable says what matters.
    getattr(mujoco, "set_mju_user_warning")(_ignore)  # noqa: B009  (missing from the type stubs)
    return mujoco


def _ignore(message: str) -> None:
    pass


def _numbers(values: Any) -> str:
    return " ".join(f"{float(v):.9g}" for v in values)


@cache
def _damping(restitution: float) -> float:
    """Damping ratio of a spring that pushes but never pulls and returns `restitution` of the speed.

    Schwager and Poeschel 2007 ("Coefficient of restitution and linear-dashpot model revisited"), solved by bisection.
    """
    low, high = 0.0, 0.999
    for _ in range(40):
        ratio = (low + high) / 2
        swing = math.sqrt(1.0 - ratio * ratio)
        contact = math.pi - math.atan2(2.0 * ratio * swing, 1.0 - 2.0 * ratio * ratio)
        returned = math.exp(-ratio / swing * contact)
        low, high = (ratio, high) if returned > restitution else (low, ratio)
    return low


def _contact(restitution: float) -> str:
    """MuJoCo's solref of a contact with that restitution."""
    return f"{-STIFFNESS:.6g} {-2.0 * _damping(restitution - EXCESS) * math.sqrt(STIFFNESS):.6g}"


def _geom(body: Body, name: str) -> tuple[str, str]:
    """(asset xml, geom xml) of one body."""
    x, y, z = body.size
    asset = ""
    match body.shape:
        case "ball":
            form = f'type="sphere" size="{x:.9g}"'
        case "cube":
            form = f'type="box" size="{_numbers(body.size)}"'
        case "cylinder":
            form = f'type="cylinder" size="{x:.9g} {z:.9g}"'
        case "capsule":
            form = f'type="capsule" size="{x:.9g} {z:.9g}"'
        case _:
            turns = np.linspace(0.0, 2.0 * math.pi, 40, endpoint=False)
            ring = np.stack([x * np.cos(turns), x * np.sin(turns), np.full_like(turns, -y)], axis=1)
            points = np.concatenate([ring, [[0.0, 0.0, z]]])
            asset = f'<mesh name="m{name}" vertex="{_numbers(points.ravel())}"/>'
            form = f'type="mesh" mesh="m{name}"'
    surface = (
        f'friction="{body.friction:.6g} 0.004 {body.rolling:.6g}" solref="{_contact(body.restitution)}" '
        f'density="{body.density:.6g}" condim="{6 if body.rolling else 3}" priority="{0 if body.prop else 1}"'
    )
    return asset, f'<geom name="g{name}" {form} {surface}/>'


def _xml(scene: Scene) -> str:
    assets, bodies = [], []
    for index, body in enumerate(scene.objects + scene.props):
        if body.role == "string":
            continue
        asset, geom = _geom(body, str(index))
        assets.append(asset)
        joint = "" if body.prop or body.role == "stands" else "<freejoint/>"
        if body.hangs:
            joint = f'<joint type="ball" pos="0 0 {body.hangs:.9g}" damping="0.002"/>'
        place = f'pos="{_numbers(body.position)}" quat="{_numbers(body.rotation)}"'
        bodies.append(f'<body name="b{index}" {place}>{joint}{geom}</body>')
    return (
        f'<mujoco><compiler angle="radian"/><option timestep="{STEP!r}" gravity="0 0 {-scene.gravity:.9g}" '
        f'integrator="implicitfast" cone="elliptic" impratio="5" tolerance="1e-6"/>'
        f'<default><geom solimp="0.95 0.99 0.005"/></default>'
        f"<asset>{''.join(assets)}</asset><worldbody>"
        f'<geom name="floor" type="plane" size="50 50 1" friction="0.6"/>'
        f"{''.join(bodies)}</worldbody></mujoco>"
    )


def _axes(mujoco: Any, body: Body) -> np.ndarray:
    """The body's axes as columns (3 3): a free joint takes its spin in the body's own frame."""
    axes = np.zeros(9)
    mujoco.mju_quat2Mat(axes, np.asarray(body.rotation, dtype=float))
    return axes.reshape(3, 3)


def simulate(scene: Scene, frames: int, fps: float) -> Trajectory:
    """Run the scene for `frames` frames at `fps`; the first frame is the scene as it is placed."""
    mujoco = _mujoco()
    model = mujoco.MjModel.from_xml_string(_xml(scene))
    data = mujoco.MjData(model)
    count = len(scene.objects)
    body_of = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, f"b{i}") for i in range(count)]
    owner = np.full(model.nbody, -2)
    owner[0] = -1
    owner[body_of] = np.arange(count)
    for index, body in enumerate(scene.objects):
        if not body.hangs and body.role != "stands":
            start = model.jnt_dofadr[model.body_jntadr[body_of[index]]]
            data.qvel[start : start + 3] = body.velocity
            data.qvel[start + 3 : start + 6] = np.asarray(body.spin) @ _axes(mujoco, body)
    mujoco.mj_forward(model, data)

    position = np.zeros((frames, count, 3))
    rotation = np.zeros((frames, count, 4))
    velocity = np.zeros((frames, count, 3))
    spin = np.zeros((frames, count, 3))
    goals = [LOOK * round(frame / fps / STEP / LOOK) for frame in range(frames)]
    touch = np.zeros((goals[-1] // LOOK + 1, count, count + 2), dtype=bool)
    contacts = np.zeros((frames, count, count + 2), dtype=bool)
    motion = np.zeros(6)

    # A bystander is held in place: the scene is dropped if anything touches it, so nothing is lost but its cost.
    standing = np.array([body.role == "stands" for body in scene.objects])
    touch[:, standing, count] = True

    def look(into: np.ndarray) -> None:
        if not data.ncon:
            return
        for a, b in owner[model.geom_bodyid[data.contact.geom]].tolist():
            a, b = max(a, b), min(a, b)
            if a >= 0:
                into[a, b if b >= 0 else count - 1 - b] = True
                if b >= 0:
                    into[b, a] = True

    done = 0
    for frame, goal in enumerate(goals):
        while done + LOOK <= goal:
            look(touch[done // LOOK])
            mujoco.mj_step(model, data, LOOK)
            done += LOOK
        since = goals[frame - 1] // LOOK + 1 if frame else 0
        mujoco.mj_forward(model, data)
        look(touch[done // LOOK])
        contacts[frame] = touch[since : done // LOOK + 1].any(axis=0)
        for index, body in enumerate(body_of):
            position[frame, index] = data.xpos[body]
            rotation[frame, index] = data.xquat[body]
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, body, motion, 0)
            spin[frame, index], velocity[frame, index] = motion[:3], motion[3:]
    return Trajectory(
        position=position,
        rotation=rotation,
        velocity=velocity,
        spin=spin,
        contacts=contacts,
        touch=touch,
        stable=not any(int(warning.number) for warning in data.warning),
    )
