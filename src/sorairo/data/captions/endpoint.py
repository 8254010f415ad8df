"""Captions by a vision model behind a URL that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama, OpenAI."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlparse

import numpy as np
from PIL import Image

from sorairo.data.captions.base import Unusable
from sorairo.types import UserError

__all__ = ["QUESTION", "Endpoint"]

QUESTION = """These are {count} frames of one video clip, in order, {seconds:.1f} seconds from the first to the last.
Describe it for training a text-to-video model. Say only what is seen: no guesses, no frames' numbers, no "the video".
Answer with one JSON object of two strings:
"subject": one sentence, the main subject and what it does;
"everything": three to five sentences: the subject, its looks and motion, the surroundings, light, style, the camera."""

PICTURES, LONGEST = 6, 512
"""Frames that are sent of a clip, and pixels of their longer side."""
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Answers after which the same is asked again."""
REFUSALS = re.compile(
    r"(i|we)['\u2019]?(m| am|re| are) (sorry|unable|not able|afraid)\b"
    r"|(i|we) (can['\u2019]?t|cannot|can not|won['\u2019]?t)\b|sorry\b|as an ai\b",
    re.IGNORECASE,
)
"""How an answer begins that is no description."""
NEVER = frozenset({401, 402, 403, 404, 405})
"""Answers that every clip would get."""


class Endpoint:
    """A Captioner. url: up to /v1, or the whole of .../chat/completions. key: sent as a bearer's.

    tries: how often a clip is asked for. Between two of them passes what the server asks for (Retry-After), or twice as
    long as before, with chance in it.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str = "",
        tries: int = 6,
        timeout: float = 120.0,
        pause: float = 1.0,
    ) -> None:
        parts = urlparse(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or not url.isascii():
            raise UserError(
                f"{url[:100]} is no URL of a captioner; it is one such as http://localhost:8080/v1."
            )
        if not model:
            raise UserError("A captioner by URL needs the name of its model: --caption-model NAME.")
        base = url.rstrip("/")
        self.url = base if base.endswith("/chat/completions") else f"{base}/chat/completions"
        self.model, self.key, self.tries, self.timeout, self.pause = model, key, tries, timeout, pause
        self.name = f"{parts.netloc} {model}"

    def caption(self, frames: np.ndarray, fps: float) -> list[str]:
        """See Captioner."""
        indices = sorted({round(i) for i in np.linspace(0, len(frames) - 1, min(PICTURES, len(frames)))})
        seconds = (indices[-1] - indices[0]) / fps
        question = QUESTION.format(count=len(indices), seconds=seconds)
        content: list[dict[str, Any]] = [{"type": "text", "text": question}]
        content += [{"type": "image_url", "image_url": {"url": _data_url(frames[i])}} for i in indices]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 500,
            "temperature": 0,
        }
        return parsed(self._ask(body))

    def _ask(self, body: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json", "User-Agent": "sorairo"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        wait, reason = self.pause, ""
        for attempt in range(self.tries):
            asked: float | None = None
            try:
                with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                    return _content(answer.read(1 << 22))
            except urllib.error.HTTPError as error:
                with error:
                    said = " ".join(error.read(2000).decode("utf-8", "replace").split())[:200]
                reason = f"{error.code} {said or error.reason}"
                if error.code in NEVER:
                    raise Unusable(f"The captioner at {self.url} refuses: {reason}") from error
                if error.code not in AGAIN:
                    raise UserError(f"the captioner answers {reason}") from error
                asked = _seconds(error.headers.get("Retry-After"))
            except UserError:  # an answer, which would be the same again
                raise
            except (OSError, ValueError, http_errors()) as error:  # refused, cut off, timed out, no JSON
                reason = " ".join(str(error).split())[:200] or type(error).__name__
            if attempt + 1 < self.tries:
                time.sleep(min(asked if asked is not None else wait * random.uniform(0.5, 1.0), 60.0))
                wait *= 2
        raise Unusable(
            f"The captioner at {self.url} does not answer after {self.tries} tries ({reason}): run the same command "
            "again when it does; captions so far are kept."
        )


def http_errors() -> type[Exception]:
    """What http.client raises for answers that are cut off."""
    import http.client

    return http.client.HTTPException


def parsed(text: str) -> list[str]:
    """The two captions in an answer: JSON, in a fence or not; else its first sentence and all of it.

    What a model thinks first is left out. Raises UserError for a refusal, and for JSON that is cut off.
    """
    text = text.rpartition("</think>")[2].strip()
    start, stop = text.find("{"), text.rfind("}")
    if start >= 0 or text.startswith("<think"):
        try:
            values = json.loads(text[start : stop + 1])
            lines: Sequence[Any] = (values["subject"], values["everything"])
            if all(isinstance(line, str) and line.strip() for line in lines):
                return [str(line) for line in lines]
        except (ValueError, KeyError, RecursionError):
            pass
        raise UserError("the captioner's answer is no JSON of a subject and everything")
    plain = " ".join(text.split())
    if not plain:
        raise UserError("the captioner's answer is empty")
    if REFUSALS.match(plain):
        raise UserError(f"the captioner refuses: {plain[:100]}")
    first = plain.find(". ")
    return [plain if first < 0 else plain[: first + 1], plain]


def _content(answer: bytes) -> str:
    values = json.loads(answer)
    try:
        choice = values["choices"][0]
        content, refusal = choice["message"]["content"], choice["message"].get("refusal")
        ended = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"an answer without choices: {answer[:100]!r}") from error
    if refusal or ended == "content_filter":
        raise UserError(f"the captioner refuses: {str(refusal or ended)[:100]}")
    if ended == "length":
        raise UserError("the captioner's answer is cut off: it is longer than the server lets it be")
    if not isinstance(content, str):
        raise ValueError("an answer without text")
    return content


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:  # a date
        return None


def _data_url(frame: np.ndarray) -> str:
    image = Image.fromarray(frame)
    image.thumbnail((LONGEST, LONGEST))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def key_of_environment() -> str:
    """The key in SORAIRO_CAPTION_KEY, else in OPENAI_API_KEY; empty where there is none."""
    return os.environ.get("SORAIRO_CAPTION_KEY") or os.environ.get("OPENAI_API_KEY", "")
