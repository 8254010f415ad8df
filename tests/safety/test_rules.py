"""The operator's policy file: what it may say, what is an error; living artists' styles are taken out of the words."""

from __future__ import annotations

from pathlib import Path

import pytest

import sorairo
from sorairo.safety.artists import without_artist
from sorairo.safety.categories import CATEGORIES
from sorairo.safety.policy import merged, policy_of, texts_of
from sorairo.safety.rules import default_rules, find_policy, read_rules
from sorairo.types import Blocked, Decision, UserError


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text)
    return path


def test_the_default_stops_every_category() -> None:
    rules = default_rules()
    assert tuple(rules.categories) == CATEGORIES and not rules.lifted
    verdict = rules.verdict(dict.fromkeys(CATEGORIES, 0.6))
    assert set(verdict.having("block")) == set(CATEGORIES) - {"artist-style"}
    assert verdict.having("rewrite") == ("artist-style",) and verdict.action == "block" and not verdict.off
    calm = rules.verdict(dict.fromkeys(CATEGORIES, 0.4), {"sexual": 0.7})
    assert calm.action == "allow" and calm.frames and calm.decisions["sexual"].score == 0.7
    assert rules.verdict({}, {"sexual": 0.9}).having("block") == ("sexual",)


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    text = 'version = "x"\n[categories]\nviolence = { action = "flag", threshold = 0.7 }\nhate = "allow"\n'
    rules = read_rules(written(tmp_path, text))
    assert rules.categories["violence"].action == "flag" and rules.lifted == ("violence", "hate")
    assert rules.categories["sexual"] == default_rules().categories["sexual"]
    verdict = rules.verdict({"violence": 0.8, "hate": 1.0})
    assert verdict.off and verdict.action == "flag" and verdict.policy_version == rules.version
    stricter = read_rules(written(tmp_path, 'version = "x"\n[categories]\nsexual = { threshold = 0.3 }\n'))
    assert not stricter.lifted and stricter.version != rules.version
    laxer = read_rules(written(tmp_path, 'version = "x"\n[categories]\nsexual = { threshold = 0.9 }\n'))
    assert laxer.lifted == ("sexual",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "needs a version"),
        ("version = ", "is not TOML"),
        ('version = "x"\nsexual = "allow"', "'sexual' is not known here"),
        ('version = "x"\n[categories]\nsexaul = "allow"', "'sexaul' is not known here"),
        ('version = "x"\n[categories]\nsexual = "alow"', "one of allow, flag, block, not 'alow'"),
        ('version = "x"\n[categories]\nsexual = "rewrite"', "one of allow, flag, block"),
        ('version = "x"\n[categories]\nsexual = { treshold = 0.4 }', "'treshold' is not known here"),
        ('version = "x"\n[categories]\nsexual = { threshold = 2 }', "over 0 and at most 1"),
        ('version = "x"\n[categories]\nminors = "flag"', "always blocked"),
        ('version = "x"\n[categories]\nminors = { threshold = 0.9 }', "may only be lowered"),
        ('version = "x"\n[blocklist]\nhate = "word"', "is a list of words"),
        ('version = "x"\n[blocklist]\nhate = ["a word", "..."]', "'...' under hate has no letters"),
        ('version = "x"\n[blocklist]\nhate = ["*"]', "has no letters"),
        ('version = "x"\n[pictures]\nmissing = "flag"', "allow or block"),
        ('version = "x"\n[audit]\nkeep_days = 0', "a number over 0"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as error:
        policy_of(written(tmp_path, text))
    assert "policy.toml" in str(error.value) and "\n" not in str(error.value)


def test_where_the_policy_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("SORAIRO_POLICY", raising=False)
    assert find_policy() is None
    (tmp_path / "sorairo").mkdir()
    mine = written(tmp_path / "sorairo", 'version = "mine"\n')
    assert find_policy() == mine and policy_of().rules.version.startswith("mine+")
    monkeypatch.setenv("SORAIRO_POLICY", str(tmp_path / "gone.toml"))
    with pytest.raises(UserError, match="cannot be read"):  # never the default in its place
        policy_of()


def test_a_policy_that_leads_nowhere_is_no_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SORAIRO_POLICY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "sorairo").mkdir()
    (tmp_path / "sorairo" / "policy.toml").symlink_to(tmp_path / "not there")
    with pytest.raises(UserError, match="cannot be read"):
        policy_of()


def test_the_log_is_beside_the_policy(tmp_path: Path) -> None:
    """From whatever folder a command runs; a byte order mark is no error."""
    path = tmp_path / "policy.toml"
    path.write_bytes(b'\xef\xbb\xbfversion = "x"\r\n[audit]\r\nfolder = "audit"\r\n')
    assert read_rules(path).audit == tmp_path / "audit"
    path.write_text(f'version = "x"\n[audit]\nfolder = "{tmp_path}/elsewhere"')
    assert read_rules(path).audit == tmp_path / "elsewhere"
    path.write_text('version = "x"\n[audit]\nfolder = "~nobody-of-this-name/x"')
    with pytest.raises(UserError, match="home folder"):
        read_rules(path)


def test_what_is_read() -> None:
    assert texts_of(["a"]) == ("a",)
    assert texts_of(["a", "b"], "n", ["old"]) == ("a", "b", "n", "a b", "old a b", "a b n")
    assert texts_of([" "]) == ()


def test_verdicts_together_are_the_stricter() -> None:
    rules = default_rules()
    both = merged(rules.verdict({"hate": 0.9}), rules.verdict({}, {"sexual": 0.9}))
    assert both.having("block") == ("sexual", "hate") and both.frames
    assert both.decisions["hate"] == Decision(action="block", score=0.9)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("A red ball rolls, in the style of Jane Q. Painter.", "A red ball rolls."),
        ("in the style of jane painter a ball drops", "A ball drops"),
        ("A Jane Painter-inspired ball drops", "A ball drops"),
        ("A ball in Jane Painter's style drops.", "A ball drops."),
        ("a ball drops as painted by Max Maler on the floor", "A ball drops on the floor"),
        ("Ein Ball fällt, im Stil von Max Maler", "Ein Ball fällt"),
        ("Une balle dans le style de Marie Dupont roule", "Une balle roule"),
        ("Una pelota en el estilo de Juan Pintor rueda", "Una pelota rueda"),
        ("a red ball drops", "a red ball drops"),
    ],
)
def test_a_style_is_taken_out(text: str, left: str) -> None:
    assert without_artist(text) == left


def test_words_are_rewritten_or_refused(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, 'version = "x"\n[blocklist]\nartist-style = ["jane painter"]\n')
    monkeypatch.setenv("SORAIRO_POLICY", str(path))
    model = sorairo.load(tiny_folder, "fp32")
    made = model.generate("a red ball drops, in the style of Jane Painter", steps=1)
    assert made.plan.spans[0].text == "A red ball drops"
    assert made.verdict and made.verdict.having("rewrite") == ("artist-style",)
    assert any("living artist was left out" in note for note in made.notes)
    with pytest.raises(Blocked, match=r"artist-style.*without the artist"):
        model.generate("Jane Painter holds a red ball", steps=1)
    with pytest.raises(UserError, match="say what should be seen"):
        model.generate("in the style of Jane Painter", steps=1)
