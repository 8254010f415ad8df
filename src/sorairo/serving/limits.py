"""Limits of HTTP itself: the size of a body, the pace of a key, who may call a server without keys."""

from __future__ import annotations

import asyncio
import time
from threading import Lock
from urllib.parse import urlsplit

from starlette.requests import Request as Call
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sorairo.serving.errors import ApiError
from sorairo.serving.keys import Caller
from sorairo.serving.submit import busy

__all__ = ["BodyLimit", "Pace", "TooLarge", "TooSlow", "check_host", "check_origin"]


class TooLarge(Exception):
    """A body went on beyond what is allowed."""


class TooSlow(TooLarge):
    """A body took longer than what is allowed."""


class BodyLimit:
    """Middleware that ends the reading of a body at `most` bytes, whatever its header says, and after `seconds`."""

    def __init__(self, app: ASGIApp, most: int, seconds: float) -> None:
        self.app, self.most, self.seconds = app, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and count."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen, whole, until = 0, False, time.monotonic() + self.seconds

        async def counted() -> Message:
            nonlocal seen, whole
            try:
                # once the body is there, what follows is the wait for the caller to hang up: it has no limit
                left = None if whole else max(0.0, until - time.monotonic())
                message = await asyncio.wait_for(receive(), left)
            except TimeoutError as error:
                raise TooSlow from error
            seen += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if seen > self.most:
                raise TooLarge
            return message

        await self.app(scope, counted, send)


class Pace:
    """Calls of a key in a minute, by a bucket that refills. In this process alone; the other limits are durable."""

    def __init__(self) -> None:
        self.lock, self.buckets = Lock(), dict[str, tuple[float, float]]()

    def check(self, caller: Caller) -> None:
        """Raise ApiError 429 where a key calls too often."""
        most = caller.limits.get("calls")
        if not most:
            return
        with self.lock:
            now = time.monotonic()
            left, then = self.buckets.get(caller.key, (most, now))
            left = min(most, left + (now - then) * most / 60)
            self.buckets[caller.key] = (max(0.0, left - 1), now)
        if left < 1:
            raise busy(f"This key may call {most:g} times a minute.", 60 / most, "rate_limit_exceeded")


def check_host(call: Call, hosts: tuple[str, ...]) -> None:
    """Refuse a name that is not ours: a page elsewhere may have its own name point to this machine (DNS rebinding)."""
    if not hosts:
        return
    name = urlsplit(f"//{call.headers.get('host', '')}").hostname or ""
    if name not in hosts:
        raise ApiError(421, "This server is not called by that name; see --allow-host.", code="wrong_host")


def check_origin(call: Call, allowed: tuple[str, ...]) -> None:
    """Refuse what another web page sends in the name of whoever reads it (CSRF)."""
    if call.method in ("GET", "HEAD", "OPTIONS"):
        return
    origin = call.headers.get("origin")
    if origin is None:
        if call.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise ApiError(403, "Another web page may not do that.", code="cross_site")
        return
    if origin not in allowed and urlsplit(origin).netloc != call.headers.get("host"):
        raise ApiError(403, "Another web page may not do that.", code="cross_site")
