"""`sorairo generate` as a person meets it: files, JSON, seeds, and one sentence for every mistake."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sorairo.cli import main
from sorairo.video import read_metadata, read_video

PROMPT = "a red ball drops onto the floor"
SRC = Path(__file__).parent.parent.parent / "src"


@dataclass(frozen=True, kw_only=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def sorairo(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """The command in this process, in an empty folder; MODEL stands for the tiny model."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        given = [str(tiny_folder) if argument == "MODEL" else argument for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["sorairo", *given])
        with pytest.raises(SystemExit) as left:
            main.run()
        captured = capsys.readouterr()
        return Done(code=left.value.code or 0, out=captured.out, err=captured.err)  # pyright: ignore

    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_sentence_becomes_a_file(sorairo: Callable[..., Done], tmp_path: Path) -> None:
    done = sorairo("generate", PROMPT, "--model", "MODEL", "--seed", "3")
    assert done.code == 0 and names(tmp_path) == ["out.mp4"]
    assert "out.mp4" in done.out and "seed 3" in done.out
    assert [line.split()[0] for line in done.err.splitlines()] == [
        "load",
        "text",
        "denoise",
        "decode",
        "encode",
    ]
    video = read_video("out.mp4")
    assert video.frames.shape == (5, 64, 64, 3) and video.fps == pytest.approx(8.0)
    metadata = read_metadata("out.mp4")
    assert (metadata["prompt"], metadata["seed"], metadata["model"]) == (PROMPT, 3, "tiny")


def test_json_is_one_object(sorairo: Callable[..., Done]) -> None:
    done = sorairo(
        "generate", PROMPT, "--model", "MODEL", "--seed", "3", "--size", "96x64", "--json", "-n", "2"
    )
    values = json.loads(done.out)
    assert values["path"] == "out-1.mp4" and values["prompt"] == PROMPT and values["seed"] == 3
    assert (values["size"], values["frames"], values["fps"], values["model"]) == ([96, 64], 5, 8.0, "tiny")
    assert values["videos"] == [{"path": "out-1.mp4", "seed": 3}, {"path": "out-2.mp4", "seed": 4}]
    assert list(values["timings"]) == ["load", "text", "denoise", "decode", "encode"]
    assert all(seconds >= 0 for seconds in values["timings"].values())


def test_the_same_seed_gives_the_same_frames_whatever_n_is(sorairo: Callable[..., Done]) -> None:
    sorairo("generate", PROMPT, "--model", "MODEL", "--seed", "5", "-n", "3", "-o", "many.webp")
    sorairo("generate", PROMPT, "--model", "MODEL", "--seed", "6", "-o", "one.webp")
    frames = [read_video(f"many-{index}.webp").frames for index in (1, 2, 3)]
    assert np.array_equal(frames[1], read_video("one.webp").frames)
    assert not np.array_equal(frames[0], frames[1])


def test_without_a_seed_each_run_differs_and_says_its_seed(sorairo: Callable[..., Done]) -> None:
    seeds = [
        json.loads(sorairo("generate", PROMPT, "--model", "MODEL", "--json", "-o", "a.gif").out)["seed"]
        for _ in range(2)
    ]
    assert seeds[0] != seeds[1]


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.webp", "a.png"])
def test_every_extension(sorairo: Callable[..., Done], tmp_path: Path, name: str) -> None:
    assert sorairo("generate", PROMPT, "--model", "MODEL", "-o", name).code == 0
    assert names(tmp_path) == [name]
    assert len(read_video(name)) == (1 if name.endswith("png") else 5)


def test_a_still_and_a_sheet(sorairo: Callable[..., Done], tmp_path: Path) -> None:
    assert sorairo("generate", PROMPT, "--model", "MODEL", "--frames", "1", "-o", "still.png").code == 0
    assert read_video("still.png").size == (64, 64)
    assert sorairo("generate", PROMPT, "--model", "MODEL", "--sheet", "sheet.png").code == 0
    assert names(tmp_path) == ["out.mp4", "sheet.png", "still.png"]


