"""Short words -> the long captions that a model was trained on.

A prompt that says less than the captions of training leaves the model to guess what they always said. Rewriting it is
what Betker et al. 2023 (Improving Image Generation with Better Captions, section 3.5) and Sora's report do with a
language model; here a grammar does, or a chat model behind a URL (chat.py). Either way `differences` has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from sorairo.prompts.check import differences, words
from sorairo.prompts.grammar import Facts, Grammar, Thing
from sorairo.prompts.understand import understand
from sorairo.text.prompt import check_text, clean
from sorairo.types import UserError

__all__ = ["Expansion", "expand", "filled", "rewritten"]

Rewrite = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """A prompt and what became of it. added: what it left open and the text says; understood: its event was found."""

    prompt: str
    text: str
    understood: bool
    added: tuple[str, ...] = ()


def expand(
    prompt: str, grammar: Grammar, *, moving: bool = True, rewrite: Rewrite | None = None
) -> Expansion:
    """A prompt as a long caption. moving: for a clip, not a still picture. rewrite: who writes it, if not the grammar.

    Nothing that was said is changed, and words that are not understood are kept as they are. Raises UserError for an
    empty prompt, and for a rewrite that says something else than the prompt.
    """
    prompt = clean(check_text(prompt))
    if not prompt:
        raise UserError("The prompt is empty; say what should be seen.")
    text = clean(rewrite(prompt)) if rewrite else rewritten(prompt, grammar, moving=moving)
    if lost := differences(prompt, text, grammar, moving=moving):
        raise UserError(f"The rewrite {text!r} is refused, because {lost[0]}; use the prompt as it is.")
    before, after = (understand(one, grammar, moving=moving) for one in (prompt, text))
    return Expansion(prompt=prompt, text=text, understood=bool(before.event), added=added(before, after))


def rewritten(prompt: str, grammar: Grammar, *, moving: bool = True) -> str:
    """What the grammar makes of a prompt; the prompt itself where it has words that no caption of the world has."""
    facts = understand(prompt, grammar, moving=moving)
    if facts.event:
        return grammar.write(filled(facts, grammar, moving))
    told = set(words(facts.left))
    if not words(prompt) or not told <= grammar.vocabulary:
        return prompt
    neutral = grammar.neutral
    floor = "" if facts.floor or told & grammar.topics["floor"] else neutral.floor
    sky = "" if facts.sky or told & grammar.topics["sky"] else neutral.sky
    camera = moving and not facts.camera and not told & grammar.topics["camera"]
    more = [grammar.place_words(floor, sky), grammar.camera_words(neutral.camera) if camera else ""]
    ended = prompt if prompt[-1] in ".!?" else prompt + "."
    return " ".join(part for part in (ended, *more) if part)


def filled(facts: Facts, grammar: Grammar, moving: bool = True) -> Facts:
    """Facts that lack nothing: what was not said is neutral, and no two objects have a colour that was not said."""
    neutral = grammar.neutral
    things = [*facts.actors, *(thing for _, thing in facts.others)]
    used = {thing.colour for thing in things}
    free = [colour for colour in (*neutral.colours, *grammar.colours) if colour not in used]
    whole: list[Thing] = []
    for thing in things:
        colour = thing.colour or free.pop(0)
        free = [one for one in free if one != colour]
        size, material = thing.size or neutral.size, thing.material or neutral.material
        whole.append(Thing(shape=thing.shape, colour=colour, size=size, material=material))
    count = len(facts.actors)
    relations = [name for name, _ in facts.others]
    return replace(
        facts,
        actors=tuple(whole[:count]),
        others=tuple(zip(relations, whole[count:], strict=True)),
        direction=facts.direction or neutral.direction,
        times=facts.times or neutral.times,
        first=0 if facts.first is None else facts.first,
        floor=facts.floor or neutral.floor,
        sky=facts.sky or neutral.sky,
        camera=facts.camera or (neutral.camera if moving else ""),
    )


def added(before: Facts, after: Facts) -> tuple[str, ...]:
    """The names of what `after` says and `before` does not."""
    new = [
        one.name
        for one in fields(Facts)
        if one.name not in ("event", "variant", "actors", "others", "left")
        and getattr(before, one.name) in ("", 0, None)
        and getattr(after, one.name) not in ("", None)
        and getattr(after, one.name) != getattr(before, one.name)
    ]
    pairs = list(zip(before.actors, after.actors, strict=False))
    pairs += [(one, other) for (_, one), (_, other) in zip(before.others, after.others, strict=False)]
    looks = ("size", "material", "colour")
    return (*(key for key in looks if any(getattr(a, key) != getattr(b, key) for a, b in pairs)), *new)
