"""What is signed is read back; what was changed is found, byte by byte; inputs keep their own credentials."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import sorairo
from sorairo.safety import identity as identities
from sorairo.safety.credentials import Claims, context, ingredient, library, sidecar, sign
from sorairo.safety.identity import identity, mark_key, new_certificate, private
from sorairo.safety.verify import ABSENT, CHANGED, TRUSTED, UNKNOWN, verify
from sorairo.types import UserError, Video
from sorairo.video import read_metadata, write_video
from tests.cli.test_generate_command import Done
from tests.cli.test_generate_command import sorairo as command  # the fixture  # noqa: F401

CLAIMS = Claims(verb="generate", model="tiny", weights="ab" * 32, facts={"prompt": "a red ball"})


def clip_file(path: Path, sound: bool = False) -> Path:
    """Nine frames of coloured squares that move, in any format that is signed."""
    squares = (
        np.random.default_rng(0).integers(0, 255, (4, 4, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
    )
    frames = np.stack([np.roll(squares, 4 * index, 1) for index in range(9)])
    if path.suffix == ".jpg":
        Image.fromarray(frames[0]).save(path)
    elif path.suffix == ".webm":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libvpx-vp9", rate=8)
            stream.width = stream.height = 64  # pyright: ignore
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))  # pyright: ignore
            container.mux(stream.encode())  # pyright: ignore
    else:
        track = np.sin(np.arange(54_000) / 20).astype(np.float32)[None].repeat(2, 0) / 3 if sound else None
        write_video(Video(frames=frames, fps=8.0), path, {"prompt": "a red ball"}, track=track)
    return path


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = clip_file(tmp_path / "signed.mp4", sound=True)
    sign(path, CLAIMS)
    return path


@pytest.mark.parametrize("kind", ["mp4", "png", "webp", "gif", "jpg", "webm"])
def test_every_format(kind: str, tmp_path: Path) -> None:
    path = clip_file(tmp_path / f"a.{kind}")
    before = path.read_bytes()
    assert verify(path).state == ABSENT
    sign(path, CLAIMS)
    report = verify(path)
    assert (report.state, report.pictures, report.sound) == (TRUSTED, "as signed", "none"), report.reasons
    assert report.made == {
        "verb": "generate",
        "model": "tiny",
        "model_sha256": "ab" * 32,
        "prompt": "a red ball",
    }
    assert report.source == "trainedAlgorithmicMedia" and report.generator.startswith("Sorairo ")
    if kind == "webm":
        assert report.beside and path.read_bytes() == before and sidecar(path).is_file()
    else:
        assert 0 < path.stat().st_size - len(before) < 6000  # no thumbnails
        assert not list(tmp_path.glob("*.c2pa"))
    if kind not in ("jpg", "webm"):
        assert read_metadata(path) == {"prompt": "a red ball"}
    changed = bytearray(path.read_bytes())
    changed[-30] ^= 0x10
    path.write_bytes(changed)
    assert verify(path).state == CHANGED


def test_a_sidecar_goes_with_its_webm(tmp_path: Path) -> None:
    """By its name, and whole; without it nothing is claimed."""
    path = clip_file(tmp_path / "a.webm")
    sign(path, CLAIMS)
    moved = tmp_path / "b.webm"
    path.rename(moved)
    assert verify(moved).state == ABSENT
    sidecar(path).rename(sidecar(moved))
    report = verify(moved)
    assert report.state == TRUSTED and report.beside and report.made == verify_made()
    claims = bytearray(sidecar(moved).read_bytes())
    claims[claims.index(b"a red ball")] ^= 0x01
    sidecar(moved).write_bytes(claims)
    assert verify(moved).state == CHANGED
    sidecar(moved).write_bytes(b"")
    assert verify(moved).state in (ABSENT, CHANGED)


def boxes(data: bytes) -> Iterator[tuple[str, range]]:
    """Name and place of the boxes of an MP4 file."""
    start = 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        yield data[start + 4 : start + 8].decode(), range(start, start + size)
        start += size


def noticed(data: bytes, place: int, settings: Any) -> bool:
    """Whether a flipped byte is found, by the same library and settings as `verify`, in memory."""
    flipped = bytearray(data)
    flipped[place] ^= 0xFF
    c2pa = library()
    try:
        with c2pa.Reader("video/mp4", io.BytesIO(bytes(flipped)), context=settings) as reader:
            return reader.get_validation_state() == "Invalid"
    except c2pa.C2paError:
        return True


@pytest.mark.parametrize("step", [211, pytest.param(1, marks=pytest.mark.slow)])
def test_every_byte_of_mdat_and_moov_is_covered(step: int, signed: Path) -> None:
    """And of `free` between them. Not promised: ftyp, and the padding of the manifest, where nothing is shown from."""
    data, settings = signed.read_bytes(), context()
    found = dict(boxes(data))
    assert {"ftyp", "uuid", "moov", "mdat"} <= set(found)
    for name in ("moov", "mdat"):
        missed = [place for place in found[name][::step] if not noticed(data, place, settings)]
        assert not missed, (name, missed[:10])
    assert not noticed(data, found["ftyp"][8], settings)  # the brand: said in docs/provenance.md


def test_says_what_was_changed(signed: Path, tmp_path: Path) -> None:
    with av.open(str(signed)) as container:
        where = {packet.stream.type: packet.pos for packet in container.demux() if packet.size}
    data = signed.read_bytes()
    comment = data.index(b'"prompt"') + 2
    for place, pictures, sound in (
        (where["video"] + 9, "changed", "as signed"),
        (where["audio"] + 9, "as signed", "changed"),
        (comment, "as signed", "as signed"),
    ):
        flipped = bytearray(data)
        flipped[place] ^= 1
        (tmp_path / "flipped.mp4").write_bytes(flipped)
        report = verify(tmp_path / "flipped.mp4")
        assert (report.state, report.pictures, report.sound) == (CHANGED, pictures, sound)
    (tmp_path / "cut.mp4").write_bytes(data[:-100])
    assert verify(tmp_path / "cut.mp4").state == CHANGED


def test_a_chain_reads_back(signed: Path, tmp_path: Path) -> None:
    """Each part with its own credentials, also one that was changed before, one that is broken and one without."""
    changed, broken = tmp_path / "changed.mp4", tmp_path / "broken.mp4"
    data = signed.read_bytes()
    for path, place in ((changed, len(data) - 40), (broken, data.index(b"jumb"))):
        flipped = bytearray(data)
        flipped[place] ^= 1
        path.write_bytes(flipped)
    longer = clip_file(tmp_path / "longer.gif")
    sign(longer, Claims(verb="extend", model="tiny", ingredients=(ingredient(signed, "extend", 0),)))
    parts = (longer, changed, broken, clip_file(tmp_path / "plain.webm"))
    kept = tuple(ingredient(path, "connect", number) for number, path in enumerate(parts))
    for path in (signed, *parts):
        path.unlink()  # nothing is read any more
    last = clip_file(tmp_path / "last.webp")
    sign(last, Claims(verb="connect", model="tiny", ingredients=kept))
    report = verify(last)
    assert report.state == TRUSTED and report.source == "compositeWithTrainedAlgorithmicMedia"
    assert [(one.title, one.state) for one in report.inputs] == [
        ("longer.gif", TRUSTED),
        ("changed.mp4", CHANGED),
        ("broken.mp4", ABSENT),
        ("plain.webm", ABSENT),
    ]
    (first,) = report.inputs[0].inputs
    assert first.title == "signed.mp4" and first.relationship == "parentOf" and first.made == verify_made()
    assert "could not be read" in report.inputs[2].note


def verify_made() -> dict[str, str]:
    return {"verb": "generate", "model": "tiny", "model_sha256": "ab" * 32, "prompt": "a red ball"}


def test_keys_are_made_once_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORAIRO_PROVENANCE", str(tmp_path / "new"))
    assert (
        identity(create=False) is None and mark_key(create=False) is None and not (tmp_path / "new").exists()
    )
    program = "from sorairo.safety.identity import identity; print(hash(identity().chain))"
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ | {"PYTHONHASHSEED": "0"}
        )
        for _ in range(3)
    ]
    assert len({one.communicate()[0] for one in racing}) == 1
    assert mark_key() == mark_key() != b""
    folder = tmp_path / "new"
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o700
    assert sorted(os.listdir(folder)) == ["keys", "mark.key"]
    for name in ("keys/key.pem", "mark.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_the_operators_certificate(signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another signer is unknown until it is trusted; a key that is not its certificate's is refused."""
    keys = tmp_path / "other" / "keys"
    keys.mkdir(parents=True)
    monkeypatch.setenv("SORAIRO_PROVENANCE", str(tmp_path / "other"))
    key, chain = new_certificate()
    private(keys / "key.pem", key)
    (keys / "chain.pem").write_bytes(chain)
    assert verify(signed).state == UNKNOWN
    theirs = clip_file(tmp_path / "theirs.png")
    sign(theirs, CLAIMS)
    assert verify(theirs).state == TRUSTED
    monkeypatch.undo()
    monkeypatch.setenv("SORAIRO_PROVENANCE", str(tmp_path / "empty"))
    assert verify(theirs).state == UNKNOWN
    assert verify(theirs, (keys / "chain.pem",)).state == TRUSTED
    with pytest.raises(UserError, match="in PEM"):
        verify(theirs, (theirs,))
    monkeypatch.setenv("SORAIRO_PROVENANCE", str(tmp_path / "other"))
    (keys / "chain.pem").write_bytes(new_certificate()[1])
    with pytest.raises(UserError, match="is not the key"):
        sign(theirs, CLAIMS)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SORAIRO_PROVENANCE", str(tmp_path / "file" / "x"))
    with pytest.raises(UserError, match="SORAIRO_PROVENANCE"):
        identity()


