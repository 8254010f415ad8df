"""An operator's policy file: what is allowed, flagged, rewritten or blocked, from which score on. TOML, versioned."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sorairo.safety.categories import CATEGORIES
from sorairo.safety.normalise import bare, fold
from sorairo.safety.terms import words_of
from sorairo.types import Decision, UserError, Verdict

__all__ = ["VARIABLE", "Rule", "Rules", "default_rules", "find_policy", "read_rules"]

VARIABLE = "SORAIRO_POLICY"
"""The environment variable that names the operator's policy file."""

DEFAULT = Path(__file__).parent / "default_policy.toml"
ACTIONS = ("allow", "flag", "block")
STRICTNESS = {"allow": 0, "flag": 1, "rewrite": 2, "block": 3}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What happens to one category. threshold: of the words' score; frames: of the pictures' score; both 0 to 1."""

    action: str
    threshold: float = 0.5
    frames: float = 0.8


@dataclass(frozen=True, kw_only=True)
class Rules:
    """A whole policy. blocklist: category -> phrases that count as score 1. pictures: what happens where the guard of
    pictures is not installed, allow or block. guard: the operator's own guard of pictures, "package.module:Class";
    empty for that of the package. lettering: whether words in input pictures are read. audit: folder of the log, None
    for none. keep: days that texts are kept in it, None for ever."""

    version: str
    categories: dict[str, Rule]
    blocklist: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: str = "allow"
    guard: str = ""
    lettering: bool = False
    mark: str = "auto"
    audit: Path | None = None
    keep: float | None = None

    @property
    def lifted(self) -> tuple[str, ...]:
        """The categories for which this policy is laxer than the one that comes with the package."""
        default = default_rules().categories
        return tuple(
            name
            for name, rule in self.categories.items()
            if STRICTNESS[rule.action] < STRICTNESS[default[name].action]
            or rule.threshold > default[name].threshold
            or rule.frames > default[name].frames
        )

    def verdict(self, words: dict[str, float], frames: dict[str, float] | None = None) -> Verdict:
        """What is decided on scores of words and of pictures; frames: None where no picture was looked at."""
        seen, lifted = frames or {}, self.lifted
        decisions = {}
        for name, rule in self.categories.items():
            said, shown = words.get(name, 0.0), seen.get(name, 0.0)
            over = said >= rule.threshold or shown >= rule.frames
            # what is in a picture cannot be written another way
            action = "block" if rule.action == "rewrite" and shown >= rule.frames else rule.action
            decisions[name] = Decision(action=action if over else "allow", score=round(max(said, shown), 4))
        return Verdict(
            policy_version=self.version,
            decisions=decisions,
            frames=frames is not None,
            off=bool(lifted),
            lifted=lifted,
        )


def find_policy() -> Path | None:
    """The operator's file: named by SORAIRO_POLICY, else policy.toml in the configuration folder; None for neither."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    path = Path(home) / "sorairo" / "policy.toml"
    return path if os.path.lexists(path) else None  # a link to nowhere is an error, never the default policy


def read_rules(path: Path) -> Rules:
    """The rules of a file; categories that it leaves out are as in the default. A log's folder is beside the file
    unless it is absolute, so that all commands write one log. Raises UserError."""
    try:
        rules = parsed(path.read_bytes(), str(path), default_rules())
        return replace(rules, audit=path.parent / rules.audit) if rules.audit else rules
    except OSError as error:
        raise UserError(
            f"The policy {path} cannot be read ({error.strerror}); name a file that can."
        ) from error


@lru_cache(maxsize=1)
def default_rules() -> Rules:
    """The rules that come with the package."""
    return parsed(DEFAULT.read_bytes(), DEFAULT.name, None)


def parsed(data: bytes, where: str, default: Rules | None) -> Rules:
    """Rules from TOML. where: the file's name in errors. Raises UserError."""
    try:
        values = tomllib.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{where} is not TOML ({error}); mend it.") from error
    known_only(values, ("version", "categories", "blocklist", "pictures", "provenance", "audit"), where)
    version = values.get("version")
    if not isinstance(version, str) or not version.strip() or len(version) > 64:
        raise UserError(f'{where} needs a version of up to 64 letters, such as version = "2026-11-27".')
    given = table(values, "categories", where)
    known_only(given, CATEGORIES, f"{where}, [categories]")
    rules = {
        name: rule(given[name], f"{where}, {name}", name, default)
        if name in given or default is None
        else default.categories[name]
        for name in CATEGORIES
    }
    blocklist = phrases(table(values, "blocklist", where), where)
    missing, guard, lettering = looking(table(values, "pictures", where), where)
    provenance = table(values, "provenance", where)
    known_only(provenance, ("mark",), f"{where}, [provenance]")
    mark = provenance.get("mark", default.mark if default else "auto")
    if mark not in ("auto", "on", "off"):
        raise UserError(f"{where}: mark under [provenance] is auto, on or off, not {mark!r}.")
    audit = table(values, "audit", where)
    known_only(audit, ("folder", "keep_days"), f"{where}, [audit]")
    folder, keep = audit.get("folder"), audit.get("keep_days")
    if not (folder is None or (isinstance(folder, str) and folder.strip())):
        raise UserError(f"{where}: folder under [audit] is a path in quotes.")
    try:
        place = Path(folder).expanduser() if folder else None
    except RuntimeError as error:
        raise UserError(
            f"{where}: the home folder in {folder!r} under [audit] is not known; write it out."
        ) from error
    if not (keep is None or (isinstance(keep, int | float) and not isinstance(keep, bool) and keep > 0)):
        raise UserError(f"{where}: keep_days under [audit] is a number over 0.")
    made = Rules(
        version=version.strip(),
        categories=rules,
        blocklist=blocklist,
        pictures=missing,
        guard=guard,
        lettering=lettering,
        mark=mark,
        audit=place,
        keep=keep,
    )
    return Rules(**{**vars(made), "version": f"{made.version}+{digest(made)}"})


