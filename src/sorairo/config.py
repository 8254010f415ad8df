"""Frozen dataclasses <-> JSON; an unknown or missing key or a wrong type is an error that names the key."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from sorairo.types import UserError

__all__ = ["from_dict", "from_json", "parse_json", "to_dict", "to_json"]

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain JSON values (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(kind: type[T], values: dict[str, Any], *, where: str = "config") -> T:
    """The dataclass `kind` from JSON values. Raises UserError that names `where` and the key at fault."""
    known = {field.name for field in dataclasses.fields(kind)}  # pyright: ignore[reportArgumentType]
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(sorted(known))}.")
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "value"
        raise UserError(f"{where}: {key}: {first['msg'].lower()}.") from error


def to_json(config: Any, path: Path) -> None:
    """Write a dataclass as indented JSON."""
    path.write_text(json.dumps(to_dict(config), indent=2) + "\n")


def from_json(kind: type[T], path: Path) -> T:
    """Read a dataclass from a JSON file. Raises UserError that names the file."""
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    return from_dict(kind, parse_json(text, where=str(path)), where=str(path))


def parse_json(text: str | bytes, *, where: str) -> dict[str, Any]:
    """The JSON object that a text holds. Raises UserError, which begins with `where`, for everything else.

    That includes lists nested so deep that Python's parser gives up, and bytes that are not UTF-8.
    """
    try:
        values = json.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # ValueError: of JSON, of UTF-8, of numbers with too many digits
        raise UserError(f"{where} is damaged: it is not valid JSON; copy it again.") from error
    if not isinstance(values, dict):
        raise UserError(f"{where} is damaged: it holds no JSON object; copy it again.")
    return values
