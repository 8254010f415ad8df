"""`sorairo audit`: exit codes, exports, deletion."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.test_generate_command import Done
from tests.cli.test_generate_command import sorairo as sorairo  # the fixture
from tests.safety.test_audit import filled

HOME = Path("sorairo-data/audit")


def test_verify(sorairo: Callable[..., Done]) -> None:
    assert "There is no audit log in sorairo-data/audit" in sorairo("audit", "verify").err
    filled(HOME)
    done = sorairo("audit", "verify")
    assert done.code == 0 and "6 entries, 6 with their text: whole" in done.out
    last = done.out.split("last entry ")[1].strip()
    assert sorairo("audit", "verify", "--expect", last).code == 0
    assert sorairo("audit", "verify", "--expect", "9").code == 2
    path = HOME / "chain.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"who":"key_1"', b'"who":"key_9"', 1))
    done = sorairo("audit", "verify", "--json")
    values = json.loads(done.out)
    assert done.code == 1 and not values["whole"]
    assert (values["faults"][0]["line"], values["faults"][0]["kind"]) == (2, "edited")
    assert "line 2, byte" in sorairo("audit", "verify", str(HOME)).out


def test_export_and_delete(sorairo: Callable[..., Done]) -> None:
    filled(HOME)
    lines = [json.loads(line) for line in sorairo("audit", "export", "--who", "key_1").out.splitlines()]
    assert [one["text"] for one in lines] == ["words 1", "words 3", "words 5"]
    assert sorairo("audit", "export", "--verdict", "allow").out == ""
    assert sorairo("audit", "export", "--since", "2999-01-01").out == ""
    assert len(sorairo("audit", "export", "--until", "2999-01-01T00:00Z").out.splitlines()) == 6
    assert sorairo("audit", "export", "-o", "log.csv").code == 0
    with open("log.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 6 and table[0]["categories"] == '{"violence": "block"}'
    for wrong in (
        ("-o", "log.txt"),
        ("--since", "soon"),
        ("--since", "2026-13-01"),
        ("--until", "2026-02-30T10:00"),
        ("--verdict", "maybe"),
    ):
        assert sorairo("audit", "export", *wrong).code == 2
    assert sorairo("audit", "delete").code == 2
    assert "3 texts are deleted" in sorairo("audit", "delete", "--who", "key_1", "--yes").out
    assert json.loads(sorairo("audit", "delete", "--older-than", "0", "--yes", "--json").out) == {
        "deleted": 3
    }
    assert "8 entries, 0 with their text: whole" in sorairo("audit", "verify").out
