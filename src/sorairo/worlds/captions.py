"""Words for a clip, from its story: everything said is true of the simulated state."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from sorairo.worlds.circles import Circle
from sorairo.worlds.palette import SKIES
from sorairo.worlds.scene import Scene
from sorairo.worlds.story import Story
from sorairo.worlds.templates import CAMERA_WORDS, OPENINGS, PHRASES, PLACES, PLACES_BEFORE, SYNONYMS

__all__ = ["Captions", "caption", "vocabulary"]

TIMES = ("", "once", "twice", "three times")
NUMBERS = ("no", "one", "two", "three", "four")
RELATIONS = ("to the left of", "to the right of", "in front of", "behind", "past", "near")
PARAPHRASES, HELDOUT = 4, 3  # how many of each a clip carries


@dataclass(frozen=True, kw_only=True)
class Captions:
    """long: exact. short: as a person would say it. paraphrases: trained; heldout_paraphrases: never trained."""

    long: str
    short: str
    paraphrases: tuple[str, ...] = ()
    heldout_paraphrases: tuple[str, ...] = ()


def article(noun: str) -> str:
    """'red ball' -> 'a red ball'."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def joined(parts: list[str]) -> str:
    """['a', 'b', 'c'] -> 'a, b and c'."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence(words: str) -> str:
    words = " ".join(words.split()).replace(" ,", ",")
    return words[0].upper() + words[1:] + ("" if words.endswith(".") else ".")


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """Names the objects of one scene. detail: 2 says size and material, 1 one of them, 0 neither. free: by other words
    for a shape too, and in other orders, as people would."""

    scene: Scene
    story: Story
    rng: np.random.Generator

    def noun(self, index: int, detail: int, free: bool = False) -> str:
        body = self.scene.objects[index]
        words = [body.size_name, body.material]
        if detail < 2:
            words = [words[int(self.rng.integers(2))]] if detail else []
        shape = str(self.rng.choice(SYNONYMS.get(body.shape, (body.shape,)))) if free else body.shape
        alone = len(self.story.actors) == 1
        colour = [] if free and alone and self.rng.random() < 0.1 else [body.colour]  # "a ball rolls"
        return " ".join([*words, *colour, shape])

    def thing(self, noun: str, free: bool) -> str:
        """'red ball' -> 'a red ball'; in freer words, now and then, 'one red ball' or 'a ball that is red'."""
        draw = self.rng.random() if free else 1.0
        words = noun.split()
        if draw < 0.08:
            return f"one {noun}"
        if draw < 0.20 and len(words) > 1:
            return f"{article(words[-1])} that is {joined(words[:-1])}"
        if draw < 0.26 and len(words) > 2:
            return f"{article(' '.join(words[-2:]))}, {joined(words[:-2])},"
        return article(noun)

    def slots(self, detail: int, free: bool = False) -> dict[str, str]:
        story, objects = self.story, self.scene.objects
        nouns = [self.noun(i, detail, free) for i in story.actors]
        plain = [
            f"{objects[i].colour} {noun.split()[-1]}" for i, noun in zip(story.actors, nouns, strict=True)
        ]
        count = len(nouns)
        later = count - 1 - story.first if count == 2 else 0
        kind = f"{objects[0].shape}s"
        return {
            "a": self.thing(nouns[0], free),
            "b": self.thing(nouns[-1], free),
            "the_a": f"the {plain[0]}",
            "the_b": f"the {plain[-1]}",
            "first": f"the {plain[story.first if count == 2 else 0]}",
            "second": f"the {plain[later]}",
            "dir": story.direction,
            "n": TIMES[story.bounces] if story.bounces < len(TIMES) else "several times",
            "tower": f"a tower of {NUMBERS[min(count, 4)]} {kind}, "
            f"{joined([objects[i].colour for i in story.actors])} from bottom to top,",
            "stack": f"a tower of {NUMBERS[min(count, 4)]} {kind}",
        }

    def others(self, detail: int, most: int = 4, free: bool = False) -> str:
        """', to the left of a blue cube and a green cone, behind a pink ball'."""
        grouped: dict[str, list[str]] = {}
        for name, index in self.story.others[:most]:
            grouped.setdefault(name, []).append(article(self.noun(index, detail, free)))
        parts = [f"{name} {joined(nouns)}" for name, nouns in grouped.items()]
        return f" {joined(parts)}" if parts else ""


def caption(scene: Scene, story: Story, rng: np.random.Generator) -> Captions:
    """All captions of a clip. rng decides the wording of the paraphrases and nothing else."""
    speaker = Speaker(scene=scene, story=story, rng=rng)
    lines = PHRASES[story.event, story.variant]
    camera = CAMERA_WORDS[scene.camera] if story.event != "still" else None
    place = f"A {scene.floor} floor under {SKIES[scene.sky].words}."
    tail = speaker.others(2)
    long = f"{sentence(_clause(lines.long, speaker.slots(2), tail))} {place}"
    if camera:
        long += f" {camera.long}"
    short = _clause(lines.short[0], speaker.slots(0), speaker.others(0, most=1))
    # Held-out ones first: they stay what they are when training finds new words.
    heldout = _paraphrases(speaker, lines.heldout, HELDOUT, heldout=True)
    trained = _paraphrases(speaker, (*lines.short, *lines.trained), PARAPHRASES, heldout=False)
    return Captions(long=long, short=short, paraphrases=trained, heldout_paraphrases=heldout)


def _clause(template: str, slots: dict[str, str], tail: str) -> str:
    """The template with its slots filled; a comma parts the tail from all but the plainest clauses."""
    words = template.format(**slots)
    plain = not any(mark in f"{template} " for mark in (",", ";", " and ", " that ", "{b}", "{dir} "))
    return words + tail if plain or not tail else f"{words},{tail}"


def _paraphrases(speaker: Speaker, lines: tuple[str, ...], many: int, heldout: bool) -> tuple[str, ...]:
    rng, made = speaker.rng, []
    for line in rng.permutation(np.array(lines))[:many]:
        detail = int(rng.integers(3))
        text = _clause(str(line), speaker.slots(detail, not heldout), speaker.others(min(detail, 1)))
        if not heldout and rng.random() < 0.25:
            text = _opened(speaker, text)
        if heldout or rng.random() < 0.7:  # the scorecard asks with held-out words, and for the camera too
            text = _closed(speaker, sentence(text), heldout)
        made.append(text)
    return tuple(made)


def _opened(speaker: Speaker, text: str) -> str:
    """With the place before it, or words that say nothing."""
    rng, scene = speaker.rng, speaker.scene
    openings = PLACES_BEFORE if speaker.story.event == "still" or rng.random() < 0.5 else OPENINGS
    opening = str(rng.choice(openings)).format(floor=scene.floor, sky=SKIES[scene.sky].words)
    return f"{opening} {text}" if opening.endswith("how") else f"{opening}, {text}"


def _closed(speaker: Speaker, text: str, heldout: bool) -> str:
    """With sentences for the place and the camera after it, now and then."""
    rng, scene, words = speaker.rng, speaker.scene, CAMERA_WORDS[speaker.scene.camera]
    if rng.random() < 0.4:
        place = str(rng.choice(PLACES)).format(floor=scene.floor, sky=SKIES[scene.sky].words)
        text += " " + sentence(place)
    if (heldout or rng.random() < 0.6) and speaker.story.event != "still":
        text += " " + str(rng.choice(words.heldout if heldout else words.trained))
    return text


def vocabulary(circle: Circle) -> frozenset[str]:
    """Every word, in small letters, that trained captions of the circle can hold."""
    texts: list[str] = [
        *circle.colours,
        *circle.materials,
        *circle.floors,
        *circle.sizes,
        *PLACES,
        *PLACES_BEFORE,
        *OPENINGS,
        *RELATIONS,
        "one that is",
    ]
    texts += [word for shape in circle.shapes for word in SYNONYMS.get(shape, (shape,))]
    texts += [SKIES[sky].words for sky in circle.skies]
    texts += [*TIMES, "several times a an and the under to left right away from towards camera"]
    if "collapse" in circle.events:
        texts += ["a tower of three four cubes cylinders from bottom to top"]
    for (event, _), lines in PHRASES.items():
        if event in circle.events or event == "still":
            texts += [lines.long, *lines.short, *lines.trained]
    for move, camera in CAMERA_WORDS.items():
        if move.split()[0] in circle.cameras:
            texts += [camera.long, *camera.trained]
    bare = [re.sub(r"\{\w+\}", " ", text).lower() for text in texts]
    return frozenset(re.findall(r"[a-z]+", " ".join(bare)))
