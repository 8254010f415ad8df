"""Request: everything that a user can request, as one schema for the command line, JSON files and HTTP."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

from pydantic import ValidationError, ValidationInfo, field_validator, model_validator

from sorairo.jobs.args import ARGS, Args, Schema, Storyboard, Upscale
from sorairo.text.prompt import check_text
from sorairo.types import UserError

__all__ = ["ARGS", "MEDIA", "Request", "Verb", "looks_like_file", "parsed_size"]

Verb = Literal[
    "generate",
    "animate",
    "extend",
    "loop",
    "connect",
    "recut",
    "edit",
    "remix",
    "storyboard",
    "blend",
    "upscale",
]

MEDIA = """mp4 m4v mov webm mkv avi ts mts m2ts mpg mpeg ogv wmv flv 3gp 3g2 mxf vob gif webp png apng jpg jpeg jfif
heic heif avif tif tiff bmp jp2 jxl psd svg raw dng mp3 wav m4a aac flac ogg opus""".split()  # noqa: SIM905
"""Suffixes of pictures, clips and sound, read here or not: words do not end so."""

SUFFIX = re.compile(rf"\.({'|'.join(MEDIA)})\s*$", re.IGNORECASE)


SOURCES = {
    "generate": (0, 0),
    "loop": (0, 1),
    "connect": (2, 2),
    "blend": (2, 2),
    "storyboard": (0, 1000),
}
"""How many input files a verb takes, from and to; the others take one."""

UPSCALED = {"verb", "sources", "args", "model", "upscale", "background"}
"""Fields that the verb upscale takes; the others change frames, and it makes none."""


class Request(Schema):
    """What is wanted. None takes the model's own value, or the one that suits the input files.

    sources: paths of the input files, in the verb's order. references, control: paths of pictures of what should
    appear, and of a clip to follow. args: what the verb alone takes, see ARGS. size: "WxH".
    seconds or frames, not both; each verb documents which length they set. seed: None draws one. number: how many
    videos, with seeds one after another. The other fields are the options of the same names, see docs/cli.md.
    """

    verb: Verb
    prompt: str | None = None
    sources: tuple[str, ...] = ()
    args: Any = None
    model: str = "default"
    size: str | None = None
    seconds: float | None = None
    frames: int | None = None
    seed: int | None = None
    number: int = 1
    steps: int | None = None
    guidance: float | None = None
    shift: float | None = None
    sampler: str | None = None
    negative: str = ""
    style: str | None = None
    expand: bool = False
    expand_url: str | None = None
    expand_model: str = ""
    fit: str = "crop"
    background: str = "white"
    upscale: int | None = None
    references: tuple[str, ...] = ()
    control: str | None = None
    control_scale: float = 1.0
    vae: str | None = None
    text_encoder: str | None = None
    image_encoder: str | None = None
    lora: tuple[str, ...] = ()
    loose: bool = False
    cache: float | None = None
    compile: bool | None = None
    attention: str = "auto"
    memory: str | None = None
    dtype: str = "auto"

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Request:
        """A Request from JSON values. Raises UserError, one sentence that names the field."""
        where = ""
        try:
            verb, args = values.get("verb"), values.get("args")
            if isinstance(verb, str) and verb in ARGS and not isinstance(args, Args):
                where = "args."
                values = values | {"args": ARGS[verb].model_validate({} if args is None else args)}
                where = ""
            return cls.model_validate(values)
        except ValidationError as error:
            raise said(error, where) from error

    @field_validator("prompt", "negative")
    @classmethod
    def _text(cls, value: str | None, info: ValidationInfo) -> str | None:
        return check_text(value, str(info.field_name)) if value else value

    @field_validator("size", mode="before")
    @classmethod
    def _size(cls, value: Any) -> Any:
        if isinstance(value, tuple | list) and len(value) == 2:
            value = "x".join(map(str, value))
        if isinstance(value, str):
            parsed_size(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _args(cls, values: Any) -> Any:
        """args as the class of the verb."""
        verb = values.get("verb") if isinstance(values, dict) else None
        if not isinstance(verb, str) or verb not in ARGS:
            return values
        args = values.get("args")
        if not isinstance(args, Args):
            args = ARGS[verb].model_validate({} if args is None else args)
        return values | {"args": args}

    @model_validator(mode="after")
    def _check(self) -> Request:
        if not isinstance(self.args, ARGS[self.verb]):
            raise UserError(f"args of {type(self.args).__name__} do not go with the verb {self.verb}.")
        if self.number < 1:
            raise UserError(f"-n must be 1 or more, not {self.number}.")
        if self.seconds is not None and self.frames is not None:
            raise UserError("Give --seconds or --frames, not both.")
        if isinstance(self.args, Upscale):
            defaults = {name: field.get_default() for name, field in type(self).model_fields.items()}
            for name in type(self).model_fields:
                if name not in UPSCALED and getattr(self, name) != defaults[name]:
                    raise UserError(f"upscale makes no new frames, so it takes no {name}.")
        least, most = SOURCES.get(self.verb, (1, 1))
        if not least <= len(self.sources) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            raise UserError(f"{self.verb} takes {count} input files, not {len(self.sources)}.")
        if SUFFIX.search(self.negative):
            raise UserError(f"{self.negative.strip()!r} is the name of a file, and --negative takes words.")
        if self.prompt and SUFFIX.search(self.prompt):
            raise UserError(
                f"{self.prompt.strip()!r} is the name of a file, and {self.verb} takes words there; say what happens."
            )
        if isinstance(self.args, Storyboard):
            for card in self.args.cards:
                if card.words and SUFFIX.search(card.words):
                    raise UserError(
                        f"The card at {card.at:g} s has the name of a file for words, {card.words.strip()!r}; "
                        "give it as the card's picture."
                    )
                if card.picture is not None and not 0 <= card.picture < len(self.sources):
                    raise UserError(
                        f"The card at {card.at:g} s names picture {card.picture}, which is not there."
                    )
        return self

    @property
    def pixels(self) -> tuple[int, int] | None:
        """The size as (width, height)."""
        return parsed_size(self.size)


def parsed_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) of "WxH". Raises UserError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})[xX\u00d7](\d{1,6})", text.strip())
    if not found:
        raise UserError(f"A size is WIDTHxHEIGHT in pixels, such as 128x96, not {text!r}.")
    return int(found[1]), int(found[2])


def looks_like_file(text: str) -> bool:
    """Whether a text is the name of a file, there or not: it has a separator or a suffix of media."""
    return "/" in text or "\\" in text or bool(SUFFIX.search(text))


def said(error: ValidationError, where: str) -> UserError:
    """The first fault as a sentence that names the field."""
    first = error.errors()[0]
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, UserError):
        return inner
    if isinstance(inner, ValidationError):
        return said(inner, "args.")
    field = where + ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return UserError(f"{field} is not known here.")
    if first["type"] == "missing":
        return UserError(f"{field} is missing.")
    if field == "verb":
        return UserError(f"verb is one of {', '.join(get_args(Verb))}, not {first['input']!r}.")
    return UserError(f"{field}: {first['msg'][:1].lower()}{first['msg'][1:]}.")
