import email.utils
import hashlib
import json
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
import torch
from safetensors.torch import save

from sorairo.checkpoints.hub import remote, store
from sorairo.checkpoints.hub.choose import RemoteFile, choose
from sorairo.checkpoints.hub.pull import pull
from sorairo.checkpoints.hub.remote import Hub
from sorairo.types import UserError

REPO = "owner/tiny-model"
WEIGHTS = save({"weight": torch.arange(200_000, dtype=torch.float32)})
FILES = {
    "model_index.json": b'{"_class_name": "DiTPipeline"}',
    "transformer/config.json": b"{}",
    "transformer/diffusion_pytorch_model.safetensors": WEIGHTS,
    "transformer/diffusion_pytorch_model.fp16.safetensors": b"half",
    "transformer/diffusion_pytorch_model.bin": b"pickle",
    "vae/diffusion_pytorch_model.safetensors": b"v" * 5000,
    "tokenizer/merges.txt": b"a b",
    "tokenizer/spiece.model": b"words",
    "whole.safetensors": b"everything again",
    "README.md": b"# hello",
    "assets/picture.png": b"png",
    "LICENSE.txt": b"free",
}
CHOSEN = {
    "model_index.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/spiece.model",
    "LICENSE.txt",
}


COMMIT = "c" * 40


def blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Server:
    """The hub's three endpoints over FILES, as huggingface_hub asks them; what it does wrong is set from outside."""

    files: dict = field(default_factory=lambda: dict(FILES))
    cut: dict = field(default_factory=dict)  # path -> after how many bytes an answer breaks off, each time
    busy: int = 0  # how many requests are answered first with:
    busy_status: int = 503
    retry_after: str | None = None
    status: int | None = None
    ranges: bool = True
    token: str | None = None
    redirect: str | None = None  # large files are served from there, as from a content network
    lie: dict = field(default_factory=dict)  # path -> bytes served in place of the listed ones
    requests: list = field(default_factory=list)  # of contents and listings: (path, range, token)
    url: str = ""
    commit: str = COMMIT
    revision: str = "main"

    def is_large(self, path):
        return len(self.files[path]) > 1000

    def entry(self, path):
        data = self.files[path]
        entry = {"type": "file", "path": path, "size": len(data), "oid": blob(data)}
        if self.is_large(path):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry

    def answer(self, handler):
        url = urlsplit(handler.path)
        head = handler.command == "HEAD"
        if not head:
            self.requests.append(
                (url.path, handler.headers.get("Range"), handler.headers.get("Authorization"))
            )
        if self.status or self.busy:
            self.busy = max(0, self.busy - 1)
            return self.refuse(handler, self.status or self.busy_status)
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            return self.refuse(handler, 401)
        if url.path == f"/api/models/{REPO}/revision/{quote(self.revision, safe='')}":
            return self.content(handler, json.dumps({"id": REPO, "sha": self.commit}).encode())
        if url.path == f"/api/models/{REPO}/tree/{self.commit}":
            return self.listing(handler, int(parse_qs(url.query).get("cursor", ["0"])[0]))
        at_commit = url.path.replace("/resolve/main/", f"/resolve/{self.commit}/")
        prefix = f"/{REPO}/resolve/{self.commit}/"
        path = unquote(at_commit).removeprefix(prefix)
        if not at_commit.startswith(prefix) or path not in self.files:
            return self.refuse(handler, 404)
        if head:
            return self.metadata(handler, path)
        return self.content(handler, self.lie.get(path, self.files[path]), self.cut.get(path))

    def refuse(self, handler, status):
        handler.send_response(status)
        if self.retry_after is not None:
            handler.send_header("Retry-After", self.retry_after)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def metadata(self, handler, path):
        away = self.redirect if self.is_large(path) else None
        data = self.files[path]
        handler.send_response(302 if away else 200)
        handler.send_header("X-Repo-Commit", self.commit)
        handler.send_header(
            "ETag", f'"{hashlib.sha256(data).hexdigest() if self.is_large(path) else blob(data)}"'
        )
        handler.send_header("X-Linked-Size", str(len(data)))
        if away:
            handler.send_header("Location", away + handler.path)
        handler.send_header("Content-Length", "0" if away else str(len(data)))
        handler.end_headers()

    def listing(self, handler, first, page=5):
        entries = [{"type": "directory", "path": "vae", "oid": "0", "size": 0}]
        entries += [self.entry(path) for path in self.files]
        body = json.dumps(entries[first : first + page]).encode()
        handler.send_response(200)
        if first + page < len(entries):
            link = f"{self.url}/api/models/{REPO}/tree/{self.commit}?recursive=true&cursor={first + page}"
            handler.send_header("Link", f'<{link}>; rel="next"')
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def content(self, handler, data, cut=None):
        start = int((handler.headers.get("Range") or "bytes=0-")[6:].rstrip("-")) if self.ranges else 0
        if start >= len(data) and start:
            return self.refuse(handler, 416)
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        handler.wfile.write(data[start : start + cut] if cut else data[start:])
        handler.close_connection = True


