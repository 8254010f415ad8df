"""The sizes at which open weights are used elsewhere are taken, trained for or not."""

import pytest

from sorairo.tasks.abilities import Abilities
from sorairo.types import Plan, Span, UserError

SIZES = ["640x640", "512x512", "480x480", "1024x576", "832x464"]
SIZES += ["720x480", "640x384", "960x544", "1280x704", "416x240"]


def ask(size: str, multiple: int) -> None:
    wide, high = map(int, size.split("x"))
    model = Abilities(
        name="wan",
        sizes=((832, 480),),
        max_frames=81,
        default_frames=81,
        fps=16.0,
        step=4,
        multiple=multiple,
    )
    model.check(Plan(size=(wide, high), frames=17, fps=16.0, spans=(Span(text="a ball"),), seed=1))


@pytest.mark.parametrize("size", SIZES)
def test_sizes_in_use_are_taken(size: str) -> None:
    ask(size, 16)


def test_what_the_patches_of_the_5b_model_cannot_is_refused_with_the_nearest() -> None:
    for size in ("832x464", "720x480", "416x240"):
        with pytest.raises(UserError, match=r"multiples of 32.*nearest"):
            ask(size, 32)
    for size in ("640x640", "1280x704", "960x544", "640x384"):
        ask(size, 32)