def rule(value: Any, where: str, name: str, default: Rules | None) -> Rule:
    """A rule from "block" or { action = "block", threshold = 0.5, frames = 0.8 }. Raises UserError."""
    if isinstance(value, str):
        value = {"action": value}
    if not isinstance(value, dict):
        raise UserError(f"{where} is an action in quotes, or a table with action and threshold.")
    known_only(value, ("action", "threshold", "frames"), where)
    actions = (*ACTIONS, "rewrite") if name == "artist-style" else ACTIONS
    base = default.categories[name] if default else Rule(action="block")
    action = value.get("action", base.action)
    if action not in actions:
        raise UserError(f"{where}: the action is one of {', '.join(actions)}, not {action!r}.")
    if name == "minors" and action != "block":
        raise UserError(f"{where}: this category is always blocked; leave it out of the policy.")
    levels = {}
    for key, before in (("threshold", base.threshold), ("frames", base.frames)):
        level = value.get(key, before)
        if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level <= 1:
            raise UserError(f"{where}: {key} is a number over 0 and at most 1, not {level!r}.")
        if name == "minors" and level > before:
            raise UserError(f"{where}: {key} may only be lowered; it is {before:g} in the default policy.")
        levels[key] = float(level)
    return Rule(action=action, **levels)


def looking(values: dict[str, Any], where: str) -> tuple[str, str, bool]:
    """(missing, guard, lettering) of [pictures]. Raises UserError."""
    known_only(values, ("missing", "guard", "words"), f"{where}, [pictures]")
    missing, guard, words = (
        values.get(name, usual) for name, usual in (("missing", "allow"), ("guard", ""), ("words", "ignore"))
    )
    if missing not in ("allow", "block"):
        raise UserError(f"{where}: missing under [pictures] is allow or block, not {missing!r}.")
    if not isinstance(guard, str) or (guard and not re.fullmatch(r"[\w.]+:\w+", guard)):
        raise UserError(f'{where}: guard under [pictures] is a class such as "my_checks.pictures:Guard".')
    if words not in ("ignore", "read"):
        raise UserError(f"{where}: words under [pictures] is ignore or read, not {words!r}.")
    return missing, guard, words == "read"


def phrases(values: dict[str, Any], where: str) -> dict[str, tuple[str, ...]]:
    """The blocklist. Raises UserError."""
    known_only(values, CATEGORIES, f"{where}, [blocklist]")
    for name, words in values.items():
        if not isinstance(words, list) or not all(isinstance(one, str) and one.strip() for one in words):
            raise UserError(f"{where}: the blocklist of {name} is a list of words in quotes.")
        if empty := [one for one in words if not words_of(bare(fold(one)))]:
            raise UserError(f"{where}: {empty[0]!r} under {name} has no letters, so it would never be found.")
    return {name: tuple(words) for name, words in values.items()}


def table(values: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """A part of the file, empty where it is not there. Raises UserError."""
    found = values.get(name, {})
    if not isinstance(found, dict):
        raise UserError(f"{where}: {name} is a table, written under [{name}].")
    return found


def known_only(values: dict[str, Any], names: tuple[str, ...], where: str) -> None:
    """Raise UserError for a key that has no meaning: a misspelt rule would silently not hold."""
    if unknown := sorted(set(values) - set(names)):
        raise UserError(f"{where}: {unknown[0]!r} is not known here; use {', '.join(names)}.")


def digest(rules: Rules) -> str:
    """12 hex digits of the content that decides, so that two policies of one version are told apart."""
    content = {
        "categories": {name: vars(one) for name, one in rules.categories.items()},
        "blocklist": rules.blocklist,
        "pictures": (rules.pictures, rules.guard, rules.lettering),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
