"""What a reader sees in a prompt that hides it: look-alike letters, digits, dots, gaps, slips of the pen."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files

from sorairo.text.prompt import clean

__all__ = ["Speller", "bare", "fold"]

LEET = {"0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s",
        "!": "i", "|": "li", "+": "t", "€": "e", "£": "l", "¡": "i", "(": "c", "<": "c"}  # fmt: skip
"""A sign and the letters that it stands for."""

MASKS = "*#•█▮_"
"""Signs that stand for a left-out letter inside a word."""

TARGETS = 10_000
"""So many of the known words are what a slip of the pen may have been meant for."""

LONGEST = 64
"""Letters of the longest token that can be a word with a slip or with digits for letters."""

ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "абвгдежзиклмнопрстуфхцчшщъыьэюя")

TOKEN = re.compile(r"\S+")
SPACED = re.compile(r"(?<!\w)\w(?:([ .\-_·•*/|~+,]{1,3})\w){2,}(?!\w)")
"""Three or more single letters with gaps or signs between them."""

CYRILLIC = str.maketrans("aeopcyxkmthb3", "аеорсухкмтнвз")
"""Latin look-alikes inside a word that is Cyrillic beyond doubt."""

KANA = "\u3099\u309a"  # they belong to their letters, and no accent
JOINERS = "\u200c\u200d"


@cache
def confusables() -> dict[int, str]:
    """Code point -> the small Latin letter that it looks like."""
    table = tomllib.loads((files("sorairo.safety") / "words" / "confusables.toml").read_text("utf-8"))
    return {ord(letter): latin for latin, letters in table.items() for letter in letters}


def fold(text: str) -> str:
    """A prompt in small letters, without what is invisible and with look-alikes as what they look like.

    Accents that belong to a language stay. Words of one script stay in it; a word that mixes scripts, or that consists
    of look-alikes alone in a text of Latin letters, is read as Latin.
    """
    text = unicodedata.normalize("NFKC", clean(text))
    text = "".join(letter for letter in text if visible(letter)).lower()
    text = " ".join(_name(run) if len(run) == 1 and _picture(run) else run for run in _split_pictures(text))
    text = unicodedata.normalize("NFC", _few_marks(unicodedata.normalize("NFD", text)))
    latin = sum(letter.isascii() and letter.isalpha() for letter in text)
    foreign = sum(letter.isalpha() and not letter.isascii() for letter in text)
    text = TOKEN.sub(lambda found: _one_script(found[0], latin >= foreign), text)
    return re.sub(r"\s+", " ", text).strip()


def bare(text: str) -> str:
    """Folded text without accents, as the word lists are compared."""
    marks = (
        letter
        for letter in unicodedata.normalize("NFD", text.lower())
        if not unicodedata.combining(letter) or letter in KANA
    )
    return unicodedata.normalize("NFC", "".join(marks)).replace("ß", "ss").replace("’", "'")


def visible(letter: str) -> bool:
    """Whether a character shows: no format character, filler, variation selector or tag."""
    code = ord(letter)
    return not (
        (unicodedata.category(letter) in ("Cf", "Cc", "Co", "Cn") and letter not in "\n\t")
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0000 <= code <= 0xE01EF
        or code in (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, 0x2800)
    )


def _picture(letter: str) -> bool:
    return ord(letter) >= 0x2600 and unicodedata.category(letter) == "So" and ord(letter) not in confusables()


def _split_pictures(text: str) -> list[str]:
    """The runs of a text and each emoji by itself."""
    runs = [""]
    for letter in text:
        if _picture(letter):
            runs += [letter, ""]
        else:
            runs[-1] += letter
    return [run for run in runs if run]


def _name(picture: str) -> str:
    return unicodedata.name(picture, "sign").lower()


def _few_marks(text: str) -> str:
    """At most two combining marks on a letter, and those that only decorate not at all."""
    kept, marks = [], 0
    for letter in text:
        if unicodedata.category(letter) in ("Mn", "Me"):
            marks += 1
            if marks > 2 or (0x0330 <= ord(letter) <= 0x0362) or unicodedata.category(letter) == "Me":
                continue
        else:
            marks = 0
        kept.append(letter)
    return "".join(kept)


def _one_script(token: str, latin_text: bool) -> str:
    table = confusables()
    cyrillic = [letter for letter in token if "\u0400" <= letter <= "\u04ff"]
    if any(ord(letter) not in table for letter in cyrillic):
        return token.translate(CYRILLIC)
    others = [
        letter for letter in token if not letter.isascii() and (letter.isalpha() or ord(letter) in table)
    ]
    if not others:
        return token
    lookalikes = [letter for letter in others if ord(letter) in table]
    latin = any(letter.isascii() and letter.isalpha() for letter in token)
    drawn = all(_drawn(letter) for letter in others)
    if (latin and lookalikes) or (latin_text and len(lookalikes) == len(others)) or drawn:
        return token.translate(table)
    return token


def _drawn(letter: str) -> bool:
    """Whether a letter belongs to no language that people write today, such as boxed and small capital ones."""
    return (
        ord(letter) > 0xFFFF
        or unicodedata.category(letter) == "So"
        or "SMALL CAPITAL" in unicodedata.name(letter, "")
    )


class Speller:
    """Puts disguised and misspelt words right, towards words that it knows.

    known: bare words, more frequent ones first. listed: bare words of the guards' lists, which win where two
    corrections are as near. whole: whether a folded word is one that the encoder knows as a whole.
    """

    def __init__(
        self, known: Iterable[str], listed: frozenset[str], whole: Callable[[str], bool] | None = None
    ):
        self.rank = {word: place for place, word in enumerate(known)}
        self.listed = listed
        self.whole = whole

    def knows(self, word: str) -> bool:
        plain = bare(word)
        return plain in self.rank or plain in self.listed or (self.whole is not None and self.whole(word))

    def repair(self, text: str) -> str:
        """A folded text with its disguised and misspelt words put right; the text itself where nothing was wrong."""
        text = SPACED.sub(lambda found: self.joined(found[0]), text)
        return TOKEN.sub(lambda found: self.word(found[0]), text)

    def joined(self, run: str) -> str:
        """ "p.o.r.n", "n u d e  m a n" -> the words."""
        parts = re.split(r"\s{2,}|\s*[|/]\s*", run)
        return " ".join(self.segment("".join(re.findall(r"\w", part))) for part in parts)

    def segment(self, letters: str) -> str:
        """Letters without gaps -> the likeliest known words (few and frequent); as they are where none fit."""
        best: list[tuple[float, int]] = [
            (0.0, 0)
        ]  # cost of the letters up to here, where their last word begins
        for end in range(1, len(letters) + 1):
            options = []
            for start in range(max(0, end - 16), end):
                word = bare(letters[start:end])
                place = 200 if word in self.listed else self.rank.get(word, 10**6 if len(word) == 1 else -1)
                if place >= 0:
                    options.append((best[start][0] + 8 + (place + 1) ** 0.25, start))
            best.append(min(options) if options else (best[-1][0] + 60, end - 1))
        words, end = [], len(letters)
        while end:
            words.append(letters[best[end][1] : end])
            end = best[end][1]
        words.reverse()
        return letters if len(words) > 0.4 * len(letters) + 1 else " ".join(words)

    def word(self, token: str) -> str:
        """One token put right."""
        core = token.strip(".,;:?\"'()[]{}…、。，“”„«»")
        if not core or self.knows(core) or not re.search(r"[^\W\d_]", core):
            return token
        fixed = self._undisguised(core) or self._unslipped(core)
        return token.replace(core, fixed) if fixed else token

    def _undisguised(self, core: str) -> str | None:
        """A word with digits, masks, signs or stretched letters in it."""
        stretched = re.sub(r"(.)\1{2,}", r"\1\1", core)
        for form in dict.fromkeys((stretched, re.sub(r"(.)\1+", r"\1", core))):
            if form != core and self.knows(form) and core != stretched:
                return form
        if any(sign in core[1:] for sign in MASKS) and len(re.findall(r"[^\W\d_]", core)) >= 2:
            pattern = re.compile("".join("." if letter in MASKS else re.escape(letter) for letter in core))
            fits = [word for word in self.listed if len(word) == len(core) and pattern.fullmatch(word)]
            if fits:
                return min(fits, key=lambda word: self.rank.get(word, 10**6))
            plain = "".join(letter for letter in core if letter not in MASKS)
            if self.knows(plain):
                return plain
        if re.fullmatch(r"\d+([.,:x/-]\d+)*[a-z]{1,3}", core) and not self._short(core):
            return None  # 4k, 35mm, 1920x1080, 1990s
        forms = [""]
        for letter in core if len(core) <= LONGEST else "":
            forms = [form + choice for form in forms for choice in LEET.get(letter, letter)][:16]
        forms = [form for form in forms if form != core]
        for form in forms:
            if self.knows(form) and (len(form) >= 4 or (len(form) == 3 and bare(form) in self.listed)):
                return form
        for form in forms:
            if len(form) >= 5 and form.isalpha() and (near := self._unslipped(form)):
                return near
        inner = re.sub(r"(?<=\w)[.\-_·•*/|~+,']+(?=\w)", "", core)
        if inner != core and (bare(inner) in self.listed or (self.knows(inner) and len(inner) >= 5)):
            return inner
        return None

    def _short(self, core: str) -> bool:
        """Whether digits and letters are a listed word such as 5ex."""
        return len(core) >= 3 and bare("".join(LEET.get(letter, letter)[0] for letter in core)) in self.listed

    def _unslipped(self, core: str) -> str | None:
        """The known word one slip away (a letter more, less, other or two swapped); listed and frequent ones first."""
        plain = bare(core)
        if not 4 <= len(plain) <= LONGEST or not plain.isalpha() or self.knows(core):
            return None
        near = {
            word for word in _slips(plain) if word in self.listed or self.rank.get(word, TARGETS) < TARGETS
        }
        near = {word for word in near if len(word) >= 4}
        if not near:
            return None
        return min(
            near, key=lambda word: (word[0] != plain[0], word not in self.listed, self.rank.get(word, 10**6))
        )


def _slips(word: str) -> Iterator[str]:
    """All that a bare word may be with one letter more, less or other, or two neighbours swapped."""
    letters = ALPHABETS["а" <= word[0] <= "я"]
    for place in range(len(word) + 1):
        head, tail = word[:place], word[place:]
        if tail:
            yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in letters:
            yield head + letter + tail
            if tail:
                yield head + letter + tail[1:]
