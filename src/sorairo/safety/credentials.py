"""Content credentials (C2PA): what a file claims of how it was made, signed and put into it.

The C2PA specification 2.x; c2pa-python does the work. Formats without a place for them (WebM) get a file beside.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sorairo.files import whole_file
from sorairo.safety.identity import Identity, anchors, identity
from sorairo.safety.streams import stream_digests
from sorairo.types import UserError
from sorairo.version import VERSION
from sorairo.video.formats import format_of

__all__ = ["MEDIA_TYPES", "Claims", "Ingredient", "ingredient", "media_type", "sidecar", "sign"]

MEDIA_TYPES = {
    "MP4": "video/mp4",
    "PNG": "image/png",
    "WebP": "image/webp",
    "GIF": "image/gif",
    "JPEG": "image/jpeg",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
    "AVI": "video/avi",
}
"""By Format.name: files that can hold credentials."""

PLAIN = "application/octet-stream"

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE = SOURCE_TYPES + "trainedAlgorithmicMedia"
COMPOSITE = SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"
PARENTS = frozenset({"extend", "loop", "recut", "edit", "remix", "upscale", "thumbnail", "spritesheet"})
"""Verbs whose output is a new version of their input; others place their inputs in something new."""

SETTINGS: dict[str, Any] = {
    "builder": {"thumbnail": {"enabled": False}, "generate_c2pa_archive": True},
    "verify": {"ocsp_fetch": False, "remote_manifest_fetch": False, "verify_after_sign": False},
}


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """An input with its own credentials, as they were when it was opened. archive: of c2pa; needs no file any more."""

    title: str
    label: str
    archive: bytes


@dataclass(frozen=True, kw_only=True)
class Claims:
    """verb: of the request; empty where there was none. weights: SHA-256 of the model's files. safety: the verdict.

    facts: what else is claimed, JSON values.
    """

    verb: str
    model: str
    weights: str = ""
    ingredients: tuple[Ingredient, ...] = ()
    safety: dict[str, Any] | None = None
    facts: dict[str, Any] | None = None


def ingredient(path: Path, verb: str, number: int) -> Ingredient:
    """An input file of a verb. Raises UserError for one that cannot be read."""
    c2pa = library()
    label = f"input{number}"
    first = verb in PARENTS and number == 0
    facts = {"title": path.name, "relationship": "parentOf" if first else "componentOf", "label": label}
    try:
        archive = archived(path, media_type(path), facts)
    except c2pa.C2paError:  # its credentials are broken, so the file alone is named, by its hash
        archive = archived(path, PLAIN, facts | {"description": "Its credentials could not be read."})
    return Ingredient(title=path.name, label=label, archive=archive)


def archived(path: Path, kind: str, facts: dict[str, str]) -> bytes:
    """An ingredient as c2pa keeps it. Raises UserError and C2paError."""
    builder = library().Builder.from_json(
        json.dumps({"claim_generator_info": [generator()]}), context=context()
    )
    kept = io.BytesIO()
    try:
        with path.open("rb") as file:
            builder.add_ingredient(json.dumps(facts), kind, file)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or '').lower()}).") from error
    builder.write_ingredient_archive(facts["label"], kept)
    return kept.getvalue()


def sign(path: Path, claims: Claims, final: Path | None = None, signer: Identity | None = None) -> None:
    """Put signed credentials into a file, whole or not at all; beside it where its format has no place for them.

    final: the name that the file will get, if `path` is a temporary one. Raises UserError.
    """
    c2pa = library()
    signer = signer or identity()
    assert signer is not None
    kind = media_type(path)
    try:
        builder = c2pa.Builder.from_json(json.dumps(manifest(path, claims)), context=context())
        for one in claims.ingredients:
            builder.add_ingredient_from_archive(io.BytesIO(one.archive))
        info = c2pa.C2paSignerInfo(signer.algorithm, signer.chain, signer.key, signer.timestamps or None)
        with c2pa.Signer.from_info(info) as pen:
            if kind not in MEDIA_TYPES.values():
                builder.set_no_embed()
                with path.open("rb") as file:
                    credentials = builder.sign(pen, kind, file, io.BytesIO())
                with whole_file(sidecar(final or path)) as beside:
                    beside.write_bytes(credentials)
                return
            with whole_file(path) as signed, path.open("rb") as file, signed.open("w+b") as out:
                builder.sign(pen, kind, file, out)
    except c2pa.C2paError as error:
        reason = str(error).strip().rstrip(".")
        where = f", or the time stamps of {signer.timestamps} do not come" if signer.timestamps else ""
        raise UserError(
            f"{path.name} cannot be signed ({reason}); the certificate may not suit{where}."
        ) from error


def manifest(path: Path, claims: Claims) -> dict[str, Any]:
    """The claims as c2pa takes them."""
    agent = {"name": "Sorairo", "version": VERSION}
    parents = [one for one in claims.ingredients if claims.verb in PARENTS][:1]
    others = [one for one in claims.ingredients if one not in parents]
    kind = COMPOSITE if claims.ingredients else MADE
    made = {"digitalSourceType": kind, "softwareAgent": agent}
    if parents:
        actions: list[dict[str, Any]] = [
            {"action": "c2pa.opened", "parameters": placed(parents)},
            {"action": "c2pa.edited", "description": claims.verb, **made},
        ]
    else:
        actions = [{"action": "c2pa.created", **made}]
    if others:
        actions.append({"action": "c2pa.placed", "parameters": placed(others)})
    making = {"verb": claims.verb, "model": claims.model, "model_sha256": claims.weights}
    making = {name: value for name, value in making.items() if value} | (claims.facts or {})
    assertions = [
        {"label": "c2pa.actions.v2", "data": {"actions": actions}},
        {"label": "org.sorairo.making", "data": making},
        {"label": "org.sorairo.streams", "data": stream_digests(path)},
    ]
    if claims.safety is not None:
        assertions.append({"label": "org.sorairo.safety", "data": claims.safety})
    return {"claim_generator_info": [generator()], "format": media_type(path), "assertions": assertions}


def placed(ingredients: Sequence[Ingredient]) -> dict[str, Any]:
    return {"ingredientIds": [one.label for one in ingredients]}


def generator() -> dict[str, str]:
    return {"name": "Sorairo", "version": VERSION}


def media_type(path: Path) -> str:
    """The media type of a file by its first bytes; application/octet-stream where it cannot hold credentials."""
    try:
        return MEDIA_TYPES.get(format_of(path).name, PLAIN)
    except UserError:
        return PLAIN


def sidecar(path: Path) -> Path:
    """Where the credentials of a file lie that cannot hold them: clip.webm -> clip.c2pa."""
    return path.with_suffix(".c2pa")


def library() -> Any:
    """c2pa. Raises UserError where it is not installed."""
    try:
        import c2pa
    except ImportError as error:
        raise UserError('Content credentials need c2pa-python: pip install "sorairo[safety]".') from error
    return c2pa


def context(trust: tuple[Path, ...] = ()) -> Any:
    """c2pa's settings: no network, and whom to trust."""
    return library().Context.from_dict(SETTINGS | {"trust": anchors(trust)})
