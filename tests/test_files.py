"""Outputs appear whole or not at all, whatever their names and whoever else writes there."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from sorairo.files import check_folder, replacing, whole_file, whole_folder, write_once
from sorairo.types import UserError


def test_a_symbolic_link_is_followed_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    link = tmp_path / "a.mp4"
    link.symlink_to(tmp_path / "films" / "real.mp4")
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink() and (tmp_path / "films" / "real.mp4").read_text() == "new"


def test_a_loop_of_links_is_refused_and_stays(tmp_path: Path) -> None:
    one, two = tmp_path / "a.mp4", tmp_path / "b.mp4"
    one.symlink_to(two)
    two.symlink_to(one)
    with pytest.raises(UserError, match="leads nowhere"), replacing(one) as temporary:
        temporary.write_text("new")
    assert one.is_symlink() and two.is_symlink()


def test_the_longest_name_can_be_written_and_a_longer_one_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 251 + ".mp4")
    with replacing(path) as temporary:
        assert temporary.suffix == ".mp4"
        temporary.write_text("x")
    assert path.read_text() == "x"
    with pytest.raises(UserError, match="longer than 255 bytes"):
        check_folder(tmp_path / ("\u00e9" * 126 + ".mp4"))


def test_two_threads_may_write_one_file(tmp_path: Path) -> None:
    path, both = tmp_path / "a.txt", threading.Barrier(2)

    def write(text: str) -> None:
        with whole_file(path) as temporary:
            temporary.write_text(text)
            both.wait(timeout=10)

    threads = [threading.Thread(target=write, args=(text * 1000,)) for text in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in ("a" * 1000, "b" * 1000)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_sentence_and_the_old_file_stays(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UserError, match="No space is left to write"), whole_file(path) as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_folder_is_replaced_whole_and_kept_when_the_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "export"
    for text in ("one", "two"):
        with whole_folder(path) as temporary:
            (temporary / "a.txt").write_text(text)
    assert [entry.name for entry in tmp_path.iterdir()] == ["export"] and (
        path / "a.txt"
    ).read_text() == "two"
    rename, calls = os.replace, []

    def fails_second(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fails_second)
    with pytest.raises(UserError, match="cannot be written"), whole_folder(path) as temporary:
        (temporary / "a.txt").write_text("three")
    assert (path / "a.txt").read_text() == "two" and [entry.name for entry in tmp_path.iterdir()] == [
        "export"
    ]


def test_the_first_of_several_processes_wins(tmp_path: Path) -> None:
    assert [write_once(tmp_path / "lists" / "a.json", text) for text in "ab"] == ["a", "a"]
