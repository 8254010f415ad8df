"""What a file says of the policy, whether its operator lifted checks, its time stamp, and whether it is marked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from sorairo.safety.rules import default_rules
from sorairo.video import read_metadata
from tests.cli.test_generate_command import Done
from tests.cli.test_generate_command import sorairo as sorairo  # the fixture
from tests.safety.test_credentials import CLAIMS

WORDS = "a zorb fest of red balls"
QUICK = ("--model", "MODEL", "--steps", "1", "--frames", "5")


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    path = tmp_path / "policy.toml"
    monkeypatch.setenv("SORAIRO_POLICY", str(path))
    return lambda text: path.write_text(f'version = "mine-7"\n{text}') and None


def claimed(sorairo: Callable[..., Done], path: str) -> dict:
    done = sorairo("verify", path, "--json")
    assert done.code == 0, done
    return json.loads(done.out)["safety"]


def test_a_file_names_the_policy_and_its_verdict(
    sorairo: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SORAIRO_POLICY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    assert sorairo("generate", "a red ball drops", *QUICK, "-o", "a.mp4").code == 0
    safety = claimed(sorairo, "a.mp4")
    assert safety["policy_version"] == default_rules().version and safety["action"] == "allow"
    assert not safety.get("off") and not safety.get("lifted")
    assert f"allow by policy {default_rules().version}\n" in sorairo("verify", "a.mp4").out


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_a_file_says_what_the_operator_let_pass(
    sorairo: Callable[..., Done], policy: Callable[[str], None], kind: str
) -> None:
    policy('[blocklist]\nviolence = ["zorb fest"]\n')
    assert sorairo("generate", WORDS, *QUICK, "-o", f"a.{kind}").code == 2
    policy('[categories]\nviolence = "flag"\n[blocklist]\nviolence = ["zorb fest"]\n')
    assert sorairo("generate", WORDS, *QUICK, "-o", f"a.{kind}").code == 0
    safety = claimed(sorairo, f"a.{kind}")
    assert safety["off"] and safety["lifted"] == ["violence"] and safety["action"] == "flag"
    assert safety["policy_version"].startswith("mine-7+")
    assert "the operator lets pass violence" in sorairo("verify", f"a.{kind}").out


def test_a_time_stamp_that_does_not_come_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written unsigned where the operator asks for time stamps."""
    from sorairo.safety.credentials import sign
    from sorairo.safety.identity import identity
    from sorairo.safety.verify import ABSENT, verify
    from sorairo.types import UserError

    monkeypatch.setenv("SORAIRO_PROVENANCE", str(tmp_path / "own"))
    assert identity()
    (tmp_path / "own/keys/timestamp.url").write_text("http://127.0.0.1:9/stamp\n")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"time stamps of http://127\.0\.0\.1:9/stamp do not come"):
        sign(tmp_path / "a.png", CLAIMS)
    assert verify(tmp_path / "a.png").state == ABSENT


@pytest.mark.parametrize(
    ("mark", "model", "marked"),
    [("auto", "default", False), ("auto", "MODEL", True), ("on", "default", True), ("off", "MODEL", False)],
)
def test_who_is_marked_is_the_policys(
    sorairo: Callable[..., Done], policy: Callable[[str], None], mark: str, model: str, marked: bool
) -> None:
    """By default models other than the package's own."""
    policy(f'[provenance]\nmark = "{mark}"\n')
    still = ("--model", model, "--steps", "1", "--frames", "1", "--size", "96x96")
    assert sorairo("generate", "a red ball drops", *still, "-o", "a.png").code == 0
    assert bool(read_metadata("a.png").get("mark")) == marked
