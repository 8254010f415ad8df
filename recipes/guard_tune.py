"""Train the upper layers of the guard's encoder together with its head: low-rank additions beside the four-bit weights.

    python -m recipes.guard_tune              (all files of guard_prompts but the held-out ones; 15 processor minutes)
    python bench/guard.py --curve             (recall over over-refusal, on the held-out sets)

Writes weights/taught.safetensors: the additions and the head, float16. The guard takes the mean of its log odds and of
those of the head of guard.py, whose encoder is not trained. The states below the first trained layer are computed once.
Each line is seen once an epoch, in one of its forms: filled another way, between other words, misspelt. The word lists'
part is left out in some rows, so that the encoder cannot lean on it. Whole families of wordings are kept back, and the
epoch is chosen by the recall on these. A tenth of the other lines is kept back too; the head's own threshold is set on
these, read as the guard reads them, so that 2% of the look-alikes score 0.5 or more.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.guard import (
    CACHE,
    PROMPTS,
    SAFETY,
    SEED,
    WRAPS,
    Prompt,
    fill,
    mangled,
    names,
    platt,
    read,
    slots,
    targets,
    training,
)
from sorairo.safety.encoder import Encoder
from sorairo.safety.head import LEAN, Head
from sorairo.safety.lexicon import FEATURES
from sorairo.safety.normalise import fold
from sorairo.safety.prompts import WordGuard

FURTHER = ("en", "trained", "acts", "scenes")
MATRICES = ("q", "v", "up", "down")
FORMS = 2
"""How many forms of a line are prepared."""
FAMILY = 4
"""Which byte of a family's hash says whether it is kept back."""
CURVE = (0.01, 0.02, 0.05)
OVER = 0.02
"""The share of look-alikes that may be refused."""
TOGETHER = 1200
"""Tokens of a batch, about."""


def lines() -> list[list[Prompt]]:
    """Every line in FORMS forms: as it is, and filled again, wrapped, misspelt or among others."""
    rng = random.Random(SEED)
    shared = slots(PROMPTS / "lists.txt") | names()
    found: dict[str, list[Prompt]] = {}
    for prompt in training():
        found.setdefault(f"{prompt.family} {prompt.language} {prompt.line}", []).append(prompt)
    for name in FURTHER:
        path = PROMPTS / "further" / f"{name}.txt"
        tables = shared | slots(path)
        for labels, family, language, line in read(path):
            benign = labels.startswith("benign")
            near = labels.partition(":")[2] or "general" if benign else ""
            prompt = Prompt(
                text="",
                labels=frozenset() if benign else frozenset(labels.split("+")),
                near=near,
                family=f"{labels} {family}",
                language=language,
                line=line,
            )
            texts = {fill(line, language, tables, rng) for _ in range(_copies(line, family))}
            found.setdefault(f"{prompt.family} {language} {line}", []).extend(
                replace(prompt, text=text) for text in sorted(texts)
            )
    ordinary = [copies[0].text for copies in found.values() if copies[0].family == "benign general"]
    return [part for copies in found.values() for part in _forms(copies, ordinary, rng)]


def _copies(line: str, family: str) -> int:
    return 1 if "{" not in line else 16 if family == "acts" else 2


def _forms(copies: list[Prompt], ordinary: list[str], rng: random.Random) -> list[list[Prompt]]:
    """Copies of one line -> groups of FORMS forms; lines that are filled often count as several."""
    rng.shuffle(copies)
    made = []
    for start in range(0, len(copies), 2):
        first, second = (copies[start : start + 2] * 2)[:2]
        way = rng.random()
        if way < 0.4 and second.language != "zh":
            second = replace(second, text=mangled(second.text, rng))
        elif way < 0.6:
            parts = [second.text, rng.choice(ordinary)]
            rng.shuffle(parts)
            second = replace(second, text=". ".join(parts))
        elif second.text == first.text or way < 0.8:
            wrap = rng.choice(WRAPS.get(second.language, ["{}"]))
            second = replace(second, text=wrap.format(second.text))
        made.append([first, second])
    return made


def kept_back(prompt: Prompt) -> bool:
    return hashlib.sha256(prompt.line.encode()).digest()[1] % 10 == 0


def family_kept_back(prompt: Prompt) -> bool:
    """Whether a whole family of wordings of a category is kept back; the number of epochs is chosen on these."""
    if prompt.family.endswith((" plain", " general")):
        return False
    return hashlib.sha256(prompt.family.encode()).digest()[FAMILY] % 6 == 0


