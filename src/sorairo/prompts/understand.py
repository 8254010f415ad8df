"""A prompt -> what it says: objects, event, direction, camera, floor and sky, by the grammar of a world.

Nothing is guessed: a clause is understood when all of its words stand in one phrase of one event, else it is left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from sorairo.prompts.grammar import Facts, Grammar, Pattern, Thing, stems

__all__ = ["NO", "understand"]

NUMBERS = {"a": 1, "an": 1, "another": 1, "the": 1, "one": 1, "two": 2, "three": 3, "four": 4}
TIMES = {"once": 1, "twice": 2, "two times": 2, "three times": 3, "several times": 4}
NO = frozenset({"not", "no", "never", "without"})

# Too plain to tell an event by, and not missed where they are not said.
PLAIN = frozenset({"mov", "go", "com", "floor", "get"})

# 'right behind' and the like are no direction.
SIDE = r"(?:to|towards?) the (?P<side>left|right)\b|(?P<bare>left|right)(?:wards?)?\b(?=[,;.]|$| and\b| \{)"
DEPTH = r"(?P<away>away from the (?:camera|viewer))|(?P<near>towards? the (?:camera|viewer))"
DIRECTION = re.compile(rf"\b(?:{SIDE}|{DEPTH})")
ON_IT = re.compile(r"on the floor", re.IGNORECASE)
ON_IT_FIRST = re.compile(r"^on the floor(?:, | (?=under [^,]+, ))", re.IGNORECASE)
TIMES_WORDS = re.compile(rf"\b(?:{'|'.join(TIMES)})\b")


@dataclass(kw_only=True)
class Reading:
    """A clause while it is read: `text` with slots in place of what `facts` hold already."""

    text: str
    things: list[Thing] = field(default_factory=list)
    references: list[int] = field(default_factory=list)
    tower: bool = False
    clear: bool = True  # False once something can be read in two ways


def understand(prompt: str, grammar: Grammar, *, moving: bool = True) -> Facts:
    """What a prompt says. moving: of a clip; else of a still picture, in which nothing happens."""
    facts, clauses = Facts(), []
    for sentence in re.split(r"(?<=[.!?])\s+", prompt.strip()):
        facts, clause = set_apart(sentence, facts, grammar)
        clauses += [clause] if clause else []
    told = clause_facts(clauses[0], grammar, moving) if len(clauses) == 1 else None
    if told is None:
        return replace(facts, left=" ".join(clauses))
    return replace(told, floor=facts.floor, sky=facts.sky, camera=facts.camera)


def set_apart(sentence: str, facts: Facts, grammar: Grammar) -> tuple[Facts, str]:
    """Facts with what a sentence says of camera, floor and sky, and the rest of it."""
    rest = re.sub(r"\s+", " ", sentence).strip().rstrip(".!")
    rest, floors = named_floors(without_opening(rest, grammar), grammar)
    if floors:
        rest = ON_IT_FIRST.sub("", rest)  # 'on the floor (under a clear sky), a ball ...'
    told = [("floor", name) for name in floors]
    while found := rest and ending(rest, grammar):
        told.append(found[:2])
        rest = found[2]
    for kind, name in told:
        if getattr(facts, kind) not in ("", name):  # said twice, and not the same
            return facts, sentence
        facts = replace(facts, **{kind: name})
    rest = rest.strip(" ,;")
    return facts, "" if told and ON_IT.fullmatch(rest) else rest


def without_opening(text: str, grammar: Grammar) -> str:
    """'In this video, a ball rolls' -> 'a ball rolls'."""
    openings = "|".join(sorted(grammar.openings, key=len, reverse=True))
    return re.sub(rf"^(?:{openings}),? (?=\w)", "", text, count=1, flags=re.IGNORECASE) if openings else text


def named_floors(text: str, grammar: Grammar) -> tuple[str, list[str]]:
    """'across a slate floor' -> ('across the floor', ['slate'])."""
    names = "|".join(grammar.floors)
    pattern = re.compile(rf"\b(on|onto|to|over|across|along) (?:an?|the) ({names}) floor\b", re.IGNORECASE)
    return pattern.sub(r"\1 the floor", text), [found[2].lower() for found in pattern.finditer(text)]


def ending(text: str, grammar: Grammar) -> tuple[str, str, str] | None:
    """(kind, name, the rest) of a phrase on camera, floor or sky at the end of a text, or at its beginning."""
    low = text.lower()
    for kind, table in (
        ("camera", grammar.cameras),
        ("floor", grammar.floor_phrases),
        ("sky", grammar.skies),
    ):
        for phrase in sorted(table, key=len, reverse=True):
            if low.endswith(phrase):
                before = text[: len(text) - len(phrase)]
                link = re.search(r"(?:^|[,;]\s*(?:while |as |and |with )?|\s(?:while |as |with )?)$", before)
                free = phrase.startswith("under ")  # the others could belong to what stands before
                if link and (free or not before or link[0].strip()):
                    return kind, table[phrase], before[: link.start()]
            if low.startswith(phrase) and re.match(r"[,;]\s|\s(?=an? )", text[len(phrase) :]):
                return kind, table[phrase], text[len(phrase) :].lstrip(" ,;")
    return None


def clause_facts(clause: str, grammar: Grammar, moving: bool) -> Facts | None:
    """What one clause says; None unless all of it is understood."""
    if "{" in clause or "}" in clause:  # the marks of slots
        return None
    reading = Reading(text=clause.lower().strip(" .!"))
    find_tower(reading, grammar)
    find_things(reading, grammar)
    others = find_others(reading, grammar)
    direction = find_direction(reading)
    times = find_times(reading)
    if not reading.clear:
        return None
    actors = len(reading.things) - len(others)
    found = matched(reading, actors, grammar, moving)
    if found is None or (direction and "{dir}" not in found.event.long):
        return None
    if times and "{n}" not in found.event.long:
        return None
    order = [0, *range(1, actors)]
    if found.actors == ("b", "a"):
        order = [1, 0]
    first = first_of(found, reading.references, order)
    return Facts(
        event=found.event.name,
        variant=found.event.variant,
        actors=tuple(reading.things[index] for index in order),
        others=tuple((name, reading.things[index]) for name, index in others),
        direction=direction,
        times=times,
        first=first,
    )


def find_tower(reading: Reading, grammar: Grammar) -> None:
    """'a tower of three cubes, red, blue and green from bottom to top' is three things in one."""
    colour = "|".join(grammar.colours)
    nouns = "|".join(grammar.shapes)
    found = re.search(
        rf"\ba tower of (two|three|four) (?:({colour}) )?({nouns})s"
        rf"(?:, ((?:{colour})(?:, (?:{colour}))*,? and (?:{colour})) from bottom to top,?)?(?=\W|$)",
        reading.text,
    )
    if not found:
        return
    count, shape = NUMBERS[found[1]], grammar.shapes[found[3]]
    named = re.findall(rf"\b(?:{colour})\b", found[4] or "") or [found[2] or ""] * count
    reading.clear &= len(named) == count and not (found[2] and found[4])
    reading.things += [Thing(shape=shape, colour=one) for one in named]
    reading.tower = True
    reading.text = f"{reading.text[: found.start()]}{{stack}}{reading.text[found.end() :]}"


def find_things(reading: Reading, grammar: Grammar) -> None:
    """Puts a slot in place of every object: {0}, {1}... for new ones, {r0}... for one that was named before."""
    kinds = {"size": grammar.sizes, "material": grammar.materials, "colour": grammar.colours}
    adjectives = "|".join(word for words in kinds.values() for word in words)
    nouns = "|".join(sorted(grammar.shapes, key=len, reverse=True))
    some = rf"(?:{adjectives})(?:(?:, | and |, and )(?:{adjectives}))*"
    noun_phrase = re.compile(
        rf"\b(?:(?P<number>{'|'.join(NUMBERS)})\s+)?(?P<said>(?:(?:{adjectives})(?:,\s*|\s+))*)"
        rf"(?P<noun>{nouns})(?P<many>s)?\b(?!['-])"
        rf"(?P<after>(?: that is {some}|, {some}(?:,|$))(?!\w))?"
    )

    def slot(found: re.Match[str]) -> str:
        words = re.findall(r"\w+", f"{found['said']} {found['after'] or ''}")
        said = {kind: [word for word in words if word in table] for kind, table in kinds.items()}
        thing = Thing(
            shape=grammar.shapes[found["noun"]], **{kind: "".join(one[:1]) for kind, one in said.items()}
        )
        count = NUMBERS.get(found["number"] or "a", 1)
        several = bool(found["many"])
        if any(len(one) > 1 for one in said.values()) or several != (count > 1):
            reading.clear = False
        before = [index for index, one in enumerate(reading.things) if covers(one, thing)]
        if found["number"] == "the" and len(before) == 1:
            reading.references.append(before[0])
            return "{ref}"
        if found["number"] == "the" and before:
            reading.clear = False
        start = len(reading.things)
        reading.things += [thing] * count
        return " and ".join(f"{{{start + index}}}" for index in range(count))

    reading.text = noun_phrase.sub(slot, reading.text)


def covers(thing: Thing, named: Thing) -> bool:
    """Whether `named` can be a second naming of `thing`."""
    pairs = ((thing.colour, named.colour), (thing.size, named.size), (thing.material, named.material))
    return thing.shape == named.shape and all(second in ("", first) for first, second in pairs)


def find_others(reading: Reading, grammar: Grammar) -> list[tuple[str, int]]:
    """Takes ', to the left of {1} and {2}, behind {3}' off the end: (relation, object) in order."""
    relations = "|".join(sorted(grammar.relations, key=len, reverse=True))
    tail = re.compile(rf",?(?: and)?\s+({relations})\s+(\{{\d\}}(?:(?:,| and|, and) \{{\d\}})*)$")
    found: list[tuple[str, int]] = []
    while match := tail.search(reading.text):
        name = grammar.relations[match[1]]
        found = [(name, int(index)) for index in re.findall(r"\d", match[2])] + found
        reading.text = reading.text[: match.start()]
    return found


def find_direction(reading: Reading) -> str:
    """Takes out where it goes; '' if that is not said."""
    found = []

    def slot(match: re.Match[str]) -> str:
        side = match["side"] or match["bare"]
        depth = "away from the camera" if match["away"] else "towards the camera"
        found.append(f"to the {side}" if side else depth)
        return " "

    reading.text = DIRECTION.sub(slot, reading.text)
    reading.clear &= len(set(found)) < 2
    return found[0] if found else ""


def find_times(reading: Reading) -> int:
    """Takes out how often; 0 if that is not said."""
    found = TIMES_WORDS.findall(reading.text)
    reading.text = TIMES_WORDS.sub(" ", reading.text)
    reading.clear &= len(set(found)) < 2
    return TIMES[found[0]] if found else 0


def matched(reading: Reading, actors: int, grammar: Grammar, moving: bool) -> Pattern | None:
    """The phrase that has all words of the clause, if it leaves no doubt which event is meant."""
    said = stems(re.sub(r"\{\w+\}", " ", reading.text))
    if not (1 <= actors <= 2 or reading.tower) or (moving and not said - PLAIN):
        return None
    wanted = ("stack",) if reading.tower else tuple("ab"[:actors])
    fitting = [
        pattern
        for pattern in grammar.patterns
        if said - {"floor"} <= pattern.stems
        and tuple(sorted(pattern.actors)) == wanted
        and len(pattern.references) == len(reading.references)
        and referred(pattern, reading.references)
        and (pattern.event.name == "still") != moving
        and shape_of(pattern, reading).shape in pattern.event.shapes
    ]
    fitting.sort(key=lambda pattern: len(pattern.stems - said - PLAIN))
    usable = [pattern for pattern in fitting if NO & pattern.stems <= said]
    if usable and not usable[0].stems - said - PLAIN:
        return usable[0]
    stories = {(pattern.event.name, pattern.event.outcome) for pattern in fitting}
    return usable[0] if usable and len(stories) == 1 else None


def shape_of(pattern: Pattern, reading: Reading) -> Thing:
    """The first actor, if the clause is read by this pattern."""
    return reading.things[1 if pattern.actors == ("b", "a") else 0]


def referred(pattern: Pattern, references: list[int]) -> bool:
    """Whether 'the ...' in the clause are those that the pattern has in these places."""
    roles = dict(zip("ab", (1, 0) if pattern.actors == ("b", "a") else (0, 1), strict=True))
    places = dict(zip(pattern.references, references, strict=True))
    fixed = all(places[f"the_{role}"] == index for role, index in roles.items() if f"the_{role}" in places)
    return fixed and len(set(references)) == len(references)


def first_of(pattern: Pattern, references: list[int], order: list[int]) -> int | None:
    """Which actor comes first, by its number in the event's order; None if that is not said."""
    places = dict(zip(pattern.references, references, strict=True))
    if "first" in places:
        return order.index(places["first"])
    return 1 - order.index(places["second"]) if "second" in places else None
