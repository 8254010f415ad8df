"""A model hub over HTTP: what files a repository has, and the bytes of one of them from where we left off."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from sorairo.types import UserError

__all__ = ["ENDPOINT", "Hub", "RemoteFile"]

ENDPOINT = "https://huggingface.co"
CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
TRIES = 5
BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """hash: as in PulledFile."""

    path: str
    size: int
    hash: str


@dataclass(frozen=True, kw_only=True)
class Hub:
    """One repository at one revision. wait: seconds before the first retry, doubled for each that follows.

    token: who asks, for private and gated repositories. It goes to the endpoint alone, never to where that redirects.
    """

    endpoint: str
    repo: str
    revision: str
    token: str | None = None
    wait: float = 1.0

    @classmethod
    def of(cls, repo: str, revision: str, endpoint: str | None = None) -> Hub:
        """A hub by its address: the one given, HF_ENDPOINT, or the default; with HF_TOKEN, if that is set."""
        endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        if urllib.parse.urlsplit(endpoint).scheme not in ("http", "https"):
            raise UserError(f"The endpoint {endpoint!r} must begin with https:// (or http://).")
        return cls(endpoint=endpoint, repo=repo, revision=revision, token=os.environ.get("HF_TOKEN") or None)

    def files(self) -> list[RemoteFile]:
        """Every file of the repository, in all its folders."""
        revision = urllib.parse.quote(self.revision, safe="")
        url: str | None = f"{self.endpoint}/api/models/{self.repo}/tree/{revision}?recursive=true"
        found = []
        while url:
            with self._open(url, tries=2) as answer:
                try:
                    page = json.loads(answer.read())
                    found += [_remote_file(entry) for entry in page if entry["type"] == "file"]
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(f"{self.endpoint} does not answer as a model hub does.") from error
                after = re.search(r'<([^>]+)>;\s*rel="next"', answer.headers.get("Link", ""))
            url = urllib.parse.urljoin(url, after.group(1)) if after else None
        return found

    def read(self, path: str, start: int, size: int) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of a file of `size` bytes from `start` on; starts again at 0 where the hub cannot resume.

        A connection that breaks is taken up again where it broke; after several in a row without a byte between
        them, UserError.
        """
        revision, quoted = urllib.parse.quote(self.revision, safe=""), urllib.parse.quote(path)
        url = f"{self.endpoint}/{self.repo}/resolve/{revision}/{quoted}"
        at, failures = start, 0
        while at < size:
            try:
                with self._open(url, at) as answer:
                    at = at if answer.status == 206 else 0
                    while chunk := answer.read(min(CHUNK, size - at)):
                        yield at, chunk
                        at, failures = at + len(chunk), 0
                if at < size:
                    raise ConnectionError("the connection closed early")
            except BROKEN as error:
                failures += 1
                self._pause(failures, error)

    def _open(self, url: str, start: int = 0, tries: int = TRIES) -> Any:
        """The answer to a GET from byte `start` on. Raises UserError where the hub refuses or is not reached.

        tries: how often to try to reach it; one that is reached and busy is always asked TRIES times.
        """
        request = urllib.request.Request(url, headers={"User-Agent": "sorairo"})
        if start:
            request.add_header("Range", f"bytes={start}-")
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        failures = 0
        while True:
            try:
                return urllib.request.urlopen(request, timeout=TIMEOUT)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in (429, 500, 502, 503, 504):
                    self._refused(error)
                failures += 1
                self._pause(failures, error)
            except BROKEN as error:
                failures += 1
                self._pause(failures, error, tries)

    def _pause(self, failures: int, error: Exception, tries: int = TRIES) -> None:
        """Wait before the next try; after the last one, UserError."""
        reason = getattr(error, "reason", None) or error
        if failures >= tries:
            raise UserError(
                f"{self.endpoint} cannot be reached ({reason}); check the connection and run the same command"
                " again: it goes on where it stopped."
            ) from error
        log.info("%s: %s; trying again", self.endpoint, reason)
        time.sleep(self.wait * 2 ** (failures - 1))

    def _refused(self, error: urllib.error.HTTPError) -> NoReturn:
        where = f"{self.repo} at revision {self.revision}"
        gated = error.headers.get("X-Error-Code") == "GatedRepo"
        if error.code == 404:
            sentence = f"There is no {where} at {self.endpoint}; check its name and --revision."
        elif error.code == 403 or gated:
            sentence = (
                f"{self.repo} asks for its terms to be accepted: do that at {self.endpoint}/{self.repo}, then set"
                " HF_TOKEN to your token and run this again."
            )
        elif error.code == 401:
            sentence = (
                f"{self.repo} does not exist or is not public: check its name, or set HF_TOKEN to a token that may"
                " read it."
            )
        else:
            sentence = f"{self.endpoint} refused {where} ({error.code} {error.reason})."
        raise UserError(sentence) from error


def _remote_file(entry: dict[str, Any]) -> RemoteFile:
    """Large files are known by the sha256 of their content, small ones by git's own name for them."""
    lfs = entry.get("lfs")
    digest = f"sha256:{lfs['oid'].removeprefix('sha256:')}" if lfs else f"blob:{entry['oid']}"
    return RemoteFile(path=entry["path"], size=int((lfs or entry)["size"]), hash=digest)
