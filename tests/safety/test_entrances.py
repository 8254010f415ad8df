"""Every entrance refuses the same words and the same pictures, and names the category.

The words are made up, and an operator's blocklist forbids them: what the guards find is tested beside this.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import select

import sorairo as package
from sorairo.cli.errors import exit_code
from sorairo.jobs.plans import plan_to_dict
from sorairo.safety.audit_check import records, verify
from sorairo.serving.app import create_app
from sorairo.serving.settings import Settings
from sorairo.serving.tables import Job
from sorairo.serving.worker import Worker
from sorairo.tasks import Card
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video
from sorairo.types import Blocked, Plan, Span, Video
from sorairo.video.write import write_video
from tests.cli.test_generate_command import Done
from tests.cli.test_generate_command import sorairo as sorairo  # the fixture
from tests.dit.test_generate import save_pipeline

GOOD = "a red ball drops"
CASES = ["a zorb fest on the floor", "A ZORB  FEST", "zorb-fest, then a red ball"]
POLICY = 'version = "test"\n[blocklist]\nviolence = ["zorb fest"]\n'
HALVES = ("a red ball and a zorb", "fest of balls")


@pytest.fixture(autouse=True)
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    monkeypatch.setenv("SORAIRO_POLICY", str(path))
    return path


def clip(path: Path, words: str = GOOD) -> Path:
    """A file that sorairo made of some words."""
    plan = Plan(size=(64, 64), frames=9, fps=8.0, spans=(Span(text=words),), seed=1)
    record = {"prompt": words, "seed": 1, "software": "sorairo 1", "plan": plan_to_dict(plan)}
    write_video(Video(frames=np.full((9, 64, 64, 3), 99, np.uint8), fps=8.0), path, record)
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    clip(tmp_path / "a.mp4")
    clip(tmp_path / "half.mp4", HALVES[0])
    clip(tmp_path / "bad.mp4", CASES[0])
    Image.new("RGB", (64, 64), "red").save(tmp_path / "still.png")
    (tmp_path / "halves.yaml").write_text(f"0: {HALVES[0]}\n0.5: {HALVES[1]}\n")
    return tmp_path


def entrances(words: str) -> list[tuple[str, ...]]:
    """Command lines that say some words."""
    return [
        ("generate", words),
        ("generate", GOOD, "--negative", words),
        ("generate", words, "--expand"),
        ("animate", "still.png", words),
        ("extend", "a.mp4", words),
        ("loop", words),
        ("loop", "a.mp4", words),
        ("connect", "a.mp4", "a.mp4", words),
        ("recut", "a.mp4", words, "--keep", "0.5-1"),
        ("edit", "a.mp4", words),
        ("remix", "a.mp4", words),
        ("blend", "a.mp4", "a.mp4", words),
        ("expand", words),
        ("scene", words, "-o", "scene.json"),
    ]


def test_every_command_refuses(sorairo: Callable[..., Done], files: Path) -> None:
    def refused(*arguments: str) -> None:
        done = sorairo(*arguments)
        assert done.code == 2 and "refused by the policy (violence)" in done.err, (arguments, done)

    for words in CASES:
        refused("generate", words)
    for index in range(len(entrances(""))):
        refused(*entrances(CASES[index % 3])[index])
    (files / "cards.yaml").write_text(f"0: {GOOD}\n0.5: {CASES[0]}\n")
    refused("storyboard", "cards.yaml")
    refused("storyboard", "halves.yaml")  # each card is harmless
    refused("remix", "half.mp4", HALVES[1])  # each turn is
    refused("extend", "half.mp4", HALVES[1])
    for verb in ("extend", "loop"):  # the words are the file's
        refused(verb, "bad.mp4")
    assert not list(files.glob("out*"))
    done = sorairo("generate", GOOD, "--model", "MODEL", "--steps", "1")
    assert done.code == 0 and (files / "out.mp4").is_file()


def test_what_an_expansion_says_is_read_too(
    sorairo: Callable[..., Done], policy: Path, client: TestClient
) -> None:
    """The prompt is harmless, and the caption that is made of it has what is forbidden."""
    caption = json.loads(sorairo("expand", "a red ball drops", "--json").out)["text"]
    phrase = " ".join(caption.split()[-4:]).strip(".")
    assert phrase not in "a red ball drops"
    policy.write_text(POLICY.replace("zorb fest", phrase))
    for words in (("expand", "a red ball drops"), ("generate", "a red ball drops", "--expand")):
        done = sorairo(*words)
        assert done.code == 2 and "The expanded words are refused by the policy (violence)" in done.err, done
    answer = client.post("/v1/sorairo/expand", json={"prompt": "a red ball drops"})
    assert answer.json()["error"]["code"] == "moderation_blocked", answer.text


def test_pictures_of_a_class_are_refused(sorairo: Callable[..., Done], policy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dit"
    save_pipeline(folder)
    ask = ("picture", "golden retriever", "-m", str(folder), "--steps", "1", "-o", "dog.png")
    assert sorairo(*ask).code == 0
    (tmp_path / "dog.png").unlink()
    policy.write_text(POLICY.replace("zorb fest", "golden  RETRIEVER"))
    done = sorairo(*ask)
    assert done.code == 2 and "refused by the policy (violence)" in done.err
    assert not (tmp_path / "dog.png").exists()


def test_python_refuses(tiny_folder: Path, files: Path) -> None:
    model = package.load(tiny_folder, "fp32")
    for words in CASES:
        for make in (
            lambda words=words: model.generate(words),
            lambda words=words: model.generate(GOOD, negative=words),
            lambda words=words: model.animate(files / "still.png", words),
            lambda words=words: model.remix(files / "a.mp4", words),
            lambda words=words: model.storyboard([Card(at=0, words=GOOD), Card(at=0.5, words=words)]),
            lambda words=words: model.make(text_to_video(words, model.abilities, Ask(seed=1))),
        ):
            with pytest.raises(Blocked, match=r"refused by the policy \(violence\)") as error:
                make()
            assert error.value.verdict.having("block") == ("violence",)
            assert exit_code(error.value) == 2
    with pytest.raises(Blocked):
        model.storyboard([Card(at=0, words=HALVES[0]), Card(at=0.5, words=HALVES[1])])
    made = model.generate(GOOD, steps=1)
    assert made.verdict and made.verdict.action == "allow" and not made.verdict.off
    assert made.verdict.policy_version.startswith("test+")


@pytest.fixture
def client(tmp_path: Path, tiny_folder: Path) -> Iterator[TestClient]:
    settings = Settings(folder=tmp_path / "data", model=str(tiny_folder), hosts=("testserver",), min_free=0)
    with TestClient(create_app(settings, housekeeping=False)) as client:
        yield client


def uploaded(client: TestClient, path: Path) -> str:
    with path.open("rb") as file:
        answer = client.post("/v1/files", data={"purpose": "vision"}, files={"file": (path.name, file)})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def finished(client: TestClient, words: str = GOOD) -> str:
    """A video that was made from words."""
    identity = client.post("/v1/videos", json={"prompt": words}).json()["id"]
    worker = Worker(client.app.state.settings)  # pyright: ignore[reportAttributeAccessIssue]
    assert worker.once()
    worker.database.close()
    return identity


def test_the_api_refuses(client: TestClient, files: Path) -> None:
    def refused(path: str, body: object, **more: object) -> None:
        answer = client.post(path, json=body, **more) if body is not None else client.post(path, **more)  # pyright: ignore
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "moderation_blocked"), (path, body, answer.text)
        assert error["type"] == "invalid_request_error" and "(violence)" in error["message"]
        assert set(error) == {"message", "type", "param", "code", "sorairo"}

    file, video, half = uploaded(client, files / "a.mp4"), finished(client), finished(client, HALVES[0])
    for words in CASES:
        refused("/v1/videos", {"prompt": words})
    for words in CASES[:1]:
        refused("/v1/videos", {"prompt": words, "input_reference": {"file_id": file}})
        refused("/v1/videos", None, data={"prompt": words})
        refused("/v1/videos/edits", {"prompt": words, "video": {"id": video}})
        refused("/v1/videos/extensions", {"prompt": words, "seconds": "4", "video": {"id": video}})
        refused(f"/v1/videos/{video}/remix", {"prompt": words})
        refused("/v1/images/generations", {"prompt": words})
        refused("/v1/sorairo/expand", {"prompt": words})
        refused("/v1/videos/characters", {"name": words, "video": file})
        for verb, sources in (
            ("generate", []), ("animate", [file]), ("extend", [video]), ("loop", []), ("edit", [file]),
            ("connect", [file, video]), ("remix", [video]), ("blend", [video, file]),
        ):  # fmt: skip
            refused(f"/v1/sorairo/{verb}", {"prompt": words, "sources": sources})
        refused("/v1/sorairo/generate", {"prompt": GOOD, "negative": words})
        recut = {"prompt": words, "sources": [file], "args": {"keep": [0.5, 1]}}
        refused("/v1/sorairo/recut", recut)
        cards = [{"at": 0, "words": GOOD}, {"at": 0.5, "words": words}]
        refused("/v1/sorairo/storyboard", {"args": {"cards": cards}})
    cards = [{"at": 0, "words": HALVES[0]}, {"at": 0.5, "words": HALVES[1]}]
    refused("/v1/sorairo/storyboard", {"args": {"cards": cards}})
    refused(f"/v1/videos/{half}/remix", {"prompt": HALVES[1]})
    lines = [
        {"custom_id": name, "method": "POST", "url": "/v1/videos", "body": {"prompt": words}}
        for name, words in (("good", GOOD), ("bad", CASES[0]))
    ]
    data = "\n".join(json.dumps(line) for line in lines).encode()
    batch_file = client.post(
        "/v1/files", data={"purpose": "batch"}, files={"file": ("batch.jsonl", io.BytesIO(data))}
    ).json()["id"]
    batch = client.post("/v1/batches", json={"input_file_id": batch_file, "endpoint": "/v1/videos"}).json()
    assert batch["request_counts"] == {"total": 2, "completed": 0, "failed": 1}
    here = client.app.state.service  # pyright: ignore[reportAttributeAccessIssue]
    with here.database.read() as session:
        waiting = [job.prompt for job in session.scalars(select(Job).where(Job.status == "queued"))]
    assert waiting == [GOOD]  # nothing that was refused became a job
    audit = here.settings.folder / "audit"
    assert not verify(audit).faults
    found = [(one["verdict"], one["who"]) for one in records(audit)]
    assert found[:2] == [("allow", "local"), ("allow", "local")] and {what for what, _ in found[2:]} == {
        "block"
    }


def test_no_field_of_a_call_turns_the_policy_off(client: TestClient) -> None:
    for field in ("policy", "moderation", "safety", "nsfw", "safety_checker"):
        answer = client.post("/v1/videos", json={"prompt": CASES[0], field: "off"})
        assert answer.json()["error"]["code"] == "moderation_blocked"
        answer = client.post("/v1/sorairo/generate", json={"prompt": CASES[0], field: "off"})
        assert answer.status_code == 400


def test_the_operators_file_can_and_the_verdict_says_so(tiny_folder: Path, policy: Path) -> None:
    policy.write_text(POLICY + '[categories]\nviolence = "allow"\n')
    verdict = package.load(tiny_folder, "fp32").generate(CASES[0], steps=1).verdict
    assert verdict and verdict.off and verdict.lifted == ("violence",)
    assert verdict.decisions["violence"].score == 1 and verdict.action == "allow"
    policy.write_text(POLICY + '[categories]\nviolence = "flag"\n')
    verdict = package.load(tiny_folder, "fp32").generate(CASES[0], steps=1).verdict
    assert verdict and verdict.having("flag") == ("violence",)


def test_a_job_is_refused_by_the_policy_of_its_turn(client: TestClient, policy: Path) -> None:
    """A job that was accepted under one policy is refused under the next, with its own code."""
    policy.write_text('version = "open"\n')
    video = client.post("/v1/videos", json={"prompt": CASES[0]}).json()
    policy.write_text(POLICY)
    worker = Worker(client.app.state.settings)  # pyright: ignore[reportAttributeAccessIssue]
    assert worker.once()
    worker.database.close()
    failed = client.get(f"/v1/videos/{video['id']}").json()
    assert failed["status"] == "failed" and failed["error"]["code"] == "moderation_blocked"
    assert "(violence)" in failed["error"]["message"]
