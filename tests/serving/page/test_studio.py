"""The studio page in a real browser, against a real server with the model that ships."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from sorairo.jobs.request import Request
from tests.serving.page.conftest import ENVIRONMENT, Open, Server

AXE = Path(__file__).parents[3] / "src/sorairo/serving/page/node_modules/axe-core/axe.min.js"
PROMPT = "A large red ball rolls to the right."


def make(page: Any, prompt: str = PROMPT, steps: int = 2) -> None:
    """Write, take few steps, and create with the keyboard's short cut."""
    page.locator("#prompt").fill(prompt)
    page.locator("details.more").evaluate("element => { element.open = true; }")
    page.locator("#steps").fill(str(steps))
    page.keyboard.press("Control+Enter")


def finished(page: Any) -> Any:
    page.locator(".player video").wait_for()
    return page.locator(".player")


def videos(page: Any) -> list[dict[str, Any]]:
    return page.evaluate("fetch('/v1/videos?limit=100').then(answer => answer.json())")["data"]


def until(check: Callable[[], Any], seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)


def tab_to(page: Any, target: Any, back: bool = False) -> None:
    """By the Tab key alone."""
    for _ in range(120):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    pytest.fail("the keyboard does not come there")


def test_create_to_download(studio: Open, tmp_path: Path) -> None:
    page = studio()
    make(page)
    page.locator(".progress [role=progressbar]").wait_for()
    player = finished(page)
    assert player.locator("video").evaluate("video => video.paused")  # the test asks for reduced motion
    with page.expect_download() as waiting:
        player.get_by_role("link", name="Download").click()
    waiting.value.save_as(tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as file:
        assert sum(1 for _ in file.decode(video=0)) == 17
    player.get_by_role("button", name="How it was made").click()
    page.get_by_role("dialog").get_by_text(PROMPT).first.wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    player.get_by_role("button", name="Copy as curl, Python or a command").click()
    words = shlex.split(page.locator("dialog pre").inner_text().replace("\\\n", ""))
    again = {"prompt": PROMPT, "model": "default", "steps": 2}
    assert json.loads(words[words.index("-d") + 1]) == again
    page.locator("dialog label", has_text="CLI").click()
    command = page.locator("dialog pre").inner_text().replace("\\\n", "")
    assert shlex.split(command) == ["sorairo", "generate", PROMPT, "--steps", "2", "-o", "out.mp4"]


def test_a_storyboard_by_the_keyboard_alone(studio: Open) -> None:
    page = studio()
    sent: list[Any] = []
    page.on("request", lambda request: request.post_data and sent.append(json.loads(request.post_data)))
    tab_to(page, page.locator("#verb-generate"))
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    until(lambda: page.locator("#verb-storyboard").get_attribute("aria-checked") == "true")
    tab_to(page, page.locator("#number"))
    tab_to(page, page.locator(".cards textarea").first)
    page.keyboard.type("A red ball drops onto the floor.")
    tab_to(page, page.get_by_role("button", name="Add a card"), back=True)
    page.keyboard.press("Enter")
    until(lambda: page.evaluate("document.activeElement.tagName") == "TEXTAREA")
    page.keyboard.type("A red ball rolls to the right.")
    handle = page.get_by_role("slider", name="Card 2 begins")
    before = float(handle.get_attribute("aria-valuenow"))
    tab_to(page, handle, back=True)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert float(handle.get_attribute("aria-valuenow")) == before + 0.25
    page.keyboard.press("Control+Enter")
    until(lambda: sent)
    cards = sent[0]["args"]["cards"]
    assert [card["at"] for card in cards] == [0, before + 0.25]
    assert [card["words"] for card in cards] == [
        "A red ball drops onto the floor.",
        "A red ball rolls to the right.",
    ]
    page.locator(".progress, .player").first.wait_for()
    tab_to(page, page.locator("#cancel"), back=True)
    page.keyboard.press("Enter")
    page.locator(".failed").get_by_text("Cancelled").wait_for()


def test_remix_from_the_gallery(studio: Open) -> None:
    page = studio()
    make(page)
    finished(page)
    source = videos(page)[0]["id"]
    page.locator(".item").first.hover()
    page.get_by_role("button", name=f"Remix: {PROMPT}").first.click()
    page.locator(".slot.full").wait_for()
    make(page, "the ball is blue")
    until(lambda: videos(page)[0]["id"] != source)
    finished(page)
    made = videos(page)[0]
    assert made["sorairo"]["verb"] == "remix" and made["sorairo"]["request"]["sources"] == [source]
    page.get_by_role("button", name="Use these settings again").click()
    assert page.locator("#verb-remix").get_attribute("aria-checked") == "true"
    assert page.locator("#prompt").input_value() == "the ball is blue"


def test_cancel_stops_it_at_once(studio: Open) -> None:
    page = studio()
    make(page, steps=100)
    page.get_by_text("Drawing: step").wait_for()
    page.locator(".preview img").wait_for()
    page.locator("#cancel").click()
    page.locator(".failed").get_by_text("Cancelled").wait_for()
    assert videos(page)[0]["status"] == "cancelled"


def test_a_refused_upload_says_what_to_do(studio: Open, tmp_path: Path) -> None:
    page = studio()
    page.locator("#verb-animate").click()
    (tmp_path / "notes.png").write_text("these are words")
    page.get_by_label("Choose a file: First frame").set_input_files(tmp_path / "notes.png")
    said = page.locator(".problem").inner_text()
    assert len(said) > 20 and said.endswith("."), said
    page.wrong.clear()  # the browser itself reports the refusal
    Image.fromarray(np.full((96, 96, 3), 200, np.uint8)).save(tmp_path / "still.png")
    page.get_by_label("Choose a file: First frame").set_input_files(tmp_path / "still.png")
    page.locator(".slot.full").get_by_text("96\u00d796").wait_for()
    assert page.locator(".problem").count() == 0


def test_the_page_recovers_when_the_server_is_killed(studio: Open, server: Server) -> None:
    page = studio()
    make(page, steps=30)
    page.get_by_text("Drawing: step").wait_for()
    server.kill()
    page.locator(".offline").wait_for()
    server.start()
    page.locator(".offline").wait_for(state="detached")
    page.locator(".player video").wait_for(timeout=150_000)  # the lease runs out, and the job is done again
    assert videos(page)[0]["status"] == "completed"
    page.wrong.clear()  # the browser reports every refused connection


def test_two_tabs_agree(studio: Open) -> None:
    one = studio()
    other = studio(context=one.context)
    make(one, "A blue cube slides to the left.")
    other.locator(".item", has_text="A blue cube slides to the left.").first.wait_for()
    finished(one)
    count = len(videos(one))
    one.get_by_role("button", name="Delete", exact=True).click()
    until(lambda: len(videos(other)) == count - 1)
    until(lambda: other.locator(".item").count() == count - 1)


def test_a_deletion_can_be_undone(studio: Open) -> None:
    page = studio()
    make(page)
    finished(page)
    count = page.locator(".item").count()
    page.get_by_role("button", name="Delete", exact=True).click()
    until(lambda: page.locator(".item").count() == count - 1)
    page.get_by_role("button", name="Undo").click()
    until(lambda: page.locator(".item").count() == count)
    page.reload()
    page.locator(".item").nth(count - 1).wait_for()


def test_search_filter_and_compare(studio: Open) -> None:
    page = studio()
    make(page)
    finished(page)
    make(page, "A green cube slides to the left.")
    until(lambda: page.locator(".player .title").all_inner_texts() == ["A green cube slides to the left."])
    page.keyboard.press("Escape")
    page.locator("#search").fill("green cube")
    until(lambda: all("green cube" in text for text in page.locator(".item .name").all_inner_texts()))
    page.locator("#search").fill("")
    page.get_by_label("Show", exact=True).select_option("completed")
    for item in range(2):
        page.locator(".item").nth(item).hover()
        page.locator(".item").nth(item).get_by_title("Compare").click()
    page.locator(".comparison video").nth(1).wait_for()


def test_unknown_words_and_expansion_before_use(studio: Open) -> None:
    page = studio()
    page.locator("#prompt").fill("A red ball and an elephant.")
    assert page.locator("#unknown b").all_inner_texts() == ["elephant"]
    page.locator("#prompt").fill("red ball rolls right")
    page.get_by_role("button", name="Write it out").click()
    written = page.locator(".expansion p").inner_text()
    page.get_by_role("button", name="Use this").click()
    assert page.locator("#prompt").input_value() == written != "red ball rolls right"


def test_copy_as_is_the_request(studio: Open) -> None:
    page = studio()
    page.locator("#prompt").fill('A "red" ball isn\'t still; true, it rolls.')
    page.locator("#size, input[name=size]").first.wait_for(state="attached")
    page.get_by_role("button", name="Copy as curl, Python or a command").first.click()
    words = shlex.split(page.locator("dialog pre").inner_text().replace("\\\n", ""))
    body = json.loads(words[words.index("-d") + 1])
    verb = words[1].rsplit("/", 1)[1]
    request = Request.parse({"verb": verb} | body)
    assert request.prompt == 'A "red" ball isn\'t still; true, it rolls.'
    page.locator("dialog label", has_text="Python").click()
    compile(page.locator("dialog pre").inner_text(), "page", "exec")
    page.locator("dialog label", has_text="CLI").click()
    command = shlex.split(page.locator("dialog pre").inner_text().replace("\\\n", ""))
    assert command[:3] == ["sorairo", "generate", request.prompt]


def test_the_timeline_by_mouse_and_a_region_by_keyboard(studio: Open) -> None:
    page = studio()
    make(page)
    finished(page)
    handle = page.get_by_role("slider", name="End of the video")
    before = float(handle.get_attribute("aria-valuenow"))
    box, track = handle.bounding_box(), page.locator(".track").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * 0.95, box["y"] + 20, steps=5)
    page.mouse.up()
    assert float(handle.get_attribute("aria-valuenow")) > before
    page.locator("#verb-edit").click()
    page.get_by_label("From the gallery: Clip or picture").select_option(index=1)
    page.get_by_role("button", name="Mark a region").click()
    page.get_by_role("button", name="Start with a box").click()
    region = page.locator("#region")
    until(lambda: region.evaluate("element => element === document.activeElement"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert "48 by 56 pixels at 32, 24" in region.get_attribute("aria-label")


def test_a_scene_is_directed_by_mouse_and_keyboard(studio: Open) -> None:
    page = studio()
    page.get_by_role("button", name="Direct it").click()
    assert page.locator("#model").input_value() == "default"  # the model that can follow one
    handle = page.locator(".handle[data-end=to]").first
    box, canvas = handle.bounding_box(), page.locator("svg.scene").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(canvas["x"] + canvas["width"] * 0.25, canvas["y"] + canvas["height"] * 0.6, steps=4)
    page.mouse.up()
    assert "-50, 20" in handle.get_attribute("aria-label")
    page.keyboard.press("ArrowDown")
    assert "-50, 25" in handle.get_attribute("aria-label")
    page.get_by_role("button", name="Add an object").click()
    page.get_by_label("Colour of object 2").select_option("green")
    page.get_by_label("Camera", exact=True).select_option("dolly in")
    page.get_by_role("button", name="Done").click()
    said = "A red ball and a green cube. The camera moves in."
    assert page.locator("#prompt").input_value() == said
    assert page.get_by_text("You placed 2 objects").is_visible()
    page.reload()  # a draft is kept
    make(page, said)
    finished(page)
    request = videos(page)[0]["sorairo"]["request"]
    ball, cube = request["args"]["scene"]["objects"]
    assert (ball["colour"], ball["path"][1]["x"], cube["colour"]) == ("red", -0.5, "green")
    assert (
        request["args"]["scene"]["camera"][1]["distance"] < request["args"]["scene"]["camera"][0]["distance"]
    )
    page.get_by_role("button", name="Copy as curl, Python or a command").first.click()
    page.locator("dialog label", has_text="CLI").click()
    command = page.locator("dialog pre").inner_text()
    assert "--scene scene.json" in command  # and the file that it names
    assert json.loads(command.split("<<'END'\n")[1].split("\nEND")[0])["objects"][1]["colour"] == "green"


def test_a_scene_from_elsewhere_keeps_its_ways_until_it_is_changed(studio: Open) -> None:
    """The page shows two places of an object; the third was lost by "Use these settings again"."""
    page = studio()
    ways = [{"at": at, "x": x, "y": 0.2} for at, x in ((0, -0.5), (1, 0.5), (2, -0.5))]
    scene = {"objects": [{"shape": "ball", "colour": "red", "path": ways}]}
    body = {"prompt": PROMPT, "model": "default", "steps": 2, "args": {"scene": scene}}
    page.evaluate(
        """body => fetch("/v1/sorairo/generate", {method: "POST", headers: {"Content-Type": "application/json"},
        body: JSON.stringify(body)})""",
        body,
    )
    until(lambda: videos(page)[0]["status"] == "completed")
    asked = videos(page)[0]
    page.reload()  # the gallery begins with it then
    page.locator(".item .open").first.click()
    finished(page).get_by_role("button", name="Use these settings again").click()
    page.locator("#create").click()
    until(lambda: videos(page)[0]["id"] != asked["id"])
    again = videos(page)[0]["sorairo"]["request"]["args"]["scene"]
    assert again == asked["sorairo"]["request"]["args"]["scene"] and len(again["objects"][0]["path"]) == 3
    page.get_by_role("button", name="Change the scene").click()
    assert page.get_by_text("This scene came with its video.").is_visible()
    page.get_by_label("Colour of object 1").select_option("blue")
    assert not page.get_by_text("This scene came with its video.").is_visible()


def test_cards_by_the_mouse(studio: Open) -> None:
    page = studio()
    page.locator("#verb-storyboard").click()
    track = page.locator(".track").bounding_box()
    page.mouse.dblclick(track["x"] + track["width"] * 0.3, track["y"] + 20)  # a card where there was none
    handle = page.get_by_role("slider", name="Card 2 begins")
    before = float(handle.get_attribute("aria-valuenow"))
    page.locator(".cards textarea").nth(1).wait_for()  # the list below grows, so the track goes up
    box = handle.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * 0.5, y, steps=5)
    page.mouse.up()
    assert float(handle.get_attribute("aria-valuenow")) > before
    assert page.get_by_label("Card 2 begins, in seconds").input_value() == handle.get_attribute(
        "aria-valuenow"
    )


def test_a_server_with_keys_asks_for_one(browser: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sorairo", "keys", "create", "me", "--folder", str(tmp_path)]
    made = subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True)
    key = next(word for word in made.stdout.split() if len(word) > 24)
    server = Server(tmp_path, "--keys", "--workers", "0")
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(server.url)
        page.get_by_role("dialog").get_by_label("Key").fill("a wrong one")
        page.get_by_role("button", name="Enter").click()
        page.get_by_text("This key does not open this server.").wait_for()
        page.get_by_role("dialog").get_by_label("Key").fill(key)
        page.get_by_role("button", name="Enter").click()
        page.get_by_text("Your videos will be here.").wait_for()
        assert page.evaluate("document.cookie") == "" and key not in page.evaluate(
            "JSON.stringify(localStorage)"
        )
    finally:
        context.close()
        server.kill()


def test_the_timeline_by_touch(browser: Any, server: Server) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(server.url)
    page.locator("#model option").first.wait_for(state="attached")
    touch = context.new_cdp_session(page)

    def drag_to_the_left(name: str) -> None:
        handle = page.get_by_role("slider", name=name)
        handle.scroll_into_view_if_needed()
        page.evaluate("scrollBy(0, 120)")  # from under the button that stays in reach
        before = float(handle.get_attribute("aria-valuenow"))
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for step in range(1, 6):
            point = {"x": x - 12 * step, "y": y}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        until(lambda: float(handle.get_attribute("aria-valuenow")) < before)

    drag_to_the_left("End of the video")
    page.locator("#verb-storyboard").tap()
    page.get_by_role("button", name="Add a card").tap()
    drag_to_the_left("Card 2 begins")
    context.close()


@pytest.mark.parametrize(
    ("width", "theme", "locale"),
    [
        pytest.param(1440, "light", "en-US", marks=pytest.mark.slow),
        (1440, "dark", "zh-CN"),
        pytest.param(768, "dark", "en-US", marks=pytest.mark.slow),
        (390, "light", "en-US"),
    ],
)
def test_axe_finds_nothing(studio: Open, width: int, theme: str, locale: str) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not here; `make test` installs it")
    page = studio(width=width, height=900, theme=theme, locale=locale)
    script = AXE.read_text()

    def check(where: str) -> None:
        page.evaluate(script)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        assert not found, f"{where}: " + "; ".join(
            f"{one['id']} {[node['html'][:120] for node in one['nodes']]}" for one in found
        )

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    check("at first")
    if page.locator(".item").count():
        page.locator(".item .open").first.click()
        check("with a video")
    for verb in ("storyboard", "connect", "recut", "edit", "blend"):
        page.locator(f"#verb-{verb}").click()
        check(verb)
    page.locator("#verb-generate").click()
    page.locator(".directing .soft").click()
    check("a scene")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a scene scrolls sideways"
    page.locator("header nav button").last.click()
    page.get_by_role("dialog").wait_for()
    check("help")
