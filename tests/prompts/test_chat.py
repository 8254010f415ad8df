"""A chat server rewrites prompts: what it is asked, what is taken from it, and what is said when it fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from sorairo.prompts.chat import KEY, chat_rewriter
from sorairo.types import UserError


class Server(HTTPServer):
    """Answers every question with `reply`, and remembers the last one."""

    status: int = 200
    reply: bytes = b""
    headers: dict[str, str] | None = None
    asked: dict[str, Any] | None = None
    token: str | None = None
    path: str = ""

    def say(self, text: Any) -> None:
        self.reply = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.token, self.server.path = self.headers.get("Authorization"), self.path
        self.send_response(self.server.status)
        for name, value in (self.server.headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.reply)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(KEY, raising=False)
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_question_and_answer(server: Server) -> None:
    server.say('"A medium matte red ball\n rolls."')
    rewrite = chat_rewriter(server.url, "small-chat", [("cube falls", "A cube drops.")])
    assert rewrite("red ball rolls") == "A medium matte red ball rolls."
    assert server.path == "/v1/chat/completions" and server.token is None
    assert server.asked is not None and server.asked["model"] == "small-chat"
    assert [message["role"] for message in server.asked["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert server.asked["messages"][-1]["content"] == "red ball rolls"


def test_whole_address_and_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")
    server.say("A ball.")
    assert chat_rewriter(server.url + "/chat/completions", "m")("ball") == "A ball."
    assert (server.path, server.token) == ("/v1/chat/completions", "Bearer secret")


@pytest.mark.parametrize(
    "url", ["", "here", "ftp://127.0.0.1/v1", "http://", "http://a b/v1", "http://a:port"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UserError, match="is no address"):
        chat_rewriter(url, "m")


REPLIES = {
    "no JSON": (200, b"<html>", "did not answer as a chat model"),
    "another JSON": (200, b'{"choices": []}', "did not answer as a chat model"),
    "a list": (200, b"[1]", "did not answer as a chat model"),
    "nested": (200, b"[" * 100_000, "did not answer as a chat model"),
    "empty": (200, b'{"choices": [{"message": {"content": " "}}]}', "no caption"),
    "null": (200, b'{"choices": [{"message": {"content": null}}]}', "no caption"),
    "a novel": (200, json.dumps({"choices": [{"message": {"content": "a" * 5000}}]}).encode(), "no caption"),
    "not allowed": (401, b"", f"401 .*set {KEY}"),
    "a fault": (500, b"oops", "answered 500"),
    "cut short": (200, b"", "cannot be reached|did not answer"),
}


@pytest.mark.parametrize(("status", "reply", "words"), REPLIES.values(), ids=REPLIES)
def test_bad_answers(server: Server, status: int, reply: bytes, words: str) -> None:
    server.status, server.reply = status, reply
    if not reply and status == 200:
        server.headers = {"Content-Length": "100"}
    with pytest.raises(UserError, match=words) as caught:
        chat_rewriter(server.url, "m")("red ball")
    assert str(caught.value)[-1] in ".?" and "\n" not in str(caught.value)


def test_no_redirect_is_followed(server: Server) -> None:
    server.status, server.headers = 302, {"Location": "http://127.0.0.1:1/elsewhere"}
    with pytest.raises(UserError, match="sends on to http"):
        chat_rewriter(server.url, "m")("red ball")


def test_nobody_there(server: Server) -> None:
    url = server.url
    server.server_close()
    with pytest.raises(UserError, match="cannot be reached"):
        chat_rewriter(url, "m", timeout=5)("red ball")


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(UserError, match="timed out"):
            chat_rewriter(url, "m", timeout=0.2)("red ball")
