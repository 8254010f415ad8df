"""Contact sheets: clips as rows, time from left to right, words above."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sorairo.files import check_folder, replacing
from sorairo.types import UserError, Video
from sorairo.video.fonts import SIZE, attached, draw_line, line_length
from sorairo.video.resize import resize

__all__ = ["check_sheet", "contact_sheet", "frames_sheet", "sheet"]

PAPER, INK = (250, 249, 246), (38, 38, 42)
MARGIN, GAP, LEADING = 20, 4, 1.35
WIDE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"  # a line may break beside these
CLOSING = "\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f\u300d\u300f\u30fc"  # none of these begins a line


def contact_sheet(
    videos: Sequence[Video],
    captions: Sequence[str],
    path: str | Path,
    *,
    columns: int = 1,
    frames_per: int = 6,
    scale: int = 1,
    seal: Callable[[Path], None] | None = None,
) -> None:
    """Write a PNG (or JPEG, by the extension) of several clips, each with its words above its frames.

    columns: clips side by side. frames_per: frames of each, evenly spread from the first to the last. scale:
    how many times larger they are shown. seal: see `write_video`. Raises UserError for a place that cannot be written.
    """
    path = Path(path)
    check_sheet(path)
    image = sheet(
        [resize(video, (video.size[0] * scale, video.size[1] * scale)) for video in videos],
        captions,
        columns=columns,
        frames_per=frames_per,
    )
    with replacing(path) as temporary:
        image.save(temporary)
        if seal:
            seal(temporary)


def check_sheet(path: str | Path) -> None:
    """Raise UserError for a name that `contact_sheet` would refuse, before the work is done."""
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UserError(f"{path} must end in one of .png .jpg .webp.")
    check_folder(path)


def sheet(
    videos: Sequence[Video], captions: Sequence[str], *, columns: int = 1, frames_per: int = 6
) -> Image.Image:
    """The picture that `contact_sheet` writes."""
    assert videos and len(videos) == len(captions)
    strips = [strip(video, caption, frames_per) for video, caption in zip(videos, captions, strict=True)]
    width = max(image.width for image in strips)
    rows = [strips[start : start + columns] for start in range(0, len(strips), columns)]
    heights = [max(image.height for image in row) for row in rows]
    page = Image.new(
        "RGB",
        (
            MARGIN + min(columns, len(strips)) * (width + MARGIN),
            MARGIN + sum(height + MARGIN for height in heights),
        ),
        PAPER,
    )
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, image in enumerate(row):
            page.paste(image, (MARGIN + column * (width + MARGIN), top))
        top += height + MARGIN
    return page


def frames_sheet(video: Video) -> Image.Image:
    """All frames of one clip in reading order, without words."""
    count, (w, h) = len(video), video.size
    columns = min(count, max(1, round((count * h / w * 1.6) ** 0.5)))  # a page of about 16:10
    rows = -(-count // columns)
    page = Image.new("RGB", (GAP + columns * (w + GAP), GAP + rows * (h + GAP)), PAPER)
    for index, frame in enumerate(video.frames):
        place = (GAP + index % columns * (w + GAP), GAP + index // columns * (h + GAP))
        page.paste(Image.fromarray(frame), place)
    return page


def strip(video: Video, caption: str, count: int) -> Image.Image:
    """One clip: its words, and under them `count` frames side by side."""
    w, h = video.size
    count = min(count, len(video))
    width = max(count * (w + GAP) - GAP, 160)
    lines = wrapped(caption, width)
    line_height = round(SIZE * LEADING)
    text_height = len(lines) * line_height + 4 if lines else 0
    image = Image.new("RGB", (width, text_height + h), PAPER)
    for index, line in enumerate(lines):
        draw_line(image, (0, index * line_height), line, INK)
    for index, frame in enumerate(np.linspace(0, len(video) - 1, count).round().astype(int)):
        image.paste(Image.fromarray(video.frames[frame]), (index * (w + GAP), text_height))
    return image


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines that fit `width` pixels, broken at spaces, between Chinese or Japanese signs, and inside a
    word only where the word alone is wider than a line."""
    lines: list[str] = []
    for word in re.findall(rf"\s*(?:[{WIDE}][{CLOSING}]*|[^\s{WIDE}]+)", text.strip()):
        if lines and line_length(lines[-1] + word) <= width:
            lines[-1] += word
            continue
        lines.append("")
        for character in word.strip():
            if lines[-1] and line_length(lines[-1] + character) > width and not attached(character):
                lines.append("")
            lines[-1] += character
    return lines
