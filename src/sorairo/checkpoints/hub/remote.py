"""A repository of a hub, asked through huggingface_hub: what files it has, and the bytes of one of them."""

from __future__ import annotations

import email.utils
import importlib.util
import logging
import os
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from sorairo.checkpoints.hub.cache import hub_cache
from sorairo.checkpoints.hub.choose import RemoteFile
from sorairo.types import UserError
from sorairo.version import VERSION

__all__ = ["ENDPOINT", "Hub"]

ENDPOINT = "https://huggingface.co"
TRIES = 5
LONGEST = 600.0  # seconds that a hub may ask us to wait
BUSY = (408, 429, 500, 502, 503, 504)
POINTER = b"version https://git-lfs.github.com/spec/"
Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Hub:
    """One repository at one revision. wait: seconds before the first retry, doubled for each that follows.

    The token of HF_TOKEN or of `hf auth login` goes to the endpoint alone, never to where that redirects.
    """

    endpoint: str
    repo: str
    revision: str
    wait: float = 1.0

    @classmethod
    def of(cls, repo: str, revision: str, endpoint: str | None = None) -> Hub:
        """A hub by its address: the one given, HF_ENDPOINT, or the default."""
        endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
        if urllib.parse.urlsplit(endpoint).scheme not in ("http", "https"):
            raise UserError(f"The endpoint {endpoint!r} must begin with https:// (or http://).")
        return cls(endpoint=endpoint, repo=repo, revision=revision)

    def files(self) -> tuple[str, list[RemoteFile]]:
        """(the commit that the revision stands at, every file of the repository at it)."""
        check_library()
        from huggingface_hub.hf_api import HfApi, RepoFile

        api = HfApi(endpoint=self.endpoint, library_name="sorairo", library_version=VERSION)
        commit = self._asked(lambda: api.model_info(self.repo, revision=self.revision).sha, tries=2)
        entries = self._asked(lambda: list(api.list_repo_tree(self.repo, recursive=True, revision=commit)))
        return str(commit), [_remote_file(entry) for entry in entries if isinstance(entry, RepoFile)]

    def fetch(self, file: RemoteFile, commit: str, part: Path, arrived: Callable[[int], None]) -> Path:
        """The content of a file, beside `part` in the cache, which is taken up where it stopped; returns its path.

        arrived: told the file's bytes that are here. Where the hub and this machine have Xet, that transfers the file.
        The hash has not been checked. Raises UserError.
        """
        from huggingface_hub import file_download as library
        from huggingface_hub.utils import build_hf_headers

        url = f"{self.endpoint}/{self.repo}/resolve/{commit}/{urllib.parse.quote(file.path)}"
        about = self._asked(partial(library.get_hf_file_metadata, url, endpoint=self.endpoint))
        if about.xet_file_data is not None and _has_xet():
            whole = partial(library.hf_hub_download, revision=commit, cache_dir=str(hub_cache()))
            bar: Any = partial(_Bar, arrived, lambda: 0)
            call = partial(whole, self.repo, file.path, endpoint=self.endpoint, tqdm_class=bar)
            return Path(self._asked(call)).resolve()
        headers = build_hf_headers(library_name="sorairo", library_version=VERSION)
        if urllib.parse.urlsplit(about.location).netloc != urllib.parse.urlsplit(url).netloc:
            headers.pop("authorization", None)
        self._read(about.location, file, part, headers, arrived)
        return part

    def _read(
        self, url: str, file: RemoteFile, part: Path, headers: dict[str, str], arrived: Callable[[int], None]
    ) -> None:
        """Let `part` grow to the file's size; ends early, with an error, where what comes cannot be the file."""
        from huggingface_hub.file_download import http_get

        part.parent.mkdir(parents=True, exist_ok=True)
        idle = 0
        while idle < TRIES:
            with part.open("ab") as out:
                before = out.tell()
                bar: Any = partial(_Bar, arrived, out.tell)
                read = partial(http_get, url, out, resume_size=before, headers=headers, tqdm_class=bar)
                try:
                    self._asked(partial(read, expected_size=file.size), came=partial(_grown, out, before))
                    out.flush()
                    os.fsync(out.fileno())
                    return
                except _ShortError as error:
                    log.info("%s: %s", file.path, error)
            here = part.stat().st_size
            if _is_pointer(part):
                part.unlink()
                raise UserError(
                    f"{self.endpoint} serves a pointer of Git LFS in place of {file.path} of {self.repo}; its copy is"
                    " not whole: take another --endpoint."
                )
            if here >= file.size:  # the hash is yet to say what that is
                return
            idle = idle + 1 if here <= before else 0
        raise UserError(
            f"{file.path} of {self.repo} ends before its {file.size} bytes; run the same command again."
        )

    def _asked(
        self, call: Callable[[], Answer], *, tries: int = TRIES, came: Callable[[], int] | None = None
    ) -> Answer:
        """What a call of huggingface_hub gives. Raises UserError where the hub refuses or is not reached.

        tries: how often to try to reach it; one that is reached and busy is asked TRIES times, as late as it wishes.
        came: of a download, the bytes that have come; it can be taken up again behind them.
        """
        from huggingface_hub.errors import FileMetadataError, HfHubHTTPError
        from huggingface_hub.errors import HTTPError as Unreached  # pyright: ignore  # httpx's or httpx2's

        failures = 0
        while True:
            try:
                return call()
            except HfHubHTTPError as error:
                if error.response.status_code not in BUSY:
                    if came is not None and error.response.status_code == 416:
                        raise _ShortError(str(error)) from error
                    self._refused(error)
                if came is not None and came():  # http_get would resume where it began
                    raise _ShortError(str(error)) from error
                failures += 1
                self._pause(failures, error, wait=_wished(error.response.headers))
            except (Unreached, ConnectionError, TimeoutError) as error:
                if came is not None and came():
                    raise _ShortError(str(error)) from error
                failures += 1
                self._pause(failures, error, tries)
            except (FileMetadataError, ValueError, KeyError, TypeError) as error:
                raise UserError(f"{self.endpoint} does not answer as a model hub does.") from error
            except OSError as error:
                if came is None or "Consistency check" not in str(error):
                    raise
                raise _ShortError(str(error)) from error

    def _pause(self, failures: int, error: Exception, tries: int = TRIES, wait: float | None = None) -> None:
        """Wait before the next try, as long as the hub asked for; after the last one, UserError."""
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        if failures >= tries:
            raise UserError(
                f"{self.endpoint} cannot be reached ({reason}); check the connection and run the same command"
                " again: it goes on where it stopped."
            ) from error
        if wait is not None and wait > LONGEST:
            raise UserError(
                f"{self.endpoint} asks to wait for {wait:.0f} seconds; run the same command again after that."
            ) from error
        log.warning("%s: %s; trying again", self.endpoint, reason)
        time.sleep(self.wait * 2 ** (failures - 1) if wait is None else wait)

    def _refused(self, error: Any) -> NoReturn:
        where = f"{self.repo} at revision {self.revision}"
        code, reason = error.response.status_code, error.response.reason_phrase
        gated = error.response.headers.get("X-Error-Code") == "GatedRepo"
        if code == 404:
            sentence = f"There is no {where} at {self.endpoint}; check its name and --revision."
        elif code == 403 or gated:
            sentence = (
                f"{self.repo} asks for its terms to be accepted: do that at {self.endpoint}/{self.repo}, then log in"
                " with: hf auth login (or set HF_TOKEN), and run this again."
            )
        elif code == 401:
            sentence = (
                f"{self.repo} does not exist or is not public: check its name, or log in with: hf auth login (or set"
                " HF_TOKEN)."
            )
        else:
            sentence = f"{self.endpoint} refused {where} ({code} {reason})."
        raise UserError(sentence) from error


