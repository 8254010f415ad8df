"""PNG, JPEG, WebP, AVIF, HEIC, TIFF, BMP and JPEG 2000, still or animated, as moments, through Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageOps, features

from sorairo.types import UserError
from sorairo.video.colours import high_range, in_srgb
from sorairo.video.formats import format_of
from sorairo.video.guards import check_extent
from sorairo.video.hdr import HDR, HDR_NOTE, to_standard_range
from sorairo.video.moments import Moment
from sorairo.video.whole import check_whole

__all__ = ["check_colour", "flattened", "picture_comment", "picture_moments", "picture_notes"]


def check_colour(colour: str) -> None:
    """Refuse what names no colour. Raises UserError."""
    try:
        ImageColor.getrgb(colour)
    except ValueError as error:
        raise UserError(f"{colour!r} is no colour; write a name such as white, or #rrggbb.") from error


def image_of(path: Path) -> Image.Image:
    """Pillow's image, not yet decoded; its own warning of large ones is left to `check_extent`."""
    kind = format_of(path).name
    if kind == "HEIC":
        register_heic(path)
    if kind == "AVIF" and not features.check("avif"):
        raise UserError(
            f"{path} is an AVIF picture; this Pillow cannot read it: pip install --upgrade pillow."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=PLUGINS[kind])


PLUGINS = {
    "PNG": ("PNG",),
    "JPEG": ("JPEG", "MPO"),
    "WebP": ("WEBP",),
    "AVIF": ("AVIF",),
    "HEIC": ("HEIF",),
    "TIFF": ("TIFF",),
    "BMP": ("BMP",),
    "JPEG 2000": ("JPEG2000",),
    "GIF": ("GIF",),
}
"""Pillow's readers of our formats (formats.py): none of the others may open a file."""

AT_ONCE = 0.011
"""Seconds. Browsers show a frame of an animation that is to be shown for less than this for a tenth of a second."""

REDUCED, CFA = 1, 32803  # of a TIFF's first page: it is a preview; it is what a camera's sensor saw


def register_heic(path: Path) -> None:
    """Teach Pillow to read HEIC. Raises UserError with the remedy where the extra is missing."""
    try:
        try:
            from pi_heif import register_heif_opener
        except ImportError:
            from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            f'{path} is a HEIC picture; reading it needs: pip install "sorairo[heic]".'
        ) from error
    register_heif_opener()


def picture_moments(path: Path, background: str, most: int | None) -> Iterator[Moment]:
    """The frames of a picture file, turned as its EXIF says. Raises UserError and what Pillow raises."""
    check_whole(path, format_of(path))
    with image_of(path) as image:
        # A phone's MPO is a JPEG with a second view behind it; a HEIC file names one of its pictures as the main one.
        primary = image.tell() if image.format == "HEIF" else 0
        count = 1 if image.format in ("MPO", "HEIF") else getattr(image, "n_frames", 1)
        check_extent(path, *image.size, count, most)
        if image.format == "TIFF":
            check_tiff(path, image, count)
        if image.format == "JPEG":
            check_jpeg(path)
        transfer = high_range(path, format_of(path).name)
        # The picture that an animated PNG shows where animations are not known is no part of it.
        hidden = 1 if count > 1 and getattr(image, "default_image", False) else 0
        first, time = primary + hidden, 0.0
        count -= hidden
        for index in range(first, first + count):
            image.seek(index)
            image.load()
            # An animation goes on in the same image, so each frame is taken out of it at once.
            picture = flattened(in_srgb(ImageOps.exif_transpose(image)), background)
            if transfer:
                picture = to_standard_range(picture.astype(np.uint16) * 257, transfer)
            length = float(image.info.get("duration", 0)) / 1000 if count > 1 else 0.0
            if count > 1 and length < AT_ONCE:
                length = 0.1
            yield Moment(time=time, length=length, picture=lambda picture=picture: picture)
            time += max(length, 0.0)


def check_tiff(path: Path, image: Image.Image, count: int) -> None:
    """Raises UserError for several pages, for raw photographs, and for numbers whose black and white nobody says."""
    tags = getattr(image, "tag_v2", {})
    with path.open("rb") as file:
        canon = file.read(10)[8:] == b"CR"
    if canon or 50706 in tags or int(tags.get(254, 0)) & REDUCED or tags.get(262) == CFA:  # 50706: DNG
        raise UserError(f"{path} is a raw photograph, which is not read here; convert it to PNG or JPEG.")
    if count > 1:  # pages follow on nothing
        raise UserError(f"{path} holds {count} pictures; save the one that you want to a file.")
    if image.mode in ("F", "I"):
        raise UserError(f"{path} holds numbers of 32 bits; save it with 8 or 16 bits.")


def check_jpeg(path: Path) -> None:
    """Raises UserError for JPEG pictures in a row (MJPEG); Pillow would show the first."""
    if following_jpeg(path.read_bytes()):
        raise UserError(f"{path} holds several JPEG pictures in a row (MJPEG); convert it to MP4.")


def following_jpeg(data: bytes) -> bool:
    """Whether another picture begins where a JPEG ends (ITU-T T.81, annex B)."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        mark = data[place + 1]
        if mark in (0xFF, 0x01) or 0xD0 <= mark <= 0xD7:  # padding and marks without a length
            place += 1 if mark == 0xFF else 2
        elif mark == 0xD9:
            return data[place + 2 : place + 5] == b"\xff\xd8\xff"
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
            if mark == 0xDA:  # a scan: up to the next mark that is none of its own
                place = next_mark(data, place)
    return False


def next_mark(data: bytes, place: int) -> int:
    while (place := data.find(b"\xff", place)) >= 0:
        if data[place + 1 : place + 2] and data[place + 1] != 0 and not 0xD0 <= data[place + 1] <= 0xD7:
            return place
        place += 2
    return len(data)


def picture_notes(path: Path) -> list[str]:
    """Sentences on what the user may not expect: a high dynamic range."""
    transfer = high_range(path, format_of(path).name)
    return [] if not transfer else [HDR_NOTE.format(path=path, name=HDR[transfer])]


def flattened(image: Image.Image, background: str) -> np.ndarray:
    """A picture of any mode as uint8 (h w 3), transparency laid on the background."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.mode == "P" or "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return np.asarray(image.convert("RGB"))


def picture_comment(path: Path) -> str:
    """PNG's and GIF's comment, or the description in the EXIF of the others; empty if there is none."""
    with image_of(path) as image:
        comment = image.info.get("comment") or image.getexif().get(0x010E, "")  # 0x010E: ImageDescription
        return comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
