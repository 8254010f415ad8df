"""`sorairo audit`: is the log of decisions whole, what is in it, and deleting texts from it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from sorairo.cli.terminal import safe
from sorairo.types import UserError

__all__ = ["app"]

VERIFY_EXAMPLES = """\b
Exits with 0 where the log is whole, with 1 where it is not.
Examples:
  sorairo audit verify
  sorairo audit verify /srv/sorairo/audit --expect 1204:5a90... --json
"""
EXPORT_EXAMPLES = """\b
Examples:
  sorairo audit export > log.jsonl
  sorairo audit export --since 2026-11-01 --verdict block -o blocked.csv
"""
DELETE_EXAMPLES = """\b
Only texts are deleted; the lines stay, so that the chain still verifies.
Examples:
  sorairo audit delete --older-than 90
  sorairo audit delete --who key_5f0c --yes
"""
COLUMNS = ("n", "time", "who", "verdict", "categories", "policy", "text", "asked", "prev", "hash")

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="FOLDER",
        help="Folder of the log. Default: the policy's, else sorairo-data/audit.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]

app = typer.Typer(help="The log of what the policy decided.", no_args_is_help=True)


def folder_of(named: Path | None) -> Path:
    """The folder of the log. Raises UserError where none is there."""
    from sorairo.safety.audit import CHAIN
    from sorairo.safety.rules import find_policy, read_rules

    policy = find_policy()
    folder = named or (read_rules(policy).audit if policy else None) or Path("sorairo-data") / "audit"
    if not (folder / CHAIN).is_file():
        raise UserError(f"There is no audit log in {folder}; name the folder that has {CHAIN}.")
    return folder


@app.command(epilog=VERIFY_EXAMPLES)
def verify(
    folder: Folder = None,
    expect: Annotated[
        str, typer.Option(metavar="N:HASH", help="An entry's hash as it was written down elsewhere.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Check every line of the log, and say which were torn, edited or removed."""
    from sorairo.safety import audit_check

    place = folder_of(folder)
    report = audit_check.verify(place, noted(expect) if expect else None)
    if as_json:
        values = {name: getattr(report, name) for name in ("entries", "n", "hash", "texts", "torn")}
        faults = [vars(fault) for fault in report.faults]
        print(json.dumps({"folder": str(place), "whole": not faults, **values, "faults": faults}))
    else:
        for fault in report.faults:
            print(f"line {fault.line}, byte {fault.byte}: {fault.kind}: {fault.what}")
        for line in report.torn:
            print(f"line {line}: a writer was cut off here; the next line records it")
        state = "whole" if not report.faults else f"{len(report.faults)} faults"
        print(f"{safe(place)}  {report.entries} entries, {report.texts} with their text: {state}")
        print(f"last entry {report.n}:{report.hash}")
    if report.faults:
        raise typer.Exit(1)


def noted(text: str) -> tuple[int, str]:
    """(number, hash) of N:HASH. Raises UserError."""
    found = re.fullmatch(r"(\d{1,15}):([0-9a-f]{64})", text.strip())
    if not found:
        raise UserError("--expect is NUMBER:HASH, as `sorairo audit verify` prints it in its last line.")
    return int(found[1]), found[2]


@app.command(epilog=EXPORT_EXAMPLES)
def export(
    folder: Folder = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The output: .jsonl or .csv. Default: JSON lines on stdout."
        ),
    ] = None,
    since: Annotated[str, typer.Option(metavar="DATE", help="From this day or moment on (UTC).")] = "",
    until: Annotated[str, typer.Option(metavar="DATE", help="Up to, not including, it.")] = "",
    who: Annotated[str, typer.Option(metavar="KEY", help="One caller's alone.")] = "",
    verdict: Annotated[str, typer.Option(metavar="ACTION", help="allow, flag, rewrite or block.")] = "",
) -> None:
    """Write the entries with the texts that are still there."""
    from sorairo.files import replacing
    from sorairo.safety import audit_check

    if out and out.suffix not in (".jsonl", ".csv"):
        raise UserError(f"{out.name}: the output is a .jsonl or a .csv file.")
    if verdict and verdict not in ("allow", "flag", "rewrite", "block", "deleted"):
        raise UserError(f"--verdict is allow, flag, rewrite, block or deleted, not {verdict!r}.")
    first, last = day(since, "--since"), day(until, "--until")

    def chosen() -> Iterator[dict[str, Any]]:
        for one in audit_check.records(folder_of(folder)):
            moment = str(one.get("time"))
            inside = (not first or moment >= first) and (not last or moment < last)
            named = (not who or one.get("who") == who) and (not verdict or one.get("verdict") == verdict)
            if inside and named:
                yield one

    if out is None:
        for one in chosen():
            print(json.dumps(one))
        return
    rows = list(chosen())
    text = as_csv(rows) if out.suffix == ".csv" else "".join(json.dumps(one) + "\n" for one in rows)
    with replacing(out) as path:
        path.write_text(text, encoding="utf-8", newline="")
    print(f"{safe(out)}  {len(rows)} entries")


def as_csv(rows: list[dict[str, Any]]) -> str:
    """A table; a cell that a spreadsheet would compute begins with an apostrophe."""
    file = io.StringIO()
    table = csv.writer(file)
    table.writerow(COLUMNS)
    for row in rows:
        cells = [
            json.dumps(row[name]) if name == "categories" and name in row else row.get(name)
            for name in COLUMNS
        ]
        table.writerow([f"'{cell}" if str(cell)[:1] in ("=", "+", "-", "@") else cell for cell in cells])
    return file.getvalue()


def day(text: str, option: str) -> str:
    """A date or moment as the log writes it. Raises UserError."""
    from datetime import datetime

    whole = re.fullmatch(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z?)?", text)
    try:
        moment = bool(whole and datetime.fromisoformat(text))
    except ValueError:  # no month has this day
        moment = False
    if text and not moment:
        raise UserError(f"{option} is a day such as 2026-11-27, or a moment such as 2026-11-27T06:30.")
    return text.rstrip("Z")


@app.command(epilog=DELETE_EXAMPLES)
def delete(
    folder: Folder = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, metavar="DAYS", help="Texts of more days ago.")
    ] = None,
    who: Annotated[str | None, typer.Option(metavar="KEY", help="Texts of one caller.")] = None,
    entry: Annotated[int | None, typer.Option(min=1, metavar="N", help="The text of one entry.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete texts. Where several options are there, all must hold."""
    import time

    from sorairo.safety.audit import AuditLog

    if older_than is None and who is None and entry is None:
        raise UserError("Say which texts: --older-than, --who or --entry.")
    place = folder_of(folder)
    if not (yes or typer.confirm("Delete these texts for good?", err=True)):
        raise UserError("Nothing was deleted.")
    before = None if older_than is None else time.time() - older_than * 86400
    count = AuditLog(place).delete(who=who, before=before, entry=entry)
    print(json.dumps({"deleted": count}) if as_json else f"{count} texts are deleted; the chain stands.")
