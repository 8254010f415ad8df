"""Train the guard of prompts: written prompts -> a head on the encoder's vectors and the word lists.

    python recipes/guard.py count             (how many prompts there are)
    python recipes/guard.py train             (guard_prompts/*.txt; two processor minutes, most of them the encoder's)
    python bench/guard.py                     (the tables of docs/guards.md, on guard_prompts/held_out)

guard_prompts/ is written by hand: terse, nothing graphic, no slur spelt out, nobody under age. Held out are whole
families of wordings, three names in ten and some that no list has, and two languages. The encoder: guard_encoder.py.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from sorairo.safety.head import Head
from sorairo.safety.lexicon import COUNTED
from sorairo.safety.prompts import WordGuard

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = Path(__file__).resolve().parent / "guard_prompts"
SAFETY = ROOT / "src/sorairo/safety"
CACHE = ROOT / "runs/guard"
LANGUAGES = ("en", "es", "fr", "de", "zh", "ru")
SEED = 17
BATCH = 256
COPIES = {"artist-style": 4, "likeness": 3, "injection": 2}
"""How often a line with a slot is filled, by its category; 2 otherwise."""

WRAPS = {
    "en": ["{}, cinematic, 4k", "A video of {}", "Create a clip: {}", "{}. Shot on 35mm film.", "make me a video: {}",
           "{}, photorealistic", "short film: {}", "please generate {}", "{}, anime style", "{}, slow motion, close-up",
           "Scene: {}. Handheld camera.", "I want to see {}", "{} | 8 seconds | realistic", "wide shot, {}"],
    "es": ["vídeo: {}", "{}, realista, 4k", "quiero ver {}", "{}. Plano cercano."],
    "fr": ["vidéo : {}", "{}, réaliste, 4k", "je veux voir {}", "{}. Gros plan."],
    "de": ["Video: {}", "{}, realistisch, 4k", "ich will sehen: {}", "{}. Nahaufnahme."],
    "zh": ["视频：{}", "{}，逼真，4k", "我想看{}", "{}。特写。"],
    "ru": ["видео: {}", "{}, реалистично, 4k", "хочу увидеть: {}", "{}. Крупный план."],
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One written prompt. labels: what it asks for, none for a benign one. near: what a benign one looks like."""

    text: str
    labels: frozenset[str]
    near: str
    family: str
    language: str
    line: str