def test_words_that_the_model_never_saw(sorairo: Callable[..., Done]) -> None:
    done = sorairo("generate", "a purple ball drops", "--model", "MODEL")
    assert done.code == 0 and "purple" in done.err and "models info" in done.err


def whole(folder: Path, tiny: Path) -> Path:
    return Path(shutil.copytree(tiny, folder / "model"))


def without_index(folder: Path, tiny: Path) -> Path:
    (whole(folder, tiny) / "model_index.json").unlink()
    return folder / "model"


def without_part(folder: Path, tiny: Path) -> Path:
    shutil.rmtree(whole(folder, tiny) / "vae")
    return folder / "model"


def cut_weights(folder: Path, tiny: Path) -> Path:
    path = whole(folder, tiny) / "transformer" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    return folder / "model"


def wrong_class(folder: Path, tiny: Path) -> Path:
    path = whole(folder, tiny) / "model_index.json"
    path.write_text(path.read_text().replace("WanTransformer3DModel", "UNet2DConditionModel"))
    return folder / "model"


def broken_json(folder: Path, tiny: Path) -> Path:
    (whole(folder, tiny) / "sorairo.json").write_text('{"name": ')
    return folder / "model"


def a_file(folder: Path, tiny: Path) -> Path:
    (folder / "model.ckpt").write_bytes(b"\x80\x02}q\x00.")
    return folder / "model.ckpt"


BAD_MODELS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "no such name": (lambda folder, tiny: Path("none"), "no model"),
    "an empty folder": (lambda folder, tiny: folder, "model_index.json"),
    "a file": (a_file, "is a pickle"),
    "no index": (without_index, "model_index.json"),
    "a part missing": (without_part, "vae"),
    "cut weights": (cut_weights, "transformer"),
    "another class": (wrong_class, "WanTransformer3DModel"),
    "broken json": (broken_json, "sorairo.json"),
}


@pytest.mark.parametrize(("make", "words"), BAD_MODELS.values(), ids=BAD_MODELS)
def test_bad_models(
    sorairo: Callable[..., Done],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_folder: Path,
    make: Callable[[Path, Path], Path],
    words: str,
) -> None:
    folder = make(tmp_path_factory.mktemp("bad"), tiny_folder)
    refused(sorairo("generate", PROMPT, "--model", str(folder)), words, tmp_path)


