"""From what each pixel votes for to objects with a path: grouping in a frame, linking over time.

t frames, y x half-resolution pixels. Plain numpy: a clip has a handful of objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Blob", "Track", "Tracklet", "blobs_of", "link", "merge"]

SMALLEST = 5  # half-resolution pixels: less of an object is not looked at
FARTHEST = 2.0  # object sizes an object may be away from where its last two positions lead
NEAR = 0.7  # of the size of two blobs together: votes nearer than this may mean one object
ALIKE = 0.3  # the chance that two blobs have one colour, from which on they are taken to
GROWN = 0.5  # of the size of the smaller of two blobs: a longer seam means that they are one
SURE = 0.75  # ramps, tables and hills that look like objects in some frames stay below this mean probability
APART = 1.5  # object sizes between the middles of two parts of one object
COLOUR_WEIGHT = 2.0  # object sizes that a wholly different colour is worth when linking


@dataclass(frozen=True, kw_only=True, eq=False)
class Blob:
    """An object in one frame. pixels: its places (n 2); centre, pull: where they lie and where they vote, x y in
    half-resolution pixels; sure: how likely that is an object at all; colour, shape: mean probabilities.
    """

    pixels: np.ndarray
    pull: np.ndarray
    sure: float
    colour: np.ndarray
    shape: np.ndarray

    @property
    def area(self) -> int:
        """How many pixels are seen of it."""
        return len(self.pixels)

    @property
    def centre(self) -> np.ndarray:
        """The mean of its pixels, x y."""
        return self.pixels.mean(axis=0)

    @property
    def size(self) -> float:
        """The square root of the area."""
        return float(np.sqrt(self.area))


@dataclass(kw_only=True, eq=False)
class Tracklet:
    """The same object over frames without a long gap."""

    blobs: dict[int, Blob] = field(default_factory=dict)

    @property
    def first(self) -> int:
        return min(self.blobs)

    @property
    def last(self) -> int:
        return max(self.blobs)

    def vote(self, what: str) -> np.ndarray:
        """Probabilities of its colour or shape: the mean over frames, each weighed by its size."""
        weights = np.array([blob.size for blob in self.blobs.values()])
        return np.average([getattr(blob, what) for blob in self.blobs.values()], axis=0, weights=weights)

    def expected(self, frame: int) -> np.ndarray:
        """Where it would be, from its last two positions."""
        last = self.blobs[self.last]
        before = self.blobs.get(self.last - 1)
        speed = last.centre - before.centre if before else np.zeros(2)
        return last.centre + speed * min(frame - self.last, 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One object of a clip. path: x y per frame (t 2), full-resolution pixels, NaN where unseen. area: (t,) pixels.

    colour, shape: words. parts: frames [start, stop) of each stretch in which it was seen, with the words that this
    stretch alone would give.
    """

    colour: str
    shape: str
    path: np.ndarray
    area: np.ndarray
    parts: tuple[tuple[int, int, str, str], ...]

    @property
    def size(self) -> float:
        """The square root of its median area, in pixels."""
        return float(np.sqrt(np.median(self.area[self.area > 0])))


def blobs_of(sure: np.ndarray, centre: np.ndarray, colour: np.ndarray, shape: np.ndarray) -> list[Blob]:
    """The objects of a frame. sure: the probability (y x) that a place belongs to one; centre: (y x 2) offsets;
    colour, shape: probabilities (y x k).

    Every pixel that more likely does than not votes for the middle of its object; votes are heaped on a grid, heaps
    become objects, and each pixel joins the heap nearest to its vote.
    """
    ys, xs = np.nonzero(sure > 0.5)
    if len(ys) < SMALLEST:
        return []
    votes = np.stack([xs, ys], axis=1) + centre[ys, xs]
    peaks = _peaks(votes, sure.shape)
    if not len(peaks):
        return []
    owner = np.argmin(((votes[:, None] - peaks) ** 2).sum(axis=2), axis=1)
    blobs = []
    for index in np.unique(owner):
        mine = owner == index
        at = ys[mine], xs[mine]
        blobs.append(
            Blob(
                pixels=np.stack([at[1], at[0]], axis=1),
                pull=votes[mine].mean(axis=0),
                sure=float(sure[at].mean()),
                colour=colour[at].mean(axis=0),
                shape=shape[at].mean(axis=0),
            )
        )
    return [blob for blob in _join(blobs) if blob.area >= SMALLEST]


