"""Short words become long captions that say the same; what is not understood is kept."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sorairo.prompts.check import differences
from sorairo.prompts.expand import expand
from sorairo.prompts.studio import studio_grammar
from sorairo.types import UserError

GRAMMAR = studio_grammar()
PLACE, STILL = "A cream floor under a clear blue sky.", "The camera is still."


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (
            "red ball bouncing",
            f"A medium matte red ball drops onto the floor and bounces twice. {PLACE} {STILL}",
        ),
        (
            "A small, shiny ball bounces three times on a slate floor. Dolly in.",
            "A small shiny red ball drops onto the floor and bounces three times. "
            "A slate floor under a clear blue sky. The camera moves in.",
        ),
        (
            "a green cone sliding left under a sunset sky",
            "A medium matte green cone slides across the floor to the left and comes to a stop. "
            f"A cream floor under an orange sunset sky. {STILL}",
        ),
        (
            "two blue cubes collide, pan left",
            "A medium matte blue cube and a medium matte blue cube move towards each other and collide. "
            f"{PLACE} The camera pans to the left.",
        ),
        (
            "a red ball is hit by a blue cube",
            "A medium matte blue cube slides to the right into a medium matte red ball and sets it in motion. "
            f"{PLACE} {STILL}",
        ),
        (
            "a red ball and a blue cube fall, first the blue cube, then the red ball",
            "A medium matte red ball and a medium matte blue cube drop onto the floor; "
            f"the blue cube lands before the red ball. {PLACE} {STILL}",
        ),
        (
            "a tower of three cubes, white, blue and green from bottom to top, falls over",
            "A tower of three cubes, white, blue and green from bottom to top, collapses to the right. "
            f"{PLACE} {STILL}",
        ),
        (
            "a ball rolls left next to a cube and a white cone while the camera orbits left",
            "A medium matte red ball rolls across the floor to the left, near a medium matte blue cube and "
            f"a medium matte white cone. {PLACE} The camera orbits to the left.",
        ),
    ],
)
def test_clips(prompt: str, text: str) -> None:
    made = expand(prompt, GRAMMAR)
    assert made.text == text and made.prompt == prompt
    assert not differences(prompt, text, GRAMMAR)
    assert expand(text, GRAMMAR).text == text  # nothing is left to add


def test_stills() -> None:
    made = expand("a blue cone behind a ball", GRAMMAR, moving=False)
    assert made.text == (
        f"A still picture of a medium matte blue cone behind a medium matte red ball. {PLACE}"
    )


def test_what_is_added_is_named() -> None:
    assert expand("a small red ball rolls left", GRAMMAR).added == ("material", "floor", "sky", "camera")
    assert not expand("a dog runs", GRAMMAR).added


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat walks on grass",  # words of no caption
        "a red ball explodes",
        "a photo of a dozen balls",
        "eine rote Kugel rollt",
        "a metallic ball rolls left",
        "a ball rolls while the camera orbits left, next to a cube",  # a camera in the middle
        "???",
    ],
)
def test_other_words_are_left_as_they_are(prompt: str) -> None:
    made = expand(prompt, GRAMMAR)
    assert made.text == prompt and not made.understood


@pytest.mark.parametrize(
    "prompt",
    [
        "three balls roll away",  # the world has no such event
        "a red ball that is not red bounces",
        "a red ball does not bounce",
        "a ball disappears behind a wall",  # for good, or not?
        "a red blue ball bounces",
        "a cone rolls to the left",  # it could not
        "a ball rolls to the left and to the right",
        "a red ball rolls. It stops.",
        "balls bouncing",
    ],
)
def test_what_is_not_clear_is_kept(prompt: str) -> None:
    """Its words stay; a floor, a sky and a camera may follow, for nothing was said of them."""
    made = expand(prompt, GRAMMAR)
    assert made.text.startswith(prompt) and not made.understood
    assert set(made.text.removeprefix(prompt).strip(". ").split(". ")) <= {PLACE[:-1], STILL[:-1], ""}


def test_floors_and_skies_that_were_named_otherwise_are_not_contradicted() -> None:
    assert (
        expand("a ball on the ground", GRAMMAR).text
        == f"a ball on the ground. Under a clear blue sky. {STILL}"
    )
    assert expand("a ball at sunset", GRAMMAR).text == "a ball at sunset"


def test_any_words_in_any_order() -> None:
    """Whatever is asked, what is written says the same: the checker never has to refuse it."""
    rng = np.random.default_rng(0)
    events = [phrase for event in GRAMMAR.events for phrase in event.phrases]
    marks = [
        "{0}",
        "{a}",
        "}",
        ".",
        ",",
        ";",
        "and",
        "two",
        "three",
        "not",
        "the",
        "balls",
        "a red ball",
        "a cube",
    ]
    words = [*sorted(GRAMMAR.vocabulary), *GRAMMAR.cameras, *GRAMMAR.skies, *marks * 6]
    for _ in range(400):
        some = [str(word) for word in rng.choice(words, int(rng.integers(1, 9)))]
        if rng.random() < 0.5:
            phrase = re.sub(r"\{\w+\}", lambda slot: str(rng.choice(words)), str(rng.choice(events)))
            some.insert(int(rng.integers(len(some))), phrase)
        prompt = " ".join(some)
        made = expand(prompt, GRAMMAR, moving=bool(rng.integers(2)))
        assert made.understood or made.text.startswith(prompt)


@pytest.mark.parametrize("prompt", ["", "  ", "&nbsp;"])
def test_nothing(prompt: str) -> None:
    with pytest.raises(UserError, match="empty"):
        expand(prompt, GRAMMAR)


BEFORE = "a red ball and a blue cube collide under a sunset sky"
GOOD = (
    "A large shiny red ball and a small matte blue cube move towards each other and collide. "
    "A sage floor under an orange sunset sky. The camera is still."
)
CHANGED = {
    "a colour": GOOD.replace("red ball", "green ball"),
    "colours exchanged": GOOD.replace("red ball", "blue ball").replace("blue cube", "red cube"),
    "a shape": GOOD.replace("cube", "cone"),
    "the sky": GOOD.replace("an orange sunset sky", "a dark night sky"),
    "the sky forgotten": GOOD.replace(" under an orange sunset sky", ""),
    "the event": GOOD.replace("move towards each other and collide", "drop onto the floor"),
    "a further event": GOOD.replace("collide.", "collide and explode."),
    "a further object": GOOD.replace("collide.", "collide, near a small matte green cone."),
    "one object fewer": "A large shiny red ball rolls across the floor. A sage floor under an orange sunset sky.",
    "denied": GOOD.replace("and collide", "and do not collide"),
    "nothing": "Here is your caption!",
}


@pytest.mark.parametrize("text", CHANGED.values(), ids=CHANGED)
def test_rewrites_that_change_what_was_said_are_refused(text: str) -> None:
    assert expand(BEFORE, GRAMMAR, rewrite=lambda prompt: GOOD).text == GOOD
    with pytest.raises(UserError, match="is refused, because") as caught:
        expand(BEFORE, GRAMMAR, rewrite=lambda prompt: text)
    assert str(caught.value).endswith("use the prompt as it is.")


STRANGE = "two black cats chase a red kite over green hills"
KEPT = "Two sleek black cats chase a bright red paper kite over rolling green hills at noon."
LOST = {
    "a word": "Two sleek black cats chase a bright red paper kite at noon.",
    "a number": KEPT.replace("Two", "Three"),
    "colours exchanged": KEPT.replace("black", "RED").replace("red", "black").replace("RED", "red"),
    "a denial": KEPT.replace("chase", "do not chase"),
}


def test_words_of_no_caption_may_be_written_about() -> None:
    assert expand(STRANGE, GRAMMAR, rewrite=lambda prompt: KEPT).text == KEPT


@pytest.mark.parametrize("text", LOST.values(), ids=LOST)
def test_words_of_no_caption_may_not_get_lost(text: str) -> None:
    with pytest.raises(UserError, match="is refused"):
        expand(STRANGE, GRAMMAR, rewrite=lambda prompt: text)
