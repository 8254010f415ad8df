"""Reading a URL that a stranger names, without reaching what only this machine can reach.

A name is resolved once, all its addresses are checked, and the connection goes to the address that was checked, so
that a second answer of the name server changes nothing. Every redirect is checked again.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer
from urllib.parse import SplitResult, urljoin, urlsplit

from sorairo.types import UserError

__all__ = ["Answer", "call", "fetch"]

REDIRECTS = 3


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back. body: at most as long as was allowed."""

    status: int
    body: bytes
    type: str


def fetch(url: str, *, most: int, seconds: float = 20, private: bool = False) -> Answer:
    """GET a URL, following redirects. most: bytes. private: addresses of this network are allowed. Raises UserError."""
    for _ in range(REDIRECTS + 1):
        answer, onward = _once("GET", url, b"", {}, most, seconds, private)
        if onward is None:
            if answer.status != 200:
                raise UserError(f"{_shown(url)} answered {answer.status}; give a URL that can be read.")
            return answer
        url = urljoin(url, onward)
    raise UserError(f"{_shown(url)} redirects more than {REDIRECTS} times.")


def call(
    url: str, body: bytes, headers: dict[str, str], *, seconds: float = 15, private: bool = False
) -> int:
    """POST to a URL, without following redirects; returns the status. Raises UserError."""
    return _once("POST", url, body, headers, 2**16, seconds, private)[0].status


def checked(url: str) -> SplitResult:
    """The parts of an http(s) URL with a host. Raises UserError."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise UserError("A URL begins with http:// or https:// and names a host.")
    if parts.username or parts.password:
        raise UserError("A URL with a user name or a password in it is not read.")
    return parts


def addresses(host: str, port: int, private: bool) -> list[str]:
    """The addresses of a host, every one of them public unless `private`. Raises UserError."""
    try:
        found = socket.getaddrinfo(host.rstrip("."), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UserError(f"The host {host[:80]!r} is not known.") from error
    known = list(dict.fromkeys(str(one[4][0]) for one in found))
    if not private and not all(public(one) for one in known):
        raise UserError(f"The host {host[:80]!r} is on a private network, which is not read.")
    return known


def public(address: str) -> bool:
    """Whether an address is of the open internet, also where IPv4 is wrapped in IPv6."""
    one = ipaddress.ip_address(address.split("%")[0])
    if isinstance(one, ipaddress.IPv6Address):
        inner = one.ipv4_mapped or one.sixtofour or (one.teredo and one.teredo[1])
        if inner is None and one in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(one) & 0xFFFFFFFF)
        if inner is not None:
            return public(str(inner))
    return one.is_global and not one.is_multicast and not one.is_reserved


def _once(
    method: str, url: str, body: bytes, headers: dict[str, str], most: int, seconds: float, private: bool
) -> tuple[Answer, str | None]:
    """One request: (answer, where it redirects to). Raises UserError."""
    parts = checked(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    until = time.monotonic() + seconds
    connection = _Pinned(host, port, addresses(host, port, private), parts.scheme == "https", seconds)
    # the socket's own limit begins again with every byte, which a slow server sends one by one
    end = Timer(seconds, connection.abort)
    end.daemon = True
    end.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body or None, {"User-Agent": "sorairo", **headers})
        response = connection.getresponse()
        onward = response.getheader("location")
        if method == "GET" and response.status in (301, 302, 303, 307, 308) and onward:
            return Answer(status=response.status, body=b"", type=""), onward
        data = bytearray()
        while chunk := response.read1(2**16):
            data += chunk
            if len(data) > most and method == "GET":
                raise UserError(f"{_shown(url)} is larger than {most // 2**20} MB.")
            if len(data) > most:
                break
        if time.monotonic() >= until:
            raise UserError(f"{_shown(url)} did not arrive within {seconds:g} s.")
        return Answer(
            status=response.status, body=bytes(data), type=response.getheader("content-type") or ""
        ), None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{_shown(url)} could not be read; check that it can be reached.") from error
    finally:
        end.cancel()
        connection.close()


def _shown(url: str) -> str:
    return repr(url.split("?")[0][:120])


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was checked; the name is used for the Host header and the certificate alone."""

    def __init__(self, host: str, port: int, known: list[str], secure: bool, seconds: float) -> None:
        super().__init__(host, port, timeout=seconds)
        self.known, self.secure = known, secure
        if secure:
            self.default_port = 443

    def abort(self) -> None:
        """End whatever is being read, from another thread."""
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)

    def connect(self) -> None:
        failed: OSError = OSError("no address")
        for address in self.known:
            try:
                self.sock = socket.create_connection((address, self.port), self.timeout)
                break
            except OSError as error:
                failed = error
        else:
            raise failed
        if self.secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)
