"""Settings of a run from one start to the next, and from one version to the next."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sorairo.data.loader import LoaderConfig
from sorairo.training.objectives.diffusion import DiffusionConfig
from sorairo.training.run_folder import check_settings
from sorairo.training.settings import EARLIER, MAY_CHANGE, SAME
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError

FIRST = {  # what the first version recorded of an objective
    "transformer": "channels condition_channels patch_side layers heads head_dim hidden text_dim text_len freq_dim"
    " cross_norm eps image_dim image_positions",
    "data": "seed tokens word_cost patch stills captions drop refresh round_words maps",
    "diffusion": "seed times align",
}


def today() -> dict[str, Any]:
    parts = {"transformer": PRESETS["default"], "data": LoaderConfig(), "diffusion": DiffusionConfig()}
    return {"objective": {name: asdict(part) for name, part in parts.items()}}


def of_the_first_version() -> dict[str, Any]:
    now = today()["objective"]
    return {
        "objective": {part: {key: now[part][key] for key in keys.split()} for part, keys in FIRST.items()}
    }


def check(folder: Path, settings: dict[str, Any]) -> None:
    check_settings(folder / "settings.json", settings, MAY_CHANGE, earlier=EARLIER, same=SAME)


def test_a_run_of_the_first_version_goes_on(tmp_path: Path) -> None:
    """Whoever adds a setting says in EARLIER what runs did before it, or every run of theirs is refused."""
    (tmp_path / "settings.json").write_text(json.dumps(of_the_first_version()))
    check(tmp_path, today())
    assert json.loads((tmp_path / "settings.json").read_text()) == json.loads(json.dumps(today()))


def test_a_new_setting_that_is_used_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(of_the_first_version()))
    now = today()
    now["objective"]["transformer"]["local"] = 2
    with pytest.raises(UserError, match=r"transformer\.local = 0, now it is 2"):
        check(tmp_path, now)
