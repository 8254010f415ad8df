"""Did we make this? Hashes of frames that stay alike when a clip is encoded again or scaled, and how they are compared.

PDQ (Facebook 2019): 256 bits a frame, compared by the number that differ; pdqhash computes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

from sorairo.types import UserError, Video

__all__ = [
    "Fingerprint",
    "Match",
    "Query",
    "agreement",
    "can_hash",
    "distances",
    "fingerprint",
    "nearest",
    "query_of",
]

RATE = 4.0
"""Frames a second of a clip that is made; of a query four times as many, so that one is near every moment."""
MOST = 256
"""Frames of a clip that are hashed."""
NEAR = 40
"""Bits of 256 up to which two frames may be one. PDQ's authors take 31; see docs/provenance.md."""
SHORT = 128
CROPS = ((0.95, 3), (0.9, 5), (0.85, 5))
"""Crops that are tried: what is kept of each side, and in how many places a way."""
SMALL = 64
"""Pixels: what is smaller is enlarged to this before it is hashed."""
LEAST = 0.5
"""Of the frames that a copy should cover, how many must agree."""
SPEEDS = (1.0, 0.5, 2 / 3, 0.75, 0.8, 0.9, 1.1, 1.25, 4 / 3, 1.5, 2.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fingerprint:
    """hashes: uint64 (n 4), 256 bits a frame. times: seconds (n)."""

    hashes: np.ndarray
    times: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"hashes": self.hashes.astype("<u8").tobytes().hex(), "times": self.times.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Fingerprint:
        """What `to_dict` gave."""
        hashes = np.frombuffer(bytes.fromhex(values["hashes"]), "<u8").astype(np.uint64).reshape(-1, 4)
        return cls(hashes=hashes, times=np.array(values["times"]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """Pictures whose maker is asked for, seen in several ways: as they are, mirrored, and as crops of something larger,
    whose missing edges repeat the last pixels."""

    plain: Fingerprint
    mirrored: Fingerprint
    crops: tuple[Fingerprint, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "plain": self.plain.to_dict(),
            "mirrored": self.mirrored.to_dict(),
            "crops": [one.to_dict() for one in self.crops],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Query:
        """What `to_dict` gave."""
        return cls(
            plain=Fingerprint.from_dict(values["plain"]),
            mirrored=Fingerprint.from_dict(values["mirrored"]),
            crops=tuple(map(Fingerprint.from_dict, values["crops"])),
        )


@dataclass(frozen=True, kw_only=True)
class Match:
    """A clip of the index that a query is likely a copy of.

    share: of the query's frames that agree, in their order. distance: mean bits that differ there. mirrored: the query
    is its mirror image. speed: of the query against it; start: seconds into it where the query begins.
    """

    clip: int
    share: float
    distance: float
    mirrored: bool
    speed: float
    start: float


def can_hash() -> bool:
    """Whether pdqhash is installed."""
    return find_spec("pdqhash") is not None


def fingerprint(video: Video, mirrored: bool = False, rate: float = RATE) -> Fingerprint:
    """The hashes of a clip's frames, `rate` a second, at most MOST. mirrored: of its mirror image. Raises UserError."""
    try:
        import pdqhash
    except ImportError as error:
        raise UserError('Hashes of frames need pdqhash: pip install "sorairo[safety]".') from error
    count = len(video)
    step = max(1.0, video.fps / rate, count / MOST)
    chosen = np.unique(np.arange(0, count, step).astype(int))
    hashes = [packed(pdqhash, shrunk(video.frames[index]), mirrored) for index in chosen]
    return Fingerprint(hashes=np.stack(hashes), times=chosen / video.fps)


def query_of(video: Video) -> Query:
    """The ways to see a query. Raises UserError."""
    small = Video(frames=np.stack([shrunk(frame) for frame in video.frames]), fps=video.fps)
    crops = [
        fingerprint(Video(frames=uncropped(small.frames, kept, top, left), fps=video.fps), rate=2 * RATE)
        for kept, places in CROPS
        for top in np.linspace(0, 1, places)
        for left in np.linspace(0, 1, places)
    ]
    plain, mirrored = (fingerprint(small, flipped, 4 * RATE) for flipped in (False, True))
    return Query(plain=plain, mirrored=mirrored, crops=tuple(crops))


def uncropped(frames: np.ndarray, kept: float, top: float, left: float) -> np.ndarray:
    """Frames (t h w 3) as the part `kept` of each side of larger ones; top, left: 0 to 1, where they lay."""
    h, w = frames.shape[1:3]
    down, across = round(h / kept) - h, round(w / kept) - w
    above, before = round(down * top), round(across * left)
    return np.pad(frames, ((0, 0), (above, down - above), (before, across - before), (0, 0)), mode="edge")


def shrunk(frame: np.ndarray) -> np.ndarray:
    """A frame (h w 3) with a shorter side of at most SHORT, since PDQ looks at 64 x 64 means."""
    h, w = frame.shape[:2]
    if min(h, w) <= SHORT:
        return frame
    size = (round(w * SHORT / min(h, w)), round(h * SHORT / min(h, w)))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))


def packed(pdqhash: Any, frame: np.ndarray, mirrored: bool) -> np.ndarray:
    """The hash of one frame (h w 3) as uint64 (4)."""
    frame = frame[:, ::-1] if mirrored else frame
    h, w = frame.shape[:2]
    if min(h, w) < SMALL:
        scale = SMALL / min(h, w)
        size = (max(SMALL, round(w * scale)), max(SMALL, round(h * scale)))
        frame = np.asarray(
            Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.BICUBIC)
        )
    bits, _ = pdqhash.compute(np.ascontiguousarray(frame))
    return np.packbits(np.asarray(bits, bool)).view(np.uint64)


def distances(hashes: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Bits (n) in which hashes (n 4) differ from one (4)."""
    return np.bitwise_count(hashes ^ one).sum(1, dtype=np.int32)


def nearest(
    query: Fingerprint, hashes: np.ndarray, clips: np.ndarray, frames: int = MOST, most: int = 20
) -> list[int]:
    """Clips with frames within NEAR bits of the query's, those with most such frames first.

    hashes (n 4), clips (n): of the whole index, a row a frame. frames: of the query that are looked up, evenly spread.
    """
    votes: dict[int, int] = {}
    chosen = np.unique(
        np.linspace(0, len(query.times) - 1, min(frames, len(query.times))).round().astype(int)
    )
    for one in query.hashes[chosen]:
        for clip in set(clips[distances(hashes, one) <= NEAR].tolist()):
            votes[clip] = votes.get(clip, 0) + 1
    return sorted(votes, key=lambda clip: -votes[clip])[:most]


def agreement(query: Fingerprint, made: Fingerprint, clip: int, mirrored: bool = False) -> Match | None:
    """How a query lies on a clip that was made, if it does: one speed and one start at which frames agree in order.

    A frame of the clip agrees with the query's frame of that moment. At least half of those that the query should
    cover must agree, and two of them where both move; a still must be nearer than half of NEAR.
    """
    far = np.stack([distances(made.hashes, one) for one in query.hashes])  # (queries, frames)
    if len(query.times) == 1 or len(made.times) == 1:
        where = np.unravel_index(int(far.argmin()), far.shape)
        least = int(far[where])
        start = float(made.times[where[1]])
        return (
            None
            if least > NEAR // 2
            else Match(clip=clip, share=1.0, distance=least, mirrored=mirrored, speed=1.0, start=start)
        )
    length = float(query.times[-1])
    best: Match | None = None
    for speed in SPEEDS:  # seconds of the clip that go by in a second of the query
        for start in np.arange(-0.25, float(made.times[-1]), 0.125):
            moments = (made.times - start) / speed
            inside = np.flatnonzero((moments >= -0.1) & (moments <= length + 0.1))
            wanted = max(2, int(length * speed * RATE))
            if len(inside) < 2:
                continue
            frames = np.abs(query.times[:, None] - moments[None, inside]).argmin(0)
            near = far[frames, inside]
            good = near <= NEAR
            share = min(1.0, float(good.sum()) / wanted)
            if good.sum() < 2 or share < LEAST:
                continue
            mean = float(near[good].mean())
            if best is None or (round(share, 1), -mean) > (round(best.share, 1), -best.distance):
                best = Match(
                    clip=clip,
                    share=share,
                    distance=mean,
                    mirrored=mirrored,
                    speed=speed,
                    start=max(0.0, float(start)),
                )
    return best
