"""A vision model behind a URL writes captions: each for its own clip, through refusals, silence and nonsense."""

from __future__ import annotations

import base64
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from sorairo.data.build.run import build
from sorairo.data.captions.base import Unusable, shares
from sorairo.data.captions.endpoint import Endpoint, parsed
from sorairo.data.captions.sidecar import Sidecars, tidy
from sorairo.data.loader import LoaderConfig
from sorairo.data.shards import read_shard
from sorairo.data.webdataset import export_tars, import_tars
from sorairo.types import UserError
from sorairo.video import read_video
from tests.data.films import ENCODING, TARGET, encoders, film, write_film


class Model(BaseHTTPRequestHandler):
    """Answers with the hue of the first picture. faults: what it does before, one a request."""

    faults: ClassVar[list[str]] = []
    bodies: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Model.bodies.append(body)
        fault = Model.faults.pop(0) if Model.faults else ""
        if fault == "cut":
            self.connection.close()
            return
        if fault == "slow":
            threading.Event().wait(0.5)
        if fault.isdigit():
            self.send_response(int(fault))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "no"}}')
            return
        url = body["messages"][0]["content"][1]["image_url"]["url"]
        image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
        hue = round(float(np.asarray(image)[..., 0].mean()))
        said = json.dumps({"subject": f"Hue {hue}.", "everything": f"A square moves. The hue is {hue}."})
        answer = {
            "choices": [
                {"message": {"content": "nonsense" * (fault == "nonsense") or f"```json\n{said}\n```"}}
            ]
        }
        choice: dict[str, Any] = answer["choices"][0]
        if fault == "refusal":
            choice["message"] = {"content": None, "refusal": "I will not."}
        if fault == "length":
            choice["message"]["content"], choice["finish_reason"] = "A ball that", "length"
        if fault == "filter":
            choice["message"]["content"], choice["finish_reason"] = None, "content_filter"
        data = b"{}" if fault == "empty" else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Model.faults.clear()
    Model.bodies.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def endpoint(url: str, **more: Any) -> Endpoint:
    return Endpoint(url, "seer", **{"pause": 0.01, "tries": 5, "timeout": 0.3} | more)


def test_captions_of_a_url_reach_their_clips_and_are_asked_for_once(url: str, tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    for hue in (40, 90, 200):
        write_film(folder / f"{hue}.mp4", film(hue), "Its own words." if hue == 90 else None)
    Model.faults.extend(["429", "slow", "cut", "503", "empty"])
    for _ in range(2):
        build(
            folder,
            out,
            target=TARGET,
            encoding=ENCODING,
            load=encoders,
            captioner=endpoint(url, tries=9),
        )
    assert len(Model.bodies) == 3 + 5 and Model.bodies[0]["model"] == "seer"
    (path,) = out.glob("*.safetensors")
    for record in read_shard(path).records:
        hue = int(record["captions"]["short"].split()[1].rstrip("."))
        assert abs(hue - int(record["file"].split(".")[0])) <= 3
        assert record["captions"]["long"].startswith("A square moves.")
        own = record["captions"]["paraphrase"] == "Its own words."
        assert own == (record["file"] == "90.mp4")


def test_a_captioner_that_refuses_ends_the_build_and_one_answer_drops_one_clip(
    url: str, tmp_path: Path
) -> None:
    frames = film(40)
    for fault, error in (("401", Unusable), ("422", UserError)):
        Model.faults[:] = [fault]
        with pytest.raises(error, match=fault):
            endpoint(url).caption(frames, 8.0)
    Model.faults[:] = ["503"] * 9
    with pytest.raises(Unusable, match="after 3 tries"):
        endpoint(url, tries=3).caption(frames, 8.0)
    with pytest.raises(UserError, match="no URL"):
        endpoint("localhost:80")
    with pytest.raises(UserError, match="--caption-model"):
        Endpoint(url, "")
    assert parsed("A ball. It rolls.") == ["A ball.", "A ball. It rolls."]
    assert parsed('<think>{"a": 1} or so</think>\n{"subject": "A.", "everything": "B."}') == ["A.", "B."]
    for bad in (
        '{"subject": 3}',
        "",
        '{"subject": "a", "everything": ""}',
        '{"subject": "A dog.", "everything": "A dog ru',  # cut off
        "<think>The frames show",
        "I'm sorry, but I can't help with that.",
        "I\u2019m unable to view videos.",
        "As an AI model, I cannot see pictures.",
    ):
        with pytest.raises(UserError):
            parsed(bad)


def test_a_refusal_and_an_answer_cut_off_drop_one_clip_and_are_not_asked_again(url: str) -> None:
    """Not one of them is a caption, and none ends the build."""
    for fault, said in (("refusal", "refuses"), ("length", "cut off"), ("filter", "content_filter")):
        Model.faults[:], Model.bodies[:] = [fault], []
        with pytest.raises(UserError, match=said) as caught:
            endpoint(url).caption(film(40), 8.0)
        assert not isinstance(caught.value, Unusable) and len(Model.bodies) == 1


def test_the_mix_of_captions() -> None:
    assert shares(0.95) == pytest.approx((0.95, 0.0, 0.025, 0.025))
    assert sum(LoaderConfig(captions=shares(0.65)).captions) == pytest.approx(1)


def test_tables_and_lerobot_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "meta").mkdir()
    (tmp_path / "captions.csv").write_text('file_name,text,shot\nx.mp4,"One, two.",2\nx.mp4,Three.,2\n')
    (tmp_path / "a" / "metadata.jsonl").write_text('{"file_name": "y.mp4", "text": "Four."}\n')
    (tmp_path / "meta" / "episodes.jsonl").write_text('{"episode_index": 12, "tasks": ["Pick it up."]}\n')
    found = Sidecars(tmp_path)
    assert found.of("x.mp4") == {2: ["One, two.", "Three."]} and found.of("a/y.mp4") == {0: ["Four."]}
    assert found.of("videos/chunk-000/front/episode_000012.mp4") == {0: ["Pick it up."]}
    assert found.of("z.mp4") == {}
    (tmp_path / "captions.csv").write_text("name,words\nx,y\n")
    with pytest.raises(UserError, match="row 1 names no file"):
        Sidecars(tmp_path)
    (tmp_path / "captions.csv").write_bytes(b"file,text\nx.mp4,z\xfcrich\n")
    with pytest.raises(UserError, match=f"^{tmp_path}/captions.csv is not UTF-8: save it again in UTF-8.$"):
        Sidecars(tmp_path)
    assert tidy(["A red\0ball \x1b[31m rolls. ", "\x07", 3]) == ["A red ball [31m rolls."]


