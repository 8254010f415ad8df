"""Style presets: what ships is made of the world's words; a user's file is read with care."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sorairo.prompts.styles import Style, apply_style, find_style, read_styles, styles, user_file
from sorairo.types import UserError
from sorairo.worlds.captions import vocabulary
from sorairo.worlds.circles import CIRCLES


@pytest.fixture(autouse=True)
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder for settings is an empty one."""
    monkeypatch.delenv("SORAIRO_STYLES", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "sorairo").mkdir()
    return tmp_path / "sorairo" / "styles.toml"


def test_what_ships_is_made_of_words_that_the_world_knows() -> None:
    known = vocabulary(CIRCLES[-1])
    shipped = styles()
    assert len(shipped) >= 6 and {"sunset", "overcast", "night"} <= set(shipped)
    for style in shipped.values():
        assert style.about
        assert not set(re.findall(r"[a-z]+", f"{style.words} {style.negative}".lower())) - known, style


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red ball rolls", "a red ball rolls. The camera rises."),
        (" A red ball rolls. ", "A red ball rolls. The camera rises."),
        ("who rolls?", "who rolls? The camera rises."),
        ("", "The camera rises."),
    ],
)
def test_words_follow_the_prompt(prompt: str, expected: str) -> None:
    assert apply_style(prompt, Style(name="up", words="The camera rises.")) == expected


def test_settings_alone_leave_the_words() -> None:
    assert apply_style("a red ball rolls", Style(name="draft", steps=6)) == "a red ball rolls"


def test_own_styles_come_first(own_file: Path) -> None:
    own_file.write_text('[sunset]\nwords = "Under a lilac dusk sky."\n[mine]\nguidance = 6\n')
    known = styles()
    assert known["sunset"].words == "Under a lilac dusk sky." and known["night"].words
    assert known["mine"] == Style(name="mine", guidance=6.0)


def test_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORAIRO_STYLES", str(tmp_path / "more.toml"))
    assert user_file() == tmp_path / "more.toml"
    with pytest.raises(UserError, match="does not exist"):
        styles()
    (tmp_path / "more.toml").write_text('["two words"]\nnegative = "grey"\n')
    assert styles()["two words"].negative == "grey"


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_a_file_on_each_platform(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr("sys.platform", platform)
    assert user_file().is_absolute() and user_file().name == "styles.toml"


@pytest.mark.parametrize(
    ("name", "near"), [("sunsett", "sunset"), ("Night", "night"), ("zzz", "The styles are")]
)
def test_unknown_names(name: str, near: str) -> None:
    with pytest.raises(UserError, match=near) as caught:
        find_style(name)
    assert str(caught.value).endswith(".")


BAD = {
    "no TOML": (b"[sunset\n", "not valid TOML"),
    "no text": (b"[a]\nwords = '\xff'\n", "UTF-8"),
    "unknown key": (b"[a]\ncolour = 'red'\n", "unknown key 'colour'"),
    "a name": (b"[a]\nname = 'b'\nsteps = 3\n", "named by its table"),
    "wrong type": (b"[a]\nsteps = 'many'\n", "a: steps"),
    "outside of a table": (b"words = 'red'\n", "outside of a table"),
    "nothing said": (b"[a]\nabout = 'nothing'\n", "says nothing"),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_bad_files(own_file: Path, content: bytes, words: str) -> None:
    own_file.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_styles(own_file)
    assert "\n" not in str(caught.value)
