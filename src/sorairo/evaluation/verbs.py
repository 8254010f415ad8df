"""Every verb on held-out clips of a world: numbers for each of its targets (see targets.py).

A verb is measured on what it makes, given frames as they come back included, so a model can miss but a file cannot
lie. Change between frames is the mean distance of their levels (0 to 255).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from sorairo import tasks
from sorairo.evaluation.evaluate import psnr
from sorairo.evaluation.judge import motion
from sorairo.evaluation.parse import Parsed, Parser
from sorairo.evaluation.suites import Facts, Suite, facts_of, prompt_of
from sorairo.prompts.kinds import word_kinds
from sorairo.tasks.remix import remixed
from sorairo.types import Plan, Video
from sorairo.upscale import upscale

__all__ = [
    "MEASURES",
    "Bench",
    "Case",
    "cases_of",
    "measure_verbs",
]

Make = Callable[[Plan], Video]
Numbers = dict[str, float]

BACK = 0.15
"""Object sizes in one frame against its way, from which on something turns back; less may be the parser's doing."""
TOLERANCE = 0.5
"""Levels by which a distance may go the wrong way and still count as monotone: less than rounding shows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A real clip with its words and its facts.

    other: a clip of another scene, as long. large: renders a clip at twice the size.
    """

    clip: Video
    words: str
    facts: Facts
    other: Video
    large: Callable[[], Video]
    seed: int