class Tuned(nn.Module):
    """The layers from `start` on with low-rank additions, and the head. Padded states (b l d) -> logits (b k)."""

    def __init__(self, encoder: Encoder, start: int, rank: int, categories: int):
        super().__init__()
        self.layers: Any = encoder.bert.layers[start:]
        self.start, d = start, encoder.bert.norm.weight.numel()
        self.low, self.high = nn.ParameterDict(), nn.ParameterDict()
        for number, layer in enumerate(self.layers):
            for name in MATRICES:
                rows, columns = getattr(layer, name).weight.shape
                key = f"{number}_{name}"
                self.low[key] = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
                self.high[key] = nn.Parameter(torch.zeros(rows, rank))
        self.root = d**0.5  # vectors have length one
        f, width = d + FEATURES, 128
        self.hidden = nn.Linear(f, width)
        self.top = nn.Linear(width, categories)
        self.linear = nn.Linear(f, categories, bias=False)
        nn.init.zeros_(self.linear.weight)
        nn.init.normal_(self.top.weight, std=0.1 / width**0.5)
        nn.init.constant_(self.top.bias, -2.0)

    def apply_to(self, number: int, name: str, x: Tensor) -> Tensor:
        key, own = f"{number}_{name}", getattr(self.layers[number], name)(x)
        return own + x @ self.low[key].T @ self.high[key].T if key in self.low else own

    def vectors(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The encoder's last layers, as in text/bert.py, then the mean of the states, of length one (b d)."""
        seen = torch.arange(x.shape[1]) < lengths[:, None]  # b l
        bias = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)[:, None, None]
        for number, layer in enumerate(self.layers):
            q, k, v = (
                self.apply_to(number, name, x).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
                for name in "qkv"
            )
            told = F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2)
            x = layer.norm1(x + self.drop(self.apply_to(number, "out", told)))
            x = layer.norm2(
                x + self.drop(self.apply_to(number, "down", F.gelu(self.apply_to(number, "up", x))))
            )
        return F.normalize((x * seen[..., None]).sum(1) / lengths[:, None], dim=-1)

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.1, self.training)

    def forward(self, x: Tensor, lengths: Tensor, lists: Tensor) -> Tensor:
        vector = self.vectors(x, lengths) * self.root
        if self.training:
            lists = lists * (torch.rand(len(lists), 1) > 0.3)
        both = F.dropout(torch.cat([vector, lists], 1), 0.1, self.training)
        return self.top(F.dropout(torch.relu(self.hidden(both)), 0.2, self.training)) + self.linear(both)

    def additions(self) -> dict[str, Tensor]:
        """What is added to the encoder's matrices, in two factors, under their names."""
        found = {}
        for part, factors in (("low", self.low), ("high", self.high)):
            for key, tensor in factors.items():
                number, name = key.split("_")
                found[f"layers.{int(number) + self.start}.{name}.{part}"] = (
                    tensor.detach().half().contiguous()
                )
        return found

    def head(self) -> dict[str, Tensor]:
        f, d = self.hidden.in_features, round(self.root**2)
        k = self.top.out_features
        scale = torch.ones(f)
        scale[:d] = self.root
        return {
            "mean": torch.zeros(f),
            "scale": scale,
            "weight1": self.hidden.weight.detach(),
            "bias1": self.hidden.bias.detach(),
            "weight2": self.top.weight.detach(),
            "linear": self.linear.weight.detach(),
            "bias2": self.top.bias.detach(),
            "slope": torch.ones(k),
            "offset": torch.zeros(k),
        }


def kept_states(encoder: Encoder, texts: list[str], start: int, folder: Path | None) -> list[Tensor]:
    """`below` of texts; those that the folder has of an earlier run are not computed again."""
    path = None if folder is None else folder / f"states-{start}.pt"
    known: dict[str, Tensor] = torch.load(path) if path and path.exists() else {}
    missing = sorted({text for text in texts if text not in known})
    if missing:
        made = below(encoder, [encoder.ids(text) for text in missing], start)
        known |= dict(zip(missing, made, strict=True))
    if path and missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(known, path)
    return [known[text] for text in texts]


@torch.inference_mode()
def below(encoder: Encoder, ids: list[list[int]], start: int) -> list[Tensor]:
    """The states (l d), float16, that go into layer `start`, of each text."""
    found: list[Tensor] = [torch.empty(0)] * len(ids)
    upper, encoder.bert.layers = encoder.bert.layers, encoder.bert.layers[:start]
    for rows in batches([len(line) for line in ids]):
        lengths = torch.tensor([len(ids[row]) for row in rows])
        longest = int(lengths.max())
        padded = torch.tensor([ids[row] + [0] * (longest - len(ids[row])) for row in rows])
        states = encoder.bert(padded, lengths).half()
        for row, state, length in zip(rows, states, lengths.tolist(), strict=True):
            found[row] = state[:length].clone()
    encoder.bert.layers = upper
    return found