@contextmanager
def serving(**wrong):
    server = Server(**wrong)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.answer(self)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SORAIRO_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "models" / "owner" / "tiny-model"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """huggingface_hub waits a second before it takes up a broken connection, and keeps pieces of 10 MB."""
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)


def hub(server):
    return Hub(endpoint=server.url, repo=REPO, revision="main", wait=0.0)


def here(home):
    return {p.relative_to(home).as_posix(): p.read_bytes() for p in home.rglob("*") if p.is_file()}


BIG = "transformer/diffusion_pytorch_model.safetensors"


def test_what_is_needed_arrives_and_nothing_else(home):
    told = []
    with serving() as server:
        pulled = pull(REPO, endpoint=server.url, progress=lambda *args: told.append(args))
        again = pull(REPO, endpoint=server.url)
    assert pulled.folder == home and pulled.left_out == ("transformer/diffusion_pytorch_model.bin",)
    assert {k: v for k, v in here(home).items() if k != store.MANIFEST} == {k: FILES[k] for k in CHOSEN}
    assert told[-1][1] == told[-1][2] == pulled.manifest.size == sum(len(FILES[k]) for k in CHOSEN)
    assert pulled.fetched == pulled.manifest.size and again.fetched == 0
    store.check_complete(home)
    assert store.find(REPO) == home and store.verify(home) == [] and len(store.pulled()) == 1


def test_a_broken_connection_is_taken_up_where_it_broke(home):
    with serving(cut={BIG: 300_000}) as server:
        pulled = pull(REPO, hub=hub(server))
        asked = [r for p, r, _ in server.requests if p.endswith(BIG)]
    assert asked == [None, "bytes=300000-", "bytes=600000-"]
    assert pulled.fetched == pulled.manifest.size and here(home)[BIG] == WEIGHTS


def parts(home):
    return list(home.parents[2].rglob("*.part"))


class Stop(BaseException):
    pass


def stop_after(count):
    def progress(path, done, total):
        if path == BIG and done > count:
            raise Stop

    return progress


def test_an_interrupted_pull_is_marked_refused_and_finished_later(home):
    with serving(cut={BIG: 300_000}) as server:
        with pytest.raises(Stop):
            pull(REPO, hub=hub(server), progress=stop_after(200_000))
        with pytest.raises(
            UserError, match="half pulled; finish it with: sorairo models pull owner/tiny-model"
        ):
            store.check_complete(home)
        assert "The pull has not come to its end." in store.verify(home)
        server.requests.clear()
        server.cut.clear()
        pulled = pull(REPO, hub=hub(server))
        assert [r for p, r, _ in server.requests if p.endswith(BIG)] == ["bytes=100000-"]
    assert 0 < pulled.fetched < pulled.manifest.size and here(home)[BIG] == WEIGHTS
    assert store.verify(home) == [] and not parts(home)


def test_a_hub_that_cannot_resume_begins_anew(home):
    with serving(cut={BIG: 300_000}) as server:
        with pytest.raises(Stop):
            pull(REPO, hub=hub(server), progress=stop_after(200_000))
        server.cut.clear()
        server.ranges = False
        told = []
        pull(REPO, hub=hub(server), progress=lambda *args: told.append(args))
    assert here(home)[BIG] == WEIGHTS and told[-1][1] == told[-1][2]