def cases_of(suite: Suite) -> Iterator[Case]:
    """A case for every clip of a suite; the other clip of each is the next one's, of the last the first."""
    clips = list(suite.clips())
    width, height = suite.size
    doubled = replace(suite, size=(2 * width, 2 * height))
    for clip, other in zip(clips, [*clips[1:], clips[0]], strict=True):
        prompt = prompt_of(clip, suite)
        yield Case(
            clip=clip.video,
            words=prompt.text,
            facts=facts_of(clip),
            other=other.video,
            large=lambda seed=clip.seed: doubled.clip(seed).video,
            seed=prompt.seed,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """What all verbs are measured with.

    through: a clip encoded and decoded. ask: settings for every plan. long: windows of the long clip.
    """

    model: tasks.Abilities
    make: Make
    through: Callable[[Video], Video]
    parser: Parser
    ask: tasks.Ask
    long: int = 10

    def made(self, plan: Plan) -> np.ndarray:
        """Frames (t h w 3)."""
        return self.make(plan).frames

    def read(self, frames: np.ndarray) -> Parsed:
        return self.parser(Video(frames=np.ascontiguousarray(frames), fps=self.model.fps))


def measure_verbs(
    bench: Bench, cases: Iterable[Case], *, verbs: Iterable[str] = (), done: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Every target's numbers, one a case; NaN where a question does not apply.

    verbs: some, by name. The long clip is made for the first case only, or for every one if nothing else is asked.
    """
    wanted = set(verbs) or set(MEASURES)
    numbers: dict[str, list[float]] = {}
    for index, case in enumerate(cases):
        here = replace(bench, ask=replace(bench.ask, seed=case.seed, size=case.clip.size))
        for verb, measure in MEASURES.items():
            if verb in wanted and (verb != "long" or index == 0 or wanted == {"long"}):  # minutes each
                for name, value in measure(here, case).items():
                    numbers.setdefault(name, []).append(value)
                done()
    return numbers


def still(bench: Bench, case: Case) -> Numbers:
    frames = bench.made(tasks.text_to_video(case.words, bench.model, replace(bench.ask, frames=1)))
    return {"still.objects": objects_right(bench.read(frames), case)}


def framing(bench: Bench, case: Case) -> Numbers:
    """The same words at the widest and at the tallest size that the model was trained at."""
    sizes = sorted(bench.model.sizes, key=lambda size: size[0] / size[1])
    numbers = {"framing.real": inside(bench.read(case.clip.frames), case.clip.size)}
    for name, size in (("framing.wide", sizes[-1]), ("framing.tall", sizes[0])):
        ask = replace(bench.ask, size=size, frames=len(case.clip))
        frames = bench.made(tasks.text_to_video(case.words, bench.model, ask))
        numbers[name] = inside(bench.read(frames), size)
    return numbers


def animate(bench: Bench, case: Case) -> Numbers:
    picture, ask = part(case.clip, 0, 1), replace(bench.ask, frames=len(case.clip))
    frames = bench.made(tasks.animate(picture, case.words, bench.model, ask))
    first = psnr(part(Video(frames=frames, fps=case.clip.fps), 0, 1), picture)
    parsed, real = bench.read(frames), bench.read(case.clip.frames)
    return {
        "animate.first": first,
        "animate.event": float(parsed.event == case.facts.event),
        "animate.motion": motion(parsed, case.facts, case.clip.size)["motion"],
        "animate.real": motion(real, case.facts, case.clip.size)["motion"],
    }


def extend(bench: Bench, case: Case) -> Numbers:
    at = half(case.clip)
    given, rest = part(case.clip, 0, at), len(case.clip) - at
    ask = replace(bench.ask, frames=rest)
    frames = bench.made(tasks.extend(given, case.words, bench.model, ask))
    turned = bench.made(tasks.extend(part(case.clip, at, None), case.words, bench.model, ask, before=True))
    largest = changes(case.clip.frames).max()
    new = len(turned) - rest
    further = float("nan")
    if case.facts.event == "roll":  # at its end what rolls is at the picture's edge, and has to leave
        whole = len(case.clip)
        longer = bench.made(tasks.extend(case.clip, case.words, bench.model, replace(ask, frames=whole - 1)))
        further = goes_on(bench.read(longer), whole)
    return {
        "extend.onward": further,
        "extend.kept": same(frames[:at], given.frames),
        "extend.seam": changes(frames)[at - 1] / max(largest, 1e-6),
        "extend.velocity": turn(bench.read(frames), at),
        "extend.real": turn(bench.read(case.clip.frames), at),
        "before.kept": same(turned[new:], case.clip.frames[at:]),
        "before.seam": changes(turned)[new - 1] / max(largest, 1e-6),
    }


def loop(bench: Bench, case: Case) -> Numbers:
    model = bench.model
    ask = replace(bench.ask, frames=model.nearest(len(case.clip)))
    words = bench.made(tasks.loop(None, case.words, model, ask))
    clip = bench.made(tasks.loop(case.clip, case.words, model, ask))
    return {"loop.close": closing(words), "loop.clip": closing(clip)}


def connect(bench: Bench, case: Case) -> Numbers:
    """Both ends of a clip, and between them as many frames as were cut out: with fewer, all would have to be faster."""
    gap = bench.model.step * max(1, round(len(case.clip) / 3 / bench.model.step))
    at = (len(case.clip) - gap) // 2
    first, last = part(case.clip, 0, at), part(case.clip, at + gap, None)
    frames = bench.made(tasks.connect(first, last, case.words, bench.model, replace(bench.ask, frames=gap)))
    between = changes(frames)[at - 1 : at + gap]
    largest = changes(case.clip.frames).max()
    kept = same(frames[:at], first.frames) * same(frames[at + gap :], last.frames)
    return {"connect.kept": kept, "connect.jump": between.max() / max(largest, 1e-6)}


def edit(bench: Bench, case: Case) -> Numbers:
    words, colour = recoloured(case, bench.parser)
    made = [
        bench.made(tasks.edit(case.clip, words, bench.model, bench.ask, strength=strength))
        for strength in (0.2, 0.5, 0.8)
    ]
    far = [distance(frames, case.clip.frames) for frames in made]
    width, height = case.clip.size
    region = (0, 0, width // 2 // 16 * 16, height)
    plan = tasks.edit(case.clip, words, bench.model, bench.ask, strength=0.8, region=region)
    right = bench.made(plan)[:, :, region[2] :]
    outside = psnr(*(Video(frames=one, fps=1.0) for one in (right, case.clip.frames[:, :, region[2] :])))
    return {
        "edit.monotone": float(np.all(np.diff(far) > -TOLERANCE)),
        "edit.colour": float(colour in [track.colour for track in bench.read(made[-1]).objects]),
        "edit.outside": outside,
    }


def recut(bench: Bench, case: Case) -> Numbers:
    third = len(case.clip) // 3
    keep = third / case.clip.fps, 2 * third / case.clip.fps
    ask = replace(bench.ask, frames=bench.model.nearest(len(case.clip)))
    frames = bench.made(tasks.recut(case.clip, keep, case.words, bench.model, ask))
    seams = changes(frames)[[third - 1, 2 * third - 1]].max()
    return {
        "recut.kept": same(frames[third : 2 * third], case.clip.frames[third : 2 * third]),
        "recut.seam": seams / max(changes(case.clip.frames).max(), 1e-6),
    }


def remix(bench: Bench, case: Case) -> Numbers:
    made = bench.make(tasks.text_to_video(case.words, bench.model, replace(bench.ask, frames=len(case.clip))))
    before, (_, colour) = bench.read(made.frames), recoloured(case, bench.parser)
    change = f"now the {case.facts.objects[0][1]} is {colour}"
    parsed = bench.read(
        bench.made(tasks.remix(made, case.words, change, bench.model, bench.ask, kinds=word_kinds()))
    )
    shapes = [[shape for _, shape in one.names()] for one in (before, parsed)]
    return {
        "remix.colour": float(colour in [track.colour for track in parsed.objects]),
        "remix.rest": float(shapes[0] == shapes[1] and before.event == parsed.event),
    }


def storyboard(bench: Bench, case: Case) -> Numbers:
    """Two cards, each as long as the clip: its own words, then the same object does something else."""
    colour, shape = case.facts.objects[0]
    event, words = (
        ("drop", "drops onto the floor") if case.facts.event != "drop" else ("slide", "slides to a stop")
    )
    length = len(case.clip)
    cards = [
        tasks.Card(at=0, words=case.words),
        tasks.Card(at=length / bench.model.fps, words=f"The {colour} {shape} {words}."),
    ]
    ask = replace(bench.ask, frames=bench.model.nearest(2 * length))
    frames = bench.made(tasks.storyboard(cards, bench.model, ask))
    seen = [bench.read(frames[:length]).event, bench.read(frames[length:]).event]
    return {"storyboard.event": (float(seen[0] == case.facts.event) + float(seen[1] == event)) / 2}


def blend(bench: Bench, case: Case) -> Numbers:
    plan = tasks.blend(case.clip, case.other, (case.words, case.words), bench.model, bench.ask)
    frames = bench.made(plan)
    a, b = case.clip.frames[: len(frames)], case.other.frames[: len(frames)]
    lean = per_frame(frames, a) / np.maximum(per_frame(frames, a) + per_frame(frames, b), 1e-6)  # 0: A, 1: B
    smooth = np.convolve(lean, np.ones(3) / 3, mode="valid")
    ends = same(frames[:1], a[:1]) * same(frames[-1:], b[-1:])
    return {"blend.monotone": float(np.mean(np.diff(smooth) > -0.02)), "blend.ends": ends}


def variations(bench: Bench, case: Case) -> Numbers:
    plan = tasks.text_to_video(case.words, bench.model, replace(bench.ask, frames=len(case.clip)))
    one, other = (bench.made(replace(plan, seed=case.seed + index)) for index in range(2))
    right = [objects_right(bench.read(frames), case) for frames in (one, other)]
    return {"variations.distinct": distance(one, other), "variations.objects": float(np.mean(right))}


def long(bench: Bench, case: Case) -> Numbers:
    """As many times the length that the model makes at once as the bench says."""
    most = bench.model.max_frames
    ask = replace(bench.ask, frames=bench.model.nearest(bench.long * most))
    frames = bench.made(tasks.text_to_video(case.words, bench.model, ask))
    first, last = frames[:most], frames[-most:]
    colours = [one.mean(axis=(0, 1, 2)) for one in (first, last)]
    names = [bench.read(one).names() for one in (first, last)]
    return {
        "long.colour": float(np.abs(colours[0] - colours[1]).mean()),
        "long.count": float(len(names[0]) == len(names[1])),
        "long.objects": float(names[0] == names[1]),
    }


def upscaling(bench: Bench, case: Case) -> Numbers:
    """A clip at twice the size, halved and doubled again: by how much the network is nearer to it than bicubic."""
    from sorairo.upscale.apply import by_bicubic, halved_video

    truth = case.large()
    small = halved_video(truth)
    return {
        f"upscale.{name}": psnr(upscale(video), truth) - psnr(by_bicubic(video), truth)
        for name, video in (("halved", small), ("decoded", bench.through(small)))
    }


MEASURES: dict[str, Callable[[Bench, Case], Numbers]] = {
    "still": still,
    "framing": framing,
    "animate": animate,
    "extend": extend,
    "loop": loop,
    "connect": connect,
    "edit": edit,
    "recut": recut,
    "remix": remix,
    "storyboard": storyboard,
    "blend": blend,
    "variations": variations,
    "long": long,
    "upscale": upscaling,
}


# -- what is measured ------------------------------------------------------------------------------


def part(video: Video, start: int, stop: int | None) -> Video:
    return Video(frames=video.frames[start:stop], fps=video.fps)


def half(video: Video) -> int:
    return (len(video) + 1) // 2


def changes(frames: np.ndarray) -> np.ndarray:
    """(t-1,) how far each frame is from the one before it, in levels."""
    return per_frame(frames[1:], frames[:-1])


def per_frame(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(np.float32) - other.astype(np.float32)).mean(axis=(1, 2, 3))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(per_frame(one, other).mean())


def same(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.array_equal(one, other))


def closing(frames: np.ndarray) -> float:
    """The change from the last frame to the first over the median change within."""
    return float(distance(frames[-1:], frames[:1]) / max(np.median(changes(frames)), 1e-6))


def turn(parsed: Parsed, at: int) -> float:
    """By how much the largest object's velocity changes over frame `at`, in object sizes a frame; NaN if unseen."""
    if not parsed.objects:
        return float("nan")
    track = max(parsed.objects, key=lambda track: track.size)
    velocity = np.diff(track.path, axis=0) / track.size  # t-1 2
    before, after = velocity[max(0, at - 3) : at - 1], velocity[at : at + 2]
    means = [one[~np.isnan(one).any(axis=1)] for one in (before, after)]
    if not all(len(one) for one in means):
        return float("nan")
    return float(np.linalg.norm(means[0].mean(axis=0) - means[1].mean(axis=0)))


def goes_on(parsed: Parsed, at: int) -> float:
    """1 if what moves in the first `at` frames (the largest object) goes on its way behind them, or out of the picture;
    0 if it turns back, jumps back or comes again as another; NaN where nothing is seen before."""
    before = [track for track in parsed.objects if (~np.isnan(track.path[:at, 0])).sum() > 1]
    if not before:
        return float("nan")
    track = max(before, key=lambda track: track.size)
    known = track.path[:at][~np.isnan(track.path[:at, 0])]
    way = known[-1] - known[0]
    if not np.linalg.norm(way) > track.size:
        return float("nan")
    places = np.concatenate([known[-1:], track.path[at:][~np.isnan(track.path[at:, 0])]])
    steps = np.diff(places, axis=0) @ (way / np.linalg.norm(way)) / track.size
    others = [one for one in parsed.objects if one is not track and np.isnan(one.path[:at, 0]).all()]
    return float(not others and bool((steps > -BACK).all()))


def inside(parsed: Parsed, size: tuple[int, int]) -> float:
    """The share of frames in which the largest object is seen, and as far from every border as half its size."""
    if not parsed.objects:
        return 0.0
    track = max(parsed.objects, key=lambda track: track.size)
    margin = track.size / 2
    return float(np.mean(np.all((track.path >= margin) & (track.path <= np.array(size) - margin), axis=1)))


def objects_right(parsed: Parsed, case: Case) -> float:
    return float(parsed.names() == sorted(case.facts.objects))


def recoloured(case: Case, parser: Parser) -> tuple[str, str]:
    """(the words with another colour for the first object, that colour)."""
    old, shape = case.facts.objects[0]
    used = {colour for colour, _ in case.facts.objects}
    free = [colour for colour in parser.config.colours if colour not in used] or [old]
    colour = free[case.seed % len(free)]
    return remixed(case.words, f"the {shape} is {colour}", word_kinds()), colour
