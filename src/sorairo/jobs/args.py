"""What each verb alone takes, as the `args` of a Request."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator

from sorairo.text.prompt import check_text
from sorairo.types import Scene

__all__ = [
    "ARGS",
    "Animate",
    "Args",
    "Blend",
    "CardArgs",
    "Connect",
    "Edit",
    "Extend",
    "Generate",
    "Loop",
    "Recut",
    "Remix",
    "Schema",
    "Storyboard",
    "Upscale",
]


class Schema(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Args(Schema):
    """What one verb alone takes."""


class Generate(Args):
    """Words to video. scene: where things are, in place of what the model would draw."""

    scene: Scene | None = None


class Animate(Args):
    """A picture becomes the first frame."""


class Extend(Args):
    """before: add at the beginning."""

    before: bool = False


class Loop(Args):
    """free: make the way back without the frames in reverse."""

    free: bool = False


class Connect(Args):
    """From one clip or picture to another."""


class Recut(Args):
    """keep: (from, to) in seconds of the clip."""

    keep: tuple[float, float]


class Edit(Args):
    """strength: over 0, at most 1. region: x, y, width, height in pixels of the output."""

    strength: float = 0.6
    region: tuple[int, int, int, int] | None = None


class Remix(Args):
    """strength: over 0, at most 1. The prompt is the change."""

    strength: float = 0.9


class CardArgs(Schema):
    """at: seconds. words: None goes on with those of the card before. picture: a number in the request's sources."""

    at: float
    words: str | None = None
    picture: int | None = None

    @field_validator("words")
    @classmethod
    def _text(cls, value: str | None) -> str | None:
        return check_text(value, "words") if value else value


class Storyboard(Args):
    """Cards in order of time."""

    cards: tuple[CardArgs, ...]


class Blend(Args):
    """curve: when the one clip turns into the other."""

    curve: str = "smooth"


class Upscale(Args):
    """A clip or a picture at twice its size; no frame is generated."""


ARGS: dict[str, type[Args]] = {
    "generate": Generate,
    "animate": Animate,
    "extend": Extend,
    "loop": Loop,
    "connect": Connect,
    "recut": Recut,
    "edit": Edit,
    "remix": Remix,
    "storyboard": Storyboard,
    "blend": Blend,
    "upscale": Upscale,
}
