"""Did we make this? Hashes of frames that stay alike when a clip is encoded again or scaled, and how they are compared.

PDQ (Facebook 2019): 256 bits a frame, compared by the number that differ; pdqhash computes them. The middles of frames
are hashed in the same way here, since a crop's are tried in hundreds of places, and cosines of means need no pictures.

Letters: n frames, h w pixels, p ways to see a crop
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image

from sorairo.types import UserError, Video

__all__ = [
    "Crops",
    "Fingerprint",
    "Match",
    "Query",
    "agreement",
    "can_hash",
    "crop_agreement",
    "distances",
    "fingerprint",
    "query_of",
]

RATE = 4.0
"""Frames a second of a clip that is made; of a query four times as many, so that one is near every moment."""
MOST = 256
"""Frames of a clip that are hashed."""
NEAR = 40
"""Bits of 256 up to which two frames may be one. PDQ's authors take 31; see docs/provenance.md."""
SHORT = 128
EDGE = 0.15
"""What is left out at each side of the middle, which every crop of at most so much holds whole."""
STEP = 0.016
"""Of a frame's side: the steps in which a crop's place and size are tried. PDQ changes by some 10 bits in one."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
CROPPED = 4
"""Moments of a query that are seen as crops: two frames each, half as far apart as those of a clip that is made, since
what moves must be met within some percent of a side."""
BARS = 0.3
"""The widest bar at an edge that is taken off, as a part of the side."""
ONE_COLOUR = 16
"""Levels of 255 by which a bar's pixels may differ, as they do after encoding."""
SMALL = 64
"""Pixels: what is smaller is enlarged to this before it is hashed."""
LEAST = 0.5
"""Of the frames that a copy should cover, how many must agree."""
SPEEDS = (1.0, 0.5, 2 / 3, 0.75, 0.8, 0.9, 1.1, 1.25, 4 / 3, 1.5, 2.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fingerprint:
    """hashes: uint64 (n 4), 256 bits a frame. times: seconds (n). middles: of the middle of each frame, as `hashes`;
    the index keeps them of every file that is made here, and finds crops by them."""

    hashes: np.ndarray
    times: np.ndarray
    middles: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """Frames of a query, each seen as a crop of something larger in many ways: its part that would be the middle.

    hashes: uint64 (p n 4), p ways. times: seconds (n). coarse: (p), the ways that are tried on the whole index.
    """

    hashes: np.ndarray
    times: np.ndarray
    coarse: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """Pictures whose maker is asked for: as they are, mirrored, without bars of one colour at the edges, and as crops
    of something larger."""

    plain: Fingerprint
    mirrored: Fingerprint
    unbarred: Fingerprint
    crops: Crops

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: _to_dict(value) for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Query:
        """What `to_dict` gave."""
        kinds = {"plain": Fingerprint, "mirrored": Fingerprint, "unbarred": Fingerprint, "crops": Crops}
        return cls(**{name: kind(**_from_dict(values[name])) for name, kind in kinds.items()})


def _to_dict(parts: Fingerprint | Crops) -> dict[str, Any]:
    values = {name: value for name, value in vars(parts).items() if value is not None}
    hashes = values.pop("hashes").astype("<u8")
    return {"hashes": hashes.tobytes().hex(), "shape": list(hashes.shape)} | {
        name: value.tolist() for name, value in values.items()
    }


def _from_dict(values: dict[str, Any]) -> dict[str, np.ndarray]:
    flat = np.frombuffer(bytes.fromhex(values["hashes"]), "<u8").astype(np.uint64)
    others = {name: np.array(value) for name, value in values.items() if name not in ("hashes", "shape")}
    return others | {"hashes": flat.reshape(values["shape"])}


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


def fingerprint(
    video: Video, mirrored: bool = False, rate: float = RATE, *, middles: bool = False
) -> Fingerprint:
    """The hashes of a clip's frames, `rate` a second, at most MOST. mirrored: of its mirror image. Raises UserError."""
    pdqhash = _pdqhash()
    count = len(video)
    step = max(1.0, video.fps / rate, count / MOST)
    chosen = np.unique(np.arange(0, count, step).astype(int))
    frames = [shrunk(video.frames[index]) for index in chosen]
    return Fingerprint(
        hashes=np.stack([packed(pdqhash, frame, mirrored) for frame in frames]),
        times=chosen / video.fps,
        middles=middles_of(np.stack(frames)) if middles else None,
    )


def _pdqhash() -> Any:
    try:
        import pdqhash
    except ImportError as error:
        raise UserError('Hashes of frames need pdqhash: pip install "sorairo[safety]".') from error
    return pdqhash


def query_of(video: Video) -> Query:
    """The ways to see a query. Raises UserError."""
    small = Video(frames=np.stack([shrunk(frame) for frame in video.frames]), fps=video.fps)
    plain, mirrored = (fingerprint(small, flipped, 4 * RATE) for flipped in (False, True))
    inner = without_bars(small.frames)
    unbarred = (
        plain
        if inner.shape == small.frames.shape
        else fingerprint(Video(frames=inner, fps=video.fps), rate=4 * RATE)
    )
    return Query(plain=plain, mirrored=mirrored, unbarred=unbarred, crops=crops_of(small))


def without_bars(frames: np.ndarray) -> np.ndarray:
    """Frames (t h w 3) without the lines at each edge that have one colour all the time, up to BARS of a side."""
    whole = frames
    for axis in (1, 2):
        others = tuple(other for other in (0, 1, 2) if other != axis)
        plain = (frames.max(others).astype(int) - frames.min(others) <= ONE_COLOUR).all(-1)  # lines
        colours = frames.mean(others)
        wide = []
        for order in (slice(None), slice(None, None, -1)):  # from either end, as long as the colour stays
            same = plain[order] & (abs(colours[order] - colours[order][0]) <= ONE_COLOUR).all(-1)
            count = len(same) if same.all() else int(same.argmin())
            wide.append(count if count <= BARS * len(plain) else 0)
        frames = np.take(frames, range(wide[0], len(plain) - wide[1]), axis)
    return frames if min(frames.shape[1:3]) >= SMALL // 2 else whole


def crops_of(video: Video) -> Crops:
    """The ways to see frames as crops of up to EDGE: every size and place in steps of STEP."""
    apart = max(1, round(video.fps / (2 * RATE)))
    first = np.linspace(0, max(0, len(video) - 1 - apart), CROPPED).round().astype(int)
    chosen = np.unique(np.minimum(np.concatenate([first, first + apart]), len(video) - 1))
    luma = video.frames[chosen] @ LUMA  # n h w
    h, w = luma.shape[1:]
    hashes, coarse = [], []
    for size in range(1, round(EDGE / STEP) + 1):
        kept, places = 1 - size * STEP, range(size + 1)
        inner = [((EDGE - place * STEP) / kept, (1 - 2 * EDGE) / kept) for place in places]
        down, across = (np.stack([reader(side, *one) for one in inner]) for side in (h, w))  # p 16 h, q 16 w
        waves = np.einsum("pih,nhw->pniw", down, luma)
        hashes.append(bits_of(np.einsum("pniw,qjw->pqnij", waves, across)).reshape(-1, len(chosen), 4))
        coarse += [size % 2 == 1 and row % 2 == 0 and column % 2 == 0 for row in places for column in places]
    return Crops(hashes=np.concatenate(hashes), times=chosen / video.fps, coarse=np.array(coarse))


def middles_of(frames: np.ndarray) -> np.ndarray:
    """The hashes of the middles of frames (n h w 3): uint64 (n 4)."""
    down, across = (reader(side, EDGE, 1 - 2 * EDGE) for side in frames.shape[1:3])
    return bits_of(down @ (frames @ LUMA) @ across.T)


@lru_cache(maxsize=256)
def reader(side: int, start: float, length: float) -> np.ndarray:
    """(16 side): the cosines 1 to 16, as in PDQ, of SMALL means over a part of a line of pixels."""
    edges = np.clip((start + length * np.arange(SMALL + 1) / SMALL) * side, 0, side)
    pixels = np.arange(side)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)  # cells side
    means = np.maximum(0, covered) / np.maximum(1e-6, np.diff(edges))[:, None]
    places, frequencies = np.arange(SMALL) + 0.5, np.arange(1, 17)
    return (np.cos(np.pi / SMALL * frequencies[:, None] * places) @ means).astype(np.float32)


