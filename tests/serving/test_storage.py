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
