"""`sorairo whose`: whether a file is a copy of something that was made here."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sorairo.cli.terminal import safe

if TYPE_CHECKING:
    from sorairo.safety.whose import Answer

__all__ = ["EXAMPLES", "whose"]

EXAMPLES = """Examples:

  sorairo whose found-on-the-web.mp4

  sorairo whose found-on-the-web.mp4 --json

Exit codes: 0 it is from a file that was made here; 4 nothing was found; 2 it cannot be read."""

NOTHING = 4


def whose(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A video or picture, perhaps an altered copy.")
    ],
    index: Annotated[
        Path | None, typer.Option(metavar="DB", help="Look in this index, not in this user's own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Find which file made here a video or picture is a copy of, encoded again, scaled, cut or mirrored."""
    from sorairo.safety.fingerprints import query_of
    from sorairo.safety.identity import mark_key
    from sorairo.safety.index import LocalIndex
    from sorairo.safety.mark_search import detect
    from sorairo.safety.whose import answered
    from sorairo.types import UserError
    from sorairo.video.read import read_video

    if index is not None and not index.is_file():
        raise UserError(f"There is no index {index}.")
    video = read_video(file)
    key = mark_key(create=False)
    mark = detect(video.frames[:: max(1, len(video) // 64)], key) if key else None
    found = answered(LocalIndex(index).load(), query_of(video), mark)
    if as_json:
        values = {
            "path": str(file),
            "mark": asdict(mark) if mark else None,
            "found": [facts(one) for one in found],
        }
        print(json.dumps(values))
    else:
        for one in found:
            print(line(one))
        if mark and not any(one.by_mark for one in found):
            print(f"the mark {mark.payload:08x} of this installation, of a file that the index does not have")
        if not found and not mark:
            print(f"{safe(file)}: nothing made here is like it")
    raise typer.Exit(0 if found or mark else NOTHING)


def facts(one: Answer) -> dict[str, Any]:
    """An answer as JSON values."""
    match = asdict(one.match) if one.match else {}
    match.pop("clip", None)
    return {"path": one.entry.name, "created": one.entry.created, "by_mark": one.by_mark, **match}


def line(one: Answer) -> str:
    """An answer for people."""
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.entry.created))
    told = [f"made {made}"]
    if one.by_mark:
        told.append("its mark was read")
    if one.match:
        told.append(f"{one.match.share:.0%} of the frames agree, {one.match.distance:.0f} of 256 bits differ")
        told += ["mirrored"] if one.match.mirrored else []
        told += [f"at {one.match.speed:.2f} of its speed"] if one.match.speed != 1 else []
        told += [f"from {one.match.start:.1f} s on"] if one.match.start > 0 else []
    return f"{safe(one.entry.name)}  {', '.join(told)}"
