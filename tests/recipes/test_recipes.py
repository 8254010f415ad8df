"""Every recipe is a file that can be read, with its command in the docstring."""

import runpy
from pathlib import Path

import pytest

from sorairo.training.recipes import load_recipe
from sorairo.types import UserError

ROOT = Path(__file__).parents[2]
RUNS = ("tiny", "codec_default", "default", "few_steps", "upscaler")


@pytest.mark.parametrize("name", RUNS)
def test_a_recipe_loads_and_says_its_command(name):
    recipe = load_recipe(name, ROOT / "recipes")
    assert recipe.name == name and callable(recipe.build)
    assert "sorairo train " in (ROOT / "recipes" / f"{name}.py").read_text()


def test_the_default_ends_with_a_codec_and_says_how_to_make_it(tmp_path):
    module = runpy.run_path(str(ROOT / "recipes" / "default.py"))
    with pytest.raises(UserError, match="sorairo train codec_default"):
        module["find_codec"](tmp_path / "default")


def test_the_wrong_file_is_no_recipe(tmp_path):
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(UserError, match="no function build"):
        load_recipe(str(tmp_path / "empty.py"))
    (tmp_path / "broken.py").write_text("def build(:\n")
    with pytest.raises(UserError, match="line 1"):
        load_recipe(str(tmp_path / "broken.py"))
