"""Did we make this? Hashes of frames that stay alike when a clip is encoded again, scaled or a little cropped, and how two
clips' hashes are compared.

PDQ (Facebook 2019): 256 bits a frame, compared by the number that differ; pdqhash computes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

from sorairo.types import UserError, Video

__all__ = ["Fingerprint", "Match", "agreement", "can_hash", "distances", "fingerprint", "nearest"]

RATE = 4.0
"""Frames a second of a clip that is made; of a query four times as many, so that one is near every moment."""
MOST = 256
"""Frames of a clip that are hashed."""
NEAR = 40
"""Bits of 256 up to which two frames may be one. PDQ's authors take 31; see docs/provenance.md."""
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
    hashes = [packed(pdqhash, video.frames[index], mirrored) for index in chosen]
    return Fingerprint(hashes=np.stack(hashes), times=chosen / video.fps)


def packed(pdqhash: Any, frame: np.ndarray, mirrored: bool) -> np.ndarray:
    """The hash of one frame (h w 3) as uint64 (4)."""
    frame = frame[:, ::-1] if mirrored else frame
    h, w = frame.shape[:2]
    if min(h, w) < SMALL:
        scale = SMALL / min(h, w)
        size = (max(SMALL, round(w * scale)), max(SMALL, round(h * scale)))
        frame = np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.BICUBIC))
    bits, _ = pdqhash.compute(np.ascontiguousarray(frame))
    return np.packbits(np.asarray(bits, bool)).view(np.uint64)


def distances(hashes: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Bits (n) in which hashes (n 4) differ from one (4)."""
    return np.bitwise_count(hashes ^ one).sum(1, dtype=np.int32)


def nearest(query: Fingerprint, hashes: np.ndarray, clips: np.ndarray, most: int = 20) -> list[int]:
    """Clips with frames within NEAR bits of the query's, those with most such frames first.

    hashes (n 4), clips (n): of the whole index, a row a frame.
    """
    votes: dict[int, int] = {}
    for one in query.hashes:
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
        return None if least > NEAR // 2 else Match(
            clip=clip, share=1.0, distance=least, mirrored=mirrored, speed=1.0, start=start
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
                    clip=clip, share=share, distance=mean, mirrored=mirrored, speed=speed, start=max(0.0, float(start))
                )
    return best
