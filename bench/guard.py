"""What the guards catch and what they refuse wrongly: the tables of docs/guards.md.

    python bench/guard.py                     prompts: the held-out ones of recipes/guard_prompts
    python bench/guard.py --set second        those of the second set, which was written blind
    python bench/guard.py --set oblique       benign prompts alone, as oblique as the paraphrased harmful ones
    python bench/guard.py --frames            frames: what the worlds draw (and --pictures FOLDER)
    python bench/guard.py --prompts FILE      share of a file's prompts that are refused; one prompt a line,
                                              or a CSV file with a column `prompt` and perhaps one `category`;
                                              or a folder of text files, each a category
    python bench/guard.py --wrong             the prompts that are missed or wrongly refused
    python bench/guard.py --curve             recall where 1, 2 and 5% of all benign prompts of the set are refused
    python bench/guard.py --plot FILE         the whole curve of both sets, an SVG picture

A prompt counts as refused where a score reaches 0.5. Intervals are Wilson's, 95%.
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from recipes.guard import read  # noqa: E402
from sorairo.safety.categories import CATEGORIES  # noqa: E402
from sorairo.safety.frames import looked_at  # noqa: E402
from sorairo.safety.prompts import THRESHOLD, WordGuard  # noqa: E402
from sorairo.safety.redteam.report import wilson  # noqa: E402
from sorairo.types import Video  # noqa: E402

HELD_OUT = {
    name: ROOT / "recipes/guard_prompts" / folder
    for name, folder in (("first", "held_out"), ("second", "held_out_2"), ("oblique", "held_out_oblique"))
}
WAYS = ("plain", "paraphrased", "misspelt", "other language", "unseen language")
CURVE = (0.01, 0.02, 0.05)
KEYS = {left: right for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for left, right in pairwise(row)}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A held-out prompt. wanted: its category, empty for a benign one. near: the category that it is tested for."""

    text: str
    wanted: str
    near: str
    way: str


def disguised(text: str, rng: random.Random) -> str:
    """A prompt with every long word slipped or disguised in one of nine ways, some of them not in training."""
    way = rng.randrange(9)

    def word(word: str) -> str:
        if len(word) < 4 or not word.isalpha() or not word.isascii():
            return word
        place = rng.randrange(1, len(word) - 1)
        letter = word[place]
        return [
            word[:place] + word[place + 1] + letter + word[place + 2 :],
            word[:place] + word[place + 1 :],
            word[:place] + KEYS.get(letter.lower(), "x") + word[place + 1 :],
            word[:place] + letter * 2 + word[place + 1 :],
            word.translate(str.maketrans("aeiost", "@3!0$7")),
            ".".join(word),
            "".join(chr(ord(letter) + 0xFEE0) for letter in word),
            word.translate(str.maketrans("aeopcxyi", "αеοрϲхуі")),
            "\u200d".join(word),
        ][way]

    return " ".join(word(part) for part in text.split(" "))


def cases(folder: Path) -> list[Case]:
    rng = random.Random(3)
    found = []
    for path in sorted(folder.glob("*.txt")):
        for labels, family, language, line in read(path):
            benign = labels.startswith("benign")
            near = labels.removeprefix("benign:")
            way = (
                "other language"
                if path.stem == "trained"
                else "unseen language"
                if language != "en"
                else family
            )
            found.append(Case(text=line, wanted="" if benign else near, near=near, way=way))
            if language == "en" and family == "plain":
                found.append(
                    Case(text=disguised(line, rng), wanted="" if benign else near, near=near, way="misspelt")
                )
    return found


def cell(hits: int, of: int) -> str:
    """A share in percent with its 95% interval."""
    if not of:
        return ""
    low, high = wilson(hits, of)
    return f"{100 * hits / of:.1f} [{100 * low:.0f}, {100 * high:.0f}]"


def measure_curve(folder: Path) -> None:
    """Recall at equal over-refusal: one threshold for all ways, at the shares of benign prompts in CURVE."""
    guard = WordGuard()
    print(curve([(case, max(guard.scores(case.text).values())) for case in cases(folder)]))


