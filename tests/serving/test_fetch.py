"""Reading a stranger's URL: every address is checked, after a redirect too, and the checked one is called.

The name server is a table of the test, and a connection to a public address ends at a server of this machine.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sorairo.serving.fetch import REDIRECTS, call, fetch
from sorairo.types import UserError

PUBLIC = "93.184.215.14"


class Net:
    """names: what each name resolves to, answer by answer. called: (address, path) of each call. moved: path -> URL."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {"good.example": [[PUBLIC]]}
        self.asked: list[str] = []
        self.dialled: list[str] = []
        self.called: list[str] = []
        self.moved: dict[str, str] = {}

    def resolve(self, host: str, port: int, **more: Any) -> list[Any]:
        self.asked.append(host)
        answers = self.names.get(host, [[host]])
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Net]:
    net = Net()

    class Far(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            net.called.append(self.path)
            if self.path in net.moved:
                self.send_response(302)
                self.send_header("Location", net.moved[self.path])
                self.end_headers()
            elif self.path == "/drip-head":
                self._drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000)
            elif self.path == "/drip-body":
                self._drip(b"x" * 1000, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            else:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"x" * 1000)

        do_POST = do_GET

        def _drip(self, data: bytes, at_once: bytes = b"") -> None:
            try:
                self.wfile.write(at_once)
                for one in data:
                    self.wfile.write(bytes([one]))
                    time.sleep(0.05)
            except OSError:
                pass

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Far) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def elsewhere(where: tuple[str, int], timeout: float) -> socket.socket:
            net.dialled.append(where[0])
            line = socket.socket()
            line.settimeout(timeout)
            line.connect(("127.0.0.1", server.server_port))
            return line

        monkeypatch.setattr(socket, "getaddrinfo", net.resolve)
        monkeypatch.setattr(socket, "create_connection", elsewhere)
        yield net
        server.shutdown()
        thread.join()


def test_a_name_is_resolved_once_and_its_checked_address_is_called(net: Net) -> None:
    """DNS rebinding: the second answer of the name server would be this machine."""
    net.names["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert len(fetch("http://rebind.example/a", most=2000).body) == 1000
    assert (net.asked, net.dialled) == (["rebind.example"], [PUBLIC])


def test_one_private_address_among_public_ones_is_enough_to_refuse(net: Net) -> None:
    net.names["mixed.example"] = [[PUBLIC, "10.0.0.7"]]
    with pytest.raises(UserError, match="private network"):
        fetch("http://mixed.example/", most=2000)
    assert not net.dialled


@pytest.mark.parametrize(
    "where",
    [
        "http://127.0.0.1/",
        "http://inner.example/",
        "http://[::ffff:127.0.0.1]/",
        "//169.254.169.254/latest",
        "file:///etc/passwd",
    ],
)
def test_every_redirect_is_checked_again(net: Net, where: str) -> None:
    net.names["inner.example"] = [["10.0.0.7"]]
    net.moved["/a"] = where
    with pytest.raises(UserError):
        fetch("http://good.example/a", most=2000)
    assert (net.dialled, net.called) == ([PUBLIC], ["/a"])


def test_redirects_end(net: Net) -> None:
    net.moved |= {"/a": "/b", "/round": "/round"}
    assert fetch("http://good.example/a", most=2000).status == 200
    with pytest.raises(UserError, match=f"more than {REDIRECTS} times"):
        fetch("http://good.example/round", most=2000)


def test_a_webhook_follows_no_redirect(net: Net) -> None:
    net.moved["/hook"] = "http://127.0.0.1/"
    assert call("http://good.example/hook", b"{}", {}) == 302
    assert net.called == ["/hook"]


def test_what_is_too_large(net: Net) -> None:
    with pytest.raises(UserError, match="larger than"):
        fetch("http://good.example/", most=999)


@pytest.mark.parametrize("path", ["/drip-head", "/drip-body"])
def test_what_is_too_slow(net: Net, path: str) -> None:
    """A byte now and then keeps a socket from its own limit for ever."""
    start = time.monotonic()
    with pytest.raises(UserError):
        fetch(f"http://good.example{path}", most=2000, seconds=0.4)
    assert time.monotonic() - start < 5
