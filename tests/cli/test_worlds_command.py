"""`sorairo worlds`: lists, shards, MP4 with JSON, resuming, and what it says to bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.data.shards import read_shard
from sorairo.types import UserError
from sorairo.video import read_video

SMALL = ["worlds", "render", "--size", "32x32", "--circle", "0", "--json"]


def run(*words: str) -> dict:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


def test_list() -> None:
    circles = run("worlds", "list", "--json")["worlds"][0]["circles"]
    assert len(circles) == 4 and "drop" in circles[0]["events"]
    text = CliRunner().invoke(app, ["worlds", "list"]).stdout
    assert "circle 3" in text and "orbit" in text


def test_shards_are_made_once(tmp_path: Path) -> None:
    words = (*SMALL, "--seeds", "0:3", "--per-shard", "2", "--out", str(tmp_path))
    first = run(*words)
    assert first["clips"] == 3 and len(first["files"]) == 2
    shard = read_shard(Path(first["files"][0]))
    assert shard["frames"].shape == (2, 17, 32, 32, 3) and shard.info["fps"] == 8.0
    record = shard.records[1]
    assert record["seed"] == 1 and record["captions"]["long"].endswith("The camera is still.")
    assert len(record["state"]["position"]) == 17
    Path(first["files"][1]).unlink()
    again = run(*words)
    assert again["clips"] == 1 and again["kept"] == 1


def test_mp4_with_json(tmp_path: Path) -> None:
    made = run(*SMALL, "--seeds", "5", "--format", "mp4", "--out", str(tmp_path))
    assert read_video(Path(made["files"][0])).frames.shape == (17, 32, 32, 3)
    record = json.loads((tmp_path / "studio-000000005.json").read_text())
    assert record["state"]["event"] in ("drop", "roll", "slide")


def test_only_some_events(tmp_path: Path) -> None:
    words = (*SMALL, "--seeds", "0:2", "--events", "roll", "--out", str(tmp_path))
    records = read_shard(Path(run(*words)["files"][0])).records
    assert [record["state"]["event"] for record in records] == ["roll", "roll"]
    with pytest.raises(UserError, match="events"):
        run(*words[:-4], "--out", str(tmp_path))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "9:3"], "--seeds"),
        (["--size", "big"], "--size"),
        (["--format", "gif"], "--format"),
        (["--world", "garden"], "studio"),
        (["--circle", "7"], "circle"),
        (["--events", "roll,swing"], "'swing' is none of them"),
        (["--per-shard", "0"], "--per-shard"),
    ],
)
def test_bad_input(tmp_path: Path, words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        CliRunner().invoke(
            app,
            [*SMALL, "--out", str(tmp_path / "clips"), *words],
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_bad_input_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        run(*SMALL, "--circle", "7", "--out", str(tmp_path / "clips"))
    assert not (tmp_path / "clips").exists()


def test_a_folder_keeps_to_its_settings(tmp_path: Path) -> None:
    run(*SMALL, "--seeds", "0", "--out", str(tmp_path))
    with pytest.raises(UserError, match="frames = 17"):
        CliRunner().invoke(
            app,
            [*SMALL, "--seeds", "0", "--frames", "33", "--out", str(tmp_path)],
            catch_exceptions=False,
            standalone_mode=False,
        )
