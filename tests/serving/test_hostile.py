"""What strangers send. Each of these limits has a test that fails without it."""

from __future__ import annotations

import io
import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from sorairo.serving.fetch import fetch, public
from sorairo.serving.keys import create_key, revoke_key
from sorairo.serving.service import Service
from sorairo.serving.settings import Settings
from sorairo.types import UserError
from tests.serving.conftest import client_of
from tests.serving.test_videos import png

WORDS = "A red ball."


def refused(client: TestClient, status: int, **call: object) -> dict:
    answer = client.post("/v1/videos", **call)  # pyright: ignore[reportArgumentType]
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and answer.headers["x-request-id"]
    return error


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("body", [
    b"[" * 200_000, b'{"prompt":' * 5000, b"{", b'"text"', b"[]", b"\xff\xfe", b'{"prompt": "\\ud800"}',
    b'{"prompt": "a\\u0000b"}', b'{"prompt": NaN}', b'{"prompt": "a", "seconds": 1e999}',
    b'{"prompt": "a", "seconds": ' + b"9" * 5000 + b"}", b'{"prompt": 5}', b'{"prompt": ""}', b"{}",
    b'{"prompt": "a", "seconds": true}', b'{"prompt": "a", "seconds": -4}', b'{"prompt": "a", "size": "axb"}',
    b'{"prompt": "a", "size": "0x0"}', b'{"prompt": "a", "size": 5}', b'{"prompt": "a", "characters": [5]}',
    b'{"prompt": "a", "input_reference": {"file_id": "file_x", "image_url": "http://x"}}',
    b'{"prompt": "a", "input_reference": 5}', b'{"prompt": "a", "input_reference": {"image_url": "ftp://x/y"}}',
    b'{"prompt": "a", "input_reference": {"image_url": "file:///etc/passwd"}}',
    b'{"prompt": "a", "input_reference": {"image_url": "http://127.0.0.1:1/"}}',
    b'{"prompt": "a", "input_reference": {"image_url": "data:image/png;base64,@@@"}}',
])  # fmt: skip
def test_bodies_that_are_refused(client: TestClient, body: bytes) -> None:
    refused(client, 400, content=body, headers=JSON)