def test_clips_go_out_as_a_webdataset_and_come_in_again(tmp_path: Path) -> None:
    folder, out, tars, back = (tmp_path / name for name in ("clips", "out", "tars", "back"))
    folder.mkdir()
    for hue in (40, 90):
        write_film(folder / f"{hue}.mp4", film(hue), f"Hue {hue}.\nShort.")
    build(folder, out, target=TARGET, encoding=ENCODING, load=encoders)
    assert export_tars(out, folder, tars, per_tar=1) == (2, 0)
    assert import_tars(sorted(tars.iterdir()), back) == 6 and import_tars(sorted(tars.iterdir()), back) == 0
    for path in back.rglob("*.mp4"):
        hue = round(float(read_video(path).frames[..., 0].mean()))
        assert abs(hue - int(path.with_suffix(".txt").read_text()[4:].rstrip("."))) <= 3
    again = build(back, tmp_path / "again", target=TARGET, encoding=ENCODING, load=encoders)
    assert again.clips == 2
    (record,) = {
        r["captions"]["short"]
        for p in (tmp_path / "again").glob("*.safetensors")
        for r in read_shard(p).records
    }
    assert record == "Short."  # all captions come back, not the exact one alone
    assert export_tars(out, folder, tars) == (2, 0)  # one tar now; the second of before would be read again
    assert [path.name for path in tars.iterdir()] == ["clips-000000.tar"]
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        entry = tarfile.TarInfo("../../evil.txt")
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"hi"))
    assert import_tars([tmp_path / "evil.tar"], back) == 1 and not (tmp_path.parent / "evil.txt").exists()
    (tmp_path / "cut.tar").write_bytes((tars / "clips-000000.tar").read_bytes()[:1500])
    with pytest.raises(UserError, match="cut short"):
        import_tars([tmp_path / "cut.tar"], back)
    assert not (back / "cut").exists()


def tar_of(path: Path, *names: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(name.encode())
            tar.addfile(entry, io.BytesIO(name.encode()))
    return path


def test_tars_of_one_name_and_files_of_one_name(tmp_path: Path) -> None:
    """Of two tars with one name the second would be passed over; of two files with one name one would be lost."""
    one, two = tar_of(tmp_path / "a" / "x.tar", "k.png"), tar_of(tmp_path / "b" / "x.tar", "k.png")
    with pytest.raises(UserError, match=r"Two tars are called x\.tar: import them"):
        import_tars([one, two], tmp_path / "to")
    assert not (tmp_path / "to").exists()
    names = ("a b.png", "a b.txt", "a_b.png", "a_b.txt", "a/b.png", "a/b.txt", "\u96e8" * 80 + ".png")
    assert import_tars([tar_of(tmp_path / "y.tar", *names)], tmp_path / "to") == 7
    found = sorted(path for path in (tmp_path / "to" / "y").iterdir())
    assert sorted(path.read_text() for path in found) == sorted(names)
    for path in found:  # each text still stands beside its own picture
        if path.suffix == ".txt":
            assert path.with_suffix(".png").read_text()[:-4] == path.read_text()[:-4]
    with pytest.raises(UserError, match=r"holds k\.png twice"):
        import_tars([tar_of(tmp_path / "z.tar", "k.png", "k.png")], tmp_path / "to")
