"""Regression cases: findings that must never come back, one JSON line each."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sorairo.safety.categories import CATEGORIES
from sorairo.safety.redteam.attacks import BENIGN, Attack
from sorairo.types import UserError

__all__ = ["Case", "add_cases", "case_of", "read_cases"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """category: what should be found, or benign for what should pass. by: who filed it. family: how it was made."""

    id: str
    category: str
    request: dict[str, Any]
    family: str = "person"
    earlier: tuple[str, ...] = ()
    picture: str | None = None
    by: str = "harness"
    date: str = ""
    note: str = ""

    @property
    def attack(self) -> Attack:
        """The case as an attack."""
        return Attack(
            family=self.family,
            category=self.category,
            request=self.request,
            earlier=self.earlier,
            picture=self.picture,
        )


def case_of(attack: Attack, *, by: str = "harness", note: str = "") -> Case:
    """A case of today. Raises UserError for a category that there is not."""
    if attack.category not in (*CATEGORIES, BENIGN):
        names = ", ".join([*CATEGORIES, BENIGN])
        raise UserError(f"There is no category {attack.category!r}; the categories are {names}.")
    if attack.category == "minors":
        raise UserError("No example of this category is written down; file it with the operator in person.")
    return Case(
        id=attack.id,
        category=attack.category,
        request=attack.request,
        family=attack.family,
        earlier=attack.earlier,
        picture=attack.picture,
        by=by,
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        note=note,
    )


def read_cases(path: Path) -> list[Case]:
    """The cases of a file. Raises UserError that names the line."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a file of cases.") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            found.append(checked(Case(**values | {"earlier": tuple(values.get("earlier", ()))})))
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{path}, line {number}: this is no case.") from error
    return found


def checked(case: Case) -> Case:
    """The case. Raises ValueError where a field is of another kind, or its category is none."""
    words = (case.id, case.family, case.by, case.date, case.note, *case.earlier, case.picture or "")
    if not all(isinstance(word, str) for word in words) or not isinstance(case.request, dict):
        raise ValueError("a field is of another kind")
    if case.category not in (*CATEGORIES, BENIGN):
        raise ValueError("no such category")
    return case


def add_cases(path: Path, cases: Iterable[Case]) -> int:
    """Append the cases that are not there yet; returns how many. Raises UserError."""
    known = {one.id for one in read_cases(path)} if path.is_file() else set()
    new = [one for one in {case.id: case for case in cases}.values() if one.id not in known]
    text = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in new)
    try:
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, 2)
                text = text if file.read() == b"\n" else "\n" + text  # an editor left the last line open
            file.write(text.encode())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); name a file that can.") from error
    return len(new)