def test_a_form_that_is_cut_off(client: TestClient) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA red ball.\r\n--b\r\nContent-Disp'
    error = refused(client, 400, content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert "cut off" in error["message"]


def test_a_body_that_is_too_large(settings: Settings) -> None:
    with client_of(replace(settings, max_body=1000)) as client:
        refused(client, 413, content=b"x" * 2000, headers=JSON)

        def chunks():
            for _ in range(20):
                yield b"x" * 100

        refused(client, 413, content=chunks(), headers=JSON)


def test_json_that_is_too_large(settings: Settings) -> None:
    """Less than a form may have: nobody needs to send much as JSON, and it is held several times over when parsed."""
    with client_of(replace(settings, max_json=1000)) as client:
        error = refused(client, 413, json={"prompt": "a" * 1000})
        assert "multipart/form-data" in error["message"]


def bomb() -> bytes:
    """A PNG of 30000 x 30000 pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = (30000).to_bytes(4) * 2 + b"\x08\x02\0\0\0"
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10**6))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "data",
    [
        bomb(),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"#EXTM3U\n/etc/passwd",
    ],
)
def test_files_that_are_no_pictures(client: TestClient, data: bytes, tmp_path: Path) -> None:
    files = {"input_reference": ("a.png", io.BytesIO(data), "image/png")}
    error = refused(client, 400, data={"prompt": WORDS}, files=files)
    assert "/tmp" not in error["message"] and str(tmp_path) not in error["message"]


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "::1", "fe80::1",
    "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "255.255.255.255", "::",
])  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not public(address)


def test_public_addresses() -> None:
    assert public("1.1.1.1") and public("2606:4700::1111") and public("::ffff:1.1.1.1")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://a:b@1.1.1.1/",
        "gopher://x",
    ],
)
def test_urls_that_are_not_read(url: str) -> None:
    with pytest.raises(UserError):
        fetch(url, most=1000, seconds=2)


def test_a_page_elsewhere_can_do_nothing(client: TestClient) -> None:
    call = {"json": {"prompt": WORDS}}
    refused(client, 403, headers={"origin": "https://evil.example"}, **call)
    refused(client, 403, headers={"sec-fetch-site": "cross-site"}, **call)
    refused(client, 421, headers={"host": "evil.example"}, **call)
    assert client.post("/v1/videos", headers={"origin": "http://testserver"}, **call).status_code == 200
    assert (
        "access-control-allow-origin"
        not in client.get("/health", headers={"origin": "https://a.example"}).headers
    )


@pytest.mark.parametrize(
    "path", ["/v1/videos/x", "/v1/videos/%00", "/v1/videos/%ff", "/v1/nothing", "/studio/..%2fapp.py"]
)
def test_what_is_not_there(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404 and "There is n" in answer.json()["error"]["message"]
    assert "PUT does nothing at" in client.put("/v1/videos").json()["error"]["message"]


def keyed(settings: Settings) -> tuple[TestClient, Service]:
    client = client_of(replace(settings, keys=True))
    return client, client.app.state.service  # pyright: ignore[reportAttributeAccessIssue]


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_keys_keep_projects_apart(settings: Settings) -> None:
    client, here = keyed(settings)
    with client:
        first, one = create_key(here.database, "one", limits={})
        _, two = create_key(here.database, "two", limits={})
        assert client.get("/v1/videos").status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/v1/videos", headers=bearer("sk-wrong")).status_code == 401
        job = client.post("/v1/videos", json={"prompt": WORDS}, headers=bearer(one)).json()["id"]
        for way in ("", "/content", "/events"):
            assert client.get(f"/v1/videos/{job}{way}", headers=bearer(two)).status_code == 404
        assert (
            client.post(f"/v1/videos/{job}/remix", json={"prompt": "x"}, headers=bearer(two)).status_code
            == 404
        )
        assert client.delete(f"/v1/videos/{job}", headers=bearer(two)).status_code == 404
        for way in ("/v1/videos", "/v1/files", "/v1/webhook_endpoints"):
            assert client.get(way, headers=bearer(two)).json()["data"] == []
        sent = {"data": {"name": "Red"}, "files": {"video": ("a.png", png())}}
        person = client.post("/v1/videos/characters", headers=bearer(one), **sent).json()
        for way in (f"videos/characters/{person['id']}", f"files/{person['sorairo']['file']}"):
            assert client.get(f"/v1/{way}", headers=bearer(two)).status_code == 404
            assert client.delete(f"/v1/{way}", headers=bearer(two)).status_code == 404
        taken = {"prompt": WORDS, "characters": [{"id": person["id"]}]}
        assert client.post("/v1/videos", json=taken, headers=bearer(two)).status_code == 404
        answer = client.post("/v1/sorairo/session", headers=bearer(one))
        assert "httponly" in answer.headers["set-cookie"].lower()
        assert client.get(f"/v1/videos/{job}").status_code == 200
        client.cookies.clear()
        revoke_key(here.database, first)
        assert client.get("/v1/videos", headers=bearer(one)).status_code == 401


@pytest.mark.parametrize("limits", [{"creates": 2}, {"jobs": 2}, {"seconds": 9}, {"calls": 2}])
def test_limits_of_a_key(settings: Settings, limits: dict[str, float]) -> None:
    client, here = keyed(settings)
    with client:
        _, key = create_key(here.database, "one", limits=limits)
        answers = [client.post("/v1/videos", json={"prompt": WORDS}, headers=bearer(key)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 120


@pytest.mark.parametrize("limits", [{"creates": 2}, {"jobs": 2}, {"seconds": 9}, {}])
def test_limits_of_a_key_hold_for_the_lines_of_a_batch(settings: Settings, limits: dict[str, float]) -> None:
    """Lines beyond a limit are refused, and the others are queued."""
    client, here = keyed(settings if limits else replace(settings, max_queued=2))
    with client:
        _, key = create_key(here.database, "one", limits=limits)
        data = "\n".join([json.dumps({"url": "/v1/videos", "body": {"prompt": WORDS}})] * 3).encode()
        files, form = {"file": ("b.jsonl", data)}, {"purpose": "batch"}
        file = client.post("/v1/files", headers=bearer(key), files=files, data=form).json()["id"]
        values = {"input_file_id": file, "endpoint": "/v1/videos"}
        batch = client.post("/v1/batches", json=values, headers=bearer(key)).json()
    assert batch["request_counts"] == {"total": 3, "completed": 0, "failed": 1}


def test_a_full_disk_refuses_and_loses_nothing(settings: Settings) -> None:
    with client_of(settings) as client:
        job = client.post("/v1/videos", json={"prompt": WORDS}).json()["id"]
    with client_of(replace(settings, min_free=2**62)) as client:
        answer = client.post("/v1/videos", json={"prompt": WORDS})
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "disk_full"
        assert client.get("/ready").status_code == 503
        assert client.get(f"/v1/videos/{job}").json()["status"] == "queued"


def test_a_revoked_character_ends_its_jobs(client: TestClient) -> None:
    files = {"video": ("a.png", png())}
    consent = {"consent[by]": "Ada", "consent[at]": "2026-11-01"}
    one = client.post("/v1/videos/characters", data={"name": "Red", **consent}, files=files).json()
    assert one["sorairo"]["consent"] == {"by": "Ada", "at": "2026-11-01"}
    job = client.post("/v1/videos", json={"prompt": WORDS, "characters": [{"id": one["id"]}]}).json()["id"]
    assert client.delete(f"/v1/videos/characters/{one['id']}").json()["deleted"]
    video = client.get(f"/v1/videos/{job}").json()
    assert video["status"] == "failed" and video["error"]["code"] == "character_revoked"
    answer = client.post("/v1/videos", json={"prompt": WORDS, "characters": [{"id": one["id"]}]})
    assert answer.status_code == 400


def test_the_document_is_there(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/videos", "/v1/videos/edits", "/v1/videos/extensions", "/v1/videos/{video_id}/remix"} <= set(
        paths
    )
    assert "sorairo_jobs" in client.get("/metrics").text
    assert json.loads(client.get("/health").text)["status"] == "ok"


def test_what_roles_may(settings: Settings) -> None:
    client, here = keyed(settings)
    with client:
        first, creator = create_key(here.database, "one", limits={})
        _, tester = create_key(here.database, "two", role="red-team", limits={})
        _, admin = create_key(here.database, "three", role="admin", limits={})
        job = client.post("/v1/videos", json={"prompt": WORDS}, headers=bearer(creator)).json()["id"]
        for way in ("/metrics", "/v1/sorairo/admin/jobs", "/v1/sorairo/admin/keys"):
            assert client.get(way).status_code == 401
            for secret in (creator, tester):
                assert client.get(way, headers=bearer(secret)).status_code == 403
            assert client.get(way, headers=bearer(admin)).status_code == 200
        (seen,) = client.get("/v1/sorairo/admin/jobs", headers=bearer(admin)).json()["data"]
        assert (seen["id"], seen["project"]) == (job, "one") and "prompt" not in seen
        assert client.get(f"/v1/videos/{job}", headers=bearer(admin)).status_code == 404
        listed = client.get("/v1/sorairo/admin/keys", headers=bearer(admin)).text
        assert not any(secret in listed for secret in (creator, tester, admin))
        url = f"/v1/sorairo/admin/keys/{first}"
        assert client.delete(url, headers=bearer(tester)).status_code == 403
        assert client.delete("/v1/sorairo/admin/keys/key_x", headers=bearer(admin)).status_code == 404
        assert client.delete(url, headers=bearer(admin)).status_code == 200
        assert client.get("/v1/videos", headers=bearer(creator)).status_code == 401
