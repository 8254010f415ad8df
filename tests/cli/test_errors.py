"""What each kind of failure says and how the process ends."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sorairo.cli.errors import exit_code
from sorairo.types import UserError

SRC = Path(__file__).parent.parent.parent / "src"
CASES = {
    "ours": (
        UserError("The prompt is empty; say what happens."),
        2,
        "The prompt is empty; say what happens.",
    ),
    "two lines": (UserError("first\nsecond"), 2, "first second"),
    "Ctrl-C": (KeyboardInterrupt(), 130, "stopped."),
    "full disk": (OSError(errno.ENOSPC, "No space left on device", "a.bin"), 2, "no space is left: a.bin"),
    "forbidden": (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "Permission denied: /x"),
    "memory": (MemoryError(), 2, "not enough memory"),
    "torch's memory": (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "not enough memory"),
}


@pytest.mark.parametrize(("error", "code", "words"), CASES.values(), ids=CASES)
def test_one_line(error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(error) == code
    said = capsys.readouterr().err
    assert words in said and said.startswith("sorairo: ") and said.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a fault"), KeyError("a"), SystemExit(3), AssertionError()])
def test_our_faults_keep_their_traceback(error: BaseException) -> None:
    assert exit_code(error) is None


PROGRAM = """
import sys, time
sys.path.insert(0, {src!r})
from sorairo.cli.errors import guarded
guarded(lambda: {body})
"""


def process(body: str) -> subprocess.Popen[str]:
    program = PROGRAM.format(src=str(SRC), body=body)
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )


def heed_interrupts() -> None:
    """A test run in the background of a script ignores SIGINT, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_reader_that_goes_away() -> None:
    with process("[print('line', flush=True) for _ in range(100000)]") as child:
        assert child.stdout and child.stderr
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(20) == 141


@pytest.mark.parametrize(("signal", "code"), [(2, 130), (15, 143)])
def test_signals_end_it_without_a_traceback(signal: int, code: int) -> None:
    with process("[print('up', flush=True), time.sleep(60)]") as child:
        assert child.stdout
        child.stdout.readline()
        child.send_signal(signal)
        out, err = child.communicate(timeout=20)
    assert child.returncode == code
    assert "Traceback" not in err and err.count("\n") <= 1 and not out


@pytest.mark.parametrize("words", [("models",), ("models", "list"), ("--help",), ("generate", "--help"), ()])
def test_help_into_a_closed_pipe(words: tuple[str, ...]) -> None:
    """`sorairo models | true`: the reader has gone before the first byte."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sorairo", *words],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SRC)},
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = [{src!r}, {folder!r}]
import sorairo.__main__ as front
sys.modules["sorairo.cli.main"] = main = type(sys)("main")
main.run = lambda: __import__("slow_library")
front.run()
"""


@pytest.mark.parametrize("swallowed", ["", "try: ", "class A:\n    def __del__(self): "])
def test_ctrl_c_while_a_module_is_imported(tmp_path: Path, swallowed: str) -> None:
    """Also where the import would swallow the exception, as extension modules do."""
    body = f"import os, signal\n{swallowed}os.kill(os.getpid(), signal.SIGINT)\n"
    body += "except BaseException: pass\n" if swallowed == "try: " else "A()\n" if swallowed else ""
    (tmp_path / "slow_library.py").write_text(body)
    program = INTERRUPTED.format(src=str(SRC), folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "sorairo: stopped.\n")


@pytest.mark.parametrize("words", [("expand", "A \udcff ball"), ("generate", "A \udcff ball", "-o", "x.mp4")])
def test_a_byte_that_is_not_utf_8(words: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sorairo", *map(os.fsencode, words)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SRC)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "not UTF-8" in done.stderr
    assert not list(tmp_path.iterdir())