def _peaks(votes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Heaps (n 2) x y: the highest places of the votes' histogram, each keeping the others at a distance."""
    h, w = shape
    pad = 4
    cells = np.clip(np.rint(votes).astype(int), -pad + 1, np.array([w, h]) + pad - 2) + pad
    heap = np.zeros((h + 2 * pad, w + 2 * pad))
    np.add.at(heap, (cells[:, 1], cells[:, 0]), 1.0)
    smooth = np.sum([np.roll(heap, (i, j), (0, 1)) * k for i, j, k in _KERNEL], axis=0)
    peaks = []
    while smooth.max() >= SMALLEST / 2 and len(peaks) < 12:
        y, x = np.unravel_index(int(smooth.argmax()), smooth.shape)
        peaks.append((x - pad, y - pad))
        smooth[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = 0
    return np.array(peaks, dtype=float).reshape(-1, 2)


_KERNEL = [(i, j, 1.0 / (1 + abs(i) + abs(j))) for i in (-1, 0, 1) for j in (-1, 0, 1)]


def _join(blobs: list[Blob]) -> list[Blob]:
    """Blobs of one colour are one if their votes point to much the same place, or if they are grown together: votes
    that failed to meet.
    """
    joined: list[Blob] = []
    for blob in sorted(blobs, key=lambda b: -b.area):
        for index, other in enumerate(joined):
            near = np.linalg.norm(blob.pull - other.pull) < NEAR * np.sqrt(blob.area + other.area)
            alike = float(blob.colour @ other.colour) > ALIKE
            if alike and (near or _contact(blob, other) > GROWN * min(blob.size, other.size)):
                joined[index] = _sum(other, blob)
                break
        else:
            joined.append(blob)
    return joined


def _contact(a: Blob, b: Blob) -> int:
    """How many pixels of the smaller blob lie beside one of the other."""
    small, large = sorted((a, b), key=lambda blob: blob.area)
    if np.linalg.norm(a.centre - b.centre) > 2 * (a.size + b.size):
        return 0
    gaps = np.abs(small.pixels[:, None] - large.pixels).sum(axis=2)
    return int((gaps.min(axis=1) == 1).sum())


def _sum(a: Blob, b: Blob) -> Blob:
    share = b.area / (a.area + b.area)
    names = ("pull", "sure", "colour", "shape")
    values = {name: (1 - share) * getattr(a, name) + share * getattr(b, name) for name in names}
    return Blob(pixels=np.concatenate([a.pixels, b.pixels]), **values)


def link(frames: list[list[Blob]], patience: int = 2) -> list[Tracklet]:
    """Tracklets over time: in each frame the closest pairs (place and colour) are joined first.

    patience: frames that an object may be missing without becoming a new tracklet.
    """
    tracklets: list[Tracklet] = []
    for frame, blobs in enumerate(frames):
        live = [t for t in tracklets if frame - t.last <= patience + 1]
        pairs = []
        for tracklet in live:
            last = tracklet.blobs[tracklet.last]
            for blob in blobs:
                size = max(last.size, blob.size)
                away = float(np.linalg.norm(tracklet.expected(frame) - blob.centre)) / size
                unlike = 1 - float(last.colour @ blob.colour)
                if away < FARTHEST and unlike < 0.9:
                    pairs.append((away + COLOUR_WEIGHT * unlike, id(tracklet), id(blob), tracklet, blob))
        used: set[int] = set()
        for _, a, b, tracklet, blob in sorted(pairs, key=lambda pair: pair[0]):
            if a not in used and b not in used:
                tracklet.blobs[frame] = blob
                used |= {a, b}
        tracklets += [Tracklet(blobs={frame: blob}) for blob in blobs if id(blob) not in used]
    return tracklets


def merge(tracklets: list[Tracklet], shortest: int) -> list[list[Tracklet]]:
    """Tracklets that are one object seen at different times, or in two parts: of one colour, and they do not meet as
    two whole things.

    A chain of tracklets that is seen in fewer than `shortest` frames, or is probably part of the set, is dropped.
    """
    chains: list[list[Tracklet]] = []
    for tracklet in sorted(tracklets, key=lambda t: t.first):
        colour, best, where = tracklet.vote("colour"), ALIKE, None
        for index, chain in enumerate(chains):
            alike = float(colour @ chain[-1].vote("colour"))
            if alike > best and all(_one_thing(part, tracklet) for part in chain):
                best, where = alike, index
        if where is None:
            chains.append([tracklet])
        else:
            chains[where].append(tracklet)
    return [chain for chain in chains if sum(len(t.blobs) for t in chain) >= shortest and _sure(chain) > SURE]


def _one_thing(a: Tracklet, b: Tracklet) -> bool:
    """Whether two tracklets of one colour can be one object: where both are seen they are near and, together, no larger
    than the larger of them is elsewhere, as when something stands in front of the middle of it.
    """
    shared = [frame for frame in a.blobs if frame in b.blobs]
    largest = max(t.blobs[frame].area for t in (a, b) for frame in t.blobs)
    return all(
        np.linalg.norm(a.blobs[frame].centre - b.blobs[frame].centre) < APART * np.sqrt(largest)
        and a.blobs[frame].area + b.blobs[frame].area <= largest
        for frame in shared
    )


def _sure(chain: list[Tracklet]) -> float:
    return float(np.mean([blob.sure for tracklet in chain for blob in tracklet.blobs.values()]))
