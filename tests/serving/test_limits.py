"""Slow bodies, and the limits of the process that reads files."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

from sorairo.serving import media
from sorairo.serving.app import create_app
from sorairo.serving.heads import TimedHeads
from sorairo.serving.settings import Settings


def test_a_body_that_comes_too_slowly(settings: Settings) -> None:
    app = create_app(replace(settings, upload=0.3), housekeeping=False)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    head = [(b"host", b"testserver"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "headers": head,
    }
    scope |= {
        "path": "/v1/videos",
        "raw_path": b"/v1/videos",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
    }
    start = time.monotonic()
    asyncio.run(app(scope | {"client": ("127.0.0.1", 1), "server": ("testserver", 80)}, receive, send))
    assert time.monotonic() - start < 5
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["code"] == "body_too_slow"
    app.state.service.database.close()


@pytest.mark.parametrize("first", [b"", b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"])
def test_a_head_that_comes_too_slowly(settings: Settings, first: bytes) -> None:
    """Of a connection's first call and of a further one."""

    class Quick(TimedHeads):
        seconds = 0.3

    app = create_app(replace(settings, hosts=()), housekeeping=False)
    web = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none", http=Quick))

    async def main() -> tuple[bytes, float]:
        task = asyncio.create_task(web.serve())
        while not web.started:
            await asyncio.sleep(0.01)
        port = web.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = b""
        if first:
            writer.write(first)
            answer = await reader.readuntil(b"}")
        start = time.monotonic()
        writer.write(b"GET /health HTTP/1.1\r\nx-slow: ")
        rest = await asyncio.wait_for(reader.read(), 10)
        spent = time.monotonic() - start
        writer.close()
        web.should_exit = True
        await task
        return answer + rest, spent

    answer, spent = asyncio.run(main())
    assert bool(first) == (b"200 OK" in answer) and spent < 5


def noise(width: int) -> bytes:
    data = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (width, width, 3), np.uint8)
    Image.fromarray(pixels).save(data, "PNG", compress_level=0)
    return data.getvalue()


def long_gif(frames: int) -> bytes:
    """Small in bytes, long to decode."""
    data = io.BytesIO()
    first, *others = [
        Image.fromarray(np.full((800, 800), index % 2 * 255, np.uint8)) for index in range(frames)
    ]
    first.save(data, "GIF", save_all=True, append_images=others)
    return data.getvalue()


def refused(client: TestClient, data: bytes) -> str:
    answer = client.post("/v1/videos", data={"prompt": "a"}, files={"input_reference": ("a", data)})
    assert answer.status_code == 400, answer.text
    assert client.get("/health").status_code == 200
    return answer.json()["error"]["message"]


def test_these_files_are_taken_without_a_limit(client: TestClient) -> None:
    for data in (noise(1500), long_gif(20)):
        assert client.post("/v1/files", files={"file": ("a", data)}).json()["sorairo"]["width"] >= 800


def test_a_file_that_takes_too_much_memory(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MEMORY", 64 * 2**20)
    refused(client, noise(1500))


def test_a_file_that_takes_too_much_processor(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "CPU", 1)
    start = time.monotonic()
    refused(client, long_gif(400))
    assert time.monotonic() - start < 30


def test_a_file_that_takes_too_long(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "SECONDS", 0.05)
    assert "took more than" in refused(client, noise(100))


def test_the_api_starts_without_torch(tmp_path: Path) -> None:
    code = """
import pathlib, sys
from sorairo.serving.app import create_app
from sorairo.serving.catalog import models
from sorairo.serving.launch import check_start
from sorairo.safety.guards import frame_guard
from sorairo.serving.settings import Settings
settings = Settings(folder=pathlib.Path(sys.argv[1]))
check_start(settings, "127.0.0.1", 0)
frame_guard("")  # `sorairo serve` says where it is missing
create_app(settings)
assert models(settings)
assert not {"torch", "transformers", "av", "scipy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
