"""The pictures of docs/tasks: for every verb what it was given and what it made, by the model that ships.

python bench/verb_sheets.py               # all of them, into docs/images/tasks/
python bench/verb_sheets.py loop blend    # some verbs

Seeds are 1, 2, 3, ... in the order in which they are needed, not chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import sorairo
from sorairo import tasks
from sorairo.generation.generate import generate
from sorairo.prompts.kinds import word_kinds
from sorairo.types import Plan, Video
from sorairo.video import contact_sheet

FOLDER = Path(__file__).parents[1] / "docs/images/tasks"
BALL = "A large matte red ball drops onto the floor and bounces. A cream floor under a clear blue sky."
CUBE = "A large matte blue cube slides to the left and stops. A slate floor under an orange sunset sky."
ROLL = "A large matte green ball rolls to the right. A cream floor under a clear blue sky."

Rows = Iterator[tuple[str, Video]]


class Studio:
    """The model, and plans into clips."""

    def __init__(self) -> None:
        self.model = sorairo.load("default")
        self.abilities = self.model.abilities
        self.seeds = count(1)

    def ask(self, **asked: object) -> tasks.Ask:
        return tasks.Ask(seed=next(self.seeds), **asked)  # pyright: ignore[reportArgumentType]

    def make(self, plan: Plan) -> Video:
        return generate(plan, self.model)[0].video

    def words(self, text: str, **asked: object) -> Video:
        return self.make(tasks.text_to_video(text, self.abilities, self.ask(**asked)))


def still(video: Video) -> Video:
    return Video(frames=video.frames[:1], fps=video.fps)


def made_by_generate(studio: Studio) -> Rows:
    for text in (BALL, CUBE, ROLL):
        yield text, studio.words(text)
    yield "generate --size 128x96", studio.words(ROLL, size=(128, 96))
    yield "generate --size 64x96", studio.words(BALL, size=(64, 96))
    yield "generate --seconds 8", studio.words(ROLL, frames=65)


def made_by_animate(studio: Studio) -> Rows:
    picture = still(studio.words(ROLL))
    yield "given", picture
    plan = tasks.animate(picture, ROLL, studio.abilities, studio.ask())
    yield f"animate “{ROLL}”", studio.make(plan)


def made_by_extend(studio: Studio) -> Rows:
    clip = studio.words(BALL)
    yield "given", clip
    ask = studio.ask(seconds=1)
    yield "extend --seconds 1", studio.make(tasks.extend(clip, BALL, studio.abilities, ask))
    plan = tasks.extend(clip, BALL, studio.abilities, studio.ask(seconds=1), before=True)
    yield "extend --before --seconds 1", studio.make(plan)


def made_by_loop(studio: Studio) -> Rows:
    yield f"loop “{ROLL}”", studio.make(tasks.loop(None, ROLL, studio.abilities, studio.ask()))
    clip = studio.words(CUBE)
    yield "given", clip
    yield "loop CLIP", studio.make(tasks.loop(clip, CUBE, studio.abilities, studio.ask()))


def made_by_connect(studio: Studio) -> Rows:
    a, b = still(studio.words(ROLL)), still(studio.words(ROLL))
    yield "given, A", a
    yield "given, B", b
    ask = studio.ask(frames=16)
    yield f"connect “{ROLL}”", studio.make(tasks.connect(a, b, ROLL, studio.abilities, ask))


def made_by_edit(studio: Studio) -> Rows:
    clip = studio.words(BALL)
    yield "given", clip
    words = BALL.replace("red", "blue")
    for strength in (0.4, 0.6, 0.8):
        plan = tasks.edit(clip, words, studio.abilities, studio.ask(), strength=strength)
        yield f"edit --strength {strength}: blue for red", studio.make(plan)
    words, region = BALL.replace("a clear blue", "an orange sunset"), (0, 0, 96, 32)
    plan = tasks.edit(clip, words, studio.abilities, studio.ask(), strength=0.9, region=region)
    yield "edit --region 0,0,96,32: a sunset sky", studio.make(plan)


def made_by_recut(studio: Studio) -> Rows:
    clip = studio.words(BALL)
    yield "given", clip
    plan = tasks.recut(clip, (0.5, 1.25), BALL, studio.abilities, studio.ask(seconds=3))
    yield "recut --keep 0.5-1.25 --seconds 3", studio.make(plan)


def made_by_remix(studio: Studio) -> Rows:
    ask = studio.ask()
    clip = studio.make(tasks.text_to_video(CUBE, studio.abilities, ask))
    yield CUBE, clip
    for change in ("now the cube is yellow", "now the sky is clear blue"):
        yield (
            f"remix “{change}”",
            studio.make(tasks.remix(clip, CUBE, change, studio.abilities, ask, kinds=word_kinds())),
        )


def made_by_storyboard(studio: Studio) -> Rows:
    cards = [
        tasks.Card(at=0, words=BALL),
        tasks.Card(
            at=2, words="A large matte red ball rolls to the right. A cream floor under a clear blue sky."
        ),
    ]
    for card in cards:
        yield f"{card.at:g} s: {card.words}", studio.words(card.words or "", frames=1)
    yield "storyboard", studio.make(tasks.storyboard(cards, studio.abilities, studio.ask()))


def made_by_blend(studio: Studio) -> Rows:
    a, b = studio.words(ROLL), studio.words(CUBE)
    yield "given, A", a
    yield "given, B", b
    yield "blend", studio.make(tasks.blend(a, b, (ROLL, CUBE), studio.abilities, studio.ask()))


VERBS: dict[str, Callable[[Studio], Rows]] = {
    name.removeprefix("made_by_"): made
    for name, made in list(globals().items())
    if name.startswith("made_by_")
}


def main(names: tuple[str, ...]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or VERBS:
        rows = list(VERBS[name](Studio()))
        path = FOLDER / f"{name}.jpg"
        contact_sheet([video for _, video in rows], [words for words, _ in rows], path, frames_per=8)
        print(path)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
