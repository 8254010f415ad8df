"""Take the pictures of docs/studio.md from a running server.

    sorairo serve --port 8000 &
    python docs/images/studio/shots.py http://127.0.0.1:8000

Needs playwright and chromium, and a font with Chinese for the picture in Chinese, which is left out otherwise (Debian:
apt-get install fonts-noto-cjk fonts-inter). It makes eight short videos first, which stay in the gallery.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()  # noqa: SIM905
CLIPS = [
    ("A teal cube slides to the left.", "96x96", 2, "sunset"),
    ("An orange capsule slides to the right.", "128x96", 11, "sunset"),
    ("A small pink ball drops and bounces twice.", "96x96", 9, None),
    ("A green cylinder rolls to the right.", "128x96", 4, None),
    ("A purple ball rolls to the left.", "96x128", 3, None),
    ("A yellow cone slides to the right.", "96x96", 5, None),
    ("A blue cube slides to the left.", "96x96", 7, "sunset"),
    ("A large red ball rolls across the floor to the right.", "128x96", 1, None),
]


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def fill(url: str) -> None:
    """The gallery, as far as it is not there."""
    there = {video["prompt"] for video in call(f"{url}/v1/videos?limit=100")["data"]}
    for prompt, size, seed, style in CLIPS:
        if prompt not in there:
            body = {"prompt": prompt, "size": size, "seed": seed} | ({"style": style} if style else {})
            call(f"{url}/v1/sorairo/generate", body)
            time.sleep(1.1)  # the gallery is sorted by seconds
    while any(
        video["status"] in ("queued", "in_progress") for video in call(f"{url}/v1/videos?limit=100")["data"]
    ):
        time.sleep(1)


def opened(browser: Browser, url: str, width: int, height: int, theme: str, locale: str) -> Page:
    phone = width < 500
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        locale=locale,
        has_touch=phone,
        is_mobile=phone,
        device_scale_factor=1,
    )
    page = context.new_page()
    page.goto(url)
    page.locator(".item img").first.wait_for()
    return page


def has_chinese() -> bool:
    """Whether this machine has a font for the page in Chinese."""
    listed = shutil.which("fc-list") and subprocess.run(["fc-list", ":lang=zh"], capture_output=True).stdout
    return bool(listed)


def save(page: Page, name: str) -> None:
    time.sleep(0.8)
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.save(HERE / f"{name}.webp", quality=80, method=6)
    page.context.close()


def main(url: str) -> None:
    fill(url)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)

        page = opened(browser, url, 1440, 900, "light", "en-US")
        page.locator(".item .open").first.click()
        page.locator("#verb-extend").click()
        page.locator(".slot select").select_option(index=1)
        save(page, "extend")

        page = opened(browser, url, 1440, 900, "light", "en-US")
        page.locator("#verb-storyboard").click()
        page.locator(".cards textarea").first.fill("A red ball drops onto the floor.")
        page.get_by_role("button", name="Add a card").click()
        page.locator(".cards textarea").nth(1).fill("The red ball rolls to the right.")
        save(page, "storyboard")

        page = opened(browser, url, 1440, 900, "light", "en-US")
        page.locator(".directing .soft").click()
        page.get_by_role("button", name="Add an object").click()
        page.get_by_label("Colour of object 2").select_option("green")
        page.get_by_label("Shape of object 2").select_option("cone")
        page.get_by_label("Moment").fill("0.5")
        page.get_by_role("button", name="Write the words").click()
        save(page, "scene")

        page = opened(browser, url, 1440, 900, "dark", "en-US")
        page.locator("#prompt").fill("A large red ball rolls to the right.")
        page.locator("details.more").evaluate("element => { element.open = true; }")
        page.locator("#steps").fill("60")
        page.locator("details.more").evaluate("element => { element.open = false; }")
        page.locator("#create").click()
        page.locator(".preview img").wait_for()
        time.sleep(2)
        save(page, "progress")
        for video in call(f"{url}/v1/videos?limit=5")["data"]:
            if video["status"] in ("queued", "in_progress"):
                call(f"{url}/v1/videos/{video['id']}/cancel", {})

        if has_chinese():
            page = opened(browser, url, 768, 1024, "dark", "zh-CN")
            page.locator(".item .open").nth(2).click()
            save(page, "tablet")
        else:
            sys.stderr.write(
                "tablet.webp is left out: no font with Chinese (Debian: apt-get install fonts-noto-cjk).\n"
            )

        page = opened(browser, url, 390, 844, "light", "en-US")
        save(page, "phone")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
