"""From a create to the file, by a real server, a real worker and OpenAI's own client."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook

from sorairo.serving.app import create_app
from sorairo.serving.service import Service
from sorairo.serving.settings import Loading, Settings
from sorairo.serving.tables import Job
from sorairo.serving.webhooks import send_due
from sorairo.serving.worker import Worker
from tests.serving.conftest import client_of

openai = pytest.importorskip("openai")
WORDS = "a red ball drops"


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("serve")
    return Settings(folder=folder, model=str(tiny_folder), poll=0.02, min_free=0)


@pytest.fixture(scope="module")
def server(tiny: Settings) -> Iterator[str]:
    """The address of a server with one worker, both threads of this process."""
    app = create_app(tiny)
    web = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    serve = threading.Thread(target=web.run)
    worker = Worker(tiny)
    work = threading.Thread(target=worker.run)
    serve.start()
    work.start()
    while not web.started:
        time.sleep(0.02)
    port = web.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"
    worker.stop.set()
    web.should_exit = True
    serve.join()
    work.join()
    worker.database.close()


@pytest.fixture
def ai(server: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=server, api_key="x", _strict_response_validation=True) as client:
        yield client


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_openai_client_from_words_to_files(ai: Any) -> None:
    video = ai.videos.create_and_poll(prompt=WORDS, model="sora-2", seconds="4", poll_interval_ms=50)
    assert video.status == "completed" and video.progress == 100 and video.size == "720x1280", video.error
    assert video.model_extra["sorairo"]["notes"] and video.completed_at and video.expires_at
    data = ai.videos.download_content(video.id).read()
    assert data[4:8] == b"ftyp"
    assert ai.videos.download_content(video.id, variant="thumbnail").read()[8:12] == b"WEBP"
    assert ai.videos.download_content(video.id, variant="spritesheet").read()[:3] == b"\xff\xd8\xff"

    remix = ai.videos.remix(video.id, prompt="a blue ball")
    assert remix.remixed_from_video_id == video.id
    edit = ai.videos.edit(prompt="a green ball", video=io.BytesIO(data))
    further = ai.post(
        "/videos/extensions", cast_to=dict, body={"prompt": WORDS, "seconds": "4", "video": {"id": video.id}}
    )
    assert further["seconds"] == "8"
    large = ai.post("/sorairo/upscale", cast_to=dict, body={"sources": [video.id]})
    for one in (remix.id, edit.id, further["id"], large["id"]):
        done = ai.videos.poll(one, poll_interval_ms=50)
        assert done.status == "completed", done.error
    person = ai.videos.create_character(name="Red", video=io.BytesIO(data))
    assert ai.videos.get_character(person.id).name == "Red"
    assert [one.id for one in ai.videos.list(limit=2)][-1] == video.id
    assert ai.videos.delete(video.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        ai.videos.retrieve(video.id)
    with pytest.raises(openai.BadRequestError):
        ai.videos.create(prompt="")


def test_a_batch_from_upload_to_results(ai: Any) -> None:
    bodies = [{"prompt": WORDS}, {"prompt": "a blue ball drops"}, {"prompt": ""}]
    lines = [
        {"custom_id": f"c{number}", "method": "POST", "url": "/v1/videos", "body": body}
        for number, body in enumerate(bodies)
    ]
    data = "\n".join(map(json.dumps, lines)).encode()
    file = ai.files.create(file=("lines.jsonl", data), purpose="batch")
    batch = ai.batches.create(input_file_id=file.id, endpoint="/v1/videos", completion_window="24h")
    until = time.monotonic() + 60
    while batch.status == "in_progress" and time.monotonic() < until:
        time.sleep(0.1)
        batch = ai.batches.retrieve(batch.id)
    counts = batch.request_counts
    assert (batch.status, counts.total, counts.completed, counts.failed) == ("completed", 3, 2, 1)
    results = [json.loads(line) for line in ai.files.content(batch.output_file_id).text.splitlines()]
    assert [one["custom_id"] for one in results] == ["c0", "c1"]
    for one in results:
        video = ai.videos.retrieve(one["response"]["body"]["id"])
        assert video.status == "completed"
    (refused,) = [json.loads(line) for line in ai.files.content(batch.error_file_id).text.splitlines()]
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("c2", 400)


def test_openai_client_async(server: str) -> None:
    async def main() -> Any:
        async with openai.AsyncOpenAI(
            base_url=server, api_key="x", _strict_response_validation=True
        ) as client:
            video = await client.videos.create_and_poll(prompt=WORDS, poll_interval_ms=50)
            return video, (await client.videos.download_content(video.id)).content

    video, data = asyncio.run(main())
    assert video.status == "completed" and data[4:8] == b"ftyp"


def test_a_connection_that_drops_after_the_create(server: str) -> None:
    """The job is committed and its answer lost: the client asks again by itself, and gets the same job."""

    class Dropping(httpx.HTTPTransport):
        lost = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if self.lost < 2:  # the client tries three times
                self.lost += 1
                answer.read()
                answer.close()
                raise httpx.ReadError("the connection dropped", request=request)
            return answer

    words = "a blue ball drops and the answer is lost"
    http = httpx.Client(transport=Dropping())
    with openai.OpenAI(base_url=server, api_key="x", http_client=http) as client:
        video = client.videos.create(prompt=words)
        same = [one.id for one in client.videos.list() if one.prompt == words]
    assert same == [video.id]


def test_pictures_and_ranges(ai: Any, server: str) -> None:
    made = ai.images.generate(prompt=WORDS, model="gpt-image-1")
    import base64

    assert Image.open(io.BytesIO(base64.b64decode(made.data[0].b64_json))).format == "PNG"
    video = next(iter(ai.videos.list()))
    url = f"{server}/videos/{video.id}/content"
    part = httpx.get(url, headers={"range": "bytes=4-7", "accept": "application/binary"})
    assert (part.status_code, part.content) == (206, b"ftyp") and part.headers["etag"]
    assert int(httpx.head(url).headers["content-length"]) > 100


@pytest.fixture
def local(tiny: Settings, tmp_path: Path) -> Iterator[tuple[TestClient, Worker, Service]]:
    settings = replace(tiny, folder=tmp_path / "data", private_urls=True)
    with client_of(settings) as client:
        worker = Worker(settings)
        yield client, worker, client.app.state.service  # pyright: ignore[reportAttributeAccessIssue]
        worker.database.close()


def post(client: TestClient, **values: Any) -> str:
    return client.post("/v1/videos", json={"prompt": WORDS, **values}).json()["id"]


def test_the_operator_is_told_how_the_model_is_held_and_callers_are_not(
    tiny: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = replace(tiny, folder=tmp_path / "data", loading=Loading(memory="2GB", dtype="fp32"))
    with client_of(settings) as client:
        job, worker = post(client), Worker(settings)
        assert worker.once()
        video = client.get(f"/v1/videos/{job}").json()
        worker.database.close()
    assert video["status"] == "completed" and "memory" not in str(video["sorairo"]["notes"])
    assert "weights stay in memory" in caplog.text


def test_cancel_ends_within_a_step(local: tuple[TestClient, Worker, Service]) -> None:
    client, worker, here = local
    job = client.post("/v1/sorairo/generate", json={"prompt": WORDS, "steps": 1000}).json()["id"]
    thread = threading.Thread(target=worker.once)
    thread.start()
    while client.get(f"/v1/videos/{job}").json()["sorairo"]["step"] < 1:
        time.sleep(0.02)
    assert client.get(f"/v1/videos/{job}").json()["status"] == "in_progress"
    start = time.monotonic()
    client.post(f"/v1/videos/{job}/cancel")
    thread.join()
    assert time.monotonic() - start < 5
    assert client.get(f"/v1/videos/{job}").json()["status"] == "cancelled"
    assert here.store.local(f"jobs/{job}/1/video.mp4") is None


def test_a_worker_that_is_told_to_stop_hands_back(local: tuple[TestClient, Worker, Service]) -> None:
    client, worker, here = local
    job = client.post("/v1/sorairo/generate", json={"prompt": WORDS, "steps": 1000}).json()["id"]
    thread = threading.Thread(target=worker.run)
    thread.start()
    while client.get(f"/v1/videos/{job}").json()["sorairo"]["step"] < 1:
        time.sleep(0.02)
    worker.stop.set()
    thread.join(30)
    with here.database.read() as session:
        row = session.scalars(select(Job).where(Job.id == job)).one()
    assert (row.status, row.attempts, row.cancel) == ("queued", 0, False)


def test_a_worker_that_drains_ends_its_job_first(local: tuple[TestClient, Worker, Service]) -> None:
    client, worker, _ = local
    jobs = [client.post("/v1/sorairo/generate", json={"prompt": WORDS, "steps": 40}).json() for _ in range(2)]
    ways = [f"/v1/videos/{job['id']}" for job in jobs]
    thread = threading.Thread(target=worker.run)
    thread.start()
    while client.get(ways[0]).json()["sorairo"]["step"] < 1:
        time.sleep(0.01)
    worker.drain.set()
    thread.join(60)
    assert [client.get(way).json()["status"] for way in ways] == ["completed", "queued"]


def test_a_file_that_is_deleted_in_the_queue(local: tuple[TestClient, Worker, Service]) -> None:
    from tests.serving.test_videos import png

    client, worker, _ = local
    file = client.post("/v1/files", files={"file": ("a.png", png())}).json()["id"]
    job = post(client, input_reference={"file_id": file})
    client.delete(f"/v1/files/{file}")
    assert worker.once()
    video = client.get(f"/v1/videos/{job}").json()
    assert video["status"] == "failed" and "deleted" in video["error"]["message"]


def test_webhooks_are_signed_and_sent_again(local: tuple[TestClient, Worker, Service]) -> None:
    client, worker, here = local
    got: list[tuple[dict[str, str], bytes]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(500 if len(got) == 1 else 200)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as hook:
        thread = threading.Thread(target=hook.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{hook.server_port}/hook"
        endpoint = client.post("/v1/webhook_endpoints", json={"url": url}).json()
        job = post(client)
        assert worker.once()
        assert send_due(here.database, private=True) == 1
        assert send_due(here.database, private=True) == 0  # not due yet
        with here.database.write() as session:
            from sorairo.serving.tables import Delivery

            session.scalars(select(Delivery)).one().due = 0
        assert send_due(here.database, private=True) == 1
        assert send_due(here.database, private=True) == 0
        hook.shutdown()
        thread.join()
    (first, body), (second, again) = got
    assert body == again and first["webhook-id"] == second["webhook-id"]
    event = Webhook(endpoint["secret"]).verify(body, second)
    assert event["type"] == "video.completed" and event["data"] == {"id": job}
    shown = client.get(f"/v1/webhook_endpoints/{endpoint['id']}").json()
    assert "secret" not in shown
    rotated = client.post(f"/v1/webhook_endpoints/{endpoint['id']}/rotate_secret").json()
    assert rotated["secret"] != endpoint["secret"]
    client_ = openai.OpenAI(api_key="x", webhook_secret=endpoint["secret"])
    unwrapped = client_.webhooks.unwrap(body, second)
    assert (unwrapped.type, unwrapped.data.id) == ("video.completed", job)
    client_.close()


def test_a_backup_restores(local: tuple[TestClient, Worker, Service], tmp_path: Path) -> None:
    """docs/serve.md: sqlite3's backup of the database, and a copy of the files."""
    import shutil
    import sqlite3

    client, worker, here = local
    job = post(client)
    assert worker.once()
    other = tmp_path / "restored"
    other.mkdir()
    source = sqlite3.connect(here.settings.folder / "sorairo.db")
    target = sqlite3.connect(other / "sorairo.db")
    source.backup(target)
    source.close()
    target.close()
    shutil.copytree(here.settings.folder / "files", other / "files")
    with client_of(replace(here.settings, folder=other)) as again:
        assert again.get(f"/v1/videos/{job}").json()["status"] == "completed"
        assert again.get(f"/v1/videos/{job}/content").content[4:8] == b"ftyp"
        data = again.get(f"/v1/videos/{job}/content").content
        check = again.post("/v1/content_provenance_checks", files={"file": ("a", data)}).json()
        assert check["claimed_by"].startswith("sorairo") and check["claims"]["prompt"] == WORDS
        results = {one["type"]: one for one in check["results"]}
        assert (results["c2pa"]["outcome"], results["c2pa"]["validation_state"]) == ("detected", "trusted")
        assert results["sorairo_index"]["video"] == job and not results["sorairo_index"]["mirrored"]
        assert results["sorairo_mark"]["outcome"] == "not_detected"  # 64 pixels are too few for it
        parsed = openai.types.ContentProvenanceCheck.construct(**check)
        assert parsed.results[0].type == "c2pa" and parsed.created_at > 0
        plan = again.get(f"/v1/sorairo/plan/{job}").json()
        assert plan["plan"]["spans"][0]["text"] == WORDS and json.dumps(plan["record"])
