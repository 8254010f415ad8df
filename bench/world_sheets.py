"""The pictures of docs/world.md: one sheet an event, one of the cameras, one of the circles.

python bench/world_sheets.py            # all of them, into docs/images/world/
python bench/world_sheets.py drop hide  # some events
"""

from __future__ import annotations

import sys
from itertools import count, islice
from pathlib import Path

from sorairo.video import contact_sheet
from sorairo.worlds import get_world
from sorairo.worlds.cameras import CAMERAS
from sorairo.worlds.circles import CIRCLES
from sorairo.worlds.splits import EVENTS

FOLDER = Path(__file__).parents[1] / "docs/images/world"
WHOLE = len(CIRCLES) - 1


def main(events: tuple[str, ...]) -> None:
    world = get_world("studio")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for event in events or EVENTS:
        seeds = list(islice((s for s in count() if world.subject(s, WHOLE)[0] == event), 4))
        write(event, [world.clip(seed, circle=WHOLE) for seed in seeds])
    if events:
        return
    for move in CAMERAS:
        wanted = (s for s in count(1000) if world.subject(s, WHOLE)[1] == move)
        write(f"camera-{move}", [world.clip(seed, circle=WHOLE) for seed in islice(wanted, 2)])
    for circle in range(len(CIRCLES)):
        write(f"circle-{circle}", [world.clip(seed, circle=circle) for seed in range(2000, 2006)])


def write(name: str, clips: list) -> None:
    path = FOLDER / f"{name}.jpg"
    words = [clip.captions.long for clip in clips]
    contact_sheet([clip.video for clip in clips], words, path, columns=2, frames_per=6)
    print(path)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