def test_from_words_to_verify(
    command: object,  # noqa: F811
    tmp_path: Path,
    tiny_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """generate, then extend, then remix: all the claims, the exit codes, JSON."""

    def ran(*words: str) -> Done:
        return command(*words)  # pyright: ignore

    quick = ("--model", str(tiny_folder), "--steps", "1", "--seed", "1")
    assert ran("generate", "a red ball", "--frames", "5", *quick, "-o", "a.mp4", "--sheet", "s.jpg").code == 0
    assert ran("extend", "a.mp4", "--frames", "4", *quick, "-o", "b.webp").code == 0
    assert ran("remix", "b.webp", "now it is blue", *quick, "-o", "c.gif").code == 0
    done = ran("verify", "c.gif", "--json")
    report = json.loads(done.out)
    assert done.code == 0 and report["state"] == TRUSTED
    assert (report["made"]["verb"], report["made"]["model"]) == ("remix", "tiny")
    assert len(report["made"]["model_sha256"]) == 64 and report["made"]["seed"] == 1
    middle = report["inputs"][0]
    assert (middle["title"], middle["made"]["verb"], middle["state"]) == ("b.webp", "extend", TRUSTED)
    assert middle["inputs"][0]["made"]["verb"] == "generate"
    assert middle["inputs"][0]["made"]["model_sha256"] == report["made"]["model_sha256"]
    shown = ran("verify", "c.gif").out
    assert "b.webp" in shown and "    a.mp4" in shown and "unchanged" in shown
    assert ran("verify", "s.jpg").code == 0
    assert read_metadata("a.mp4")["credentials"] == "C2PA"
    data = bytearray(Path("a.mp4").read_bytes())
    data[-20] ^= 1
    Path("changed.mp4").write_bytes(data)
    assert ran("verify", "changed.mp4").code == 1
    assert ran("verify", str(clip_file(tmp_path / "plain.mp4"))).code == 4
    assert ran("verify", "nothing.mp4").code == 2
    monkeypatch.setenv("SORAIRO_PROVENANCE", str(tmp_path / "nobody"))
    assert ran("verify", "c.gif").code == 3


def test_without_the_packages(
    tmp_path: Path,
    tiny_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: object,  # noqa: F811
) -> None:
    """Files leave unsigned, and both the file and the command say so."""
    monkeypatch.setattr(identities, "find_spec", lambda name: None)
    done = command(  # pyright: ignore
        "generate", "a red ball", "--frames", "1", "--model", str(tiny_folder), "--steps", "1", "-o", "a.png"
    )
    assert done.code == 0 and 'pip install "sorairo[safety]"' in done.err
    assert read_metadata("a.png")["credentials"] == "none" and verify(Path("a.png")).state == ABSENT


def test_an_interrupted_signature_leaves_the_old_file(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = sorairo.load(tiny_folder, "fp32").generate("a red ball", frames=1, steps=1)
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def interrupted(*values: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sorairo.safety.credentials.sign", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clip.save(path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.png"]


def test_a_list_of_trust_that_is_none_says_nothing_of_the_file(signed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nhello\n-----END CERTIFICATE-----\n")
    with pytest.raises(UserError, match="certificates in PEM"):
        verify(signed, (broken,))


def test_a_mark_key_that_was_cut_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patterns of an empty key are anybody's."""
    monkeypatch.setenv("SORAIRO_PROVENANCE", str(tmp_path))
    (tmp_path / "mark.key").write_bytes(b"")
    with pytest.raises(UserError, match="holds 0 bytes"):
        mark_key()
