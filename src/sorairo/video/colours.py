"""Colours of a picture file in sRGB: its colour profile applied, its high dynamic range made standard.

Sources: the ICC profile as Pillow's ImageCms applies it; the code points of ISO/IEC 23091-2 ("nclx", in the colr box of
ISO/IEC 14496-12 and in PNG's cICP chunk).
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image, ImageCms

from sorairo.video.hdr import HLG, PQ

__all__ = ["high_range", "in_srgb"]

LOOKED_AT = 1 << 16  # bytes at the front of a file in which its colours are told
SPACES = {
    "RGB": "RGB ",
    "RGBA": "RGB ",
    "L": "GRAY",
    "CMYK": "CMYK",
}  # mode: colour space of a profile for it


def in_srgb(image: Image.Image) -> Image.Image:
    """A picture with its own colour profile applied; as it is where it has none, or one that cannot be used."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    if image.mode in ("P", "PA", "LA"):  # a profile of grey fits no transparency
        image = image.convert("L" if image.mode == "LA" and opaque(image) else "RGBA")
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        fits = getattr(source.profile, "xcolor_space", "") == SPACES.get(image.mode)
        if not fits or "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        turned = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):  # as browsers do with a broken profile
        return image
    assert turned is not None
    return turned


def opaque(image: Image.Image) -> bool:
    return image.getchannel("A").getextrema() == (255, 255)


def high_range(path: Path, kind: str) -> int:
    """PQ or HLG (hdr.py) if a PNG, AVIF or HEIC file of that kind says that it is in one of them; else 0."""
    mark, place = {"PNG": (b"cICP", 1), "AVIF": (b"colrnclx", 3), "HEIC": (b"colrnclx", 3)}.get(
        kind, (b"", 0)
    )
    if not mark:
        return 0
    with path.open("rb") as file:
        head = file.read(LOOKED_AT)
    at = head.find(mark)
    transfer = head[at + len(mark) + place : at + len(mark) + place + 1] if at >= 0 else b""
    return transfer[0] if transfer and transfer[0] in (PQ, HLG) else 0
