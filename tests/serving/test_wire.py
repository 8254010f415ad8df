"""Calls as each client puts them on the wire: openai for Python and npm, LiteLLM, curl and programs of no library."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from sorairo.serving.queue import Queue
from sorairo.serving.service import Service
from sorairo.types import Video
from sorairo.video.write import write_video
from tests.serving.test_videos import FIELDS, WORDS, png

URL = "data:image/png;base64," + base64.b64encode(png()).decode()
OCTETS = "application/octet-stream"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(Video(frames=np.zeros((5, 64, 64, 3), np.uint8), fps=8), path)
    return path.read_bytes()


@pytest.fixture
def done(client: TestClient, here: Service, clip: bytes, tmp_path: Path) -> str:
    """The id of a completed video; it is delivered as a worker would, without a model."""
    identity = client.post("/v1/videos", json={"prompt": WORDS}).json()["id"]
    queue = Queue(here.database, lease=30, attempts=3, expiry=60)
    lease = queue.claim("test")
    assert lease
    path = tmp_path / "video.mp4"
    path.write_bytes(clip)
    here.store.put(path, f"jobs/{identity}/1/video.mp4")
    facts = {"width": 64, "height": 64, "frames": 5, "fps": 8, "seconds": 0.625, "size": "64x64"}
    queue.deliver(lease, f"jobs/{identity}/1", facts=facts)
    return identity


def parts(
    *fields: tuple[str, str | None, str | None, bytes | str], boundary: str = "b0undary"
) -> dict[str, Any]:
    """A form byte by byte: (name, file name, type, content) of each part."""
    body = b""
    for name, filename, kind, content in fields:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += b"" if filename is None else f'; filename="{filename}"'.encode()
        body += b"\r\n" + (b"" if kind is None else f"Content-Type: {kind}\r\n".encode()) + b"\r\n"
        body += (content.encode() if isinstance(content, str) else content) + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return {"content": body, "headers": {"content-type": f"multipart/form-data; boundary={boundary}"}}


def video(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert set(found) >= FIELDS and isinstance(found["seconds"], str) and found["object"] == "video"
    return found


@pytest.mark.parametrize(
    "filename,kind",
    [("upload", OCTETS), ("upload", None), ("", OCTETS), ("a.mp4", "video/mp4"), ("a.txt", "text/plain")],
)
def test_a_picture_in_a_form(client: TestClient, filename: str, kind: str | None) -> None:
    form = parts(("prompt", None, None, WORDS), ("input_reference", filename, kind, png()))
    found = video(client.post("/v1/videos", **form))
    assert found["sorairo"]["verb"] == "animate"


def test_fields_of_a_form_may_have_types(client: TestClient) -> None:
    kind = "text/plain; charset=utf-8"
    form = parts(
        ("prompt", None, kind, WORDS), ("seconds", None, kind, "8"), ("size", None, kind, "1280x720")
    )
    found = video(client.post("/v1/videos", **form))
    assert (found["prompt"], found["seconds"], found["size"]) == (WORDS, "8", "1280x720")


@pytest.mark.parametrize("kind", [None, OCTETS, "text/plain", "application/json; charset=utf-8"])
def test_json_of_any_content_type(client: TestClient, kind: str | None) -> None:
    """curl --data and small programs name no type, or a wrong one."""
    body = json.dumps({"prompt": WORDS, "seconds": 4}).encode()
    found = video(client.post("/v1/videos", content=body, headers={"content-type": kind} if kind else {}))
    assert found["prompt"] == WORDS


def test_json_that_curl_calls_a_form(client: TestClient) -> None:
    """`curl -d '{...}'` without -H."""
    body = json.dumps({"prompt": WORDS, "seconds": "8"}).encode()
    head = {"content-type": "application/x-www-form-urlencoded"}
    assert video(client.post("/v1/videos", content=body, headers=head))["seconds"] == "8"


@pytest.mark.parametrize("seconds", ["4", 4, 4.0, "4.0"])
def test_seconds_as_text_or_number(client: TestClient, seconds: Any) -> None:
    assert video(client.post("/v1/videos", json={"prompt": WORDS, "seconds": seconds}))["seconds"] == "4"


def test_bracketed_references(client: TestClient) -> None:
    file = client.post(
        "/v1/files", **parts(("purpose", None, None, "vision"), ("file", "upload", OCTETS, png()))
    )
    for name, value in (("image_url", URL), ("file_id", file.json()["id"])):
        form = parts(("prompt", None, None, WORDS), (f"input_reference[{name}]", None, None, value))
        assert video(client.post("/v1/videos", **form))["sorairo"]["verb"] == "animate"


@pytest.mark.parametrize("reference", [URL, {"image_url": URL}, {"image_url": {"url": URL}}, {"url": URL}])
def test_references_in_json(client: TestClient, reference: Any) -> None:
    found = video(client.post("/v1/videos", json={"prompt": WORDS, "input_reference": reference}))
    assert found["sorairo"]["verb"] == "animate"


def test_reference_as_json_in_a_form(client: TestClient) -> None:
    """Programs that build a form by hand put the object into it as JSON."""
    form = {"prompt": (None, WORDS), "input_reference": (None, json.dumps({"image_url": URL}))}
    assert video(client.post("/v1/videos", files=form))["sorairo"]["verb"] == "animate"


@pytest.mark.parametrize("name", ["characters[][id]", "characters[0][id]"])
def test_characters_in_a_form(client: TestClient, clip: bytes, name: str) -> None:
    form = parts(("name", None, None, "Red"), ("video", "upload", OCTETS, clip))
    person = client.post("/v1/videos/characters", **form).json()
    form = parts(("prompt", None, None, WORDS), (name, None, None, person["id"]))
    assert video(client.post("/v1/videos", **form))["sorairo"]["verb"] == "animate"
    two = parts(
        ("prompt", None, None, WORDS), (name, None, None, person["id"]), (name, None, None, person["id"])
    )
    assert client.post("/v1/videos", **two).json()["error"]["param"] == "characters"


def test_litellm_sends_json_with_an_id(client: TestClient, done: str) -> None:
    edit = video(client.post("/v1/videos/edits", json={"prompt": "a green ball", "video": {"id": done}}))
    assert (edit["sorairo"]["verb"], edit["remixed_from_video_id"]) == ("edit", done)
    values = {"prompt": WORDS, "seconds": "4", "video": {"id": done}}
    assert video(client.post("/v1/videos/extensions", json=values))["seconds"] == "8"
    remix = video(client.post(f"/v1/videos/{done}/remix", json={"prompt": "a blue ball"}))
    assert remix["remixed_from_video_id"] == done
    answer = client.get(f"/v1/videos/{done}/content", headers={"accept": "*/*"})
    assert answer.content[4:8] == b"ftyp"


def test_npm_sends_a_form_with_an_id(client: TestClient, done: str) -> None:
    form = parts(("prompt", None, None, "a green ball"), ("video[id]", None, None, done))
    assert video(client.post("/v1/videos/edits", **form))["remixed_from_video_id"] == done
    form = parts(("prompt", None, None, WORDS), ("seconds", None, None, "4"), ("video[id]", None, None, done))
    assert video(client.post("/v1/videos/extensions", **form))["seconds"] == "8"
    form = parts(("prompt", None, None, "a blue ball"))
    assert video(client.post(f"/v1/videos/{done}/remix", **form))["remixed_from_video_id"] == done


def test_a_clip_in_a_form(client: TestClient, clip: bytes) -> None:
    for path, verb in (("edits", "edit"), ("extensions", "extend")):
        form = parts(("prompt", None, None, WORDS), ("video", "upload", OCTETS, clip))
        assert video(client.post(f"/v1/videos/{path}", **form))["sorairo"]["verb"] == verb


def test_fields_that_are_not_used_are_named(client: TestClient) -> None:
    """LiteLLM's hosted_vllm sends these two; whoever sends them is told that they change nothing."""
    extra = json.dumps({"num_inference_steps": 4})
    form = parts(
        ("prompt", None, None, WORDS), ("fps", None, None, "24"), ("extra_params", None, None, extra)
    )
    (note,) = [
        note for note in video(client.post("/v1/videos", **form))["sorairo"]["notes"] if "used" in note
    ]
    assert note == "Not used: extra_params, fps."
    plain = video(client.post("/v1/videos", json={"prompt": WORDS, "user": "me", "seed": 1}))
    assert not [note for note in plain["sorairo"]["notes"] if "used" in note]


@pytest.mark.parametrize("accept", ["application/binary", "*/*", "video/mp4", "text/html", ""])
def test_content_is_never_refused_for_its_type(client: TestClient, done: str, accept: str) -> None:
    answer = client.get(f"/v1/videos/{done}/content", headers={"accept": accept})
    assert answer.status_code == 200 and answer.headers["content-type"] == "video/mp4"


def test_polling_headers(client: TestClient, done: str) -> None:
    answer = client.get(f"/v1/videos/{done}", headers={"X-Stainless-Poll-Helper": "true"})
    assert int(answer.headers["openai-poll-after-ms"]) > 0
    assert answer.headers["x-request-id"].startswith("req_")
