"""The body of a call as values and uploads: JSON, multipart and form fields in every way that clients send them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request as Call

from sorairo.serving.errors import ApiError

__all__ = ["Body", "Upload", "from_text", "plain", "read_body"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Upload:
    """A file of a form. name: without any folder."""

    name: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Body:
    """values: nested, from JSON or from names such as a[b] and a[][b]; in a form all are texts. digest: SHA-256 of the
    values and files, the same for two forms that differ in their boundary alone."""

    values: dict[str, Any] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    digest: str = ""


async def read_body(call: Call) -> Body:
    """The body of a call. Raises ApiError for what is broken, cut off or too deep."""
    kind = call.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _form(call)
    data = await call.body()
    # curl calls every text a form that -H gives no other type
    if kind == "application/x-www-form-urlencoded" and not data.lstrip().startswith(b"{"):
        form = await call.form()
        return _whole(nested((name, str(value)) for name, value in form.multi_items()), {})
    if not data.strip():
        return _whole({}, {})
    if len(data) > call.app.state.settings.max_json:
        raise ApiError(
            413, "The JSON is too large; send files as multipart/form-data or upload them to /v1/files."
        )
    return _whole(parsed(data), {})


def parsed(data: bytes) -> dict[str, Any]:
    """JSON bytes as an object of plain values. Raises ApiError."""
    try:
        values = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError as error:
        raise ApiError(400, "The JSON is nested too deeply.") from error
    except ValueError as error:
        raise ApiError(400, "The body is not valid JSON in UTF-8.") from error
    if not isinstance(values, dict):
        raise ApiError(400, "The body must be a JSON object.")
    return plain(values)


def from_text(value: Any) -> Any:
    """The object that a form's field has as JSON, the way programs of no library send it; else the value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return parsed(value.encode())
    except ApiError:
        return value


def plain(value: Any, depth: int = 0) -> Any:
    """A JSON value that every database can hold. Raises ApiError for halves of characters, NULs and great depth."""
    if depth > 20:
        raise ApiError(400, "The JSON is nested too deeply.")
    if isinstance(value, dict):
        return {plain(key, depth + 1): plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one, depth + 1) for one in value]
    if isinstance(value, str) and ("\0" in value or any(0xD800 <= ord(letter) <= 0xDFFF for letter in value)):
        raise ApiError(400, "A text has a character that is none (NUL, or half of a pair).")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ApiError(400, "A number is too large.")
    if isinstance(value, float) and abs(value) > 1e300:
        raise ApiError(400, "A number is too large.")
    return value


def nested(pairs: Any) -> dict[str, Any]:
    """a[b] = 1 -> {a: {b: 1}}; a[] = 1 -> {a: [1]}; a[][b] = 1 -> {a: [{b: 1}]}. Raises ApiError."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        found = re.fullmatch(r"([^\[\]]+)((?:\[[^\[\]]*\])*)", name)
        if not found or found[2].count("[") > 4:
            raise ApiError(400, f"The field name {name[:80]!r} is not understood.")
        place: Any = values
        keys = [found[1], *re.findall(r"\[([^\[\]]*)\]", found[2])]
        for key, after in zip(keys, [*keys[1:], None], strict=True):
            new: Any = value if after is None else ([] if after == "" or after.isdigit() else {})
            if isinstance(place, list):
                if isinstance(new, dict) and place and isinstance(place[-1], dict) and after not in place[-1]:
                    place = place[-1]
                    continue
                place.append(new)
                place = place[-1]
            elif isinstance(place, dict):
                if after is None or not isinstance(place.get(key), list | dict):
                    place[key] = new
                place = place[key]
            else:
                raise ApiError(400, f"The field {name[:80]!r} is given in two ways.")
    return plain(values)


async def _form(call: Call) -> Body:
    data = await call.body()
    found = re.search(r'boundary="?([^";,]{1,200})"?', call.headers.get("content-type", ""))
    # a form that was cut off parses as an empty one, or without its last field
    if not found or not data.rstrip().endswith(f"--{found[1]}--".encode("latin-1", "replace")):
        raise ApiError(400, "The form is cut off, or has no boundary; send it again.")
    try:
        form = await call.form(max_files=100, max_fields=1000, max_part_size=call.app.state.settings.max_body)
    except (HTTPException, MultiPartException, ValueError) as error:
        raise ApiError(400, f"The form cannot be read: {getattr(error, 'detail', error)}.") from error
    texts: list[tuple[str, str]] = []
    uploads: dict[str, Upload] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                uploads[name] = Upload(name=safe_name(value.filename or "upload"), data=await value.read())
            else:
                texts.append((name, value))
    finally:
        await form.close()
    return _whole(nested(texts), uploads)


def safe_name(name: str) -> str:
    """The last part of a file name, without control characters, at most 200 letters."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(letter for letter in last if letter.isprintable() and not 0xD800 <= ord(letter) <= 0xDFFF)
    return "upload" if shown in ("", ".", "..") else shown[-200:]


def _whole(values: dict[str, Any], uploads: dict[str, Upload]) -> Body:
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for name in sorted(uploads):
        digest.update(name.encode("utf-8", "replace") + hashlib.sha256(uploads[name].data).digest())
    return Body(values=values, uploads=uploads, digest=digest.hexdigest())


def _no_constant(text: str) -> Any:
    raise ValueError(text)