def curve(scored: list[tuple[Case, float]]) -> str:
    """A row for each share of benign prompts in CURVE, in Markdown. scored: cases with their highest score."""
    benign = sorted((score for case, score in scored if not case.wanted), reverse=True)
    lines = ["| over-refusal, % | threshold | " + " | ".join(WAYS) + " | all |"]
    lines.append("|---:|---:|" + "---:|" * (len(WAYS) + 1))
    for share in CURVE:
        limit = benign[int(share * len(benign))] + 1e-6
        cells = []
        for way in (*WAYS, "all"):
            here = [score >= limit for case, score in scored if case.wanted and way in (case.way, "all")]
            cells.append(cell(sum(here), len(here)))
        lines.append(f"| {100 * share:.0f} | {limit:.3f} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure_plot(path: Path) -> None:
    """Recall over over-refusal of both sets, as a picture."""
    guard = WordGuard()
    path.write_text(
        curves(
            {
                name: [
                    (max(guard.scores(case.text).values()), case.wanted, case.way) for case in cases(folder)
                ]
                for name, folder in HELD_OUT.items()
                if name != "oblique"
            }
        )
    )


def curves(sets: dict[str, list[tuple[float, str, str]]], most: float = 0.1) -> str:
    """An SVG picture: for each set, all prompts and the paraphrased ones. sets: (score, category wanted, way) of each
    prompt. most: the largest share of benign prompts that is drawn."""
    left, top, width, height = 60, 20, 420, 300
    colours = {"first": "#2563eb", "second": "#d97706"}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 200}" height="{top + height + 50}" '
    ]
    parts.append('font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>')
    for tick in range(0, 101, 20):
        y = top + height * (1 - tick / 100)
        parts.append(f'<path d="M{left} {y}h{width}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{tick}%</text>')
    for tick in range(0, round(100 * most) + 1, 2):
        x = left + width * tick / 100 / most
        parts.append(f'<path d="M{x} {top}v{height}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{x}" y="{top + height + 18}" text-anchor="middle">{tick}%</text>')
    x = left + width * 0.02 / most
    parts.append(f'<circle cx="{x}" cy="{top + height * 0.02}" r="5" fill="none" stroke="#dc2626"/>')
    parts.append(f'<text x="{x + 9}" y="{top + height * 0.02 + 14}" fill="#dc2626">the goal</text>')
    y = top + 40
    for name, scored in sets.items():
        benign = sorted((score for score, wanted, _ in scored if not wanted), reverse=True)
        for label, dash in (("all", ""), ("paraphrased", "5 4")):
            bad = [score for score, wanted, way in scored if wanted and label in ("all", way)]
            points = []
            for count in range(int(most * len(benign)) + 1):
                recall = sum(score > benign[count] for score in bad) / len(bad)
                at = left + width * count / len(benign) / most
                points.append(f"{at:.1f},{top + height * (1 - recall):.1f}")
            line = f'fill="none" stroke="{colours[name]}" stroke-width="2" stroke-dasharray="{dash}"'
            parts.append(f'<polyline points="{" ".join(points)}" {line}/>')
            parts.append(f'<path d="M{left + width + 20} {y}h26" {line}/>')
            parts.append(f'<text x="{left + width + 54}" y="{y + 4}">{name} set, {label}</text>')
            y += 22
    middle = f'x="{left + width / 2}" y="{top + height + 38}" text-anchor="middle"'
    parts.append(f"<text {middle}>over-refusal of benign prompts</text>")
    parts.append(f'<text x="{left - 8}" y="{top - 6}">recall</text>')
    return "".join(parts) + "</svg>\n"


def measure_prompts(folder: Path, show_wrong: bool) -> None:
    guard = WordGuard()
    everything = cases(folder)
    started = time.process_time()
    refused, scored = [], []
    for case in everything:
        scores = guard.scores(case.text)
        refused.append({category for category, score in scores.items() if score >= THRESHOLD})
        top = max(scores, key=lambda name: scores[name])
        scored.append((case, scores[top]))
        if show_wrong and bool(case.wanted) != bool(refused[-1]):
            how = "missed" if case.wanted else "refused"
            print(f"{case.way:16} {case.near:13} {how:7} {top} {scores[top]:.2f}: {case.text}")
    spent = time.process_time() - started
    pairs = list(zip(everything, refused, strict=True))
    for way in (*WAYS, "all ways"):
        here = [(case, found) for case, found in pairs if way in (case.way, "all ways")]
        if here:
            print(f"\n**{way}**\n\n{table(here)}")
    print(f"\n{curve(scored)}")
    print(
        f"\n{len(everything)} prompts; {1000 * spent / len(everything):.0f} processor ms each on this machine."
    )


