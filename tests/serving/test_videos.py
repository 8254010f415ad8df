"""Create, retrieve, list, cancel, delete: without a model."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import event

from sorairo.serving.settings import Settings
from sorairo.serving.tables import Batch
from tests.serving.conftest import client_of

FIELDS = {
    "id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt", "seconds",
    "size", "remixed_from_video_id", "error",
}  # fmt: skip
WORDS = "A large red ball rolls across the floor to the right."


def png(size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, "PNG")
    return out.getvalue()


def created(client: TestClient, **values: object) -> dict:
    answer = client.post("/v1/videos", json={"prompt": WORDS, **values})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_create_answers_with_every_field(client: TestClient) -> None:
    video = created(client)
    assert set(video) >= FIELDS
    assert (video["status"], video["seconds"], video["size"]) == ("queued", "4", "720x1280")
    assert video["sorairo"]["request"]["size"] == "64x96"
    assert video["sorairo"]["notes"]
    assert client.get(f"/v1/videos/{video['id']}").json()["status"] == "queued"


FORMS = [
    {"data": {"prompt": WORDS, "seconds": "8"}},
    {"files": {"prompt": (None, WORDS), "seconds": (None, "8")}},
]


@pytest.mark.parametrize("form", FORMS)
def test_create_takes_forms(client: TestClient, form: dict) -> None:
    answer = client.post("/v1/videos", **form)
    assert answer.json()["seconds"] == "8", answer.text


@pytest.mark.parametrize("name", ["upload", "../../etc/passwd", "a.png"])
def test_a_picture_is_known_by_its_bytes(client: TestClient, name: str) -> None:
    files = {"input_reference": (name, png(), "application/octet-stream")}
    video = client.post("/v1/videos", data={"prompt": WORDS}, files=files).json()
    assert video["sorairo"]["verb"] == "animate"
    (source,) = video["sorairo"]["request"]["sources"]
    file = client.get(f"/v1/files/{source}").json()
    assert file["sorairo"]["width"] == 64 and "/" not in file["filename"]


def test_references_by_id_and_data_url(client: TestClient) -> None:
    file = client.post("/v1/files", files={"file": ("a.png", png())}, data={"purpose": "vision"}).json()
    assert created(client, input_reference={"file_id": file["id"]})["sorairo"]["request"]["sources"] == [
        file["id"]
    ]
    form = {"prompt": WORDS, "input_reference[file_id]": file["id"]}
    assert client.post("/v1/videos", data=form).json()["sorairo"]["request"]["sources"] == [file["id"]]
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    assert created(client, input_reference={"image_url": url})["sorairo"]["verb"] == "animate"


def test_a_data_url_of_three_megabytes(client: TestClient) -> None:
    import numpy as np

    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (1000, 1000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    url = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    assert len(url) > 3e6
    form = {"prompt": (None, WORDS), "input_reference[image_url]": (None, url)}
    answer = client.post("/v1/videos", files=form)
    assert answer.status_code == 200, answer.text


def test_sizes_are_refused_where_the_operator_says_so(strict: TestClient) -> None:
    answer = strict.post("/v1/videos", json={"prompt": WORDS, "size": "720x1280"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (
        error["param"] == "size" and "96x96" in error["message"] and error["type"] == "invalid_request_error"
    )
    assert strict.post("/v1/videos", json={"prompt": WORDS, "size": "96x96"}).json()["size"] == "96x96"


def test_paging(client: TestClient) -> None:
    ids = [created(client)["id"] for _ in range(5)]
    page = client.get("/v1/videos?limit=2").json()
    assert [one["id"] for one in page["data"]] == ids[:2:-1] and page["has_more"]
    page = client.get(f"/v1/videos?limit=10&after={page['last_id']}").json()
    assert [one["id"] for one in page["data"]] == ids[2::-1] and not page["has_more"]
    page = client.get(f"/v1/videos?limit=10&order=asc&after={ids[3]}").json()
    assert [one["id"] for one in page["data"]] == [ids[4]] == [page["first_id"]]


def test_cancel_and_delete(client: TestClient) -> None:
    one, two = created(client)["id"], created(client)["id"]
    assert client.get(f"/v1/videos/{two}").json()["sorairo"]["queue_position"] == 1
    assert client.post(f"/v1/videos/{one}/cancel").json()["status"] == "cancelled"
    assert client.get(f"/v1/videos/{two}").json()["sorairo"]["queue_position"] == 0
    assert client.delete(f"/v1/videos/{two}").json() == {
        "id": two,
        "deleted": True,
        "object": "video.deleted",
    }
    assert client.get(f"/v1/videos/{two}").status_code == 404
    answer = client.get(f"/v1/videos/{one}/content")
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_ready"


def test_events_end_with_the_job(client: TestClient) -> None:
    one = created(client)["id"]
    client.post(f"/v1/videos/{one}/cancel")
    answer = client.get(f"/v1/videos/{one}/events")
    (line,) = [line for line in answer.text.splitlines() if line]
    assert json.loads(line.removeprefix("data: "))["status"] == "cancelled"


def test_a_create_whose_answer_was_lost_is_one_job(client: TestClient) -> None:
    def post(retry: int, boundary: str, **headers: str) -> str:
        body = f'--{boundary}\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n{WORDS}\r\n--{boundary}--\r\n'
        kind = f"multipart/form-data; boundary={boundary}"
        head = {"content-type": kind, "x-stainless-retry-count": str(retry), **headers}
        return client.post("/v1/videos", content=body, headers=head).json()["id"]

    first = post(0, "aaa")
    assert post(1, "bbb") == first
    assert post(0, "ccc") != first


def test_idempotency_keys(client: TestClient) -> None:
    head = {"Idempotency-Key": "k"}
    one = client.post("/v1/videos", json={"prompt": WORDS}, headers=head).json()["id"]
    assert client.post("/v1/videos", json={"prompt": WORDS}, headers=head).json()["id"] == one
    other = client.post("/v1/videos", json={"prompt": "A blue cube."}, headers=head)
    assert other.status_code == 409 and other.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("verb,values,sources", [
    ("generate", {"prompt": WORDS, "seconds": 1}, 0), ("loop", {"prompt": WORDS, "seconds": 2}, 0),
    ("animate", {"prompt": WORDS}, 1), ("connect", {"prompt": WORDS}, 2), ("blend", {"prompt": WORDS}, 2),
    ("edit", {"prompt": WORDS, "args": {"strength": 0.5}}, 1), ("extend", {"prompt": WORDS, "seconds": 1}, 1),
    ("recut", {"args": {"keep": [0, 1]}}, 1), ("remix", {"prompt": "a blue ball"}, 1),
    ("upscale", {}, 1), ("storyboard", {"args": {"cards": [{"at": 0, "words": WORDS}]}, "seconds": 2}, 0),
])  # fmt: skip
def test_every_verb_has_a_route(client: TestClient, verb: str, values: dict, sources: int) -> None:
    files = [client.post("/v1/files", files={"file": ("a.png", png())}).json()["id"] for _ in range(sources)]
    answer = client.post(f"/v1/sorairo/{verb}", json={**values, "sources": files})
    assert answer.status_code == 200, answer.text
    assert answer.json()["sorairo"]["verb"] == verb


def test_a_request_can_be_sent_again_as_it_is_shown(client: TestClient) -> None:
    sent = {"prompt": WORDS, "size": "128x96", "frames": 17, "seed": 0, "style": "sunset"}
    first = client.post("/v1/sorairo/generate", json=sent).json()["sorairo"]["request"]
    assert first == {"verb": "generate", "model": "default", **sent}
    again = client.post("/v1/sorairo/generate", json=first)
    assert again.status_code == 200 and again.json()["sorairo"]["request"] == first
    shown = created(client)["sorairo"]["request"]
    assert client.post(f"/v1/sorairo/{shown['verb']}", json=shown).status_code == 200


def test_a_clip_may_follow_a_scene(client: TestClient) -> None:
    ball = {"shape": "ball", "colour": "red", "path": [{"x": 0.1, "y": 0.2}]}

    def asked(scene: dict, model: str = "default", **more: object) -> tuple[int, dict]:
        body = {"prompt": WORDS, "model": model, "args": {"scene": scene}} | more
        answer = client.post("/v1/sorairo/generate", json=body)
        return answer.status_code, answer.json()

    code, job = asked({"objects": [ball]})
    assert code == 200
    assert job["sorairo"]["request"]["args"]["scene"]["objects"][0]["path"][0]["x"] == 0.1
    assert client.post("/v1/sorairo/generate", json=job["sorairo"]["request"]).status_code == 200
    for scene, model, said in [
        ({"objects": [ball]}, "single", "follows no scene"),
        ({"objects": [ball | {"shape": "torus"}]}, "default", "torus"),
        ({"objects": [ball | {"color": "red"}]}, "default", "color"),
    ]:
        code, answer = asked(scene, model)
        assert code == 400 and said in answer["error"]["message"]
    for length in ({"frames": 33}, {"seconds": 4}):  # a scene has any length
        assert asked({"objects": [ball]}, **length)[0] == 200


def test_what_reaches_the_server_itself_is_refused(client: TestClient) -> None:
    for name, value in {
        "expand_url": "http://127.0.0.1",
        "lora": ["/etc/passwd"],
        "memory": "1GB",
        "vae": "/etc/passwd",
    }.items():
        answer = client.post("/v1/sorairo/generate", json={"prompt": WORDS, name: value})
        assert answer.status_code == 400 and name in answer.json()["error"]["message"]
    answer = client.post("/v1/sorairo/animate", json={"prompt": WORDS, "sources": ["/etc/passwd"]})
    assert answer.status_code == 404


def test_models_say_what_they_can(client: TestClient) -> None:
    model, fast, single = client.get("/v1/models").json()["data"]
    assert model["sorairo"]["scene"]["objects"] == 4
    assert single["id"] == "single" and single["sorairo"]["scene"] is None
    assert (fast["id"], fast["sorairo"]["default_steps"]) == ("fast", 4)
    assert (
        model["id"] == "default"
        and "96x96" in model["sorairo"]["sizes"]
        and "ball" in model["sorairo"]["vocabulary"]
    )
    assert client.post("/v1/videos", json={"prompt": WORDS, "model": "sora-3"}).status_code == 400


def test_the_folder_of_a_model_is_not_told(settings: Settings, tiny_folder: Path) -> None:
    with client_of(replace(settings, model=str(tiny_folder), fit_requests=False)) as client:
        texts = [client.get("/v1/models").text, client.get("/v1/models/tiny").text]
        for values in ({}, {"model": "tiny"}, {"size": "1x1"}, {"seconds": 9999}, {"model": "no"}):
            texts.append(client.post("/v1/videos", json={"prompt": WORDS, "size": "64x64"} | values).text)
        texts += [client.post("/v1/sorairo/generate", json={"prompt": WORDS, "model": "tiny"}).text]
        texts += [client.get("/v1/videos").text, client.get("/v1/sorairo/admin/jobs").text]
    assert '"id":"tiny"' in texts[0] and '"model":"tiny"' in texts[-1]
    assert not [text for text in texts if str(tiny_folder.parent) in text]


def test_a_batch_queues_its_lines(client: TestClient) -> None:
    lines = [
        {"custom_id": f"c{n}", "method": "POST", "url": "/v1/videos", "body": {"prompt": WORDS}}
        for n in range(3)
    ]
    lines.append({"custom_id": "bad", "method": "POST", "url": "/v1/videos", "body": {}})
    data = "\n".join(map(json.dumps, lines)).encode()
    file = client.post("/v1/files", files={"file": ("b.jsonl", data)}, data={"purpose": "batch"}).json()["id"]
    values = {"input_file_id": file, "endpoint": "/v1/videos", "completion_window": "24h"}
    batch = client.post("/v1/batches", json=values).json()
    assert batch["request_counts"] == {"total": 4, "completed": 0, "failed": 1}
    assert len(client.get("/v1/videos").json()["data"]) == 3
    assert client.post(f"/v1/batches/{batch['id']}/cancel").json()["status"] == "cancelling"
    from sorairo.serving.batch import finish_batches

    finish_batches(client.app.state.service)  # pyright: ignore[reportAttributeAccessIssue]
    batch = client.get(f"/v1/batches/{batch['id']}").json()
    assert batch["status"] == "cancelled"
    results = client.get(f"/v1/files/{batch['output_file_id']}/content").text.splitlines()
    assert [json.loads(line)["custom_id"] for line in results] == ["c0", "c1", "c2"]


def test_a_batch_is_there_whole_or_not_at_all(client: TestClient) -> None:
    """Its jobs and its row are one transaction: what breaks off before the row leaves no job behind."""
    data = "\n".join(
        json.dumps({"custom_id": f"c{n}", "url": "/v1/videos", "body": {"prompt": WORDS}}) for n in range(2)
    ).encode()
    file = client.post("/v1/files", files={"file": ("b.jsonl", data)}, data={"purpose": "batch"}).json()["id"]
    values = {"input_file_id": file, "endpoint": "/v1/videos"}

    def breaks(*words: object) -> None:
        raise OSError("killed")

    event.listen(Batch, "before_insert", breaks)
    try:
        assert client.post("/v1/batches", json=values).status_code == 500
    finally:
        event.remove(Batch, "before_insert", breaks)
    assert client.get("/v1/videos").json()["data"] == []
    # a retry of a create whose answer was lost gets the batch that there is
    first, *others = (
        client.post("/v1/batches", json=values, headers={"x-stainless-retry-count": count}).json()["id"]
        for count in ("0", "1", "2")
    )
    assert others == [first, first] and len(client.get("/v1/videos").json()["data"]) == 2
    once = [
        client.post("/v1/batches", json=values, headers={"Idempotency-Key": "b"}).json()["id"]
        for _ in range(2)
    ]
    assert once[0] == once[1] != first and len(client.get("/v1/videos").json()["data"]) == 4
    reused = client.post(
        "/v1/batches", json=values | {"metadata": {"a": "b"}}, headers={"Idempotency-Key": "b"}
    )
    assert reused.json()["error"]["code"] == "idempotency_key_reused"


def test_expand_and_styles(client: TestClient) -> None:
    answer = client.post("/v1/sorairo/expand", json={"prompt": "red ball bouncing"}).json()
    assert answer["changed"] and answer["unknown"] == []
    answer = client.post("/v1/sorairo/expand", json={"prompt": "a zebra"}).json()
    assert answer["unknown"] == ["zebra"]
    assert client.get("/v1/sorairo/styles").json()["data"]


def test_two_programs_that_mean_two_equal_videos(client: TestClient) -> None:
    def post(retry: int) -> str:
        head = {"x-stainless-retry-count": str(retry)}
        return client.post("/v1/videos", json={"prompt": WORDS}, headers=head).json()["id"]

    one, two = post(0), post(0)
    assert one != two
    # both answers are lost: each retry gets a job of its own, and so does each second retry
    assert {post(1), post(1)} == {one, two}
    assert {post(2), post(2)} == {one, two}
    third = post(1)  # a third program, whose first call never arrived
    assert third not in (one, two)
    assert post(1) != third  # what a first retry made is not the job of another first retry
    assert post(2) not in (one, two)


def test_the_size_of_a_video(client: TestClient) -> None:
    for sent, shown in (({}, "720x1280"), ({"model": "default"}, "720x1280"), ({"size": "64x96"}, "64x96")):
        assert client.post("/v1/videos", json={"prompt": WORDS, **sent}).json()["size"] == shown
