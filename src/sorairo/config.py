"""Configuration from files: an unknown or missing key, a wrong type or an absurd value is an error that names the key.

Our own files are frozen dataclasses as JSON. Other programs' files are checked by a `Schema`, before any code sees
their values.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sorairo.types import UserError

__all__ = ["Schema", "check", "from_dict", "from_json", "parse_json", "to_dict", "to_json"]

T = TypeVar("T")


class Schema(BaseModel):
    """Which keys a file of another program has, of which type and within which bounds; others may stand beside them.

    Types are strict ("12" and 12.0 are no whole numbers) and numbers are finite. `closed`: other keys are errors,
    but for those that begin with an underscore.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)
    closed: ClassVar[bool] = False


def check(schema: type[Schema], values: Mapping[str, Any], *, where: str = "config") -> None:
    """Raise UserError, which begins with `where` and names the key, for values that a schema does not allow."""
    if schema.closed:
        known = {field.alias or name for name, field in schema.model_fields.items()}
        unknown = sorted(key for key in values if key not in known and not key.startswith("_"))
        if unknown:
            raise UserError(
                f"{where}: unknown key {_short(unknown[0])}, so this is another kind of model, or of a later version."
            )
    # tuples, as Python objects have them in place of lists, are lists in files
    try:
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
        schema.model_validate(plain)
    except ValidationError as error:
        raise UserError(f"{where}: {_first(error)}.") from error


def _first(error: ValidationError) -> str:
    """The first fault: its key, what is asked for, and the value."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "value"
    if first["type"] == "missing":
        return f"{key} is missing; copy the file again"
    return f"{key}: {first['msg'].lower()}, not {_short(first['input'])}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


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
