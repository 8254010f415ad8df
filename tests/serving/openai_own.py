"""OpenAI's own tests of the Videos API against our app, by reference: from a copy of openai-python that you have.

git clone --depth 1 https://github.com/openai/openai-python
pip install pytest-asyncio
python -m tests.serving.openai_own openai-python

Their tests are written for a server that answers from examples: they ask for `video_123` and `char_123`, and send
`Example data` for a clip. Here a layer before the app has these stand for a real video, character, picture and clip;
all else is ours. Downloads are answered by their own stand-in and never reach a server.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi.testclient import TestClient

from sorairo.serving.app import create_app
from sorairo.serving.queue import Queue
from sorairo.serving.service import Service
from sorairo.serving.settings import Settings
from sorairo.types import Video
from sorairo.video.write import write_video
from tests.serving.test_videos import png

EXAMPLE = b"Example data"


def finished(client: TestClient, here: Service, clip: Path) -> str:
    """The id of a new completed video, delivered as a worker would, without a model."""
    identity = client.post("/v1/videos", json={"prompt": "a red ball"}).json()["id"]
    queue = Queue(here.database, lease=30, attempts=3, expiry=600)
    while (lease := queue.claim("stand-in")) is not None:
        folder = f"jobs/{lease.job}/{lease.token}"
        here.store.put(clip, f"{folder}/video.mp4")
        facts = {"width": 64, "height": 64, "frames": 5, "fps": 8, "seconds": 0.625, "size": "64x64"}
        queue.deliver(lease, folder, facts=facts)
    return identity


class Examples:
    """The layer before the app: its examples become real ones. video: gives the id of a new completed video."""

    def __init__(self, app: Any, video: Callable[[], str], character: str, clip: bytes) -> None:
        self.app, self.video, self.character, self.clip = app, video, character, clip

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a call on, with its path, query and body changed."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, query = scope["path"], scope["query_string"]
        if "video_123" in path:
            path = path.replace("video_123", self.video())
        path = path.replace("char_123", self.character)
        if b"after=after" in query:
            query = query.replace(b"after=after", b"after=" + self.video().encode())
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if b'name="input_reference"' in body:
            body = body.replace(EXAMPLE, png())
        body = body.replace(EXAMPLE, self.clip)
        length = (b"content-length", str(len(body)).encode())
        heads = [one for one in scope["headers"] if one[0] != b"content-length"]
        told = False

        async def whole() -> Any:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        scope = scope | {"path": path, "raw_path": path.encode(), "query_string": query}
        await self.app(scope | {"headers": [*heads, length] if body else heads}, whole, send)


def run(folder: Path) -> tuple[int, str]:
    """(exit status, what pytest printed) of their tests/api_resources/test_videos.py."""
    with tempfile.TemporaryDirectory() as name:
        clip = Path(name) / "clip.mp4"
        write_video(Video(frames=np.zeros((5, 64, 64, 3), np.uint8), fps=8), clip)
        app = create_app(Settings(folder=Path(name) / "data", min_free=0), housekeeping=False)
        client = TestClient(app, base_url="http://127.0.0.1")
        files = {"name": (None, "Red"), "video": ("clip.mp4", clip.read_bytes())}
        person = client.post("/v1/videos/characters", files=files).json()["id"]
        here: Service = app.state.service
        outer = Examples(app, lambda: finished(client, here, clip), person, clip.read_bytes())
        web = uvicorn.Server(uvicorn.Config(outer, port=0, log_level="error", ws="none", lifespan="off"))
        thread = threading.Thread(target=web.run)
        thread.start()
        while not web.started:
            time.sleep(0.02)
        port = web.servers[0].sockets[0].getsockname()[1]
        words = ["-m", "pytest", "tests/api_resources/test_videos.py", "-q", "-p", "no:cacheprovider"]
        words += ["-o", "addopts=", "-W", "default"]  # the clone may be older than the installed openai
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env=os.environ | {"TEST_API_BASE_URL": f"http://127.0.0.1:{port}/v1"},
            capture_output=True,
            text=True,
        )
        web.should_exit = True
        thread.join()
        client.close()
        here.database.close()
    return done.returncode, done.stdout + done.stderr


def passed(text: str) -> int:
    """How many tests pytest says passed."""
    found = re.search(r"(\d+) passed", text)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "tests" / "api_resources" / "test_videos.py").is_file():
        print("Give the folder of a copy of openai-python; see the head of this file.", file=sys.stderr)
        sys.exit(2)
    status, said = run(Path(sys.argv[1]))
    print(said)
    sys.exit(status)
