"""The audit log: a chain that shows edits and cuts, texts that can go, several writers."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sorairo.safety.audit import AuditLog
from sorairo.safety.audit_check import records, verify
from sorairo.types import Decision, UserError, Verdict

BLOCK = Verdict(policy_version="p1", decisions={"violence": Decision(action="block", score=0.9)})


def filled(folder: Path, count: int = 6) -> AuditLog:
    log = AuditLog(folder)
    for index in range(count):
        log.append(f"key_{index % 2}", f"words {index}", BLOCK)
    return log


def chain(folder: Path) -> list[bytes]:
    return (folder / "chain.jsonl").read_bytes().splitlines(keepends=True)


def test_a_log_holds_who_what_verdict_and_policy_and_no_more(tmp_path: Path) -> None:
    filled(tmp_path)
    report = verify(tmp_path)
    assert (report.entries, report.n, report.texts, report.faults) == (6, 6, 6, ())
    entry = json.loads(chain(tmp_path)[2])
    assert set(entry) == {"n", "time", "who", "asked", "verdict", "categories", "policy", "prev", "hash"}
    assert (entry["who"], entry["verdict"], entry["categories"]) == ("key_0", "block", {"violence": "block"})
    assert b"words" not in b"".join(chain(tmp_path))
    assert [one["text"] for one in records(tmp_path)] == [f"words {index}" for index in range(6)]


def test_every_flipped_byte_is_found_at_its_line(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    whole = (tmp_path / "chain.jsonl").read_bytes()
    for place in range(0, len(whole), 7):
        bad = bytearray(whole)
        bad[place] ^= 1
        (tmp_path / "chain.jsonl").write_bytes(bad)
        line = whole[:place].count(b"\n") + 1
        found = [fault.line for fault in verify(tmp_path).faults]
        assert found and min(found) in (line, line + 1), (place, found)
        assert line in found or whole[place : place + 1] == b"\n", (place, found)


@pytest.mark.parametrize(
    "edit",
    [
        lambda line: line.replace(b"\n", b"\r\n"),
        lambda line: line.replace(b"\n", b"  \n"),
        lambda line: line.replace(b"{", b'{"verdict":"allow",', 1),
        lambda line: line.replace(b'":', b'": ', 1),
    ],
    ids=["CRLF", "blanks behind it", "a key twice", "blanks in it"],
)
def test_a_line_that_says_the_same_in_other_bytes_is_found(tmp_path: Path, edit) -> None:
    filled(tmp_path, 3)
    lines = chain(tmp_path)
    (tmp_path / "chain.jsonl").write_bytes(lines[0] + edit(lines[1]) + lines[2])
    assert [(fault.line, fault.kind) for fault in verify(tmp_path).faults] == [(2, "edited")]


def test_removed_moved_added_and_rewritten_lines_are_located(tmp_path: Path) -> None:
    filled(tmp_path)
    lines = chain(tmp_path)
    path = tmp_path / "chain.jsonl"
    for changed, line in (
        (lines[:2] + lines[3:], 3),
        ([*lines[:1], lines[2], lines[1], *lines[3:]], 2),
        ([*lines[:2], lines[1], *lines[2:]], 3),
    ):
        path.write_bytes(b"".join(changed))
        assert verify(tmp_path).faults[0].line == line
    path.write_bytes(b"".join(lines[:4]))  # the end is cut off: the note beside the chain knows
    (fault,) = verify(tmp_path).faults
    assert fault.kind == "missing" and "entry 4" in fault.what
    (tmp_path / "head.json").unlink()
    assert not verify(tmp_path).faults  # as docs/guardrails.md says: so keep the last hash elsewhere
    last = json.loads(lines[5])["hash"]
    assert verify(tmp_path, (6, last)).faults[0].kind == "missing"
    path.write_bytes(b"".join(lines))
    assert not verify(tmp_path, (6, last)).faults
    assert verify(tmp_path, (6, "0" * 64)).faults[0].line == 6


def test_a_torn_line_is_located_and_then_recorded_by_the_next(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    path = tmp_path / "chain.jsonl"
    whole = path.read_bytes()
    for cut in (1, 30, len(chain(tmp_path)[2]) - 1):
        path.write_bytes(whole[:-cut])
        (tmp_path / "head.json").unlink(missing_ok=True)
        fault = verify(tmp_path).faults[0]
        assert (fault.line, fault.kind) == (3, "torn")
    assert log.append("key", "after the cut", BLOCK) == 3
    report = verify(tmp_path)
    assert not report.faults and report.torn == (3,) and report.entries == 3


def test_deleted_texts_leave_a_chain_that_verifies(tmp_path: Path) -> None:
    log = filled(tmp_path)
    assert log.delete(who="key_1") == 3
    assert log.delete(entry=1) == 1
    assert log.delete(before=0.0) == 0
    report = verify(tmp_path)
    assert (report.entries, report.texts, report.faults) == (8, 2, ())
    found = list(records(tmp_path))
    assert [one["text"] for one in found[:6]] == [None, None, "words 2", None, "words 4", None]
    assert (found[6]["verdict"], found[6]["count"]) == ("deleted", 3)
    for name in ("texts.db", "chain.jsonl"):
        assert b"words 1" not in (tmp_path / name).read_bytes()
    old = AuditLog(tmp_path, keep=1e-9)  # texts may be kept for less than a second
    time.sleep(0.01)
    old.append("key", "new", BLOCK)
    assert verify(tmp_path).texts == 1 and not verify(tmp_path).faults


def test_a_text_that_is_no_unicode_is_kept_as_it_was_asked(tmp_path: Path) -> None:
    AuditLog(tmp_path).append("key_1\udcff", "hello \udcff", BLOCK)
    assert verify(tmp_path).faults == ()
    assert [one["text"] for one in records(tmp_path)] == ["hello ?"]


def test_a_database_of_texts_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "texts.db").write_bytes(b"junk" * 1000)
    with pytest.raises(UserError, match=r"texts\.db cannot be read .*; move it away"):
        verify(tmp_path)
    (tmp_path / "texts.db").unlink()
    (tmp_path / "head.json").write_text('{"n": 1e999, "hash": 3}')
    assert verify(tmp_path).entries == 6


def test_an_edited_text_is_found(tmp_path: Path) -> None:
    import sqlite3

    filled(tmp_path, 2)
    connection = sqlite3.connect(tmp_path / "texts.db")
    with connection:
        connection.execute("UPDATE texts SET text = 'something else' WHERE n = 2")
    connection.close()
    (fault,) = verify(tmp_path).faults
    assert fault.kind == "text" and "entry 2" in fault.what


def write_some(folder: Path, name: str) -> None:
    log = AuditLog(folder)
    for index in range(15):
        log.append(name, f"{name} {index}", BLOCK)


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    start = multiprocessing.get_context("fork")
    writers = [start.Process(target=write_some, args=(tmp_path, f"w{index}")) for index in range(3)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    report = verify(tmp_path)
    assert (report.entries, report.texts, report.faults) == (45, 45, ())


def test_a_killed_writer_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sorairo.safety.audit import AuditLog\n"
        "from sorairo.types import Verdict\nlog = AuditLog(Path(sys.argv[1]))\n"
        "while True: log.append('k', 'x' * 2000, Verdict(policy_version='p')); print('.', flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        for _ in range(5):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    filled(tmp_path, 1)
    report = verify(tmp_path)
    assert not report.faults and report.entries >= 6


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name the folder of an audit log"):
        verify(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be kept in"):
        AuditLog(tmp_path / "file" / "below")
