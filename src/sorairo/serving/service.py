"""What every route has at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request as Call

from sorairo.safety.policy import OperatorPolicy
from sorairo.serving import submit
from sorairo.serving.body import Body, read_body
from sorairo.serving.database import Database
from sorairo.serving.errors import ApiError
from sorairo.serving.inputs import Inputs
from sorairo.serving.keys import LOCAL, Caller, find_key
from sorairo.serving.made import MadeIndex
from sorairo.serving.metrics import Metrics
from sorairo.serving.moderation import check_wish, policy_here
from sorairo.serving.settings import Settings
from sorairo.serving.storage import Store

__all__ = ["COOKIE", "FORM", "Admin", "Content", "Here", "RedTeam", "Service", "Who", "json_body"]

COOKIE = "sorairo_key"


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """The parts of a running API."""

    settings: Settings
    database: Database
    store: Store
    inputs: Inputs
    metrics: Metrics
    made: MadeIndex

    @property
    def policy(self) -> OperatorPolicy:
        """The operator's policy as its file is now, with the log of this server."""
        return policy_here(self.settings)

    def submit(self, call: submit.Call, wish: submit.Wish) -> Any:
        """See submit.submit. Raises ApiError 400 moderation_blocked for words that the policy refuses."""
        check_wish(self.policy, self.database, call.caller, wish)
        job = submit.submit(self.database, self.settings, self.store, call, wish)
        self.metrics.created.labels(wish.request.verb).inc()
        return job

    def before(self, call: submit.Call) -> Any:
        """See submit.known."""
        return submit.known(self.database, self.settings, call)


def service(call: Call) -> Service:
    return call.app.state.service


def caller(call: Call) -> Caller:
    """Who calls. Raises ApiError 401."""
    here = service(call)
    if not here.settings.keys:
        return LOCAL
    scheme, _, secret = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        secret = call.cookies.get(COOKIE, "")
    found = find_key(here.database, secret.strip()) if secret else None
    if found is None:
        raise ApiError(
            401,
            "This server needs an API key: send it as Authorization: Bearer KEY.",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )
    call.app.state.pace.check(found)
    return found


def admin(call: Call) -> Caller:
    """Who calls, if an admin. Raises ApiError 401 and 403."""
    who = caller(call)
    if who.role != "admin":
        raise ApiError(403, "That needs a key with the role admin.", code="forbidden")
    return who


def red_team(call: Call) -> Caller:
    """Who calls, if of the red team or an admin. Raises ApiError 401 and 403."""
    who = caller(call)
    if who.role not in ("red-team", "admin"):
        raise ApiError(403, "That needs a key with the role red-team.", code="forbidden")
    return who


Here = Annotated[Service, Depends(service)]
Who = Annotated[Caller, Depends(caller)]
Admin = Annotated[Caller, Depends(admin)]
RedTeam = Annotated[Caller, Depends(red_team)]
Content = Annotated[Body, Depends(read_body)]


def json_body(**properties: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of a body that is JSON or a form."""
    schema = {"type": "object", "properties": properties}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": schema}}
    return {"requestBody": {"content": content}}


def identity(call: Call, who: Caller, body: Body) -> submit.Call:
    """How a create is told from others. Raises ApiError."""
    count = call.headers.get("x-stainless-retry-count", "0")
    key = call.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= 255 and key.isprintable()):
        raise ApiError(400, "An Idempotency-Key has 1 to 255 printable characters.")
    retry = int(count) if count.isascii() and count.isdigit() and len(count) < 4 else 0
    digest = f"{call.url.path}\n{body.digest}"
    import hashlib

    return submit.Call(caller=who, digest=hashlib.sha256(digest.encode()).hexdigest(), key=key, retry=retry)


FORM = {"type": "string", "format": "binary"}
