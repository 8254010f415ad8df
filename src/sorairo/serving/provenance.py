"""What a content provenance check answers, in the shape of OpenAI's, with more results than theirs."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sorairo.safety.fingerprints import Query
from sorairo.safety.identity import can_sign
from sorairo.safety.mark import Found
from sorairo.safety.whose import answered
from sorairo.serving.media import likeness
from sorairo.serving.service import Service

__all__ = ["checked"]

CLAIMS = ("prompt", "seed", "size", "frames", "fps", "model", "software")
STATES = {
    "trusted": "trusted",
    "unknown signer": "valid",
    "changed": "invalid",
    "no credentials": "not_present",
}


def checked(here: Service, project: str, path: Path) -> dict[str, Any]:
    """The answer on a file. project: of the caller, who sees ids of its own jobs alone. Raises UserError."""
    from sorairo.video.read import read_metadata  # PyAV is not loaded before a file is there

    seen = likeness(path)  # in a child process: it decodes a stranger's file
    record = read_metadata(path)
    software = record.get("software")
    ours = isinstance(software, str) and software.split(" ")[0] == "sorairo"
    return {
        "object": "content_provenance_check",
        "created_at": int(time.time()),
        "results": [credentials(path), *copies(here, project, seen)],
        "claimed_by": software if ours else None,
        "claims": {name: record[name] for name in CLAIMS if name in record} if ours else {},
    }


def credentials(path: Path) -> dict[str, Any]:
    """The result of type c2pa. It is detected if it holds and its signer is trusted here."""
    found: dict[str, Any] = {"type": "c2pa", "outcome": "not_detected", "validation_state": "not_present"}
    found |= {"issuer": None, "model": None, "generated_at": None}
    if not can_sign():
        return found
    from sorairo.safety.verify import verify

    report = verify(path)
    found["validation_state"] = STATES[report.state]
    found["outcome"] = "detected" if report.state == "trusted" else "not_detected"
    if report.state in ("trusted", "unknown signer"):
        found |= {"issuer": report.signer or None, "model": report.made.get("model")}
        found["generated_at"] = report.signed or None
    return found


def copies(here: Service, project: str, seen: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of type sorairo_mark and sorairo_index."""
    mark = Found(**{**seen["mark"], "crop": tuple(seen["mark"]["crop"])}) if seen["mark"] else None
    answers = []
    if seen["query"] is not None:
        answers = answered(here.made.now(), Query.from_dict(seen["query"]), mark)
    first = answers[0] if answers else None
    when = datetime.fromtimestamp(first.entry.created, UTC).isoformat() if first else None
    marked = {"type": "sorairo_mark", "outcome": "detected" if mark else "not_detected"}
    marked |= {"generated_at": when if first and first.by_mark else None, "model": None}
    alike = next((one for one in answers if one.match), None)
    known: dict[str, Any] = {"type": "sorairo_index", "outcome": "detected" if alike else "not_detected"}
    known |= {"generated_at": when if alike else None, "model": None, "video": None}
    if alike and alike.match:
        own = here.made.owners.get(alike.entry.name) == project
        known["video"] = alike.entry.name if own else None
        known |= {"share": round(alike.match.share, 3), "bits": round(alike.match.distance, 1)}
        known |= {"mirrored": alike.match.mirrored, "speed": round(alike.match.speed, 3)}
        known["start"] = round(alike.match.start, 3)
    return [marked, known]
