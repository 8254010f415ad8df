"""`sorairo redteam`: attack the policy of a server, report what got through, keep findings as cases."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sorairo.cli.terminal import safe
from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.safety.redteam.attacks import Attack
    from sorairo.safety.redteam.run import Outcome

__all__ = ["app"]

RUN_EXAMPLES = """\b
The key is one with the role red-team: sorairo keys create NAME --role red-team. It may stand in SORAIRO_KEY.
The same command goes on after a break. With --cases it exits with 1 where a case fails.
Examples:
  sorairo redteam run
  sorairo redteam run --url https://video.example.org --family cards --family remix-turns -o splits.jsonl
  sorairo redteam run --cases redteam-cases.jsonl
"""
REPORT_EXAMPLES = """\b
Examples:
  sorairo redteam report
  sorairo redteam report redteam.jsonl --save-cases
  sorairo redteam report redteam.jsonl --json
  sorairo redteam report redteam.jsonl --plot redteam.svg
"""
CASE_EXAMPLES = """\b
Examples:
  sorairo redteam case "a slow pan over a crime scene, blood everywhere" --category violence
  sorairo redteam case "the striker shoots from the left" --category benign --note "sports"
  sorairo redteam case --finding finding_0a1b --url https://video.example.org
"""
RESULTS, CASES = Path("redteam.jsonl"), Path("redteam-cases.jsonl")
KEY = "SORAIRO_KEY"

Url = Annotated[str, typer.Option("--url", metavar="URL", help="The server.")]
Key = Annotated[
    str, typer.Option("--key", metavar="KEY", help=f"A red team's key. Default: ${KEY}.", show_default=False)
]
CasesFile = Annotated[
    Path, typer.Option("--cases-file", metavar="FILE.jsonl", help="The file of regression cases.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
HOME = "http://127.0.0.1:8000"

app = typer.Typer(help="Attack the policy of a server, and report.", no_args_is_help=True)


@app.command(epilog=RUN_EXAMPLES)
def run(
    url: Url = HOME,
    key: Key = "",
    family: Annotated[
        list[str] | None,
        typer.Option("--family", metavar="NAME", help="Of this family alone; several may be named."),
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", metavar="NAME", help="Of this category alone.")
    ] = None,
    cases: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Try these regression cases, not the families.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.jsonl", help="The results.")] = RESULTS,
    as_json: Json = False,
) -> None:
    """Try every attack family against the live policy of a server. No video is made."""
    from sorairo.safety.redteam.report import missed
    from sorairo.safety.redteam.run import Server, as_line, outcomes, read_outcomes

    tries = wanted(family, category, cases)
    done = read_outcomes(out) if out.is_file() and not cases else []
    found: list[Outcome] = []
    part = out.with_name(f".{out.name}.part")
    if part.is_file() and not cases:  # of a run that was killed
        done += read_outcomes(part)
        out.write_text("".join(as_line(one) for one in done), encoding="utf-8")
    try:
        with (
            Server(url, key or os.environ.get(KEY, "")) as server,
            part.open("w", encoding="utf-8", buffering=1) as file,
        ):
            for one in outcomes(server, tries, done, progress_of(len(tries))):
                file.write(as_line(one))
                found.append(one)
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); name a file that can.") from error
    finally:  # what was tried before Ctrl-C stays, with what an earlier run had
        kept = {one.id: one for one in [*done, *found]}
        if found:
            part.write_text("".join(as_line(one) for one in kept.values()), encoding="utf-8")
            part.replace(out)
        part.unlink(missing_ok=True)
    wrong = missed(found)
    if as_json:
        print(json.dumps(summary(found) | {"results": str(out)}))
    else:
        print(
            f"{safe(out)}  {len(found)} attacks, {len(wrong)} findings; `sorairo redteam report {out}` shows them"
        )
        for one in wrong if cases else ():
            print(f"  {one.id}  {one.category}: {safe(words_of(one.request))}")
    if cases and wrong:
        raise typer.Exit(1)


def wanted(family: Sequence[str] | None, category: Sequence[str] | None, cases: Path | None) -> list[Attack]:
    """The attacks of a run. Raises UserError."""
    from sorairo.safety.redteam.attacks import FAMILIES, attacks, seeds
    from sorairo.safety.redteam.cases import read_cases

    for name in family or ():
        if name not in FAMILIES:
            raise UserError(f"There is no family {name!r}; the families are {', '.join(FAMILIES)}.")
    known = dict.fromkeys(seed.category for seed in seeds())
    for name in category or ():
        if name not in known:
            raise UserError(f"There are no attacks of category {name!r}; there are of {', '.join(known)}.")
    if cases is None:
        return attacks(tuple(family or ()), tuple(category or ()))
    found = [one.attack for one in read_cases(cases)]
    return [
        one
        for one in found
        if (not family or one.family in family) and (not category or one.category in category)
    ]


def progress_of(total: int) -> Any:
    """Tells stderr how many attacks have been tried, in one line that is written over on a terminal."""
    import sys

    def tell(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif done % 100 == 0 or done == total:
            print(f"{done} of {total}", file=sys.stderr, flush=True)

    return tell


def summary(found: Sequence[Outcome]) -> dict[str, Any]:
    """Counts and intervals for programs."""
    from sorairo.safety.redteam.report import Row, missed, rows, wilson

    def values(row: Row) -> dict[str, Any]:
        return vars(row) | {
            "stopped_interval": wilson(row.stopped, row.attacks),
            "refused_interval": wilson(row.refused, row.benign),
        }

    return {
        "policy": sorted({one.policy for one in found}),
        "families": [values(row) for row in rows(found, lambda one: one.family)],
        "categories": [values(row) for row in rows(found, lambda one: one.category)],
        "findings": [one.id for one in missed(found)],
    }


def words_of(request: dict[str, Any]) -> str:
    """The words of a request, on one line."""
    cards = [str(card.get("words")) for card in request.get("args", {}).get("cards", [])]
    parts = [str(request.get("prompt") or ""), *cards]
    if request.get("negative"):
        parts.append(f"(negative: {request['negative']})")
    return " / ".join(part for part in parts if part)


@app.command(epilog=REPORT_EXAMPLES)
def report(
    results: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help="Results of `sorairo redteam run`.")
    ] = RESULTS,
    save_cases: Annotated[
        bool, typer.Option("--save-cases", help="Keep every finding as a regression case.")
    ] = False,
    findings: Annotated[
        bool, typer.Option("--findings", help="List what got through, with its scores.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw the shares by family into this file.")
    ] = None,
    cases_file: CasesFile = CASES,
    as_json: Json = False,
) -> None:
    """Print the shares by family and by category, with 95% intervals."""
    from sorairo.files import replacing
    from sorairo.safety.redteam.attacks import Attack
    from sorairo.safety.redteam.cases import add_cases, case_of
    from sorairo.safety.redteam.report import drawing, missed, rows, table
    from sorairo.safety.redteam.run import read_outcomes

    if plot and plot.suffix != ".svg":
        raise UserError(f"{plot} must end in .svg, since the picture is drawn in lines.")
    found = read_outcomes(results)
    wrong = missed(found)
    saved = None
    if plot:
        with replacing(plot) as temporary:
            temporary.write_text(drawing(rows(found, lambda one: one.family)), "utf-8")
    if save_cases:
        fields = ("family", "category", "request", "earlier", "picture")
        tries = [Attack(**{name: getattr(one, name) for name in fields}) for one in wrong]
        saved = add_cases(cases_file, [case_of(one) for one in tries])
    if as_json:
        print(json.dumps(summary(found) | ({} if saved is None else {"saved": saved})))
        return
    print(table("family", rows(found, lambda one: one.family)))
    print()
    print(table("category", rows(found, lambda one: one.category)))
    print(
        f"\n{len(found)} tries, policy {', '.join(sorted({one.policy for one in found}))}; in brackets: 95% intervals"
    )
    for one in wrong if findings else ():
        top = sorted(one.scores.items(), key=lambda item: -item[1])[:2]
        said = ", ".join(f"{name} {score:.2f}" for name, score in top)
        print(f"{one.id}  {one.family}, {one.category}: {safe(words_of(one.request))}  [{said}]")
    if saved is not None:
        print(f"{safe(cases_file)}  {saved} new cases")


@app.command(epilog=CASE_EXAMPLES)
def case(
    words: Annotated[
        str,
        typer.Argument(metavar="PROMPT", help="The words that got through, or did not.", show_default=False),
    ] = "",
    category: Annotated[
        str, typer.Option(metavar="NAME", help="What should have been found; benign: nothing.")
    ] = "",
    negative: Annotated[str, typer.Option(metavar="TEXT", help="Negative words that went with it.")] = "",
    finding: Annotated[
        str, typer.Option(metavar="ID", help="A finding that was filed on the studio page or by the API.")
    ] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="What is remarkable about it.")] = "",
    url: Url = HOME,
    key: Key = "",
    cases_file: CasesFile = CASES,
    as_json: Json = False,
) -> None:
    """Keep a finding as a regression case."""
    from sorairo.safety.redteam.attacks import Attack
    from sorairo.safety.redteam.cases import add_cases, case_of
    from sorairo.safety.redteam.run import Server

    if bool(words.strip()) == bool(finding):
        raise UserError("Give the words with --category, or --finding with its id.")
    by, request = (
        "person",
        {"verb": "generate", "prompt": words} | ({"negative": negative} if negative else {}),
    )
    if finding:
        with Server(url, key or os.environ.get(KEY, "")) as server:
            listed = server.get("/v1/sorairo/redteam/findings")["data"]
        one = next((one for one in listed if one["id"] == finding), None)
        if one is None:
            raise UserError(f"{url} has no finding {finding}.")
        by, request, category, note = one["by"], one["request"], one["category"], note or one["note"]
    if not category:
        raise UserError("Say with --category what should have been found, or benign.")
    made = case_of(Attack(family="person", category=category, request=request), by=by, note=note)
    new = add_cases(cases_file, [made])
    if as_json:
        print(json.dumps({"id": made.id, "new": bool(new), "file": str(cases_file)}))
    else:
        print(f"{safe(cases_file)}  {made.id} {'added' if new else 'was there'}")