def bits_of(waves: np.ndarray) -> np.ndarray:
    """Cosines (... 16 16) -> the bits that say which are above their median, as uint64 (... 4)."""
    flat = waves.reshape(*waves.shape[:-2], 256)
    return np.packbits(flat > np.median(flat, axis=-1, keepdims=True), axis=-1).view(np.uint64)


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


def crop_agreement(crops: Crops, made: Fingerprint, clip: int) -> Match | None:
    """How a query lies as a crop on a clip that was made: one way to see it, one speed and one start at which
    three of eight frames agree in order (one of each two, but for one pair). A still must be nearer, as in
    `agreement`."""
    if made.middles is None:
        return None
    far = np.bitwise_count(crops.hashes[:, :, None] ^ made.middles[None, None]).sum(
        -1, dtype=np.int32
    )  # p n m
    best: Match | None = None
    wanted = -(-3 * len(crops.times) // 8)
    limit = NEAR if wanted > 1 else NEAR // 2
    bound = np.sort(far.min(2), axis=1)[:, :wanted].mean(1)  # p
    for seen in far[[way for way in bound.argsort()[:8] if bound[way] <= limit]]:
        for speed in SPEEDS if len(crops.times) > 1 else (1.0,):
            for start in np.arange(-0.25, float(made.times[-1]) + 0.125, 0.125):
                moments = start + speed * crops.times
                frames = np.abs(moments[:, None] - made.times[None]).argmin(1)
                near = np.sort(seen[np.arange(len(moments)), frames])[:wanted]
                mean = float(near.mean())
                if near[-1] <= limit and (best is None or mean < best.distance):
                    best = Match(
                        clip=clip,
                        share=1.0,
                        distance=mean,
                        mirrored=False,
                        speed=speed,
                        start=max(0.0, float(start)),
                    )
    return best