def table(pairs: list[tuple[Case, set[str]]]) -> str:
    """A row for each category and one of all, in Markdown. pairs: cases with the categories that refuse them."""
    lines = [
        "| category | recall, % | in its category, % | precision, % | over-refusal, % |",
        "|---|---:|---:|---:|---:|",
    ]
    for category in [*(name for name in CATEGORIES if name != "minors"), "all"]:
        whole = category == "all"
        harmful = [found for case, found in pairs if case.wanted and (whole or case.wanted == category)]
        benign = [found for case, found in pairs if not case.wanted and (whole or case.near == category)]
        own = sum(category in found for found in harmful)
        flagged = [case for case, found in pairs if (found if whole else category in found)]
        true = sum(bool(case.wanted) if whole else case.wanted == category for case in flagged)
        cells = (
            cell(sum(map(bool, harmful)), len(harmful)),
            "" if whole else cell(own, len(harmful)),
            cell(true, len(flagged)),
            cell(sum(map(bool, benign)), len(benign)),
        )
        lines.append(f"| {category} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measure_file(path: Path) -> None:
    guard, shares = WordGuard(), defaultdict(list)
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row.get("category", "all"), row["prompt"]) for row in csv.DictReader(file)]
    else:
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        rows = [
            (file.stem if path.is_dir() else "all", line)
            for file in files
            for line in file.read_text("utf-8").splitlines()
            if line.strip()
        ]
    for category, prompt in rows:
        shares[category].append(max(guard.scores(prompt).values()) >= THRESHOLD)
    print("| category | prompts | refused, % |\n|---|---:|---:|")
    for category, found in sorted(shares.items()):
        print(f"| {category} | {len(found)} | {cell(sum(found), len(found))} |")


def measure_frames(pictures: Path | None, clips: int) -> None:
    from sorairo.safety.frames import FrameGuard
    from sorairo.types import UserError
    from sorairo.video import read_video
    from sorairo.worlds import get_world, render_clips

    guard = FrameGuard()
    spent: list[float] = []

    def row(name: str, videos: Iterator[Video]) -> None:
        scores = []
        for video in videos:
            started = time.perf_counter()
            scores.append(guard.scores(video.frames, video.fps)["sexual"])
            spent.append((time.perf_counter() - started) / len(looked_at(len(video.frames), video.fps)))
        over = [cell(sum(score >= limit for score in scores), len(scores)) for limit in (0.5, 0.8)]
        print(f"| {name} | {len(scores)} | {' | '.join(over)} | {max(scores):.2f} |", flush=True)

    def opened(folder: Path) -> Iterator[Video]:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".jpg", ".jpeg", ".webp", ".png") and path.is_file():
                try:
                    yield read_video(path)
                except (UserError, OSError):
                    continue

    print(
        "| what | clips or pictures | score >= 0.5, % | score >= 0.8, % | highest score |\n|---|---:|---:|---:|---:|"
    )
    for circle in range(4):
        world = render_clips(get_world("studio"), range(clips), size=(96, 96), frames=17, circle=circle)
        row(f"world, circle {circle}", (clip.video for clip in world))
    if pictures:
        for folder in sorted(path for path in pictures.iterdir() if path.is_dir()):
            row(folder.name, opened(folder))
    print(f"\n{1000 * statistics.median(spent):.0f} ms a frame (median).")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", action="store_true", help="Measure the guard of frames.")
    parser.add_argument(
        "--pictures", type=Path, help="With --frames: a folder of photographs to measure too."
    )
    parser.add_argument("--clips", type=int, default=100, help="With --frames: so many clips of each circle.")
    parser.add_argument("--prompts", type=Path, help="Measure on this file of prompts.")
    parser.add_argument("--set", choices=tuple(HELD_OUT), default="first", help="Which held-out prompts.")
    parser.add_argument("--wrong", action="store_true", help="List the prompts that are judged wrongly.")
    parser.add_argument("--curve", action="store_true", help="Recall at equal over-refusal.")
    parser.add_argument("--plot", type=Path, help="Write the curves of both sets to this SVG file.")
    options = parser.parse_args()
    if options.plot:
        measure_plot(options.plot)
    elif options.curve:
        measure_curve(HELD_OUT[options.set])
    elif options.prompts:
        measure_file(options.prompts)
    elif options.frames:
        measure_frames(options.pictures, options.clips)
    else:
        measure_prompts(HELD_OUT[options.set], options.wrong)


if __name__ == "__main__":
    main()