def test_a_wrong_hash_is_not_kept(home):
    with serving(lie={BIG: WEIGHTS[:-1] + b"?"}) as server:
        with pytest.raises(UserError, match=r"transformer/.* did not arrive as the hub describes it"):
            pull(REPO, hub=hub(server))
        assert BIG not in here(home) and not parts(home)
        server.lie.clear()
        pull(REPO, hub=hub(server))
    assert store.verify(home) == []


def test_a_spoilt_part_is_fetched_again_from_the_beginning(home):
    with serving(cut={BIG: 300_000}) as server:
        with pytest.raises(Stop):
            pull(REPO, hub=hub(server), progress=stop_after(200_000))
        server.cut.clear()
        (part,) = parts(home)
        part.write_bytes(b"?" * part.stat().st_size)
        pull(REPO, hub=hub(server))
    assert here(home)[BIG] == WEIGHTS


def test_a_new_revision_replaces_what_changed(home):
    with serving() as server:
        pull(REPO, hub=hub(server))
        server.files["vae/diffusion_pytorch_model.safetensors"] = b"w" * 5000
        del server.files["LICENSE.txt"]
        server.commit = "d" * 40
        pulled = pull(REPO, hub=hub(server))
    assert pulled.fetched == 5000 and "LICENSE.txt" not in here(home)
    assert here(home)["vae/diffusion_pytorch_model.safetensors"] == b"w" * 5000


def test_a_busy_hub_is_asked_again(home):
    with serving(busy=3) as server:
        assert pull(REPO, hub=hub(server)).manifest.complete


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "does not exist or is not public"),
        (403, "asks for its terms to be accepted"),
        (404, "There is no owner/tiny-model at revision main"),
        (418, "refused"),
        (503, "cannot be reached"),
    ],
)
def test_refusals_are_one_sentence(home, status, sentence):
    with serving(status=status) as server, pytest.raises(UserError, match=sentence):
        pull(REPO, hub=hub(server))
    assert not home.exists()


def test_no_network_is_one_sentence(home):
    gone = Hub(endpoint="http://127.0.0.1:9", repo=REPO, revision="main", wait=0.0)
    with pytest.raises(UserError, match="cannot be reached"):
        pull(REPO, hub=gone)
    with pytest.raises(UserError, match="must begin with https"):
        pull(REPO, endpoint="file:///etc")
    with serving() as server:
        server.files["model_index.json"] = b""
        server.listing = lambda handler, first: server.content(handler, b"<html>", None)
        with pytest.raises(UserError, match="does not answer as a model hub"):
            pull(REPO, hub=hub(server))


def test_a_token_goes_to_the_hub_and_not_where_it_redirects(home, monkeypatch):
    with serving() as elsewhere, serving(token="secret", redirect=elsewhere.url) as server:
        with pytest.raises(UserError, match="not public"):
            pull(REPO, endpoint=server.url)
        monkeypatch.setenv("HF_TOKEN", "secret")
        assert pull(REPO, endpoint=server.url).manifest.complete
        assert all(token is None for _, _, token in elsewhere.requests) and elsewhere.requests


def listed(*names):
    return [RemoteFile(path=name, size=1, hash="blob:0") for name in names]


def test_weights_that_are_pickles_only_are_refused():
    with pytest.raises(UserError, match=r"has vae/model\.bin only as a pickle"):
        choose(listed("model_index.json", "transformer/a.safetensors", "vae/model.bin"), REPO)
    with pytest.raises(UserError, match=r"\.ckpt only as a pickle"):
        choose(listed("model.ckpt"), REPO)
    with pytest.raises(UserError, match=r"no \.safetensors or \.gguf weights"):
        choose(listed("config.json", "README.md"), REPO)
    with pytest.raises(UserError, match="outside its folder"):
        choose(listed("a.safetensors", "../../x.json"), REPO)
    for names, wanted in (
        (["a/model.fp16.safetensors"], ["a/model.fp16.safetensors"]),
        (["a/model.fp16.safetensors", "a/model.bf16.safetensors"], ["a/model.bf16.safetensors"]),
    ):
        assert [file.path for file in choose(listed(*names), REPO).files] == wanted


