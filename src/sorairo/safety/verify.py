"""Read credentials back: who signed a file, what it claims, whether pictures or sound were changed since."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sorairo.safety.credentials import MEDIA_TYPES, context, library, media_type, sidecar
from sorairo.safety.streams import stream_digests
from sorairo.types import UserError

__all__ = ["ABSENT", "CHANGED", "TRUSTED", "UNKNOWN", "Part", "Report", "verify"]

TRUSTED, UNKNOWN, CHANGED, ABSENT = "trusted", "unknown signer", "changed", "no credentials"

SIGNER = ("signingCredential.untrusted",)
"""Failures that say only that nobody here knows the signer."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One manifest of a chain. state: as Report.state, when it was last looked at. inputs: its own parts."""

    title: str
    state: str
    relationship: str = ""
    note: str = ""
    signer: str = ""
    generator: str = ""
    made: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[Part, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """state: TRUSTED (signed by this installation or by one that is trusted), UNKNOWN (intact, signer not known here),
    CHANGED, ABSENT. pictures, sound: "as signed", "changed", "none", or "not known". safety: the claimed verdict.
    reasons: what did not hold, in C2PA's codes. beside: the credentials lie in a file of their own."""

    path: str
    state: str
    signer: str = ""
    serial: str = ""
    generator: str = ""
    signed: str = ""
    source: str = ""
    made: dict[str, Any] = field(default_factory=dict)
    safety: dict[str, Any] | None = None
    pictures: str = "not known"
    sound: str = "not known"
    inputs: tuple[Part, ...] = ()
    reasons: tuple[str, ...] = ()
    beside: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def verify(path: Path, trust: tuple[Path, ...] = (), kind: str | None = None) -> Report:
    """What the credentials of a file say and whether they hold. trust: PEM files of certificates to trust besides
    this installation's own. kind: the media type, if it is known. Raises UserError for a file that cannot be read."""
    c2pa = library()
    if not path.is_file():
        raise UserError(f"{path} is not a file.")
    kind = kind or media_type(path)
    own = sidecar(path)
    beside = kind not in MEDIA_TYPES.values() and own.is_file() and own != path
    try:
        store = own.read_bytes() if beside else None
        with path.open("rb") as file:
            reader = opened(c2pa, kind, file, store, trust)
            if reader is None:
                return Report(path=str(path), state=ABSENT)
            with reader:
                store_json = json.loads(reader.json())
    except c2pa.C2paError as error:  # a manifest is there, and is broken
        reason = str(error).strip() or type(error).__name__
        return Report(path=str(path), state=CHANGED, reasons=(reason,), beside=beside)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or '').lower()}).") from error
    return report_of(path, store_json, beside)


def opened(c2pa: Any, kind: str, file: Any, store: bytes | None, trust: tuple[Path, ...]) -> Any:
    """A Reader, or None where there are no credentials."""
    try:
        return c2pa.Reader(kind, file, manifest_data=store, context=context(trust))
    except c2pa.C2paError as error:
        name = type(error).__name__ + str(error)
        if "ManifestNotFound" in name or "NotSupported" in name or "JumbfNotFound" in name:
            return None
        raise


def report_of(path: Path, store: dict[str, Any], beside: bool) -> Report:
    manifests = store["manifests"]
    active = manifests[store["active_manifest"]]
    results = store.get("validation_results", {})
    failures = [one["code"] for one in results.get("activeManifest", {}).get("failure", [])]
    state = state_of(failures)
    found = assertions(active)
    signature = active.get("signature_info", {})
    now = streams_now(path, found.get("org.sorairo.streams", {}), state == CHANGED)
    return Report(
        path=str(path),
        state=state,
        signer=signature.get("issuer", ""),
        serial=signature.get("cert_serial_number", ""),
        generator=generator_of(active),
        signed=signature.get("time", ""),
        source=source_of(found),
        made=found.get("org.sorairo.making", {}),
        safety=found.get("org.sorairo.safety"),
        inputs=tuple(part(one, manifests, 0) for one in active.get("ingredients", [])),
        reasons=tuple(dict.fromkeys(failures)),
        beside=beside,
        pictures=now["pictures"],
        sound=now["sound"],
    )


def part(one: dict[str, Any], manifests: dict[str, Any], depth: int) -> Part:
    """An ingredient with the manifest that it brought."""
    label = one.get("active_manifest")
    manifest = manifests.get(label) if label else None
    failures = [
        found["code"]
        for found in one.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    ]
    said = {"title": one.get("title", ""), "relationship": one.get("relationship", "")}
    said["note"] = one.get("description", "")
    if manifest is None or depth > 100:
        state = CHANGED if failures else ABSENT
        return Part(**said, state=state)
    return Part(
        **said,
        state=state_of(failures),
        signer=manifest.get("signature_info", {}).get("issuer", ""),
        generator=generator_of(manifest),
        made=assertions(manifest).get("org.sorairo.making", {}),
        inputs=tuple(part(inner, manifests, depth + 1) for inner in manifest.get("ingredients", [])),
    )


def state_of(failures: list[str]) -> str:
    if any(code not in SIGNER for code in failures):
        return CHANGED
    return UNKNOWN if failures else TRUSTED


def assertions(manifest: dict[str, Any]) -> dict[str, Any]:
    return {one["label"]: one.get("data") for one in manifest.get("assertions", [])}


def generator_of(manifest: dict[str, Any]) -> str:
    said = (manifest.get("claim_generator_info") or [{}])[0]
    return " ".join(str(said[name]) for name in ("name", "version") if said.get(name))


def source_of(found: dict[str, Any]) -> str:
    """IPTC's digital source type of the first action that has one, such as trainedAlgorithmicMedia."""
    for label in ("c2pa.actions.v2", "c2pa.actions"):
        for action in (found.get(label) or {}).get("actions", []):
            if "digitalSourceType" in action:
                return str(action["digitalSourceType"]).rsplit("/", 1)[-1]
    return ""


def streams_now(path: Path, signed: dict[str, str], changed: bool) -> dict[str, str]:
    """Pictures and sound against what was signed. Where nothing was changed, nothing needs to be read."""
    if not changed:
        return {
            name: "as signed" if name in signed or not signed else "none" for name in ("pictures", "sound")
        }
    if not signed:
        return {"pictures": "not known", "sound": "not known"}
    try:
        now = stream_digests(path)
    except UserError:
        return {"pictures": "changed", "sound": "changed" if "sound" in signed else "none"}
    said = {}
    for name in ("pictures", "sound"):
        before, after = signed.get(name), now.get(name)
        said[name] = "none" if before is after is None else "as signed" if before == after else "changed"
    return said
