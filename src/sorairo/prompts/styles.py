"""Style presets: words that are added to a prompt, and settings that are used where none is asked for.

Those that ship are in styles.toml beside this file; a user's own are in a file of the same form.
"""

from __future__ import annotations

import difflib
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sorairo.config import from_dict
from sorairo.types import UserError

__all__ = ["Style", "apply_style", "find_style", "read_styles", "styles", "user_file"]


@dataclass(frozen=True, kw_only=True)
class Style:
    """A preset. words: sentences that follow the prompt's. negative, steps, guidance: as in Plan, None for unsaid."""

    name: str
    about: str = ""
    words: str = ""
    negative: str = ""
    steps: int | None = None
    guidance: float | None = None


def apply_style(prompt: str, style: Style) -> str:
    """The prompt, ended as a sentence, and the style's words behind it, unless they are there already."""
    prompt, words = prompt.strip(), style.words.strip()
    if not words or prompt.endswith(words):
        return prompt
    if prompt and prompt[-1] not in ".!?…。":
        prompt += "."
    return f"{prompt} {words}".strip()


def find_style(name: str, known: Mapping[str, Style] | None = None) -> Style:
    """A style by its name. Raises UserError, with the nearest name, for one that is none."""
    known = styles() if known is None else known
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UserError(f"There is no style {name!r}; {hint}The styles are {', '.join(known)}.")


def styles() -> dict[str, Style]:
    """Those that ship and the user's own, which come first where the names are the same. Raises UserError."""
    shipped = read_styles(Path(__file__).with_name("styles.toml"))
    path = user_file()
    if path.is_file():
        return shipped | read_styles(path)
    if "SORAIRO_STYLES" in os.environ:
        raise UserError(f"SORAIRO_STYLES names {path}, which does not exist; create it or unset it.")
    return shipped


def read_styles(path: Path) -> dict[str, Style]:
    """The styles of a TOML file, a table each. Raises UserError that names the file and the key at fault."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8; save it as that.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check its rights.") from error
    return {name: style_from(path, name, values) for name, values in tables.items()}


def style_from(path: Path, name: str, values: Any) -> Style:
    if not isinstance(values, dict):
        raise UserError(f"{path}: {name} stands outside of a table; write [NAME] above the keys of a style.")
    if "name" in values:
        raise UserError(f"{path}: {name}: unknown key 'name'; a style is named by its table.")
    style = from_dict(Style, values | {"name": name}, where=f"{path}: {name}")
    if style == Style(name=name, about=style.about):
        raise UserError(f"{path}: {name} says nothing; give it words, negative, steps or guidance.")
    return style


def user_file() -> Path:
    """SORAIRO_STYLES, or sorairo/styles.toml in the user's folder for settings."""
    if own := os.environ.get("SORAIRO_STYLES"):
        return Path(own).expanduser()
    return settings_folder() / "sorairo" / "styles.toml"


def settings_folder() -> Path:
    """Where programs of this platform keep what a user has set."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    folder = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return folder if folder.is_absolute() else Path.home() / ".config"  # the rule of XDG for relative ones
