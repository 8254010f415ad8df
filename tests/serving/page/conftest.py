"""A real server in a process of its own, and a real browser that may talk to nobody else."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "src" / "sorairo" / "serving" / "page"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required""".split()  # noqa: SIM905


class Server:
    """`sorairo serve` in a folder of its own, which can be killed and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "sorairo", "serve", "--port", str(self.port)]
        command += ["--folder", str(self.folder), "--lease", "5", *self.options]
        log = (self.folder / "log.txt").open("ab")
        with log:
            self.process = subprocess.Popen(
                command, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=2).close()
                return
            except OSError:
                assert self.process.poll() is None, (self.folder / "log.txt").read_text()[-3000:]
                time.sleep(0.25)
        pytest.fail("the server did not start: " + (self.folder / "log.txt").read_text()[-3000:])

    def kill(self) -> None:
        """At once and with all its workers, as a power cut would."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("sorairo.serving.app", reason="pip install 'sorairo[serve]'")
    one = Server(tmp_path_factory.mktemp("server"))
    yield one
    one.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Closed with the module: while it lives its thread has an event loop, which other tests may not have."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("the tests of the page need chromium; on Debian: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


Open = Callable[..., Any]


@pytest.fixture
def studio(browser: Any, server: Server) -> Iterator[Open]:
    """Opens the page. At the end: no console error, no exception, no request to anywhere else."""
    contexts: list[Any] = []
    wrong: list[str] = []

    def open_page(
        *,
        width: int = 1440,
        height: int = 900,
        theme: str = "light",
        locale: str = "en-US",
        context: Any = None,
    ) -> Any:
        if context is None:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=theme,
                locale=locale,
                accept_downloads=True,
                reduced_motion="reduce",
            )
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.on(
            "request",
            lambda request: (
                request.url.startswith((server.url, "blob:", "data:")) or wrong.append(request.url)
            ),
        )
        page.goto(server.url)
        page.locator("#create").wait_for()
        page.locator("#model option").first.wait_for(state="attached")
        page.wrong = wrong
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong
