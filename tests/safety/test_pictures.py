"""What a picture shows, and the words in it, are looked at wherever a picture comes in and wherever a video goes out.

The guards are classes of an operator's own, named by the policy file: one takes red for what must not be shown, one
takes everything for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import sorairo as package
from sorairo.safety.guards import frame_guard
from sorairo.safety.lettering import words_in
from sorairo.safety.policy import policy_of
from sorairo.safety.redteam.attacks import draw_words
from sorairo.safety.rules import read_rules
from sorairo.serving.worker import Worker
from sorairo.types import Blocked, Plan, Span, UserError, Video
from sorairo.video import read_video
from sorairo.video.write import write_video
from tests.cli.test_generate_command import Done
from tests.cli.test_generate_command import sorairo as sorairo  # the fixture
from tests.safety.test_entrances import GOOD, clip
from tests.safety.test_entrances import client as client  # the fixture

QUICK = ("--model", "MODEL", "--steps", "1")


class RedGuard:
    """Scores the share of red pixels."""

    def scores(self, frames: np.ndarray, fps: float) -> dict[str, float]:
        red = (frames[..., 0] > 200) & (frames[..., 1] < 60) & (frames[..., 2] < 60)
        return {"sexual": float(red.mean())}


class EveryGuard:
    """Lets nothing pass."""

    def scores(self, frames: np.ndarray, fps: float) -> dict[str, float]:
        return {"violence": 1.0}


class BrokenGuard:
    """Lacks a file of its own."""

    def __init__(self) -> None:
        raise FileNotFoundError("weights.bin")


def policy_with(folder: Path, pictures: str) -> str:
    path = folder / "policy.toml"
    path.write_text(f'version = "test"\n[pictures]\n{pictures}\n')
    return str(path)


@pytest.fixture
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the operator's guard of pictures."""

    def choose(name: str) -> None:
        text = f'guard = "{RedGuard.__module__}:{name}"'
        monkeypatch.setenv("SORAIRO_POLICY", policy_with(tmp_path, text))

    return choose


@pytest.fixture
def files(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 64), "#ff0000").save(tmp_path / "red.png")
    write_video(
        Video(frames=np.full((9, 64, 64, 3), (250, 0, 0), np.uint8), fps=8.0), tmp_path / "red.mp4", {}
    )
    clip(tmp_path / "a.mp4")
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "still.png")
    return tmp_path


def test_a_red_input_is_refused_by_every_command(
    sorairo: Callable[..., Done], files: Path, looks: Callable[[str], None]
) -> None:
    looks("RedGuard")
    for words in (
        ("animate", "red.png", GOOD),
        ("extend", "red.mp4", GOOD),
        ("loop", "red.mp4", GOOD),
        ("connect", "a.mp4", "red.mp4", GOOD),
        ("recut", "red.mp4", GOOD, "--keep", "0.5-1"),
        ("edit", "red.mp4", GOOD),
        ("blend", "a.mp4", "red.mp4", GOOD),
    ):
        done = sorairo(*words, *QUICK)
        assert done.code == 2 and "refused by the policy (sexual)" in done.err, (words, done)
    done = sorairo("upscale", "red.mp4")
    assert done.code == 2 and "refused by the policy (sexual)" in done.err, done
    assert not list(files.glob("out*"))
    assert sorairo("animate", "still.png", GOOD, *QUICK).code == 0


def test_an_output_is_refused_by_the_command(
    sorairo: Callable[..., Done], files: Path, looks: Callable[[str], None]
) -> None:
    looks("EveryGuard")
    done = sorairo("generate", GOOD, *QUICK)
    assert done.code == 2 and "The output is refused by the policy (violence)" in done.err, done
    assert not list(files.glob("out*"))


def test_python_refuses_pictures(tiny_folder: Path, files: Path, looks: Callable[[str], None]) -> None:
    model = package.load(tiny_folder, "fp32")
    looks("RedGuard")
    for make in (
        lambda: model.animate(files / "red.png", GOOD, steps=1),
        lambda: model.extend(files / "red.mp4", GOOD, steps=1),
        lambda: model.edit(files / "red.mp4", GOOD, steps=1),
    ):
        with pytest.raises(Blocked, match=r"An input picture or clip is refused by the policy \(sexual\)"):
            make()
    looks("EveryGuard")
    with pytest.raises(Blocked, match=r"The output is refused by the policy \(violence\)"):
        model.generate(GOOD, steps=1)


def test_the_api_refuses_pictures(client: TestClient, files: Path, looks: Callable[[str], None]) -> None:
    looks("RedGuard")
    for name in ("red.png", "red.mp4"):
        with (files / name).open("rb") as file:
            answer = client.post("/v1/files", data={"purpose": "vision"}, files={"file": (name, file)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "moderation_blocked"), (
            answer.text
        )
    with (files / "red.png").open("rb") as file:
        answer = client.post(
            "/v1/videos", data={"prompt": GOOD}, files={"input_reference": ("red.png", file)}
        )
    assert answer.json()["error"]["code"] == "moderation_blocked"
    with (files / "still.png").open("rb") as file:
        kept = client.post(
            "/v1/files", data={"purpose": "vision"}, files={"file": ("still.png", file)}
        ).json()
    looks("EveryGuard")  # what was uploaded under a laxer policy is refused at its turn
    made = [client.post("/v1/videos", json={"prompt": GOOD}).json()["id"]]
    body = {"prompt": GOOD, "input_reference": {"file_id": kept["id"]}}
    made.append(client.post("/v1/videos", json=body).json()["id"])
    worker = Worker(client.app.state.settings)  # pyright: ignore[reportAttributeAccessIssue]
    assert worker.once() and worker.once()
    worker.database.close()
    for identity in made:
        failed = client.get(f"/v1/videos/{identity}").json()
        assert (failed["status"], failed["error"]["code"]) == ("failed", "moderation_blocked")
        assert client.get(f"/v1/videos/{identity}/content").status_code != 200


def test_a_class_that_is_not_there(tmp_path: Path) -> None:
    for name in ("no_such_module:Guard", f"{RedGuard.__module__}:NoGuard"):
        with pytest.raises(UserError, match="cannot be loaded"):
            frame_guard(name)
    plan = Plan(size=(64, 64), frames=9, fps=8.0, spans=(Span(text="a red ball"),), seed=1)
    asked = policy_of(Path(policy_with(tmp_path, 'guard = "no_such_module:Guard"')))
    with pytest.raises(UserError, match="cannot be loaded"):  # before anything is computed
        asked.before(plan)
    with pytest.raises(UserError, match="cannot be loaded"):
        frame_guard(f"{BrokenGuard.__module__}:BrokenGuard")
    for text, problem in (
        ('guard = "no colon"', "guard under"),
        ("guard = 3", "guard under"),
        ('words = "no"', "ignore or read"),
        ('word = "read"', "'word' is not known here"),
    ):
        with pytest.raises(UserError, match=problem):
            read_rules(Path(policy_with(tmp_path, text)))


def test_words_in_a_picture(tmp_path: Path) -> None:
    """They are read where the policy says so, and judged like words of a prompt."""
    pytest.importorskip("rapidocr")
    path = tmp_path / "sign.png"
    path.write_bytes(draw_words("a naked woman has sex on a beach"))
    sign = read_video(path)
    assert "naked woman" in words_in(sign.frames[0])
    assert words_in(np.full((64, 64, 3), 200, np.uint8)) == ""
    policy = policy_of(Path(policy_with(tmp_path, 'words = "read"')))
    with pytest.raises(Blocked, match=r"\(sexual\)"):
        policy.check([GOOD], [sign])
    assert (
        policy.check([GOOD], [Video(frames=np.full((2, 64, 64, 3), 200, np.uint8), fps=8.0)]).action
        == "allow"
    )
    style = tmp_path / "style.png"
    style.write_bytes(draw_words("a cat in the style of Banksy"))
    with pytest.raises(Blocked, match="artist-style"):  # what is drawn cannot be rewritten
        policy.check([GOOD], [read_video(style)])
