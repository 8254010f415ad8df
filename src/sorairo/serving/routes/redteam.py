"""/v1/sorairo/redteam: what the policy makes of a request, with raw scores, for keys of the red team and of admins."""

from __future__ import annotations

import json
import time
from typing import Any

from fastapi import APIRouter

from sorairo.safety.categories import CATEGORIES
from sorairo.serving import wishes
from sorairo.serving.database import new_id
from sorairo.serving.errors import ApiError
from sorairo.serving.moderation import SEES_SCORES, check_sources, check_wish, moderation
from sorairo.serving.service import Content, Here, RedTeam, Who, json_body

__all__ = ["router"]

router = APIRouter(prefix="/v1/sorairo/redteam", tags=["red team"])
MOST = 10_000
"""Findings that a server keeps."""
OBJECT = {"type": "object"}


@router.get("")
def about(here: Here, who: Who) -> dict[str, Any]:
    """The policy's version and the caller's role; for the red team also what happens to each category from which score
    on."""
    rules, allowed = here.policy.rules, who.role in SEES_SCORES
    rest: dict[str, Any] = {"categories": {name: vars(rule) for name, rule in rules.categories.items()}}
    return {
        "object": "redteam",
        "policy": rules.version,
        "role": who.role,
        "lifted": list(rules.lifted),
        "allowed": allowed,
        **(rest if allowed else {}),
    }


@router.post("/check", openapi_extra=json_body(request=OBJECT, earlier={"type": "array"}))
def check(here: Here, who: RedTeam, body: Content) -> dict[str, Any]:
    """What would happen to a request at /v1/sorairo/{verb}, by the same check, without making a video.

    earlier: words of the turns before, as if the request were a remix of a video made from them.
    """
    values, earlier = body.values.get("request"), body.values.get("earlier") or []
    if not isinstance(values, dict):
        raise ApiError(400, "request is missing: {verb, prompt, ...}.", param="request")
    if not isinstance(earlier, list) or not all(isinstance(one, str) for one in earlier):
        raise ApiError(400, "earlier is a list of texts.", param="earlier")
    verb = str(values.get("verb", "generate"))
    if earlier and not values.get("sources"):  # the video of the turn before is made up
        verb = "generate"
    given = {name: value for name, value in values.items() if name != "verb"}
    wish = wishes.ours(here, who, verb, given)
    try:
        verdict = check_wish(here.policy, here.database, who, wish, earlier)
        check_sources(here.policy, here.database, here.store, who, wish)
    except ApiError as error:
        if error.code != "moderation_blocked":
            raise
        return {"refused": True, "message": error.message, "moderation": error.more}
    return {"refused": False, "message": None, "moderation": moderation(verdict, who.role)}


@router.post("/findings", openapi_extra=json_body(request=OBJECT, category={"type": "string"}))
def file(here: Here, who: RedTeam, body: Content) -> dict[str, Any]:
    """Keep a finding: a request, and the category that should have been found (benign: it should have passed)."""
    values, category = body.values.get("request"), body.values.get("category")
    if not isinstance(values, dict):
        raise ApiError(400, "request is missing: {verb, prompt, ...}.", param="request")
    if category not in (*CATEGORIES, "benign") or category == "minors":
        raise ApiError(400, "category is one of the policy's but minors, or benign.", param="category")
    finding = {
        "id": new_id("finding"),
        "created_at": int(time.time()),
        "by": who.key,
        "category": category,
        "request": values,
        "note": wishes.text(body, "note", most=2000) or "",
    }
    path = here.settings.folder / "redteam" / "findings.jsonl"
    path.parent.mkdir(exist_ok=True)
    if path.is_file() and path.stat().st_size > MOST * 2000:
        raise ApiError(400, "There are too many findings; the operator should look at them.")
    with path.open("ab", buffering=0) as out:  # one write appends whole, also beside other processes
        out.write(json.dumps(finding).encode() + b"\n")
    return finding


@router.get("/findings")
def findings(here: Here, who: RedTeam) -> dict[str, Any]:
    """The findings, the newest first."""
    path = here.settings.folder / "redteam" / "findings.jsonl"
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return {"object": "list", "data": [json.loads(line) for line in reversed(lines)]}
