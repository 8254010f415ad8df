"""Word lists of the categories and of names -> what of them stands in a prompt."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

from sorairo.safety.categories import CATEGORIES
from sorairo.safety.normalise import bare
from sorairo.safety.terms import Terms, words_of

__all__ = ["COUNTED", "FEATURES", "Lexicon"]

COUNTED = tuple(category for category in CATEGORIES if category != "minors")

STYLE = re.compile(
    r"(?<!\w)(?:in the styles? of|in the manner of|styled after|after the style of|imitate|imitating|directed by|"
    r"painted by|drawn by|filmed by|photographed by|illustrated by|art by|inspired by|a la|as imagined by|by|"
    r"al estilo de|en el estilo de|estilo|pintad[oa] por|dirigid[oa] por|dans le style d[eu]|a la maniere d[eu]|"
    r"peint par|realise par|filmee? par|im stil von|gemalt von|nach art von|regie:?|wie von|nello stile di|"
    r"dipint[oa] da|dirett[oa] da|no estilo de|в стиле|картина|режиссер|подражание)\s+",
)
"""What stands before an artist's name, in bare text."""

YOUNG = re.compile(
    r"(?<![\w.])(?:(?:[1-9]|1[0-7])\s?-?\s?(?:years?|yrs?|y)[\s-]?(?:old|o)\b|(?:[1-9]|1[0-7])\s?yo\b|"
    r"(?:aged?|age of)\s(?:[1-9]|1[0-7])(?!\d)|"
    r"(?:[1-9]|1[0-7])\s(?:anos|ans|anni|jahre|jahren|jahrige[rn]?|let|лет)\b|(?:[1-9]|1[0-7])\s?(?:岁|歳|才|세|살)|"
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen)"
    r"[\s-]years?[\s-]old|(?:[1-9]|1[0-2])(?:st|nd|rd|th)[\s-]grader)"
)
"""An age under eighteen, in bare text."""
FALSE_FRIENDS = {
    # English, where German means a child
    "kind": re.compile(
        r"\b(?:(?:the|no|all|only|his|her|my|your|our|their|what|which|this|that|some|any|every|each|one|a|same|most|another|first|best|new|very|so|be|is|are|was)\skind"
        r"|kind\s(?:of|to|and|words?|face|eyes|smile|old|man|woman|people|person|gesture))\b"
    ),
    # French "his", Spanish "they are": in a text that has words of these languages and none of English
    "son": re.compile(
        r"^(?!.*\b(?:the|an|his|her|my|your|our|their|and|with|of|is|in|who|young)\b)"
        r"(?=.*\b(?:el|los|las|una?|que|muy|del|todos|estos|il|elle|les?|des|dans|avec|sur|et|une?|ferme)\b).*$",
        re.DOTALL,
    ),
    # the German adjective, of grown people
    "junge": re.compile(r"\bjunge\s(?:frau|frauen|dame|damen|leute|manner|menschen|erwachsene|soldaten)\b"),
}
"""Words of the list of ages -> where in bare text they are of another language and mean nobody young."""


class Lexicon:
    """words/lexicon.toml and words/names.toml, ready to be looked up."""

    def __init__(self) -> None:
        folder = files("sorairo.safety") / "words"
        lists = tomllib.loads((folder / "lexicon.toml").read_text("utf-8"))
        names = tomllib.loads((folder / "names.toml").read_text("utf-8"))
        labelled = {f"{name} {kind}": lists[name][kind] for name in COUNTED for kind in ("strong", "weak")}
        labelled |= {"age": lists["minors"]["age"], "people": f"{names['people']}|{names['people_other']}"}
        self.terms = Terms(labelled | {"artists": names["artists"], "dead": names["dead"]})
        self.given = frozenset(names["given"].replace("\n", "").split("|"))
        self.listed = frozenset(self.terms.words()) | self.given

    @classmethod
    @cache
    def load(cls) -> Lexicon:
        """The one of the package, read once."""
        return cls()

    def features(self, text: str) -> list[float]:
        """What of the lists stands in a folded text: FEATURES numbers from 0 to 1."""
        text = bare(text)
        found = self.terms.found(text)
        counts: list[float] = []
        for name in COUNTED:
            strong, weak = len(found.get(f"{name} strong", ())), len(found.get(f"{name} weak", ()))
            counts += [float(strong > 0), min(strong, 3) / 3, float(weak > 0), min(weak, 4) / 4]
        dead = "dead" in found
        style = [match.end() for match in STYLE.finditer(text)]
        named = any(self._name_at(text[end:]) for end in style) and not dead
        known = "artists" in found and any(
            "artists" in self.terms.found(text[end : end + 40]) for end in style
        )
        marks = (
            "people" in found,
            "artists" in found,
            dead,
            bool(style),
            named,
            known,
            self._young(text, found),
        )
        return [*counts, *map(float, marks)]

    def counted(self, features: list[float]) -> list[float]:
        """For each category 1 where `features` found a word of its lists or a name of its kind, 0 else."""
        found = {name: features[4 * i] or features[4 * i + 2] for i, name in enumerate(COUNTED)}
        people, artists, _, style, *_ = features[4 * len(COUNTED) :]
        found["likeness"] = found["likeness"] or people
        found["artist-style"] = found["artist-style"] or artists or style
        return [float(bool(found[name])) for name in COUNTED]

    def bared(self, text: str) -> bool:
        """Whether a folded text has a real person's name and a word of the sexual lists."""
        found = self.terms.found(bare(text))
        return "people" in found and ("sexual strong" in found or "sexual weak" in found)

    def young(self, text: str) -> bool:
        """Whether somebody in a folded text is, or is said to look, under eighteen."""
        text = bare(text)
        return self._young(text, self.terms.found(text))

    def _young(self, text: str, found: dict[str, set[str]]) -> bool:
        ages = {term for term in found.get("age", ()) if not self._misread(term, text)}
        return bool(ages) or bool(YOUNG.search(text))

    def _misread(self, term: str, text: str) -> bool:
        """Whether a term stands in a bare text only where it is a word of another language."""
        friend = FALSE_FRIENDS.get(term)
        return friend is not None and not re.search(rf"\b{term}\b", friend.sub(" ", text))

    def _name_at(self, text: str) -> bool:
        """Whether a bare text begins with a given name and a second word."""
        words = words_of(text[:60])
        words = words[1:] if words[:1] == ["the"] else words
        return len(words) > 1 and words[0] in self.given and words[1].isalpha() and len(words[1]) > 1


FEATURES = 4 * len(COUNTED) + 7
