"""What a file shows and what it sounds like, as two digests: they tell which of the two was changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sorairo.types import UserError
from sorairo.video.formats import format_of
from sorairo.video.guards import checked, decoding
from sorairo.video.read import moments_of

__all__ = ["stream_digests"]


def stream_digests(path: Path) -> dict[str, str]:
    """SHA-256 in hex by "pictures" and "sound" (absent if the file is mute). Raises UserError for a broken file.

    Of clips: the encoded packets with their times and the decoders' parameters; a changed index or comment leaves them
    equal. Of pictures and WebP: the decoded pixels and their times.
    """
    path = checked(path)
    with decoding(path):
        if format_of(path).picture:
            digest = hashlib.sha256()
            for moment in moments_of(path, "white"):
                picture = moment.picture()
                digest.update(f"{picture.shape} {moment.time:.6f};".encode())
                digest.update(picture.tobytes())
            return {"pictures": digest.hexdigest()}
        return packet_digests(path)


def packet_digests(path: Path) -> dict[str, str]:
    import av

    names = {"video": "pictures", "audio": "sound"}
    found: dict[str, list[hashlib._Hash]] = {}  # pyright: ignore[reportPrivateUsage]
    with av.open(str(path), format=format_of(path).demuxer) as container:
        by_stream: dict[int, hashlib._Hash] = {}  # pyright: ignore[reportPrivateUsage]
        for stream in container.streams:
            if stream.type in names:
                digest = hashlib.sha256(bytes(getattr(stream.codec_context, "extradata", None) or b""))
                by_stream[stream.index] = digest
                found.setdefault(names[stream.type], []).append(digest)
        for packet in container.demux():
            if packet.stream.index in by_stream and packet.size:
                base = packet.time_base or 1
                times = [
                    None if one is None else round(float(one * base), 6)
                    for one in (packet.pts, packet.duration)
                ]
                digest = by_stream[packet.stream.index]
                digest.update(f"{times} {packet.size};".encode())
                digest.update(bytes(packet))
    if "pictures" not in found:
        raise UserError(f"{path} holds no video track.")
    return {
        name: hashlib.sha256(b"".join(one.digest() for one in each)).hexdigest()
        for name, each in found.items()
    }
