"""Errors in OpenAI's shape and with its status codes, so that its clients raise their usual exceptions."""

from __future__ import annotations

from typing import Any

__all__ = ["ApiError", "body_of", "missing"]

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    421: "invalid_request_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """message: one sentence that says what to do. param: the field. code: for programs. headers: of the answer.
    more: under `sorairo`, what is no part of OpenAI's errors."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers, self.more = headers or {}, more


def body_of(
    status: int,
    message: str,
    param: str | None = None,
    code: str | None = None,
    more: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The JSON of an error."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    ours = {"sorairo": more} if more else {}
    return {"error": {"message": message, "type": kind, "param": param, "code": code, **ours}}


def missing(what: str, name: str) -> ApiError:
    """404. What belongs to another project is as little there as what never was."""
    return ApiError(404, f"There is no {what} {name[:80]!r}.", code="not_found")