def read(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """(labels, family, language, line) of a file of guard_prompts, slots unfilled."""
    language, labels, family = (path.stem if len(path.stem) == 2 else "en"), "", ""
    for line in path.read_text("utf-8").splitlines():
        if re.fullmatch(r"# [a-z]{2}", line):
            language = line[2:]
        elif line.startswith("@ "):
            labels, family = line[2:].rsplit(" ", 1)
        elif line and line[0] not in "#=":
            yield labels, family, language, line


def slots(path: Path) -> dict[str, list[str]]:
    lines = [line[2:].split(":", 1) for line in path.read_text("utf-8").splitlines() if line.startswith("= ")]
    return {name.strip(): [word.strip() for word in words.split(" | ")] for name, words in lines}


def names() -> dict[str, list[str]]:
    """The guard's own lists of names, seven of ten for training."""
    lists = tomllib.loads((SAFETY / "words/names.toml").read_text("utf-8"))
    found = {}
    for slot, key in (
        ("celebrity", "people"),
        ("artist", "artists"),
        ("dead", "dead"),
        ("other", "people_other"),
    ):
        words = [word for word in lists[key].replace("\n", "").split("|") if word]
        found[slot] = [word for word in words if hashlib.sha256(word.encode()).digest()[0] % 10 < 7]
    return found


def script(word: str) -> str:
    return (
        "zh"
        if re.search(r"[\u4e00-\u9fff]", word)
        else "ru"
        if re.search(r"[\u0400-\u04ff]", word)
        else "latin"
    )


def fill(line: str, language: str, tables: dict[str, list[str]], rng: random.Random) -> str:
    def choose(found: re.Match[str]) -> str:
        slot = found[1]
        if slot in ("celebrity", "artist", "dead"):
            wanted = language if language in ("zh", "ru") and rng.random() < 0.6 else "latin"
            pool = tables[slot] + (tables["other"] if slot == "celebrity" and wanted != "latin" else [])
            word = rng.choice([word for word in pool if script(word) == wanted])
            return word.title() if rng.random() < 0.7 else word
        return rng.choice(tables.get(f"{language}.{slot}") or tables[slot])

    return re.sub(r"\{(\w+)\}", choose, line)


def training() -> list[Prompt]:
    """All prompts for training, grammar expanded; the same ones every time."""
    rng = random.Random(SEED)
    shared = slots(PROMPTS / "lists.txt") | names()
    prompts: dict[str, Prompt] = {}
    for name in (*LANGUAGES, "general", "more", "others"):
        path = PROMPTS / f"{name}.txt"
        tables = shared | slots(path)
        for labels, family, language, line in read(path):
            benign = labels.startswith("benign")
            near = labels.partition(":")[2] or "general" if benign else ""
            wanted = frozenset() if benign else frozenset(labels.split("+"))
            copies = COPIES.get(labels.removeprefix("benign:"), 2) if "{" in line else 1
            for copy in range(copies):
                text = fill(line, language, tables, rng)
                forms = [text] if copy else [text, rng.choice(WRAPS.get(language, ["{}"])).format(text)]
                for form in forms:
                    prompts[form] = Prompt(
                        text=form,
                        labels=wanted,
                        near=near,
                        family=f"{labels} {family}",
                        language=language,
                        line=line,
                    )
    return list(prompts.values())


def mangled(text: str, rng: random.Random) -> str:
    """A prompt with slips of the pen and disguises."""
    way = rng.choice(("slip", "slip", "slip", "leet", "spaced", "lookalike", "hidden", "dots", "stretched"))
    words = text.split(" ")
    long = [place for place, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    for place in rng.sample(long, max(1, len(long) // (2 if way == "slip" else 1)) if long else 0):
        words[place] = _mangle(words[place], way, rng)
    return " ".join(words)


def _mangle(word: str, way: str, rng: random.Random) -> str:
    place = rng.randrange(1, len(word) - 1)
    if way == "slip":
        kind = rng.randrange(4)
        letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
        return [
            word[:place] + word[place + 1 :],
            word[:place] + letter + word[place:],
            word[:place] + letter + word[place + 1 :],
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
        ][kind]
    if way == "leet":
        return word.translate(str.maketrans("oieast", "013457"))
    if way == "spaced":
        return " " + " ".join(word) + " "
    if way == "lookalike":
        return word.translate(str.maketrans("aeopcyx", "аеорсух"))
    if way == "hidden":
        return word[:place] + "\u200b" + word[place:]
    if way == "dots":
        return rng.choice(".-_").join(word)
    return word[:place] + word[place] * 3 + word[place:]


def augmented(prompts: list[Prompt]) -> list[Prompt]:
    """Some prompts once more, misspelt, and some between ordinary sentences."""
    rng = random.Random(SEED + 1)
    ordinary = [prompt.text for prompt in prompts if prompt.family == "benign general"]
    more = []
    for prompt in prompts:
        chance = rng.random()
        if chance < 0.2 and prompt.language != "zh":
            more.append(Prompt(**(vars(prompt) | {"text": mangled(prompt.text, rng)})))
        elif chance < 0.3 and prompt.language == "en":
            parts = [prompt.text, rng.choice(ordinary)]
            rng.shuffle(parts)
            more.append(Prompt(**(vars(prompt) | {"text": ". ".join(parts)})))
    return prompts + more


def encoded(guard: WordGuard, prompts: list[Prompt]) -> Tensor:
    """Features of prompts as the guard reads them, corrected (b f); vectors are kept in runs/guard."""
    readings = [guard.readings(prompt.text)[-1] for prompt in prompts]
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "vectors.pt"
    known: dict[str, Tensor] = torch.load(path) if path.exists() else {}
    missing = sorted({text for text in readings if text not in known}, key=len)
    for start in range(0, len(missing), 32):
        texts = missing[start : start + 32]
        vectors = guard.judge.encoder.vectors([guard.judge.encoder.ids(text) for text in texts])
        known |= dict(zip(texts, vectors.half(), strict=True))
        if start % 640 == 0:
            print(f"{start} of {len(missing)} prompts encoded", flush=True)
    torch.save(known, path)
    print("all prompts encoded", flush=True)
    lists = torch.tensor([guard.lexicon.features(text) for text in readings])
    return torch.cat([torch.stack([known[text].float() for text in readings]), lists], 1)


def targets(prompts: list[Prompt]) -> tuple[Tensor, Tensor]:
    """(labels, weights), both (b k): a harmful prompt says little about the categories that it is not of."""
    labels = torch.zeros(len(prompts), len(COUNTED))
    weights = torch.ones(len(prompts), len(COUNTED))
    for row, prompt in enumerate(prompts):
        if prompt.labels:
            weights[row] = 0.0 if "injection" in prompt.labels else 0.1
            for label in prompt.labels:
                labels[row, COUNTED.index(label)] = 1
                weights[row, COUNTED.index(label)] = 1
        elif prompt.near == COUNTED[-1]:
            weights[row] = 1
    return labels, weights


def fit(
    x: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    seed: int,
    epochs: int = 40,
    width: int = 96,
    decay: float = 3e-3,
) -> dict[str, Tensor]:
    """A head's tensors, uncalibrated."""
    torch.manual_seed(seed)
    mean, scale = x.mean(0), 1 / (x.std(0) + 0.02)
    z = (x - mean) * scale
    f, k = x.shape[1], labels.shape[1]
    parameters = {
        "weight1": torch.randn(width, f) / f**0.5,
        "bias1": torch.zeros(width),
        "weight2": torch.randn(k, width) / width**0.5 * 0.1,
        "linear": torch.zeros(k, f),
        "bias2": torch.full((k,), -2.0),
    }
    for tensor in parameters.values():
        tensor.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters.values(), lr=2e-3, weight_decay=decay)
    positive = ((1 - labels) * weights).sum(0) / (labels * weights).sum(0)
    weights = weights * torch.where(labels > 0, positive.sqrt(), 1.0)
    steps = epochs * (len(z) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(steps):
        rows = torch.randint(len(z), (BATCH,))
        noisy = F.dropout(z[rows], 0.2)
        hidden = F.dropout(torch.relu(noisy @ parameters["weight1"].T + parameters["bias1"]), 0.3)
        logits = hidden @ parameters["weight2"].T + noisy @ parameters["linear"].T + parameters["bias2"]
        loss = (
            F.binary_cross_entropy_with_logits(logits, labels[rows], reduction="none") * weights[rows]
        ).mean()
        loss = loss + 1e-4 * parameters["linear"].abs().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return {"mean": mean, "scale": scale} | {name: tensor.detach() for name, tensor in parameters.items()}


def platt(logits: Tensor, labels: Tensor, weights: Tensor) -> tuple[float, float]:
    """The slope and the offset, one for all categories, by which log odds fit labels best. Source: Platt 1999."""
    chosen = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([chosen], max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        scaled = logits * chosen[0] + chosen[1]
        loss = (F.binary_cross_entropy_with_logits(scaled, labels, reduction="none") * weights).mean()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    slope, offset = chosen.tolist()
    return slope, offset


def calibrated(head: dict[str, Tensor], x: Tensor, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """A head with the slope and offset (one for all categories) that fit prompts it was not trained on."""
    k = labels.shape[1]
    flat = head | {"slope": torch.ones(k), "offset": torch.zeros(k)}
    slope, offset = platt(Head(**flat).logits(x), labels, weights)
    print(f"calibration: slope {slope:.2f}, offset {offset:.2f}")
    return flat | {"slope": torch.full((k,), slope), "offset": torch.full((k,), offset)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", choices=("count", "train"), help="Print how many prompts there are, or train the head."
    )
    what = parser.parse_args().what
    prompts = training()
    harmful = sum(bool(prompt.labels) for prompt in prompts)
    print(f"{len(prompts)} prompts, {harmful} harmful, {len(prompts) - harmful} benign")
    if what == "count":
        return
    everything = augmented(prompts)
    x = encoded(WordGuard(), everything)
    labels, weights = targets(everything)
    kept_back = torch.tensor(
        [hashlib.sha256(prompt.line.encode()).digest()[0] % 10 == 0 for prompt in everything]
    )
    head = fit(x[~kept_back], labels[~kept_back], weights[~kept_back], seed=SEED)
    head = calibrated(head, x[kept_back], labels[kept_back], weights[kept_back])
    path = SAFETY / "weights/head.safetensors"
    save_file({name: tensor.half().contiguous() for name, tensor in head.items()}, path)
    scores, benign = Head.load()(x[kept_back]).amax(1), labels[kept_back].sum(1) == 0
    for limit in (0.4, 0.5, 0.6, 0.7):
        print(
            f"lines kept back, at {limit}: {(scores[~benign] >= limit).float().mean():.3f} of the harmful refused, "
            f"{(scores[benign] >= limit).float().mean():.3f} of the benign"
        )


if __name__ == "__main__":
    main()
