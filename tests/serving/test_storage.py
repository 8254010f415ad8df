"""The store on fsspec's own file systems."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sorairo.serving.settings import Settings
from sorairo.serving.storage import Store
from sorairo.serving.worker import Worker
from sorairo.types import UserError
from tests.serving.conftest import client_of


@pytest.mark.parametrize("kind", ["memory", "file", "folder"])
def test_files_of_a_store(kind: str, tmp_path: Path) -> None:
    url = {
        "memory": f"memory://{tmp_path.name}",
        "file": f"file://{tmp_path}/far",
        "folder": str(tmp_path / "far"),
    }
    store, source = Store(url[kind], tmp_path / "cache"), tmp_path / "source"
    source.write_bytes(b"first")
    assert store.local("a/b/c.mp4") is None
    store.put(source, "a/b/c.mp4")
    found = store.local("a/b/c.mp4")
    assert found and found.read_bytes() == b"first"
    # another machine, whose cache is empty, over the same store
    other = Store(url[kind], tmp_path / "other").local("a/b/c.mp4")
    assert other and other.read_bytes() == b"first"
    source.write_bytes(b"second")
    store.put(source, "a/b/preview.webp")
    store.put(source, "a/b/preview.webp")  # previews are written over
    kept = store.local("a/b/preview.webp")
    assert kept and kept.read_bytes() == b"second"
    store.remove("a/b")
    store.remove("a/b")
    assert store.local("a/b/c.mp4") is None and not list(tmp_path.rglob("*.part"))


def test_a_store_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be used"):
        Store("nonsense://x", tmp_path)


def test_a_worker_over_a_store_by_url(settings: Settings, tiny_folder: Path, tmp_path: Path) -> None:
    far = replace(settings, store=f"file://{tmp_path}/far", model=str(tiny_folder))
    elsewhere = replace(far, folder=tmp_path / "machine", database_url=far.url)
    with client_of(far) as client:
        job = client.post("/v1/videos", json={"prompt": "a red ball"}).json()["id"]
        worker = Worker(elsewhere)
        assert worker.once()
        worker.database.close()
        assert client.get(f"/v1/videos/{job}").json()["status"] == "completed"
        assert client.get(f"/v1/videos/{job}/content").content[4:8] == b"ftyp"
        assert client.delete(f"/v1/videos/{job}").status_code == 200
    assert not [path for path in (tmp_path / "far" / "jobs").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_store_in_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that speaks S3, moto's: pip install 'moto[server]' s3fs."""
    moto = pytest.importorskip("moto.server", reason="pip install 'moto[server]' s3fs")
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("s3fs", reason="pip install s3fs")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bucket")
        store, source = Store("s3://bucket/videos", tmp_path / "cache"), tmp_path / "source"
        source.write_bytes(b"first" * 1000)
        assert store.local("a/b/c.mp4") is None
        store.put(source, "a/b/c.mp4")
        other = Store("s3://bucket/videos", tmp_path / "other").local("a/b/c.mp4")
        assert other and other.read_bytes() == b"first" * 1000
        for text in (b"one", b"two"):  # previews are written over
            source.write_bytes(text)
            store.put(source, "a/b/preview.webp")
        kept = store.local("a/b/preview.webp")
        assert kept and kept.read_bytes() == b"two"
        store.remove("a/b")
        store.remove("a/b")
        assert store.local("a/b/c.mp4") is None
        assert not [one for one in fsspec.filesystem("s3").find("bucket") if one.endswith(".part")]
    finally:
        server.stop()
