import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import torch
from safetensors.torch import save

from sorairo.checkpoints.hub import store
from sorairo.checkpoints.hub.pull import choose, pull
from sorairo.checkpoints.hub.remote import Hub, RemoteFile
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


def blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Server:
    """The hub's two endpoints over FILES; what it does wrong is set from outside."""

    files: dict = field(default_factory=lambda: dict(FILES))
    cut: dict = field(default_factory=dict)  # path -> after how many bytes an answer breaks off, each time
    busy: int = 0  # how many requests are answered 503 first
    status: int | None = None
    ranges: bool = True
    token: str | None = None
    redirect: str | None = None  # files are served from there, as from a content network
    lie: dict = field(default_factory=dict)  # path -> bytes served in place of the listed ones
    requests: list = field(default_factory=list)
    url: str = ""

    def entry(self, path):
        data = self.files[path]
        entry = {"type": "file", "path": path, "size": len(data), "oid": blob(data)}
        if len(data) > 1000:
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry

    def answer(self, handler):
        url = urlsplit(handler.path)
        self.requests.append((url.path, handler.headers.get("Range"), handler.headers.get("Authorization")))
        if self.status:
            return handler.send_error(self.status)
        if self.busy:
            self.busy -= 1
            return handler.send_error(503)
        if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
            return handler.send_error(401)
        if url.path == f"/api/models/{REPO}/tree/main":
            return self.listing(handler, int(parse_qs(url.query).get("cursor", ["0"])[0]))
        prefix = f"/{REPO}/resolve/main/"
        path = unquote(url.path).removeprefix(prefix)
        if not url.path.startswith(prefix) or path not in self.files:
            return handler.send_error(404)
        if self.redirect:
            handler.send_response(302)
            handler.send_header("Location", self.redirect + handler.path)
            handler.send_header("Content-Length", "0")
            return handler.end_headers()
        return self.content(handler, self.lie.get(path, self.files[path]), self.cut.get(path))

    def listing(self, handler, first, page=5):
        entries = [{"type": "directory", "path": "vae", "oid": "0", "size": 0}]
        entries += [self.entry(path) for path in self.files]
        body = json.dumps(entries[first : first + page]).encode()
        handler.send_response(200)
        if first + page < len(entries):
            link = f"{self.url}/api/models/{REPO}/tree/main?recursive=true&cursor={first + page}"
            handler.send_header("Link", f'<{link}>; rel="next"')
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def content(self, handler, data, cut):
        start = int((handler.headers.get("Range") or "bytes=0-")[6:].rstrip("-")) if self.ranges else 0
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
    for name in ("HF_TOKEN", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "models" / "owner" / "tiny-model"


def hub(server, **extra):
    return Hub(endpoint=server.url, repo=REPO, revision="main", wait=0.0, **extra)


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
        assert [r for p, r, _ in server.requests if p.endswith(BIG)] == ["bytes=300000-"]
    assert 0 < pulled.fetched < pulled.manifest.size and here(home)[BIG] == WEIGHTS
    assert store.verify(home) == [] and not list(home.rglob("*.part"))


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
        assert BIG not in here(home) and not list(home.rglob("*.part"))
        server.lie.clear()
        pull(REPO, hub=hub(server))
    assert store.verify(home) == []


def test_a_spoilt_part_is_fetched_again_from_the_beginning(home):
    with serving(cut={BIG: 300_000}) as server:
        with pytest.raises(Stop):
            pull(REPO, hub=hub(server), progress=stop_after(200_000))
        server.cut.clear()
        (part,) = home.rglob("*.part")
        part.write_bytes(b"?" * part.stat().st_size)
        pull(REPO, hub=hub(server))
    assert here(home)[BIG] == WEIGHTS


def test_a_new_revision_replaces_what_changed(home):
    with serving() as server:
        pull(REPO, hub=hub(server))
        server.files["vae/diffusion_pytorch_model.safetensors"] = b"w" * 5000
        del server.files["LICENSE.txt"]
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
    with pytest.raises(UserError, match=r"no \.safetensors weights"):
        choose(listed("config.json", "README.md"), REPO)
    with pytest.raises(UserError, match="outside its folder"):
        choose(listed("a.safetensors", "../../x.json"), REPO)
    only_half = [file.path for file in choose(listed("a/model.fp16.safetensors"), REPO)[0]]
    assert only_half == ["a/model.fp16.safetensors"]


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
