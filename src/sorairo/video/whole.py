"""Whether a file is there to its end: what its own structure declares against the bytes that are there.

Decoders pass over a missing end in silence, so it is looked for before. Every format has one function, that raises Cut,
or returns True where the end is certain and False where the format cannot tell.

Sources: ISO/IEC 14496-12 (boxes), RFC 8794 and 9559 (EBML, Matroska), RFC 3533 (Ogg), OpenDML AVI 1.02 (RIFF),
ISO/IEC 13818-1 (MPEG-TS and program streams), the GIF89a and PNG specifications.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from sorairo.types import UserError
from sorairo.video.formats import Format

__all__ = ["check_whole", "repeat_image"]

PACKET = 188  # bytes of an MPEG-TS packet


class Cut(Exception):
    """The file ends before what it declares."""


def check_whole(path: Path, kind: Format) -> bool:
    """True if the file is whole, False if its format cannot tell. Raises UserError for one that is cut short."""
    check = CHECKS.get(kind.name)
    if check is None:
        return True
    try:
        with path.open("rb") as file:
            return check(file, os.fstat(file.fileno()).st_size)
    except Cut as error:
        raise UserError(f"{path} is cut short; fetch or export it again.") from error


def boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte, end) of the content of every ISO box between two places. Raises Cut."""
    while start < stop:
        file.seek(start)
        head = file.read(16)
        size, name, inner = int.from_bytes(head[:4], "big"), head[4:8], 8
        if start + 8 > stop or not name.isascii() or not name.decode("latin-1").isprintable():
            return  # what stands behind the last box is nobody's
        if size == 1:
            size, inner = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            size = stop - start
        if size < inner and not name.strip(b"\0"):
            return
        if size < inner or start + size > stop:
            raise Cut
        yield name, start + inner, start + size
        start += size


def iso_whole(file: BinaryIO, size: int) -> bool:
    """MP4, MOV, HEIC, AVIF, JPEG 2000. A fragmented file may end at any fragment, unless it says how many follow."""
    names = []
    for name, _, stop in boxes(file, 0, size):
        names.append(name)
        if name == b"jp2c":
            file.seek(stop - 2)
            if file.read(2) != b"\xff\xd9":
                raise Cut
    if b"moof" not in names:
        return True
    if b"mdat" not in names[len(names) - 1 - names[::-1].index(b"moof") :]:
        raise Cut
    return names[-1] == b"mfra"


def codestream_whole(file: BinaryIO, size: int) -> bool:
    """A bare JPEG 2000 codestream ends with its own marker."""
    file.seek(max(0, size - 2))
    if file.read(2) != b"\xff\xd9":
        raise Cut
    return True


def jpeg_2000_whole(file: BinaryIO, size: int) -> bool:
    """In boxes or bare."""
    bare = file.read(4) == b"\xff\x4f\xff\x51"
    return codestream_whole(file, size) if bare else iso_whole(file, size)


SEGMENT, CLUSTER, INFO, DURATION, SCALE, TIME = 0x18538067, 0x1F43B675, 0x1549A966, 0x4489, 0x2AD7B1, 0xE7
SIMPLE, GROUP, BLOCK = 0xA3, 0xA0, 0xA1
CONTAINERS = (SEGMENT, CLUSTER, INFO, GROUP)


def number(file: BinaryIO, keep: bool) -> int | None:
    """An EBML number of one to eight bytes; None for the size that means "not known". keep: as IDs are written."""
    first = file.read(1)
    if not first:
        raise Cut
    length = 9 - first[0].bit_length()
    if length > 8:
        raise Cut
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        raise Cut
    value = int.from_bytes(first + rest, "big")
    if keep:
        return value
    full = (1 << 7 * length) - 1
    return None if value & full == full else value & full


def matroska_whole(file: BinaryIO, size: int) -> bool:
    """WebM and MKV. A file that was written while it was recorded has no size, but may have a duration."""
    import struct

    certain, duration, scale, cluster, last, block = True, 0.0, 1_000_000, 0, 0, 0
    while (start := file.tell()) < size:
        name = number(file, keep=True)
        length = number(file, keep=False)
        if length is None:
            if name not in CONTAINERS:
                raise Cut
            certain = False
            continue
        if file.tell() + length > size:
            raise Cut
        if name == SEGMENT:
            size = file.tell() + length  # what stands behind it is nobody's
        if name in CONTAINERS:
            continue
        content = file.read(length) if length <= 8 else file.read(8)
        if name == DURATION:
            duration = struct.unpack(">f" if length == 4 else ">d", content)[0] if length in (4, 8) else 0.0
        elif name == SCALE:
            scale = int.from_bytes(content, "big")
        elif name == TIME:
            cluster = int.from_bytes(content, "big")
        elif name in (SIMPLE, BLOCK) and len(content) > 3:
            track = 9 - content[0].bit_length()
            time = cluster + int.from_bytes(content[track : track + 2], "big", signed=True)
            block = max(block, time - last)
            last = max(last, time)
        file.seek(file.tell() + length - len(content))
        if file.tell() <= start:
            raise Cut
    if not certain and duration > last + 2 * block + 1:
        raise Cut
    return certain or (duration > 0 and scale > 0)


