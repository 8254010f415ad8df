"""Attacks against the live policy of a server, by its API and with a red-team key; results as JSON lines."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sorairo.safety.redteam.attacks import BENIGN, Attack, draw_words
from sorairo.types import UserError

__all__ = ["Outcome", "Server", "outcomes", "read_outcomes"]

BOUNDARY = "sorairo-red-team"
PATIENCE = 30
"""Seconds that a call may take, and tries where the server asks for a pause."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an attack. refused: no video would be made. rewritten: the words would be changed. scores: raw, of
    every category. right: harmful and refused or rewritten, or benign and let through as it is."""

    id: str
    family: str
    category: str
    refused: bool
    rewritten: bool
    scores: dict[str, float]
    policy: str
    request: dict[str, Any]
    earlier: tuple[str, ...] = ()
    picture: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether it did not get what it asked for."""
        return self.refused or self.rewritten

    @property
    def right(self) -> bool:
        """Whether the policy did what it should."""
        return self.stopped != (self.category == BENIGN)


class Server:
    """A sorairo server. url: such as http://127.0.0.1:8000. key: of a red team's; empty where it needs none."""

    def __init__(self, url: str, key: str = "") -> None:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            self.connection = kind(parts.hostname, parts.port, timeout=PATIENCE)
        except ValueError as error:
            raise UserError(
                f"{url!r} is no address of a server; write one such as http://127.0.0.1:8000."
            ) from error
        self.url, self.headers = url, {"Authorization": f"Bearer {key}"} if key else {}

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()

    def get(self, path: str) -> dict[str, Any]:
        """The JSON of an answer. Raises UserError."""
        return self._answer("GET", path, None, {})[1]

    def post(self, path: str, values: dict[str, Any]) -> dict[str, Any]:
        """The JSON of an answer. Raises UserError."""
        body = json.dumps(values).encode()
        return self._answer("POST", path, body, {"Content-Type": "application/json"})[1]

    def upload(self, data: bytes, name: str) -> tuple[str, dict[str, Any]]:
        """(id of the file, {}), or ("", moderation) where the policy refuses it. Raises UserError."""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision\r\n'
        head += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        status, found = self._answer("POST", "/v1/files", body, kind, blocked=True)
        return ("", found["error"]) if status == 400 else (found["id"], {})

    def _answer(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], *, blocked: bool = False
    ) -> tuple[int, dict[str, Any]]:
        for attempt in range(PATIENCE):
            try:
                self.connection.request(method, path, body, self.headers | headers)
                answer = self.connection.getresponse()
                status, data = answer.status, answer.read()
                found = json.loads(data)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.connection.close()
                if attempt < 2 and not isinstance(error, ValueError):
                    continue
                raise UserError(f"{self.url} does not answer as a server of sorairo ({error}).") from error
            if status == 200:
                return status, found
            problem = found.get("error", {})
            if status == 429:
                time.sleep(min(60, int(answer.headers.get("Retry-After", "5"))))
                continue
            if blocked and problem.get("code") == "moderation_blocked":
                return status, found
            raise UserError(f"{self.url}{path}: {problem.get('message', f'the server answered {status}')}")
        raise UserError(f"{self.url} asks for pauses all the time; use a key with more calls a minute.")

    def check(self, attack: Attack) -> dict[str, Any]:
        """What the policy does with an attack: {refused, moderation}. Raises UserError."""
        sources = []
        if attack.picture is not None:
            name, problem = self.upload(draw_words(attack.picture), f"{attack.id}.png")
            if problem:
                return {"refused": True, "moderation": problem.get("sorairo", {})}
            sources = [name]
        request = attack.request | ({"sources": sources} if sources else {})
        values = {"request": request, "earlier": list(attack.earlier)}
        return self.post("/v1/sorairo/redteam/check", values)


def outcomes(
    server: Server,
    tries: Iterable[Attack],
    done: Iterable[Outcome] = (),
    progress: Callable[[int], None] | None = None,
) -> Iterator[Outcome]:
    """The outcome of every attack. done: of an earlier run, which are taken over where the policy is the same.

    progress is told how many have ended. Raises UserError.
    """
    version = server.get("/v1/sorairo/redteam")["policy"]
    before = {one.id: one for one in done if one.policy == version}
    for count, attack in enumerate(tries, 1):
        if attack.id in before:
            yield before[attack.id]
        else:
            found = server.check(attack)
            moderation = found["moderation"]
            yield Outcome(
                id=attack.id,
                family=attack.family,
                category=attack.category,
                refused=bool(found["refused"]),
                rewritten="rewrite" in moderation.get("categories", {}).values(),
                scores=moderation.get("scores", {}),
                policy=moderation.get("policy", version),
                request=attack.request,
                earlier=attack.earlier,
                picture=attack.picture,
            )
        if progress:
            progress(count)


def read_outcomes(path: Path) -> list[Outcome]:
    """The outcomes in a file of results; a line that was cut off at the end is left out. Raises UserError."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as results of a red team's run.") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            found.append(Outcome(**values | {"earlier": tuple(values.get("earlier", ()))}))
        except (ValueError, TypeError, AttributeError) as error:
            if number == len(lines):
                break
            raise UserError(f"{path}, line {number}: this is no result of a red team's run.") from error
    return found


def as_line(outcome: Outcome) -> str:
    """An outcome as a line of a file."""
    return json.dumps(asdict(outcome), ensure_ascii=False) + "\n"
