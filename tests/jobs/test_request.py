"""Request: the one schema, and one sentence that names what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from sorairo.jobs.request import ARGS, Request, looks_like_file, parsed_size
from sorairo.types import UserError

FILES = {"connect": 2, "blend": 2, "generate": 0, "storyboard": 0}
NEEDS: dict[str, dict[str, Any]] = {
    "recut": {"keep": [0, 1]},
    "storyboard": {"cards": [{"at": 0, "words": "a"}]},
}


def values(verb: str) -> dict[str, Any]:
    names = [f"{number}.mp4" for number in range(FILES.get(verb, 1))]
    prompt = None if verb == "upscale" else "a ball"
    return {"verb": verb, "prompt": prompt, "sources": names, "args": NEEDS.get(verb, {})}


@pytest.mark.parametrize("verb", ARGS)
def test_there_and_back_as_json(verb: str) -> None:
    request = Request.parse(values(verb))
    assert type(request.args) is ARGS[verb]
    again = request.model_dump(mode="json")
    assert Request.parse(again) == request == Request.model_validate(again)
    assert set(again["args"]) == set(ARGS[verb].model_fields)


def test_sizes() -> None:
    assert Request.parse({"verb": "generate", "size": (96, 64)}).size == "96x64"
    assert Request.parse({"verb": "generate", "size": "96x64"}).pixels == (96, 64)
    assert parsed_size(None) is None


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no verb": ({}, "verb is missing"),
    "another verb": ({"verb": "draw"}, "verb is one of generate, animate"),
    "a verb of another type": ({"verb": ["generate"]}, "verb is one of"),
    "an unknown key": ({"verb": "generate", "speed": 3}, "speed is not known"),
    "an unknown key of the verb": (
        {"verb": "extend", "sources": ["a.mp4"], "args": {"x": 1}},
        "args.x is not",
    ),
    "a missing key of the verb": ({"verb": "recut", "sources": ["a.mp4"]}, "args.keep is missing"),
    "args of another type": ({"verb": "edit", "sources": ["a.mp4"], "args": [1]}, "args"),
    "a wrong type": ({"verb": "generate", "steps": "many"}, "steps: input should be"),
    "half a step": ({"verb": "generate", "steps": 2.5}, "steps: input should be"),
    "a size": ({"verb": "generate", "size": "big"}, "WIDTHxHEIGHT"),
    "too few files": ({"verb": "connect", "sources": ["a.mp4"]}, "connect takes 2 input files, not 1"),
    "too many files": ({"verb": "generate", "sources": ["a.mp4"]}, "takes 0 input files"),
    "words for upscale": (
        {"verb": "upscale", "sources": ["a.mp4"], "prompt": "a ball"},
        "upscale makes no new frames, so it takes no prompt",
    ),
    "a seed for upscale": ({"verb": "upscale", "sources": ["a.mp4"], "seed": 1}, "takes no seed"),
    "no videos": ({"verb": "generate", "number": 0}, "-n must be 1"),
    "both lengths": ({"verb": "generate", "seconds": 1, "frames": 9}, "not both"),
    "a card without its picture": (
        {"verb": "storyboard", "args": {"cards": [{"at": 0, "words": "a", "picture": 0}]}},
        "picture 0, which is not there",
    ),
    "a file for a card's words": (
        {"verb": "storyboard", "args": {"cards": [{"at": 0, "words": "ball.png"}]}},
        "give it as the card's picture",
    ),
    "a file for negative words": ({"verb": "generate", "negative": "a.jpg"}, "--negative takes words"),
    "a file for words": ({"verb": "generate", "prompt": "My Clip.MP4 "}, "name of a file"),
}


@pytest.mark.parametrize(("bad", "words"), BAD.values(), ids=BAD)
def test_one_sentence(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        Request.parse(bad)
    assert words in str(caught.value) and str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["a.m4v", "a.avi", "a.ts", "b.HEIC", "my clip.mov", "x/a", "./a", "c:\\a", "a.wav"]
)
def test_names_of_files(name: str) -> None:
    assert looks_like_file(name)


@pytest.mark.parametrize("words", ["a red ball", "It rolls.", "version 2.5", "a ball.It rolls", "3 p.m."])
def test_words(words: str) -> None:
    assert not looks_like_file(words)
