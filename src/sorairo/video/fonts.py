"""Words in any script on a picture: Pillow's own font, and for characters that it lacks a font of this computer."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

__all__ = ["SIZE", "attached", "draw_line", "line_length", "missing_note"]

SIZE = 15  # pixels
MOST = 600  # fonts that are tried for a character before it is given up

# Families of wide coverage, tried first and in this order; names of files without their case and spaces.
PREFERRED = (
    "notosans-regular",
    "dejavusans.",
    "notosanscjk-regular",
    "notosanscjksc",
    "notosanssc",
    "pingfang",
    "hiraginosansgb",
    "msyh",
    "wqy",
    "droidsansfallback",
    "segoeui.",
    "nirmala",
    "notosansarabic-regular",
    "geezapro",
    "notosansdevanagari-regular",
    "kohinoor",
    "notocoloremoji",
    "applecoloremoji",
    "seguiemj",
    "notoemoji",
    "symbola",
    "arialunicode",
)
STYLED = ("bold", "italic", "oblique", "black", "light", "thin", "mono", "condensed", "serif", "narrow")
PLACEHOLDERS = ("lastresort", "adobeblank", "blank")  # these claim every character, and show none
STRIKES = (109, 160, 136, 128, 96, 64)  # sizes of the bitmaps in colour fonts of emoji
ABSENT = "\U0010ffff"  # is no character, so every font shows its sign for "not here"


@dataclass(frozen=True, kw_only=True)
class Face:
    """A font. scale: what makes its size SIZE; 1 except for fonts that are bitmaps of one size."""

    font: ImageFont.FreeTypeFont
    scale: float = 1.0

    def has(self, character: str) -> bool:
        return self._shape(character) != self._shape(ABSENT)

    def _shape(self, text: str) -> bytes:
        mode = "L" if self.scale == 1 else "RGBA"
        return bytes(self.font.getmask(text, mode=mode))  # pyright: ignore[reportArgumentType]

    def length(self, text: str) -> float:
        return self.font.getlength(text) * self.scale


@dataclass(frozen=True, kw_only=True)
class Run:
    """Characters side by side in one font."""

    face: Face
    text: str


def line_length(text: str) -> float:
    """Pixels that a line of text takes."""
    return sum(run.face.length(run.text) for run in runs(text))


def draw_line(image: Image.Image, place: tuple[int, int], text: str, ink: tuple[int, int, int]) -> None:
    """Draw one line of text into an RGB image; `place` is its upper left corner."""
    draw = ImageDraw.Draw(image)
    x, baseline = float(place[0]), place[1] + own_face().font.getmetrics()[0]
    for run in runs(text):
        if run.face.scale == 1:
            draw.text((x, baseline), run.text, ink, run.face.font, anchor="ls")
        else:
            paste_bitmaps(image, (round(x), baseline), run, ink)
        x += run.face.length(run.text)


def paste_bitmaps(image: Image.Image, place: tuple[int, int], run: Run, ink: tuple[int, int, int]) -> None:
    """Coloured bitmaps, drawn at their own size and then made small."""
    left, top, right, bottom = run.face.font.getbbox(run.text, anchor="ls")
    width, height = max(1, round(right - left)), max(1, round(bottom - top))
    large = Image.new("RGBA", (width, height))
    ImageDraw.Draw(large).text((-left, -top), run.text, ink, run.face.font, anchor="ls", embedded_color=True)
    size = (max(1, round(width * run.face.scale)), max(1, round(height * run.face.scale)))
    small = large.resize(size, Image.Resampling.LANCZOS)
    corner = place[0] + round(left * run.face.scale), place[1] + round(top * run.face.scale)
    image.paste(small, corner, small)


def runs(text: str) -> Iterator[Run]:
    """A line in parts of one font each, from left to right.

    Marks, joiners, spaces and signs stay in the font of what is before them where it has them, so that words of a
    script that is written from right to left are shaped and ordered together.
    """
    own = own_face()
    face, part = own, ""
    for character in text:
        follows = part and (attached(character) or (not letter(character) and known(face, character)))
        wanted = face if follows else face_for(character) or own
        if wanted is not face and part:
            # Spaces between two scripts are a part of their own: in Arabic they would stand on its other side.
            kept = part.rstrip() or part
            yield Run(face=face, text=kept)
            if len(kept) < len(part):
                yield Run(face=own, text=part[len(kept) :])
            part = ""
        face, part = wanted, part + character
    if part:
        yield Run(face=face, text=part)


def letter(character: str) -> bool:
    return unicodedata.category(character)[0] == "L"


def attached(character: str) -> bool:
    """Whether a character is shown on or with the one before: marks, joiners, selectors, tones of skin."""
    return (
        unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf")
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def missing_note(texts: Sequence[str]) -> str:
    """A sentence on the characters that no font of this computer has; empty if there are none."""
    lacking = {
        one
        for text in texts
        for one in text
        if not one.isspace() and not attached(one) and face_for(one) is None
    }
    if not lacking:
        return ""
    shown = " ".join(sorted(lacking)[:5]) + (" ..." if len(lacking) > 5 else "")
    return (
        f"No font of this computer has {shown}, shown as boxes on the sheet; install one, such as Noto Sans."
    )


@cache
def known(face: Face, character: str) -> bool:
    return face.has(character)


@cache
def face_for(character: str) -> Face | None:
    """The font for a character, None if there is none."""
    if character.isspace() or attached(character) or known(own_face(), character):
        return own_face()
    for path in font_files():
        face = face_of(path)
        if face is not None and known(face, character):
            return face
    return None


@cache
def own_face() -> Face:
    """The font that comes with Pillow."""
    font = ImageFont.load_default(size=SIZE)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return Face(font=font)


@cache
def face_of(path: Path) -> Face | None:
    """A font file at SIZE, or None if it cannot be used."""
    index = 2 if "cjk" in path.name.lower() and path.suffix.lower() == ".ttc" else 0  # 2: simplified Chinese
    for size in (SIZE, *STRIKES):
        try:
            face = Face(font=ImageFont.truetype(path, size, index=index), scale=SIZE / size)
            face.has("a")
            return face
        except (OSError, ValueError):
            if index:
                index = 0
    return None


@cache
def font_files() -> tuple[Path, ...]:
    """The fonts of this computer, those of wide coverage first."""
    found = {
        Path(folder, name)
        for root in font_folders()
        for folder, _, names in os.walk(root)
        for name in names
        if name.lower().endswith((".ttf", ".otf", ".ttc"))
    }
    usable = [path for path in found if not any(word in plain(path) for word in PLACEHOLDERS)]
    return tuple(sorted(usable, key=rank)[:MOST])


def rank(path: Path) -> tuple[int, int, str]:
    """Sort key: the preferred first, then upright fonts of usual weight."""
    name = plain(path)
    place = next((i for i, start in enumerate(PREFERRED) if name.startswith(start)), len(PREFERRED))
    return place, sum(word in name for word in STYLED), str(path)


def plain(path: Path) -> str:
    return path.name.lower().replace(" ", "")


def font_folders() -> list[str]:
    """Where a system keeps fonts, the user's own among them."""
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        windows = os.environ.get("WINDIR", r"C:\Windows")
        local = os.environ.get("LOCALAPPDATA", os.path.join(home, "AppData", "Local"))
        return [os.path.join(windows, "Fonts"), os.path.join(local, "Microsoft", "Windows", "Fonts")]
    if sys.platform == "darwin":
        return ["/System/Library/Fonts", "/Library/Fonts", os.path.join(home, "Library", "Fonts")]
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    shared = (os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    return [os.path.join(one, "fonts") for one in (data, *shared)] + [os.path.join(home, ".fonts")]
