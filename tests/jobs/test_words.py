"""What a user is told about words that a model does not understand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import sorairo
from sorairo.generation.generate import generate
from sorairo.jobs.request import Request
from sorairo.jobs.words import warn_of_words
from sorairo.types import Plan, Span, UserError

VOCABULARY = ("a", "red", "ball", "rolls", "falls", "and", "does", "not", "bounce", "much", "no")


def told(*texts: str, negative: str = "", vocabulary: tuple[str, ...] = VOCABULARY) -> list[str]:
    from sorairo.checkpoints.info import ModelInfo

    info = ModelInfo(name="m", sizes=((64, 64),), vocabulary=vocabulary)
    spans = tuple(Span(text=text, start=8 * index) for index, text in enumerate(texts))
    plan = Plan(size=(64, 64), frames=17, fps=8.0, spans=spans, seed=0, negative=negative)
    said: list[str] = []
    model: Any = SimpleNamespace(info=info)
    warn_of_words(plan, model, "m", said.append)
    return said


def test_words_that_are_known_need_no_note() -> None:
    assert told("A red ball rolls.") == []
    assert told("A red ball falls and does not bounce much.") == []
    assert told("एक लाल गेंद", "🔴", vocabulary=()) == []


def test_unknown_words_are_named_whole() -> None:
    (note,) = told("a गेंद rolls", "a dragon")
    assert note.startswith("m never saw “गेंद”, “dragon”;")


@pytest.mark.parametrize("text", ["🔴⚽", "一个红球", "Hallo Welt"])
def test_a_prompt_without_a_known_word(text: str) -> None:
    (note,) = told(text)
    assert note.startswith(f"m knows no word of {text!r}")


@pytest.mark.parametrize("vocabulary", [VOCABULARY, ()])
def test_a_prompt_of_punctuation(vocabulary: tuple[str, ...]) -> None:
    assert told("...!", vocabulary=vocabulary) == [
        "The prompt '...!' has no words, so the model decides what to show."
    ]


def test_denial_is_not_understood() -> None:
    (note,) = told("no ball, not red")
    assert "does not understand “no ball”, “not red”" in note and "--negative" in note
    (note,) = told("a ball", negative="no red ball")
    assert note == "--negative says “no red ball”; name there what should not be seen, without “no”."


def test_a_text_that_is_too_long_is_named_before_any_is_encoded(tiny_folder: Any) -> None:
    model = sorairo.load(tiny_folder, "fp32")
    plan = Plan(
        size=(64, 64), frames=1, fps=8.0, spans=(Span(text="a red ball"),), seed=0, negative="red " * 99
    )
    with pytest.raises(UserError, match=r"^--negative is \d+ words too long"):
        generate(plan, model)
    cards = (Span(text="a red ball"), Span(text="blue " * 99, start=4))
    with pytest.raises(UserError, match=r"^The prompt at 0\.5 s is \d+ words too long"):
        generate(Plan(size=(64, 64), frames=9, fps=8.0, spans=cards, seed=0), model)


@pytest.mark.parametrize(
    ("values", "called"),
    [
        ({"prompt": "a \udcff ball"}, "prompt"),
        ({"prompt": "a ball", "negative": "\udcff"}, "negative"),
        ({"verb": "storyboard", "args": {"cards": [{"at": 0, "words": "a \udcff"}]}}, "words"),
    ],
)
def test_half_a_character_is_refused(values: dict[str, Any], called: str) -> None:
    with pytest.raises(UserError, match=rf"{called} has a byte that is not UTF-8"):
        Request.parse({"verb": "generate"} | values)