def test_wans_own_repository_is_refused_before_a_byte_with_the_one_to_take():
    names = ["config.json", "diffusion_pytorch_model.safetensors", "Wan2.1_VAE.pth"]
    names += ["models_t5_umt5-xxl-enc-bf16.pth", "google/umt5-xxl/tokenizer.json", "README.md"]
    with pytest.raises(
        UserError, match=r"Wan2\.1_VAE\.pth and 1 more only as a pickle.*Wan2\.1-T2V-1\.3B-Diffusers"
    ):
        choose(listed(*names), "Wan-AI/Wan2.1-T2V-1.3B")
    converted = [name.replace(".pth", ".safetensors") for name in names]
    assert len(choose(listed(*converted), "somebody/wan").files) == 5


COLLECTION = [
    "split_files/diffusion_models/wan_low_fp8_scaled.safetensors",
    "split_files/diffusion_models/wan_high_fp8_scaled.safetensors",
    "split_files/vae/wan_2.1_vae.safetensors",
    "gguf/wan-Q4_K_M.gguf",
    "sharded/model-00001-of-00002.safetensors",
    "sharded/model-00002-of-00002.safetensors",
    "sharded/model.safetensors.index.json",
    "sharded/config.json",
    "old/wan.pth",
]


def test_of_a_collection_the_named_file_is_pulled_and_nothing_else():
    files = listed(*COLLECTION)
    with pytest.raises(UserError, match=r"is a collection .*sorairo models pull owner/tiny-model/PATH"):
        choose(files, REPO)
    chosen = {
        path: [file.path for file in choose(files, REPO, path).files]
        for path in (COLLECTION[2], "gguf/wan-Q4_K_M.gguf", COLLECTION[4], "split_files/vae")
    }
    assert chosen[COLLECTION[2]] == chosen["split_files/vae"] == [COLLECTION[2]]
    assert chosen["gguf/wan-Q4_K_M.gguf"] == ["gguf/wan-Q4_K_M.gguf"]
    assert chosen[COLLECTION[4]] == COLLECTION[4:7]
    for path, sentence in (
        ("split_files/diffusion_models", "is a collection"),
        ("old/wan.pth", "is a pickle"),
        ("nothing.safetensors", "has no nothing.safetensors; its weights are split_files"),
    ):
        with pytest.raises(UserError, match=sentence):
            choose(files, REPO, path)


def test_a_file_of_a_repository_is_pulled_beside_another(home):
    path = "transformer/diffusion_pytorch_model.fp16.safetensors"
    with serving() as server:
        one = pull(f"{REPO}/{path}", hub=hub(server))
        two = pull(f"{REPO}/{BIG}", hub=hub(server))
    assert one.path == home / path and one.path.read_bytes() == b"half" and one.fetched == 4
    assert two.path.read_bytes() == WEIGHTS and {file.path for file in two.manifest.files} == {path, BIG}
    assert store.find(f"{REPO}/{path}") == one.path and store.verify(home) == []
    with pytest.raises(UserError, match=r"models pull owner/tiny-model/a/b\.gguf"):
        store.find(f"{REPO}/a/b.gguf")


def test_what_another_program_fetched_is_found_and_ours_by_others(home, monkeypatch):
    from huggingface_hub import hf_hub_download

    cache = {"cache_dir": home.parents[2] / "cache"}
    with serving() as server:
        hf_hub_download(REPO, BIG, endpoint=server.url, **cache)
        hf_hub_download(REPO, "model_index.json", endpoint=server.url, **cache)
        snapshot = store.find(REPO)  # without a pull
        assert (snapshot / BIG).read_bytes() == WEIGHTS and store.repo_of(snapshot) == REPO
        assert store.name_of(snapshot) == "tiny-model"
        server.requests.clear()
        pulled = pull(REPO, hub=hub(server))
    rest = CHOSEN - {BIG, "model_index.json"}
    assert pulled.fetched == sum(len(FILES[name]) for name in rest)
    assert not any(path.endswith(BIG) for path, _, _ in server.requests) and here(home)[BIG] == WEIGHTS
    for name in CHOSEN:
        with open(hf_hub_download(REPO, name, local_files_only=True, **cache), "rb") as file:
            assert file.read() == FILES[name]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert pull(REPO).fetched == 0 and store.verify(home) == []
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        pull("owner/other")
    freed = store.remove(REPO)  # what was there before stays
    assert freed < 10_000 and (snapshot / BIG).read_bytes() == WEIGHTS
    assert not (snapshot / "LICENSE.txt").exists()


