"""A folder of files becomes shards: each caption on its own clip, whatever is skipped, ended or damaged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from sorairo.data.build.cluster import RayCrew
from sorairo.data.build.examine import Scenes, shots_of
from sorairo.data.build.run import Outcome, build
from sorairo.data.build.work import Processes
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.shards import read_shard
from sorairo.files import only_process
from sorairo.types import UserError
from sorairo.video.moments import Moment
from tests.data.films import ENCODING, TARGET, check, encoders, film, frames_of, write_film

A, B = TypeVar("A"), TypeVar("B")
HUES = list(range(20, 220, 10))


def run(folder: Path, out: Path, **more: Any) -> Outcome:
    options: dict[str, Any] = {"target": TARGET, "encoding": ENCODING, "load": encoders, "per_shard": 8}
    return build(folder, out, **options | {"check": check} | more)


def hues(out: Path) -> dict[str, int]:
    """File -> the hue that its latents show."""
    found = {}
    for path in sorted(out.glob("*.safetensors")):
        shard = read_shard(path)
        found |= dict(zip([r["file"] for r in shard.records], frames_of(shard["latents"]), strict=True))
    return found


def captions(out: Path) -> dict[str, str]:
    return {
        record["file"]: record["captions"]["long"]
        for path in sorted(out.glob("*.safetensors"))
        for record in read_shard(path).records
    }


def dropped(out: Path) -> dict[str, tuple[str, str]]:
    entries = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    return {entry["file"]: (entry["by"], entry["reason"]) for entry in entries}


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty films, each with its hue for a caption."""
    folder = tmp_path_factory.mktemp("films")
    for hue in HUES:
        write_film(folder / f"film{hue:03d}.mp4", film(hue), f"A film of hue {hue}.")
    return folder


@pytest.fixture
def few(films: Path, tmp_path: Path) -> Path:
    """Four of them, in a folder of the test's own."""
    folder = tmp_path / "few"
    folder.mkdir()
    for hue in HUES[:4]:
        for suffix in (".mp4", ".txt"):
            shutil.copy2(films / f"film{hue:03d}{suffix}", folder)
    return folder