def _grown(file: BinaryIO, before: int) -> int:
    return file.tell() - before


class _ShortError(Exception):
    """A download that stopped short of its size."""


class _Bar:
    """What huggingface_hub takes for a progress bar: told how many bytes came, it tells how many are here."""

    def __init__(self, arrived: Callable[[int], None], before: Callable[[], int], **_: Any):
        self._arrived, self._before, self._came = arrived, before, 0

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, count: float | None = 1) -> None:
        """count: bytes that are about to be written, or that were written by another hand."""
        self._came += int(count or 0)
        at = self._before()
        self._arrived(at + int(count or 0) if at else self._came)


def check_library() -> None:
    """Raise UserError where huggingface_hub is not installed."""
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise UserError(
            "Pulling models needs huggingface_hub; get it with: pip install 'sorairo[hub]'"
        ) from error


def _has_xet() -> bool:
    return importlib.util.find_spec("hf_xet") is not None and not os.environ.get("HF_HUB_DISABLE_XET")


def _wished(headers: Any) -> float | None:
    """Seconds that Retry-After asks for: a number, or a date; None where it is missing or neither."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())


def _is_pointer(path: Path) -> bool:
    """Whether a file is what Git keeps of a large file in place of its content."""
    if not path.is_file() or path.stat().st_size > 1024:
        return False
    return path.read_bytes().startswith(POINTER)


def _remote_file(entry: Any) -> RemoteFile:
    """Large files are known by the sha256 of their content, small ones by git's own name for them."""
    if entry.lfs is None:
        return RemoteFile(path=entry.path, size=entry.size, hash=f"blob:{entry.blob_id}")
    digest = entry.lfs.sha256.removeprefix("sha256:")
    return RemoteFile(path=entry.path, size=entry.lfs.size, hash=f"sha256:{digest}")