def test_a_pointer_in_place_of_weights_ends_at_once(home):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 800080\n"
    with serving(lie={BIG: pointer}) as server:
        with pytest.raises(UserError, match="serves a pointer of Git LFS in place of transformer/"):
            pull(REPO, hub=hub(server))
        assert len([path for path, _, _ in server.requests if path.endswith(BIG)]) == 1
    assert not parts(home)
    with (
        serving(lie={BIG: WEIGHTS[:1000]}) as server,
        pytest.raises(UserError, match="ends before its 800080 bytes"),
    ):
        pull(REPO, hub=hub(server))


def test_a_hub_is_given_the_time_that_it_asks_for(home, monkeypatch):
    waited = []
    monkeypatch.setattr(remote.time, "sleep", waited.append)
    with serving(busy=2, busy_status=429, retry_after="7") as server:
        assert pull(REPO, hub=hub(server)).manifest.complete
    assert waited == [7.0, 7.0]
    with (
        serving(status=429, retry_after="9000") as server,
        pytest.raises(UserError, match="wait for 9000 seconds"),
    ):
        pull(REPO, hub=hub(server))
    later = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=100))
    assert 90 < remote._wished({"Retry-After": later}) <= 100
    assert remote._wished({}) is None and remote._wished({"Retry-After": "soon"}) is None


def test_the_store_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.delenv("SORAIRO_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert store.folder_of("dit-xl-2-256") == tmp_path / "data/sorairo/models/facebook/DiT-XL-2-256"
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    assert store.models_home() == tmp_path / "home/.local/share/sorairo/models"


def test_what_is_not_here_says_how_to_get_it(home, tmp_path):
    with pytest.raises(UserError, match="sorairo models pull facebook/DiT-XL-2-256"):
        store.find("DiT-XL-2-256")
    with pytest.raises(UserError, match="sorairo models pull a/b"):
        store.find("a/b")
    assert store.find("nothing") is None and store.find("./a") is None and store.find("a/b/c") is None
    for name in ("..", "a/..", "a/b/c", "/a", ""):
        with pytest.raises(UserError, match="is no repository"):
            store.folder_of(name)


def test_verify_names_what_is_wrong_and_remove_removes(home):
    with serving() as server:
        pull(REPO, hub=hub(server))
    (home / "tokenizer/merges.txt").write_bytes(b"a c")
    (home / "LICENSE.txt").unlink()
    (home / "transformer/config.json").write_bytes(b"{ }")
    assert store.verify(home) == [
        "transformer/config.json has 3 bytes in place of 2.",
        "tokenizer/merges.txt is not what was pulled (its hash differs).",
        "LICENSE.txt is missing.",
    ]
    assert store.remove(REPO) > len(WEIGHTS)
    assert not home.exists() and store.pulled() == []
    with pytest.raises(UserError, match="has not been pulled"):
        store.remove(REPO)
    home.mkdir(parents=True)
    (home / "mine.txt").write_text("mine")
    with serving() as server, pytest.raises(UserError, match="was not pulled; move it away"):
        pull(REPO, hub=hub(server))


def test_a_pull_request_is_a_revision_and_the_hub_may_be_named_by_the_environment(home, monkeypatch):
    with serving(revision="refs/pr/1") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        with pytest.raises(UserError, match="no owner/tiny-model at revision main"):
            pull(REPO)
        assert pull(REPO, revision="refs/pr/1").manifest.complete
    assert store.verify(home) == []


def test_a_full_disk_is_said_before_the_first_byte(home, monkeypatch):
    full = shutil._ntuple_diskusage(10**9, 10**9, 10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with serving() as server:
        with pytest.raises(
            UserError, match=r"GB are to come and .* has 0\.0 GB free; make room, or set HF_HOME"
        ):
            pull(REPO, hub=hub(server))
        assert not any("/resolve/" in path for path, _, _ in server.requests)
