"""One parsed clip against the facts that its prompt asked for: a number per question, NaN where it does not arise."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from sorairo.evaluation.laws import motion_errors
from sorairo.evaluation.parse import Parsed
from sorairo.evaluation.relations import order, stands
from sorairo.evaluation.suites import Facts
from sorairo.evaluation.tracks import Track

__all__ = ["RIGHT", "judge", "motion", "physics"]

# Question -> what it is called in the report. True is right.
RIGHT = {
    "count": "number of objects",
    "colours": "colours",
    "shapes": "shapes",
    "objects": "objects (count, colour and shape of all)",
    "event": "event",
    "camera": "camera",
    "all": "objects, event and camera",
    **{f"count {number}": f"number of objects, of {number}" for number in (1, 2, 3, 4)},
    "relations": "relations (left or right of, in front of, behind)",
    "order": "order in time (which lands first)",
}
# Which law is asked of which event; a law that is not listed is asked of all.
LAWS = {
    "gravity": {"drop", "edge"},
    "bounce": {"drop"},
    "velocity": {"roll", "slide", "ramp", "collide", "crash", "topple", "hide"},
}
PARTLY_HIDDEN = 0.6  # of an object's median area: below it the middle of what is seen is not its middle
EDGE = 1.5  # pixels from the picture's edge, likewise


def judge(parsed: Parsed, facts: Facts) -> dict[str, float]:
    """Right (1) or wrong (0) for every question of RIGHT; NaN where it does not arise."""
    truth, found = sorted(facts.objects), parsed.names()
    right = {
        "count": len(truth) == len(found),
        "colours": sorted(c for c, _ in truth) == sorted(c for c, _ in found),
        "shapes": sorted(s for _, s in truth) == sorted(s for _, s in found),
        "objects": truth == found,
        "event": parsed.event == facts.event,
        "camera": parsed.camera == facts.camera,
    }
    right["all"] = right["objects"] and right["event"] and right["camera"]
    scores = {question: float(value) for question, value in right.items()}
    for number in (1, 2, 3, 4):
        scores[f"count {number}"] = scores["count"] if number == len(truth) else float("nan")
    return scores | {"relations": stands(parsed, facts), "order": order(parsed, facts)}


def physics(parsed: Parsed, facts: Facts, size: tuple[int, int]) -> dict[str, float]:
    """Errors against the laws of motion, and permanence behind a wall. size: (width, height)."""
    return {"permanence": _permanence(parsed, facts)} | motion(parsed, facts, size)


def motion(parsed: Parsed, facts: Facts, size: tuple[int, int]) -> dict[str, float]:
    """Errors against the laws of motion alone (see laws.MotionErrors), each where the event is about that law."""
    errors = asdict(motion_errors([_path(track, size) for track in parsed.objects]))
    return {
        law: error if facts.event in LAWS.get(law, {facts.event}) else np.nan for law, error in errors.items()
    }


def _path(track: Track, size: tuple[int, int]) -> np.ndarray:
    """A track's path (t 2) in object sizes, without the frames in which the object is partly hidden."""
    path = track.path.copy()
    half = track.size / 2
    with np.errstate(invalid="ignore"):
        cut = (path - half < EDGE).any(axis=1) | (path + half > np.array(size) - EDGE).any(axis=1)
    path[cut | (track.area < PARTLY_HIDDEN * track.size**2)] = np.nan
    return path / track.size


def _permanence(parsed: Parsed, facts: Facts) -> float:
    """Behind a wall nothing changes: what comes out has the colour and shape of what went in.

    Asked of clips whose prompt has a wall. The objects seen at the end must be those seen at the start, all of them if
    everything comes out; what stays behind the wall may be missing.
    """
    if facts.emerges is None:
        return float("nan")
    t = len(parsed.objects[0].path) if parsed.objects else 0
    start = _seen(parsed, 0, t // 4)
    end = _seen(parsed, t - t // 4, t)
    if not start or (facts.emerges and len(end) < len(start)):
        return 0.0
    left = list(start)
    for name in end:
        if name not in left:
            return 0.0
        left.remove(name)
    return 1.0


def _seen(parsed: Parsed, start: int, stop: int) -> list[tuple[str, str]]:
    """(colour, shape) of what is seen between two frames, in the words of that stretch alone."""
    return [
        (colour, shape)
        for track in parsed.objects
        for first, last, colour, shape in track.parts
        if first < stop and last > start
    ]