def test_captions_sit_on_their_own_clips_whatever_is_skipped(films: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    shutil.copytree(films, folder)
    (folder / "film000.mp4").write_bytes((folder / "film050.mp4").read_bytes()[:900])  # broken, first by name
    (folder / "film000.txt").write_text("A film of hue 50.\n")
    write_film(folder / "film045.mp4", film(45, frames=3), "A film of hue 45.")  # short
    (folder / "film061.mp4").write_text("not a film at all")  # misnamed
    (folder / "film062.avi").write_bytes((folder / "film060.mp4").read_bytes())  # a copy, misnamed
    (folder / "film062.txt").write_text("Words that are wrong.\n")
    (folder / "film110.mp4").rename(folder / "film110.txt.mkv")  # its words have another name now
    outcome = run(folder, out)
    found = hues(out)
    assert len(found) == outcome.clips == 19 and outcome.shards == 3
    for name, hue in found.items():
        assert (
            abs(hue - int(name[4:7])) <= 2
            and captions(out)[name] == f"A film of hue {name[4:7].lstrip('0')}."
        )
    reasons = dropped(out)
    assert {name: by for name, (by, _) in reasons.items()} == {
        "film000.mp4": "broken",
        "film045.mp4": "length",
        "film061.mp4": "broken",
        "film062.avi": "duplicates",
        "film110.txt.mkv": "captions",
    }
    assert "film060.mp4" in reasons["film062.avi"][1] and "3 frames" in reasons["film045.mp4"][1]
    for record in (record for path in out.glob("*.safetensors") for record in read_shard(path).records):
        assert record["clip"].startswith(record["sha256"][:20])
    loader = Loader(out, tmp_path / "lists", LoaderConfig(tokens=16), torch.zeros(1, 4))
    assert loader.batch(0).latents.shape[1:] == (3, 3, 4, 4) or loader.batch(0).latents.shape[2] == 1


def test_shots_of_one_file_have_words_of_their_own(tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    write_film(folder / "a.mp4", np.concatenate([film(30, 11), film(90, 9), film(160, 10)]))
    (folder / "a.json").write_text(json.dumps({"shots": {"1": ["Hue 30."], "3": ["Hue 160.", "Bright."]}}))
    write_film(folder / "b.mp4", np.concatenate([film(60, 9, seed=1), film(200, 9)]), "Two hues.")
    run(folder, out, target=replace(TARGET, lengths=(9,)))
    (path,) = out.glob("*.safetensors")
    shard = read_shard(path)
    assert [(r["shot"], r["captions"]["long"]) for r in shard.records] == [(1, "Hue 30."), (3, "Hue 160.")]
    assert np.allclose(frames_of(shard["latents"]), [30, 160], atol=2)
    assert shard.records[1]["captions"]["short"] == "Bright."
    entries = [json.loads(line) for line in (out / "kept.jsonl").read_text().splitlines()]
    assert [(entry["begin"], entry["end"]) for entry in entries] == [(0.0, 11 / 8), (20 / 8, 30 / 8)]
    assert dropped(out)["a.mp4"][0] == "captions" and "one caption for all" in dropped(out)["b.mp4"][1]


def test_words_for_a_shot_that_is_not_there_are_refused(tmp_path: Path) -> None:
    """Other cuts than those that the numbers were written for: each caption could be another shot's."""
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    write_film(folder / "a.mp4", np.concatenate([film(30, 11), film(160, 10)]))
    (folder / "a.json").write_text(json.dumps({"shots": {"1": ["Hue 30."], "2": ["?"], "3": ["Hue 160."]}}))
    write_film(folder / "b.mp4", film(90), "Hue 90.")
    outcome = run(folder, out)
    assert outcome.clips == 1 and captions(out) == {"b.mp4": "Hue 90."}
    by, reason = dropped(out)["a.mp4"]
    assert by == "captions" and reason == "its captions name shot 3, and it has 2: number them again"


def test_slow_films_are_not_stretched(tmp_path: Path) -> None:
    """Two frames a second would come four times each: the model would learn to stand still and jump."""
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    write_film(folder / "slow.mp4", film(60, 12), "Hue 60.", fps=2.0)
    write_film(folder / "half.mp4", film(120, 12), "Hue 120.", fps=4.0)
    run(folder, out)
    assert captions(out) == {"half.mp4": "Hue 120."}
    assert dropped(out)["slow.mp4"] == (
        "length",
        "it has 2 frames a second, and the model takes 8: at least 4 are needed",
    )
    (out / "filters.toml").write_text("[clips]\nrate = 0.2\n")
    run(folder, out)
    assert set(captions(out)) == {"slow.mp4", "half.mp4"}


def moving(fps: int, every: int, seconds: int = 2) -> list[np.ndarray]:
    """A square that goes 24 pixels in a second; each picture is shown `every` times."""
    ground = np.random.default_rng(fps).integers(40, 216, (96, 128, 3)).astype(np.uint8)
    frames = []
    for number in range(fps * seconds):
        left = round(24 * (number - number % every) / fps)
        frames.append(ground.copy())
        frames[-1][40:60, left : left + 20] = 255
    return frames


@pytest.mark.parametrize("fps, every", [(120, 1), (25, 1), (24, 3), (60, 5), (8, 1)])
def test_what_moves_is_not_frozen_at_any_rate(fps: int, every: int) -> None:
    """At 120 frames a second a picture hardly changes in one, and drawn films show each picture three times."""
    times = enumerate(moving(fps, every))
    moments = (Moment(time=i / fps, length=1 / fps, picture=lambda one=one: one) for i, one in times)
    (shot,) = shots_of(moments, Scenes(ratio=3.0, change=10.0, shortest=0.5))
    assert (
        shot.figures["frozen"] < 0.2 and 5 < shot.figures["motion"] < 60
    )  # truly 15% of the diagonal a second


def test_what_stands_still_and_what_stops_is_told(tmp_path: Path) -> None:
    frames = moving(30, 1)[:20]
    frames += [frames[-1]] * 80
    moments = (
        Moment(time=i / 30, length=1 / 30, picture=lambda one=one: one) for i, one in enumerate(frames)
    )
    (shot,) = shots_of(moments, Scenes(ratio=3.0, change=10.0, shortest=0.5))
    assert shot.figures["frozen"] == pytest.approx(0.8, abs=0.03)


def test_what_flashes_up_between_cuts_is_in_no_clip(tmp_path: Path) -> None:
    """A title of two frames, then one shot with a flash in it: what lasts is cut free of both."""
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    begun = np.concatenate([film(220, 2, seed=1), film(90, 12)])
    write_film(folder / "begun.mp4", begun, "Hue 90.")
    flash = np.concatenate([film(160, 10), film(20, 2, seed=2), film(160, 12)])
    write_film(folder / "flash.mp4", flash)
    (folder / "flash.json").write_text(json.dumps({"shots": {"1": ["Before."], "2": ["After."]}}))
    rapid = np.concatenate([film(hue, 3, seed=hue) for hue in (30, 200, 60, 230)])
    write_film(folder / "rapid.mp4", rapid, "Many hues.")
    run(folder, out, target=replace(TARGET, lengths=(9,)))
    entries = [json.loads(line) for line in (out / "kept.jsonl").read_text().splitlines()]
    assert [(entry["file"], entry["begin"], entry["end"]) for entry in entries] == [
        ("begun.mp4", 0.25, 1.75),
        ("flash.mp4", 0.0, 1.25),
        ("flash.mp4", 1.5, 3.0),
    ]
    shard = read_shard(next(out.glob("*.safetensors")))
    assert [record["captions"]["long"] for record in shard.records] == ["Hue 90.", "Before.", "After."]
    assert np.allclose(frames_of(shard["latents"]), [90, 160, 160], atol=2)
    assert "none of its shots lasts 0.5 s" in dropped(out)["rapid.mp4"][1]


def test_a_second_run_does_only_what_is_new(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run(few, out)
    assert (first.new_files, first.written, first.clips) == (4, 1, 4)
    path = out / "clips-00000.safetensors"
    before = path.stat().st_mtime_ns
    again = run(few, out)
    assert (again.new_files, again.written, again.clips) == (0, 0, 4) and path.stat().st_mtime_ns == before
    write_film(few / "afilm.mp4", film(240), "A film of hue 240.")
    (few / "film020.mp4").rename(few / "renamed.mp4")
    (few / "film020.txt").rename(few / "renamed.txt")
    (few / "film030.mp4").unlink()
    more = run(few, out)
    assert (more.written, more.clips, more.shards) == (1, 5, 2) and path.stat().st_mtime_ns == before
    (few / "film040.txt").write_text("Other words.\n")
    other = run(few, out)
    assert other.written == 1 and captions(out)["film040.mp4"] == "Other words."
    assert abs(hues(out)["film030.mp4"] - 30) <= 2  # its file is gone, its clip stays


def test_another_bound_drops_rows_and_encodes_nothing(few: Path, tmp_path: Path) -> None:
    out, encoded = tmp_path / "out", []

    def counting() -> Any:
        made = encoders()
        return replace(made, latents=lambda frames: (encoded.append(1), made.latents(frames))[1])

    write_film(few / "dark.mp4", film(0) // 3, "A dark film.")
    run(few, out, load=counting)
    assert len(encoded) == 5
    text = (out / "filters.toml").read_text().replace("least = 12.0", "least = 60.0")
    (out / "filters.toml").write_text(text)
    assert run(few, out, load=counting).clips == 4
    assert len(encoded) == 5 and dropped(out)["dark.mp4"][0] == "light"
    assert (out / "sheets" / "light_least.png").is_file()
    (out / "filters.toml").write_text("[light]\nleast = 'much'\n")
    with pytest.raises(UserError, match=r"light\.least is a number"):
        run(few, out)
    (out / "filters.toml").write_text("[lihgt]\nleast = 3\n")
    with pytest.raises(UserError, match="lihgt"):
        run(few, out)


def test_a_damaged_shard_is_named_and_made_again(few: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "out", list[str]()
    run(few, out, per_shard=2)
    path = out / "clips-00001.safetensors"
    good = path.read_bytes()
    path.write_bytes(good[:-3] + bytes([good[-3] ^ 16]) + good[-2:])
    loader = Loader(out, tmp_path / "lists", LoaderConfig(tokens=16), torch.zeros(1, 4))
    loader.batch(0)
    assert loader.skipped == {path.name}
    outcome = run(few, out, per_shard=2, say=said.append)
    assert outcome.damaged == (path.name,) and "clips-00001.safetensors is damaged" in said[0]
    assert path.read_bytes() == good and outcome.written == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.data.films import *
from sorairo.data.build.run import build
def progress(stage, done, total):
    if (stage, done) == (sys.argv[3], int(sys.argv[4])):
        os.kill(os.getpid(), signal.SIGKILL)
build(Path(sys.argv[1]), Path(sys.argv[2]), target=TARGET, encoding=ENCODING, load=encoders, per_shard=2,
      progress=progress)
"""


def killed(folder: Path, out: Path, stage: str, done: int) -> None:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}
    command = [sys.executable, "-c", KILLED, str(folder), str(out), stage, str(done)]
    ended = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == -9, f"{stage} {done}: {ended.stderr}"


def check_killed(films: Path, tmp_path: Path, moments: list[tuple[str, int]]) -> None:
    calm, out = tmp_path / "calm", tmp_path / "out"
    run(films, calm, per_shard=2)
    for stage, done in moments:
        killed(films, out, stage, done)
    with (out / "work" / "ledger.jsonl").open("ab") as file:
        file.write(b'{"kind": "written", "na')  # what a power cut may leave
    assert run(films, out, per_shard=2).clips == run(films, calm, per_shard=2).clips
    for path in calm.glob("*.safetensors"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_a_killed_build_goes_on_to_the_same_shards(few: Path, tmp_path: Path) -> None:
    check_killed(few, tmp_path, [("encode", 2)])


@pytest.mark.slow
def test_a_build_that_is_killed_again_and_again(films: Path, tmp_path: Path) -> None:
    moments = [
        ("hash", 3),
        ("hash", 15),
        ("look", 1),
        ("look", 9),
        ("encode", 2),
        ("encode", 8),
        ("encode", 6),
    ]
    check_killed(films, tmp_path, moments)


@pytest.mark.slow
def test_processes_make_the_same_shards(films: Path, tmp_path: Path) -> None:
    run(films, tmp_path / "one", per_shard=4)
    run(films, tmp_path / "many", per_shard=4, crew=Processes(2), encode_crew=Processes(2))
    for path in (tmp_path / "one").glob("*.safetensors"):
        assert (tmp_path / "many" / path.name).read_bytes() == path.read_bytes()
    for name in ("kept.jsonl", "rejected.jsonl"):
        assert (tmp_path / "many" / name).read_text() == (tmp_path / "one" / name).read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of Ray's own code
def test_ray_makes_the_same_shards(films: Path, tmp_path: Path) -> None:
    (films / "zbroken.mp4").write_bytes(b"no film")
    crew = RayCrew("local")
    try:
        run(films, tmp_path / "ray", per_shard=4, crew=crew, encode_crew=crew)
    finally:
        crew.close()
    run(films, tmp_path / "one", per_shard=4)
    (films / "zbroken.mp4").unlink()
    for path in (tmp_path / "one").glob("*.safetensors"):
        assert (tmp_path / "ray" / path.name).read_bytes() == path.read_bytes()
    assert (tmp_path / "ray" / "rejected.jsonl").read_text() == (
        tmp_path / "one" / "rejected.jsonl"
    ).read_text()
    with pytest.raises(UserError, match="cannot be reached"):
        RayCrew("127.0.0.1:9")


def test_folders_that_cannot_be_used_are_one_sentence(few: Path, tmp_path: Path) -> None:
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    file = tmp_path / "file"
    file.touch()
    for folder, said in (
        (tmp_path / "none", "does not exist"),
        (empty, "holds no clips"),
        (file, "is a file; give the folder"),
    ):
        with pytest.raises(UserError, match=said):
            run(folder, out)
    (empty / "notes.mp4").write_text("no film")
    with pytest.raises(UserError, match="none is a video"):
        run(empty, tmp_path / "other")
    with pytest.raises(UserError, match="another one than"):
        run(few, few)
    with pytest.raises(UserError, match="holds other files"):
        run(few, few.parent / "empty")
    assert not out.exists()
    run(few, out)
    for change, said in (
        ({"codec": "d"}, "another codec"),
        ({"time_factor": 2}, r"time factor \(4, not 2\)"),
    ):
        with pytest.raises(UserError, match=said):
            run(few, out, encoding=replace(ENCODING, **change))
    with only_process(out, ""), pytest.raises(UserError, match="Another process builds"):
        run(few, out)


def test_too_little_disk_is_said_before_the_first_shard(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(
        UserError, match=r"needs about 16\.8 MB for its shards, and its disk has 1\.0 MB free"
    ):
        run(few, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_bad_words_and_files_that_grow_are_verdicts(few: Path, tmp_path: Path) -> None:
    (few / "film020.txt").write_bytes("A film of hue zwölf.".encode("latin-1"))
    (few / "film030.txt").write_text(" \n\n")
    (few / "film040.txt").write_text("word " * 13)

    class Growing:
        """Looks at files one of which is written to meanwhile."""

        def each(self, do: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
            for item in items:
                if getattr(do, "func", None) is not None and "film050" in str(item):
                    with (few / "film050.mp4").open("ab") as file:
                        file.write(b"more")
                yield do(item)

    write_film(few / "good.mp4", film(70), "A film of hue 70.")
    assert run(few, tmp_path / "out", crew=Growing()).clips == 1
    reasons = dropped(tmp_path / "out")
    assert "UTF-8" in reasons["film020.mp4"][1] and "no caption" in reasons["film030.mp4"][1]
    assert "too long" in reasons["film040.mp4"][1] and "written to while" in reasons["film050.mp4"][1]


def test_what_cannot_be_read_is_named_and_stops_nothing(few: Path, tmp_path: Path) -> None:
    (few / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (few / "again.mp4").symlink_to(few)
    (few / "folder.mp4").mkdir()
    os.mkfifo(few / "pipe.mp4")
    assert run(few, tmp_path / "out").clips == 4
    reasons = {name: reason for name, (_, reason) in dropped(tmp_path / "out").items()}
    assert reasons.keys() == {"gone.mp4", "again.mp4", "pipe.mp4"}
    assert "no such file" in reasons["gone.mp4"] and "link to a folder" in reasons["again.mp4"]
    assert "pipe" in reasons["pipe.mp4"]
