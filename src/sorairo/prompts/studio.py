"""The studio world as a grammar: the expander's tables, made from those that its captions are made of."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from sorairo.prompts.grammar import Event, Facts, Grammar, Neutral, Thing
from sorairo.prompts.understand import understand
from sorairo.worlds.captions import RELATIONS, Captions, caption, vocabulary
from sorairo.worlds.circles import CIRCLES
from sorairo.worlds.palette import COLOURS, FLOORS, MATERIALS, SHAPES, SIZES, SKIES
from sorairo.worlds.scene import Body, Light, Scene
from sorairo.worlds.story import Story
from sorairo.worlds.templates import CAMERA_WORDS, OPENINGS, PHRASES, SYNONYMS

__all__ = ["studio_caption", "studio_captions", "studio_grammar", "studio_phrases", "studio_recaption"]

ROUND = ("ball", "cylinder", "capsule")
NEAR = ("next to", "beside", "close to")
NEUTRAL = Neutral(
    size="medium",
    material="matte",
    colours=("red", "blue", "yellow", "green"),
    direction="to the right",
    times=2,  # what most balls come to in two seconds
    floor="cream",
    sky="clear",
    camera="still",
)


@cache
def studio_grammar() -> Grammar:
    """The grammar of the whole world. Held-out phrases are not in it: the scorecard asks with those."""
    nouns = {word: shape for shape in SHAPES for word in SYNONYMS.get(shape, (shape,))}
    return Grammar(
        shapes=nouns,
        colours=tuple(COLOURS),
        sizes=tuple(SIZES),
        materials=tuple(MATERIALS),
        relations={name: name for name in RELATIONS} | dict.fromkeys(NEAR, "near"),
        floors=tuple(FLOORS),
        skies=sky_phrases(),
        cameras=camera_phrases(),
        events=events(),
        neutral=NEUTRAL,
        topics={
            "floor": frozenset({"floor", "ground", "mat"}),
            "sky": frozenset({"sky", *SKIES}),
            "camera": frozenset({"camera", "view", "pan", "orbit", "dolly", "crane"}),
        },
        vocabulary=vocabulary(CIRCLES[-1]) | {"next", "beside", "close", "ground"},
        write=studio_caption,
        camera_words=lambda name: CAMERA_WORDS[name].long,
        place_words=place_words,
        openings=OPENINGS,
        examples=(
            "red ball bouncing",
            "two blue cubes collide, pan left",
            "a green cone sliding left under an orange sunset sky",
            "a ball knocks over a white cylinder",
        ),
    )


@cache
def studio_phrases() -> str:
    """The phrases of the training captions for events and the camera, in one text of small letters."""
    events = [phrase for lines in PHRASES.values() for phrase in (lines.long, *lines.short, *lines.trained)]
    moves = [phrase for words in CAMERA_WORDS.values() for phrase in (words.long, *words.trained)]
    return "\n".join([*events, *moves]).lower()


def studio_caption(facts: Facts) -> str:
    """The world's own long caption of facts that lack nothing."""
    return studio_captions(facts, np.random.default_rng(0)).long


def studio_captions(facts: Facts, rng: np.random.Generator) -> Captions:
    """All of the world's own captions of facts that lack nothing; rng decides the wording of the paraphrases."""
    things = [*facts.actors, *(thing for _, thing in facts.others)]
    scene = Scene(
        event=facts.event,
        objects=tuple(body(thing) for thing in things),
        props=(),
        floor=facts.floor,
        sky=facts.sky,
        gravity=6.0,
        light=Light(azimuth=0.0, elevation=1.0, softness=0.1),
        camera=facts.camera or "still",
    )
    count = len(facts.actors)
    story = Story(
        event=facts.event,
        variant=facts.variant,
        actors=tuple(range(count)),
        direction=facts.direction,
        bounces=facts.times,
        first=facts.first or 0,
        others=tuple((name, count + index) for index, (name, _) in enumerate(facts.others)),
    )
    return caption(scene, story, rng)


def studio_recaption(exact: str, seed: int, moving: bool) -> Captions | None:
    """All captions of a clip from its exact one, in today's words; None where that one is not understood."""
    facts = understand(exact, studio_grammar(), moving=moving)
    return None if facts.left or not facts.event else studio_captions(facts, np.random.default_rng(seed))


def body(thing: Thing) -> Body:
    return Body(
        shape=thing.shape,
        size=(0.3, 0.3, 0.3),
        position=(0.0, 0.0, 0.0),
        colour=thing.colour,
        material=thing.material,
        size_name=thing.size,
    )


def events() -> tuple[Event, ...]:
    """The phrases that training uses, with the shapes that can do it."""
    made = []
    for (name, variant), lines in PHRASES.items():
        manner, _, rest = (
            variant.partition(" ") if variant.startswith(("rolls", "slides")) else ("", "", variant)
        )
        made.append(
            Event(
                name=name,
                variant=variant,
                outcome=rest,
                shapes=shapes_for(name, variant, manner),
                long=lines.long,
                phrases=(lines.long, *lines.short, *lines.trained),
            )
        )
    return tuple(made)


def shapes_for(name: str, variant: str, manner: str) -> tuple[str, ...]:
    """Round shapes roll, the others slide, a standing cylinder too; a ball that falls always bounces."""
    if (name, variant) == ("drop", "lands"):
        return tuple(shape for shape in SHAPES if shape != "ball")
    if manner == "rolls":
        return ROUND
    if manner == "slides":
        return tuple(shape for shape in SHAPES if shape not in ("ball", "capsule"))
    return SHAPES


def sky_phrases() -> dict[str, str]:
    """What a sky is called: as in captions, with and without 'under', or by its name."""
    made = {}
    for name, sky in SKIES.items():
        bare = re.sub("^an? ", "", sky.words)
        said = (
            sky.words,
            f"the {bare}",
            bare,
            f"a {name} sky",
            f"an {name} sky",
            f"the {name} sky",
            f"{name} sky",
        )
        made |= {phrase: name for one in said for phrase in (one, f"under {one}")}
    return made


def camera_phrases() -> dict[str, str]:
    """The trained sentences of each move, with 'the' and 'to the' or without them."""
    made = {"a still camera": "still", "still camera": "still"}
    for name, words in CAMERA_WORDS.items():
        for text in (words.long, *words.trained):
            said = text.rstrip(".").lower()
            shorter = re.sub(r" to the (left|right)$", r" \1", said)
            made |= {phrase: name for one in (said, shorter) for phrase in (one, one.removeprefix("the "))}
    return made


def place_words(floor: str, sky: str) -> str:
    """The sentence of a floor and a sky, or of one where the other is empty."""
    if floor and sky:
        return f"A {floor} floor under {SKIES[sky].words}."
    return f"On a {floor} floor." if floor else f"Under {SKIES[sky].words}." if sky else ""
