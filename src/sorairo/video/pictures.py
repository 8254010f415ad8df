"""PNG, JPEG, WebP, AVIF, HEIC, TIFF, BMP and JPEG 2000, still or animated, as moments, through Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageOps, features

from sorairo.types import UserError
from sorairo.video.formats import format_of
from sorairo.video.guards import check_extent
from sorairo.video.moments import Moment
from sorairo.video.whole import check_whole

__all__ = ["check_colour", "flattened", "picture_comment", "picture_moments"]


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
        return Image.open(path)


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


def picture_moments(path: Path, background: str, most: int) -> Iterator[Moment]:
    """The frames of a picture file, turned as its EXIF says. Raises UserError and what Pillow raises."""
    check_whole(path, format_of(path))
    with image_of(path) as image:
        # A phone's MPO is a JPEG with a second view behind it; a HEIC file names one of its pictures as the main one.
        primary = image.tell() if image.format == "HEIF" else 0
        count = 1 if image.format in ("MPO", "HEIF") else getattr(image, "n_frames", 1)
        check_extent(path, *image.size, count, most)
        if count > 1 and image.format == "TIFF":  # pages follow on nothing
            raise UserError(f"{path} holds {count} pictures; save the one that you want to a file.")
        # The picture that an animated PNG shows where animations are not known is no part of it.
        hidden = 1 if count > 1 and getattr(image, "default_image", False) else 0
        first, time = primary + hidden, 0.0
        count -= hidden
        for index in range(first, first + count):
            image.seek(index)
            image.load()
            # An animation goes on in the same image, so each frame is taken out of it at once.
            picture = flattened(ImageOps.exif_transpose(image), background)
            length = float(image.info.get("duration", 0)) / 1000 if count > 1 else 0.0
            yield Moment(time=time, length=length, picture=lambda picture=picture: picture)
            time += max(length, 0.0)


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
