"""A chat model behind a URL as the rewriter of prompts: any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from email.message import Message
from http.client import HTTPException
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

from sorairo.types import UserError

__all__ = ["KEY", "chat_rewriter"]

KEY = "SORAIRO_CHAT_KEY"
"""The environment variable whose value is sent as the bearer token; nothing is sent without it."""
MAX_REPLY = 2**20  # bytes
MAX_TEXT = 2000  # letters

TASK = """You rewrite short prompts for a video model into captions like those that it was trained on.
Write one caption: what happens in one sentence, then the floor and the sky, then the camera.
Keep everything that the prompt says: objects, counts, colours, what happens, directions, order.
Change and deny nothing, add no object and no second event. Keep words that you do not understand as they stand.
Fill in what is open as plainly as the examples do. Answer with the caption alone."""


def chat_rewriter(
    url: str, model: str, examples: Sequence[tuple[str, str]] = (), *, timeout: float = 60.0
) -> Callable[[str], str]:
    """A function from a prompt to what a chat model makes of it. examples: (prompt, caption) that it is shown.

    url: the server's base, such as http://127.0.0.1:8080/v1, or the whole address of its chat completions. timeout:
    seconds. Raises UserError for an address that is none, and then for a server that fails or says no text.
    """
    address = checked_address(url)
    shown = [
        {"role": role, "content": text}
        for pair in examples
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]

    def rewrite(prompt: str) -> str:
        messages = [{"role": "system", "content": TASK}, *shown, {"role": "user", "content": prompt}]
        return said(
            address, answer(address, {"model": model, "messages": messages, "temperature": 0}, timeout)
        )

    return rewrite


def checked_address(url: str) -> str:
    """The address of the chat completions. Raises UserError."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or any(letter.isspace() for letter in url):
        raise UserError(f"{url!r} is no address of a server; write one such as http://127.0.0.1:8080/v1.")
    return url if url.rstrip("/").endswith("/chat/completions") else url.rstrip("/") + "/chat/completions"


class StayHere(urllib.request.HTTPRedirectHandler):
    """The key is for this server alone, so no redirect is followed."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> NoReturn:
        raise UserError(f"{req.full_url} sends on to {newurl}; give that address if you trust it.")


def answer(address: str, body: dict[str, Any], timeout: float) -> bytes:
    """What a server answers. Raises UserError."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key := os.environ.get(KEY):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    try:
        with urllib.request.build_opener(StayHere).open(request, timeout=timeout) as reply:
            return reply.read(MAX_REPLY)
    except urllib.error.HTTPError as error:
        with error:
            hint = f"; set {KEY}" if error.code in (401, 403) else ""
            raise UserError(f"{address} answered {error.code} {error.reason}{hint}.") from error
    except (OSError, HTTPException, UnicodeError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{address} cannot be reached ({str(reason) or type(error).__name__}).") from error


def said(address: str, reply: bytes) -> str:
    """The text of a reply, without what chat models like to put around it. Raises UserError."""
    try:
        text = json.loads(reply)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{address} did not answer as a chat model does; is the address right?") from error
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
        raise UserError(f"{address} answered with no caption; try another chat model.")
    return " ".join(text.split()).strip("\"'“”` ")
