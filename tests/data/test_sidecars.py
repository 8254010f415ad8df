"""Captions that lie beside clips: what a person's folder has, and what must never reach another clip."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sorairo.data.captions.sidecar import Sidecars, captions_in
from sorairo.types import UserError


def test_names_without_an_extension_have_words_of_their_own(tmp_path: Path) -> None:
    """`take.1` and `take.2` are two clips, of which neither is called take."""
    for name in ("take.1", "take.2", "take", "clip.dat"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "clip.txt").write_text("Misnamed, and alone.\n")
    (tmp_path / "take.txt").write_text("Another clip.\n")
    (tmp_path / "take.2.txt").write_text("The second.\n")
    found = Sidecars(tmp_path)
    assert found.of("take.1") == {} and found.of("take.2") == {0: ["The second."]}
    assert found.of("clip.dat") == {0: ["Misnamed, and alone."]}
    assert found.of("take") == {0: ["Another clip."]} and found.of("take.mp4") == {0: ["Another clip."]}


def test_names_of_cameras_and_of_other_tools(tmp_path: Path) -> None:
    (tmp_path / "DSC1.TXT").write_text("Upper case.\n")
    (tmp_path / "b.mp4.txt").write_text("Behind the whole name.\n")
    found = Sidecars(tmp_path)
    assert found.of("DSC1.MP4") == {0: ["Upper case."]} and found.of("b.mp4") == {
        0: ["Behind the whole name."]
    }


def test_a_text_and_a_json_are_both_read(tmp_path: Path) -> None:
    """As tars have them, whose text is the exact caption alone."""
    (tmp_path / "a.txt").write_text("The exact one.\n")
    (tmp_path / "a.json").write_text(json.dumps({"captions": ["The exact one.", "Short."]}))
    (tmp_path / "b.txt").write_text("Words.\n")
    (tmp_path / "b.json").write_text("[1, 2")  # another tool's
    (tmp_path / "c.txt").write_text("\n")
    (tmp_path / "c.json").write_text('{"shots": {"2": ["Of the second shot."]}}')
    found = Sidecars(tmp_path)
    assert found.of("a.mp4") == {0: ["The exact one.", "Short."]} and found.of("b.mp4") == {0: ["Words."]}
    assert found.of("c.mp4") == {2: ["Of the second shot."]}


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("captions.csv", "file_name,text\na.mp4,A red ball, which rolls.\n", "row 1 has more fields than"),
        ("captions.csv", "file_name,text,shot\na.mp4,One.,0\n", "shot is a number from 1"),
        ("metadata.jsonl", '{"file_name": "a.mp4", "text": "One.", "shot": 0}\n', "shot is a number from 1"),
        ("captions.csv", "file_name,text\n/elsewhere/a.mp4,One.\n", "row 1: /elsewhere/a.mp4 is not in"),
        ("captions.csv", "file_name,text\n../a.mp4,One.\n", r"row 1: \.\./a.mp4 is not in"),
    ],
)
def test_tables_that_would_give_wrong_words_are_refused(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=said):
        Sidecars(tmp_path)


def test_tables_with_whole_paths_and_tables_in_hidden_folders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "captions.csv").write_text(
        f"file_name,text\n{tmp_path}/sub/a.mp4,One.\nb/../b.mp4,Two.\n../c.mp4,Three.\n"
    )
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "metadata.csv").write_text("something,else\n1,2\n")
    found = Sidecars(tmp_path)
    assert found.of("sub/a.mp4") == {0: ["One."]} and found.of("sub/b.mp4") == {0: ["Two."]}
    assert found.of("c.mp4") == {0: ["Three."]}


def test_json_of_the_worlds_with_empty_paraphrases() -> None:
    assert captions_in("a.json", '{"captions": {"long": "L.", "paraphrases": null}}') == {0: ["L."]}
    assert captions_in("a.json", '{"captions": {"long": "L.", "paraphrases": "P."}}') == {0: ["L.", "P."]}
    with pytest.raises(UserError, match="numbers from 1"):
        captions_in("a.json", '{"shots": {"%s": ["L."]}}' % ("9" * 5000))
