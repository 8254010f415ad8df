"""Which shots become clips, and why the others do not: figures against bounds, nothing is decoded here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sorairo.data.build.clips import Clip, cut
from sorairo.data.build.duplicates import Duplicates
from sorairo.data.build.figures import Shot
from sorairo.data.build.settings import FIGURES, Filters, Target
from sorairo.types import UserError

__all__ = ["Verdict", "choose"]

MOVING = ("motion", "frozen")
"""Figures that a still has none of."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of a shot, or of a file without shots (shot 0).

    by: the filter that drops it (a figure, "broken", "length", "size", "duplicates", "captions", "lost"); empty where
    it is kept. reason: as people say it.
    """

    file: str
    sha256: str = ""
    shot: int = 0
    begin: float = 0.0
    end: float = 0.0
    figures: Mapping[str, float]
    by: str = ""
    reason: str = ""
    clips: tuple[Clip, ...] = ()
    original: tuple[str, ...] = ()


def choose(
    files: Sequence[tuple[str, str]],
    shots: Mapping[str, Sequence[Shot] | str],
    filters: Filters,
    target: Target,
    *,
    captions: Callable[[str], dict[int, list[str]]],
    captioned: bool,
    check: Callable[[str], object],
    taken: Mapping[str, str],
) -> list[Verdict]:
    """A verdict on every file and shot.

    files: (name, sha256), by name. captions: of a file by shot; raises UserError. captioned: whether a captioner writes
    for those that have none. check: raises UserError for a caption that is too long. taken: clip's id -> its file in an
    earlier build; of two that are alike, such a one stays.
    """
    chosen = [one for name, sha256 in files for one in _of_file(name, sha256, shots[sha256], filters, target)]
    said = {name: _said(captions, name) for name, _ in files}
    count = Counter(one.file for one in chosen if one.shot)
    chosen = [_with_words(one, said[one.file], count[one.file], captioned, check) for one in chosen]
    return _without_copies(chosen, shots, filters.bits, taken)


def _of_file(
    name: str, sha256: str, found: Sequence[Shot] | str, filters: Filters, target: Target
) -> list[Verdict]:
    if isinstance(found, str):
        return [Verdict(file=name, sha256=sha256, figures={}, by="broken", reason=found)]
    verdicts = []
    for number, shot in enumerate(found, start=1):
        one = Verdict(
            file=name, sha256=sha256, shot=number, begin=shot.begin, end=shot.end, figures=shot.figures
        )
        still = shot.stop - shot.start == 1
        outside = [
            figure
            for figure in FIGURES
            if figure in filters.bounds
            and not (still and figure in MOVING)
            and not filters.bounds[figure].holds(shot.figures[figure])
        ]
        if outside:
            reason = "; ".join(_bound(figure, shot.figures[figure], filters) for figure in outside)
            verdicts.append(replace(one, by=outside[0], reason=reason))
            continue
        clips = cut(shot, number, name, sha256, target, filters)
        if isinstance(clips, str):
            verdicts.append(replace(one, by="size" if "too small" in clips else "length", reason=clips))
        else:
            verdicts.append(replace(one, clips=tuple(clips)))
    return verdicts


def _bound(figure: str, value: float, filters: Filters) -> str:
    bounds = filters.bounds[figure]
    if value < bounds.least:
        return f"{figure} {value:g} is below {bounds.least:g}"
    return f"{figure} {value:g} is above {bounds.most:g}"


def _said(captions: Callable[[str], dict[int, list[str]]], name: str) -> dict[int, list[str]] | str:
    try:
        return captions(name)
    except UserError as error:
        return str(error)


def _with_words(
    one: Verdict,
    said: dict[int, list[str]] | str,
    count: int,
    captioned: bool,
    check: Callable[[str], object],
) -> Verdict:
    """A kept shot with the words that are its own, or why it has none. A film's words are not each shot's.

    count: shots of the file. Words for one that is not there were written for other cuts, so none of them is believed.
    """
    if one.by:
        return one
    if isinstance(said, str):
        return replace(one, by="captions", reason=said, clips=())
    if (last := max(said, default=0)) > count:
        reason = f"its captions name shot {last}, and it has {count}: number them again"
        return replace(one, by="captions", reason=reason, clips=())
    lines = said.get(one.shot) or ([] if count > 1 else said.get(0, []))
    for line in lines:
        try:
            check(line)
        except UserError as error:
            return replace(one, by="captions", reason=str(error).rstrip("."), clips=())
    if not lines and not captioned:
        reason = "it has no caption"
        if said.get(0):
            reason = 'its file has several shots, and one caption for all: write {"shots": {"1": ["..."]}}'
        return replace(one, by="captions", reason=reason, clips=())
    return replace(one, original=tuple(lines))


def _without_copies(
    verdicts: list[Verdict],
    shots: Mapping[str, Sequence[Shot] | str],
    bits: int,
    taken: Mapping[str, str],
) -> list[Verdict]:
    """Of shots that are alike the first is kept: one that an earlier build took, then by name."""

    def rank(index: int) -> tuple[int, str, int]:
        one = verdicts[index]
        before = {taken[clip.id] for clip in one.clips if clip.id in taken}
        return (0 if one.file in before else 1 if before else 2), one.file, one.shot

    seen, found = Duplicates(bits), list(verdicts)
    for index in sorted((i for i, one in enumerate(verdicts) if not one.by), key=rank):
        one = verdicts[index]
        of_file = shots[one.sha256]
        assert not isinstance(of_file, str)
        hashes = of_file[one.shot - 1].hashes
        earlier = seen.like(hashes)
        if earlier is None:
            seen.add(f"{one.file} (shot {one.shot})", hashes)
        else:
            found[index] = replace(one, by="duplicates", reason=f"it shows what {earlier} shows", clips=())
    return found