def batches(lengths: list[int], rng: random.Random | None = None) -> list[list[int]]:
    """Rows of like length, about TOGETHER tokens a batch."""
    order = sorted(
        range(len(lengths)), key=lambda row: (lengths[row] + (rng.random() * 4 if rng else 0), row)
    )
    found: list[list[int]] = [[]]
    for row in order:
        if found[-1] and (len(found[-1]) + 1) * lengths[row] > TOGETHER:
            found.append([])
        found[-1].append(row)
    if rng:
        rng.shuffle(found)
    return found


def padded(states: list[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(state) for state in states])
    return nn.utils.rnn.pad_sequence(states, batch_first=True).float(), lengths


def recall_at(harmful: Tensor, benign: Tensor, share: float) -> tuple[float, float]:
    """(recall, threshold) where at most `share` of the benign scores are reached."""
    limit = float(benign.sort(descending=True).values[int(share * len(benign))]) + 1e-6
    return float((harmful >= limit).float().mean()), limit


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--start", type=int, default=8, help="The first layer that is trained, from 0.")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--few", type=int, default=0, help="Train on so many groups of lines, as a trial.")
    parser.add_argument("--out", type=Path, default=SAFETY / "weights")
    parser.add_argument("--keep", type=Path, default=CACHE, help="Folder for the states below --start.")
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    guard, rng = WordGuard(), random.Random(SEED)
    encoder = Encoder.load()
    groups = lines()
    if options.few:
        groups = rng.sample(groups, options.few)
    families = [group for group in groups if family_kept_back(group[0])]
    tests = [group for group in groups if kept_back(group[0]) and not family_kept_back(group[0])]
    taught = [group for group in groups if not kept_back(group[0]) and not family_kept_back(group[0])]
    flat = [prompt for part in (taught, families, tests) for group in part for prompt in group]
    print(f"{len(taught)} groups taught, {len(families)} in families kept back: ", end="")
    print(", ".join(sorted({group[0].family for group in families})), end="")
    print(f"; {len(tests)} lines kept back of the others, {len(flat)} texts", flush=True)
    texts = [guard.readings(p.text)[-1] if rng.random() < 0.8 else fold(p.text) for p in flat]
    began = time.process_time()
    states = kept_states(encoder, texts, options.start, options.keep)
    lists = torch.tensor([guard.lexicon.features(text) for text in texts])
    labels, weights = targets(flat)
    print(f"states: {time.process_time() - began:.0f} s, {sum(map(len, states))} tokens", flush=True)

    model = Tuned(encoder, options.start, options.rank, labels.shape[1])
    ours = [p for p in model.parameters() if p.requires_grad]
    low = [*model.low.values(), *model.high.values()]
    chosen = {id(p) for p in low}
    head = [p for p in ours if id(p) not in chosen]
    optimizer = torch.optim.AdamW(
        [
            {"params": low, "lr": options.rate, "weight_decay": 0.01},
            {"params": head, "lr": 2e-3, "weight_decay": 3e-3},
        ],
        betas=(0.9, 0.98),
    )
    count, chosen_from = FORMS * len(taught), FORMS * (len(taught) + len(families))
    positive = ((1 - labels[:count]) * weights[:count]).sum(0) / (labels[:count] * weights[:count]).sum(0)
    weights = weights * torch.where(labels > 0, positive.sqrt(), 1.0)
    lengths = [len(state) for state in states]
    orders = [rng.sample(range(FORMS), FORMS) for _ in taught]
    done, total, best, kept = 0, options.epochs, -1.0, {}
    for epoch in range(options.epochs):
        model.train()
        rows = [FORMS * g + orders[g][epoch % FORMS] for g in range(len(taught))]
        plan = batches([lengths[row] for row in rows], rng)
        spent = 0.0
        for number, batch in enumerate(plan):
            at = (epoch + number / len(plan)) / total
            for group, peak in zip(optimizer.param_groups, (options.rate, 2e-3), strict=True):
                group["lr"] = peak * min(1.0, at * total * 4) * (1 - at)
            some = [rows[i] for i in batch]
            x, seen = padded([states[row] for row in some])
            logits = model(x, seen, lists[some])
            aimed = labels[some] * 0.97 + 0.01
            loss = (
                F.binary_cross_entropy_with_logits(logits, aimed, reduction="none") * weights[some]
            ).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(ours, 1.0)
            optimizer.step()
            spent += loss.item()
            done += 1
        unseen = slice(count, chosen_from)
        said = logits_of(model, states[unseen], lists[unseen]).amax(1)
        benign = labels[unseen].sum(1) == 0
        shares = [recall_at(said[~benign], said[benign], share)[0] for share in CURVE]
        print(
            f"epoch {epoch + 1}: loss {spent / len(plan):.4f}; families kept back: recall "
            + ", ".join(
                f"{100 * recall:.1f}% at {share:.0%}" for recall, share in zip(shares, CURVE, strict=True)
            )
            + f"; {time.process_time() - began:.0f} s",
            flush=True,
        )
        if sum(shares) > best:
            best = sum(shares)
            kept = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    model.load_state_dict(kept, strict=False)
    count = chosen_from  # what follows is of lines kept back of families that were taught
    found = logits_of(model, states[count:], lists[count:]).amax(1)
    benign = labels[count:].sum(1) == 0
    for share in CURVE:
        recall, _ = recall_at(found[~benign], found[benign], share)
        print(f"kept-back lines: recall {100 * recall:.1f}% at an over-refusal of {share:.0%}")
    report(flat[count:], found, labels[count:])
    made = calibrated(model, states[count:], lists[count:], labels[count:], weights[count:])
    additions = model.additions()
    made = as_read(model, encoder, made, [prompt for prompt in flat[count:] if not prompt.labels])
    own = {f"head.{name}": tensor.half().contiguous() for name, tensor in made.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    save_file(additions | own, options.out / "taught.safetensors")


def as_read(
    model: Tuned, encoder: Encoder, head: dict[str, Tensor], prompts: list[Prompt]
) -> dict[str, Tensor]:
    """The head, its threshold moved to where OVER of the benign prompts are refused by the guard as it reads: in two
    spellings and in parts, the highest score counts."""
    with torch.no_grad():
        for number, layer in enumerate(model.layers):
            for name in MATRICES:
                key = f"{number}_{name}"
                getattr(layer, name).weight += model.high[key] @ model.low[key]
    guard = WordGuard()
    guard.judge.encoder = Encoder(encoder.bert, encoder.tokenizer)
    guard.judge.__dict__["heads"] = (Head(**head), Head(**head))
    scores = torch.tensor([max(guard.scores(prompt.text).values()) for prompt in prompts])
    odds = scores.clamp(1e-6, 1 - 1e-6).logit() - LEAN
    _, limit = recall_at(odds, odds, OVER)
    return head | {"offset": head["offset"] - limit}


@torch.no_grad()
def logits_of(model: Tuned, states: list[Tensor], lists: Tensor) -> Tensor:
    model.eval()
    found = torch.empty(len(states), model.top.out_features)
    for rows in batches([len(state) for state in states]):
        x, lengths = padded([states[row] for row in rows])
        found[rows] = model(x, lengths, lists[rows])
    return found


def calibrated(
    model: Tuned, states: list[Tensor], lists: Tensor, labels: Tensor, weights: Tensor
) -> dict[str, Tensor]:
    """The head whose 0.5 is reached by 2% of the look-alikes kept back; the slope is Platt's."""
    logits = logits_of(model, states, lists)
    slope, _ = platt(logits, labels, weights)
    benign = labels.sum(1) == 0
    highest = logits.amax(1)
    _, limit = recall_at(highest[~benign], highest[benign], OVER)
    print(f"calibration: slope {slope:.2f}, threshold {limit:.2f}")
    k = labels.shape[1]
    return model.head() | {"slope": torch.full((k,), slope), "offset": torch.full((k,), -slope * limit)}


def report(prompts: list[Prompt], scores: Tensor, labels: Tensor) -> None:
    """Recall of the kept-back lines by category at 2% of all look-alikes."""
    benign = labels.sum(1) == 0
    _, limit = recall_at(scores[~benign], scores[benign], OVER)
    by: dict[str, list[bool]] = {}
    for prompt, score in zip(prompts, scores.tolist(), strict=True):
        name = " ".join(sorted(prompt.labels)) or f"benign:{prompt.near}"
        by.setdefault(name, []).append(score >= limit)
        by.setdefault(f"{'harmful' if prompt.labels else 'benign'}, {prompt.language}", []).append(
            score >= limit
        )
        by.setdefault(f"family {prompt.family.split()[-1]} {bool(prompt.labels)}", []).append(score >= limit)
    for name, found in sorted(by.items()):
        print(f"  {name}: {sum(found)} of {len(found)}")


if __name__ == "__main__":
    main()