def avi_whole(file: BinaryIO, size: int) -> bool:
    """AVI: one RIFF chunk after another, each with its size; 0 where the recorder never came to write it."""
    start = 0
    while start + 12 <= size:
        file.seek(start)
        head = file.read(12)
        if head[:4] != b"RIFF":
            break  # what stands behind the last chunk is nobody's
        length = int.from_bytes(head[4:8], "little")
        if length == 0:
            return False
        if start + 8 + length > size:
            raise Cut
        if start == 0:
            check_chunks(file, start + 12, start + 8 + length)
        start += 8 + length + length % 2
    return True


def check_chunks(file: BinaryIO, start: int, stop: int) -> None:
    """Raises Cut if the last chunk of an AVI goes beyond its end."""
    while start + 8 <= stop:
        file.seek(start)
        head = file.read(8)
        start += 8 + int.from_bytes(head[4:], "little")
        start += start % 2
    if start > stop + 1:
        raise Cut


def webp_whole(file: BinaryIO, size: int) -> bool:
    """WebP is one RIFF chunk."""
    head = file.read(12)
    if int.from_bytes(head[4:8], "little") + 8 > size + 1:
        raise Cut
    return True


def ogg_whole(file: BinaryIO, size: int) -> bool:
    """Ogg: the last page of every stream says that it is the last."""
    streams: dict[bytes, bool] = {}
    start = 0
    while start < size:
        file.seek(start)
        head = file.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            raise Cut
        sizes = file.read(head[26])
        start += 27 + head[26] + sum(sizes)
        if len(sizes) < head[26] or start > size:
            raise Cut
        streams[head[14:18]] = bool(head[5] & 4)
    if not all(streams.values()):
        raise Cut
    return True


def ts_whole(file: BinaryIO, size: int) -> bool:
    """MPEG-TS has no end; only a packet that is not all there shows a cut."""
    head = file.read(5)
    step, offset = (PACKET, 0) if head[:1] == b"G" else (PACKET + 4, 0)
    if (size - offset) % step:
        raise Cut
    return False


def program_whole(file: BinaryIO, size: int) -> bool:
    """A program stream may end with a code of its own, and mostly does not."""
    file.seek(max(0, size - 64))
    return b"\0\0\x01\xb9" in file.read()


def gif_blocks(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(kind, start, stop) of the blocks of a GIF; kind 0x2C is an image, 0x21 an extension. Raises Cut."""

    def past(place: int) -> int:
        """The end of the sub-blocks that begin at a place."""
        while place < len(data) and data[place]:
            place += 1 + data[place]
        if place >= len(data):
            raise Cut
        return place + 1

    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    if len(data) < 13:
        raise Cut
    place = 13 + table(data[10])
    while place < len(data) and data[place] in (0x21, 0x2C):
        kind, start = data[place], place
        if kind == 0x2C:
            if place + 10 >= len(data):
                raise Cut
            place += 10 + table(data[place + 9]) + 1
        else:
            place += 2
        place = past(place)
        yield kind, start, place
    yield data[place] if place < len(data) else 0, place, place


def gif_whole(file: BinaryIO, size: int) -> bool:
    """A GIF may lack its last byte, or have more behind it, and is shown everywhere; half an image is a cut."""
    images, open_extension, kind = 0, False, 0
    for kind, _, stop in gif_blocks(data := file.read()):
        if kind == 0x2C:
            images, open_extension = images + 1, False
        elif kind == 0x21:
            open_extension = data[stop - 8 : stop - 5] == b"\x21\xf9\x04"  # settings of an image to come
    if not images or (kind != 0x3B and open_extension):
        raise Cut
    return kind == 0x3B


def repeat_image(data: bytes) -> bytes:
    """A GIF of one image with that image twice, each shown for half of the time."""
    found = list(gif_blocks(data))
    at = next(i for i, (kind, _, _) in enumerate(found) if kind == 0x2C)
    settings = found[at - 1]  # its graphic control extension: flags, then hundredths of a second
    start, stop = settings[1], found[at][2]
    image = bytearray(data[start:stop])
    time = int.from_bytes(image[4:6], "little")
    first, second = bytearray(image), bytearray(image)
    first[4:6], second[4:6] = (time // 2).to_bytes(2, "little"), (time - time // 2).to_bytes(2, "little")
    return data[:start] + bytes(first) + bytes(second) + data[stop:]


def png_whole(file: BinaryIO, size: int) -> bool:
    """PNG, animated or not: chunks up to IEND."""
    start = 8
    while start + 12 <= size:
        file.seek(start)
        head = file.read(8)
        start += 12 + int.from_bytes(head[:4], "big")
        if head[4:] == b"IEND" and start <= size:
            return True
    raise Cut


CHECKS: dict[str, Callable[[BinaryIO, int], bool]] = {
    "MP4": iso_whole,
    "HEIC": iso_whole,
    "AVIF": iso_whole,
    "JPEG 2000": jpeg_2000_whole,
    "Matroska": matroska_whole,
    "AVI": avi_whole,
    "WebP": webp_whole,
    "Ogg": ogg_whole,
    "MPEG-TS": ts_whole,
    "MPEG program stream": program_whole,
    "GIF": gif_whole,
    "PNG": png_whole,
}