BAD_ARGUMENTS = {
    "empty prompt": ((" \n ",), "prompt is empty"),
    "over-long prompt": (("ball " * 200,), "too long"),
    "odd size": ((PROMPT, "--size", "65x64"), "64x64"),
    "huge size": ((PROMPT, "--size", "99999x64"), "nearest"),
    "no size": ((PROMPT, "--size", "big"), "WIDTHxHEIGHT"),
    "negative size": ((PROMPT, "--size", "-64x64"), "WIDTHxHEIGHT"),
    "size of zero": ((PROMPT, "--size", "0x0"), "32x32"),
    "impossible frames": ((PROMPT, "--frames", "6"), "5 is nearest"),
    "no frames": ((PROMPT, "--frames", "0"), "nearest"),
    "too many frames": ((PROMPT, "--frames", "1000"), "17"),
    "negative seconds": ((PROMPT, "--seconds", "-1"), "seconds"),
    "endless": ((PROMPT, "--seconds", "inf"), "seconds"),
    "not a number of seconds": ((PROMPT, "--seconds", "nan"), "seconds"),
    "both lengths": ((PROMPT, "--seconds", "1", "--frames", "5"), "not both"),
    "negative seed": ((PROMPT, "--seed", "-1"), "seed"),
    "huge seed": ((PROMPT, "--seed", str(2**70)), "seed"),
    "last seed": ((PROMPT, "--seed", str(2**63 - 1), "-n", "2"), "seed"),
    "no videos": ((PROMPT, "-n", "0"), "-n"),
    "no steps": ((PROMPT, "--steps", "0"), "teps"),
    "too many steps": ((PROMPT, "--steps", "100000"), "teps"),
    "no guidance": ((PROMPT, "--guidance", "-3"), "uidance"),
    "guidance that is no number": ((PROMPT, "--guidance", "nan"), "uidance"),
    "over-long negative": ((PROMPT, "--negative", "ball " * 200), "too long"),
    "no such precision": ((PROMPT, "--dtype", "fp8"), "fp32"),
    "unknown extension": ((PROMPT, "-o", "a.avi"), ".mp4"),
    "no such folder": ((PROMPT, "-o", "none/a.mp4"), "does not exist"),
    "no such folder for the sheet": ((PROMPT, "--sheet", "none/a.png"), "does not exist"),
    "a sheet of no kind": ((PROMPT, "--sheet", "a.txt"), ".png"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments(
    sorairo: Callable[..., Done], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    refused(sorairo("generate", *arguments, "--model", "MODEL"), words, tmp_path)


def refused(done: Done, words: str, folder: Path) -> None:
    """Exit code 2, one sentence at the end, nothing written."""
    assert done.code == 2 and not done.out, done
    lines = [line for line in done.err.splitlines() if line.startswith("sorairo: ")]
    assert len(lines) == 1 and words in lines[0] and lines[0] == done.err.splitlines()[-1], done.err
    assert lines[0].endswith(".") and "Traceback" not in done.err
    assert names(folder) == []


def test_full_disk(sorairo: Callable[..., Done], tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        done = sorairo("generate", PROMPT, "--model", "MODEL")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    refused(done, "No space is left", tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(sorairo: Callable[..., Done], tmp_path_factory: pytest.TempPathFactory) -> None:
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o500)
    done = sorairo("generate", PROMPT, "--model", "MODEL", "-o", str(closed / "a.mp4"))
    refused(done, "may write", closed)


def test_ctrl_c_in_mid_run(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"the old one")
    program = f"import sys; sys.path.insert(0, {str(SRC)!r}); from sorairo.cli.main import run; run()"
    arguments = ["generate", PROMPT, "--model", str(tiny_folder), "--steps", "1000", "--frames", "17"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # a background run ignores it
    ) as child:
        assert child.stderr
        while not child.stderr.readline().startswith("text"):  # the words are read, now it denoises
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
    assert child.returncode == 130
    assert rest == "sorairo: stopped.\n"
    assert names(tmp_path) == ["out.mp4"] and (tmp_path / "out.mp4").read_bytes() == b"the old one"


def test_ctrl_c_keeps_what_is_made(tmp_path: Path, tiny_folder: Path) -> None:
    program = f"import sys; sys.path.insert(0, {str(SRC)!r}); from sorairo.cli.main import run; run()"
    arguments = ["generate", PROMPT, "--model", str(tiny_folder), "--steps", "60", "-n", "12", "--seed", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as child:
        assert child.stderr and child.stdout
        while not child.stderr.readline().startswith("encode"):  # the first is on disk
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        told, rest = child.communicate()
    assert child.returncode == 130 and rest.endswith("sorairo: stopped.\n")
    made = sorted(tmp_path.iterdir())
    assert 1 <= len(made) < 12 and all(path.suffix == ".mp4" for path in made)
    assert [line.split("  ")[0] for line in told.splitlines()] == [path.name for path in made]
    assert all(len(read_video(path)) == 5 for path in made)


def test_models(sorairo: Callable[..., Done]) -> None:
    done = sorairo("models", "info", "MODEL")
    assert done.code == 0 and "64x64, 96x64, 64x96" in done.out and "red" in done.out
    values = json.loads(sorairo("models", "info", "MODEL", "--json").out)
    assert values["name"] == "tiny" and values["max_frames"] == 17 and values["megabytes"] > 0
    assert "models" in json.loads(sorairo("models", "list", "--json").out)
    assert sorairo("models", "info", "none").code == 2
