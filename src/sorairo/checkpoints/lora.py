"""LoRA files: read, checked against a model, and put to use."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from sorairo.checkpoints.adapters.lora import from_lora, scaling_of
from sorairo.checkpoints.families import family_of
from sorairo.checkpoints.few_steps import FewSteps, few_steps
from sorairo.checkpoints.find import model_names, pulled_file
from sorairo.checkpoints.folder import Checkpoint
from sorairo.checkpoints.headers import PICKLES, weight_files
from sorairo.checkpoints.info import ModelInfo
from sorairo.checkpoints.tensors import read_tensors
from sorairo.config import parse_json
from sorairo.nn.lora import Change, Weighted, attach, merge
from sorairo.nn.quantised import is_quantised, logical_shapes
from sorairo.transformer.experts import Experts
from sorairo.transformer.model import Transformer
from sorairo.types import UserError

__all__ = [
    "Lora",
    "LoraAsk",
    "apply_loras",
    "check_base",
    "check_lora",
    "parse_lora",
    "read_lora",
    "with_loras",
]

Model = TypeVar("Model", bound=Checkpoint)
TEXT = re.compile(r"(lora_te\d?_|text_encoders?\.|te\.)")  # of parts that change a text encoder
IMAGE = re.compile(r"(blocks\.\d+\.cross_attention\.)?image\.")
"""What a transformer has for a CLIP's tokens."""
TEACHERS = {"fast": "single"}  # our students, which take what their teachers do
WHOLE = re.compile(r"\.(weight|bias|gamma)$")
"""Of a tensor of a model, where nothing of a file is a change."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lora:
    """A file's changes, float32, by our parameters' names. unread: names of its tensors that mean nothing to us.
    left_out: those, and parts, that a model has no place for. words: of the captions that it learned from, and base:
    the model that it was made for, where the file says so."""

    path: Path
    changes: dict[str, Change]
    words: tuple[str, ...] = ()
    base: str = ""
    unread: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class LoraAsk(NamedTuple):
    """expert: "high" or "low", the one of two transformers that it is for; empty: whatever there is."""

    path: Path
    weight: float
    expert: str = ""

    def __str__(self) -> str:
        return f"{self.expert}{'=' if self.expert else ''}{self.path.stem}:{self.weight:g}"


def apply_loras(
    model: Model, asks: Sequence[str], *, strict: bool = True, apart: bool = False, keep: bool = False
) -> Model:
    """The model with LoRAs, each "FILE" or "FILE:WEIGHT", in its transformer, and their names beside its own.

    Of two transformers both take them, "high=FILE" and "low=FILE" one of the two. The transformer itself is changed:
    merged in float32 and rounded to its dtype, or apart (as always where its blocks are streamed), computed beside its
    layers. strict: a tensor that fits nothing is an error. keep: see `merge`. Raises UserError before any change.
    """
    if not asks:
        return model
    named, transformer = [parse_lora(ask) for ask in asks], model.transformer
    if isinstance(transformer, Experts):
        with torch.device("meta"):
            shell = family_of(transformer.config).build(transformer.config)
    elif any(ask.expert for ask in named):
        raise UserError(f"{model.info.name} has one transformer; give its LoRAs without high= and low=.")
    else:
        shell = transformer
    loras = [
        (ask, check_lora(check_base(read_lora(ask.path), model.info.name), shell, strict=strict))
        for ask in named
    ]
    if isinstance(transformer, Experts):
        away = {name for name, _ in shell.named_parameters() if name.startswith("blocks.")}
        streamed = away if transformer.streamed else set()
    else:
        streamed = _streamed(transformer)
    for _, lora in loras:
        _check_streamed(lora, shell, streamed)
    if isinstance(transformer, Experts):
        for which in transformer.loaders:
            own = [(lora.changes, ask.weight) for ask, lora in loras if ask.expert in ("", which)]
            _into_expert(transformer, which, partial(_put, loras=own, apart=apart, keep=keep))
    else:
        _put(transformer, [(lora.changes, ask.weight) for ask, lora in loras], apart, keep)
    few = _few_steps(named, both=isinstance(transformer, Experts))
    left = {lora.path: _left_out(lora) for _, lora in loras if lora.left_out}
    return replace(
        model,
        info=with_loras(model.info, loras),
        notes=(*model.notes, *left.values()),
        few_steps=few or model.few_steps,
    )


def _few_steps(asks: Sequence[LoraAsk], *, both: bool) -> FewSteps | None:
    """The settings that LoRAs of few steps bring. both: there are two transformers, and each must have one."""
    known = {ask.expert: few for ask in asks if ask.weight > 0 and (few := few_steps([ask.path]))}
    if both and "" not in known and len(known) < 2:
        return None
    return next(iter(known.values()), None)


def _left_out(lora: Lora) -> str:
    return f"{lora.path.name}: left out, since this model has no such parts: {_few(lora.left_out)}."


def _few(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _put(transformer: Transformer, loras: Weighted, apart: bool, keep: bool) -> None:
    if apart or is_quantised(transformer) or _streamed(transformer):
        attach(transformer, loras)
    else:
        merge(transformer, loras, keep=keep)


def _into_expert(experts: Experts, which: str, put: Callable[[Transformer], None]) -> None:
    """Change one of two transformers, also each time that it is read again."""
    load = experts.loaders[which]

    def loaded() -> Transformer:
        transformer = load()
        put(transformer)
        return transformer

    experts.loaders[which] = loaded
    if which in experts.held:
        put(experts.held[which])


def parse_lora(ask: str) -> LoraAsk:
    """Of "FILE", "FILE:WEIGHT", either after "high=" or "low=". Raises UserError for a weight that is no number."""
    if Path(ask).exists():
        return LoraAsk(Path(ask), 1.0)
    expert, equals, rest = ask.partition("=")
    if equals and expert in ("high", "low"):
        return parse_lora(rest)._replace(expert=expert)
    head, colon, tail = ask.rpartition(":")
    if not colon:
        return LoraAsk(Path(ask), 1.0)
    try:
        weight = float(tail)
    except ValueError:
        weight = math.nan
    if not head or not math.isfinite(weight):
        raise UserError(f"A LoRA is FILE or FILE:WEIGHT, such as style.safetensors:0.8, not {ask!r}.")
    return LoraAsk(Path(head), weight)


def read_lora(path: Path) -> Lora:
    """A LoRA from a .safetensors file, by its path or its name of the hub, or from a folder that holds one. Raises
    UserError; nothing is ever unpickled."""
    path = pulled_file(path)
    if path.is_dir():
        files = weight_files(path)
        if len(files) != 1:
            raise UserError(f"{path} holds {len(files)} files of weights; give the one that is the LoRA.")
        path = files[0]
    if not path.is_file():
        raise UserError(f"There is no LoRA {path}; give a .safetensors file.")
    if path.suffix.lower() in PICKLES:
        raise UserError(f"{path} is a pickle, which can run code; get the LoRA as .safetensors.")
    tensors, config = read_tensors(path)
    beside = path.with_name("adapter_config.json")  # PEFT's own layout
    if beside.is_file():
        scaling = scaling_of(parse_json(beside.read_bytes(), where=str(beside)), where=str(beside))
    else:
        scaling = scaling_of(config, where=str(path))
    changes, unread = from_lora(tensors, scaling, where=str(path))
    if not changes and len(unread) == len(tensors) and any(WHOLE.search(name) for name in tensors):
        raise UserError(
            f"{path} is no LoRA: it holds whole weights and no change of any; a model is given with --model, a codec"
            " with --vae, a text encoder with --text-encoder."
        )
    said = config.get("words")
    words = tuple(said.split()) if isinstance(said, str) else ()
    base = config.get("base_model") if config.get("software") == "sorairo" else None
    base = base if isinstance(base, str) else ""
    return Lora(path=path, changes=changes, words=words, base=base, unread=tuple(unread))


def with_loras(info: ModelInfo, loras: Sequence[tuple[LoraAsk, Lora]]) -> ModelInfo:
    """What a model is with LoRAs in it: their names beside its own, and the words that they brought."""
    name = " + ".join([info.name, *(str(ask) for ask, _ in loras)])
    brought = {word for _, lora in loras for word in lora.words}
    known = tuple(sorted({*info.vocabulary, *brought})) if info.vocabulary else ()
    return replace(info, name=name, vocabulary=known)


def check_base(lora: Lora, model: str) -> Lora:
    """The LoRA. Our own models have equal shapes, so nothing but a name tells them apart. A student is its teacher's
    nearest kin, and takes its LoRAs. Raises UserError for one of another of them."""
    own = set(model_names())
    if {lora.base, model} <= own and lora.base not in (model, TEACHERS.get(model)):
        raise UserError(f"{lora.path} was made for {lora.base}, not for {model}; use it with -m {lora.base}.")
    return lora


def check_lora(lora: Lora, module: nn.Module, *, strict: bool = True) -> Lora:
    """The part of a LoRA that fits a module, and what it left out.

    Parts for a CLIP's tokens are left out of a model without a CLIP, since LoRAs of Wan 2.1 are used with 2.2; parts
    for a text encoder of all models. Raises UserError, which names them, for changes of other shapes than the module's,
    and, when strict, for tensors and parameters that the module does not have; when not, for a LoRA without a part that
    fits.
    """
    have = {name: torch.Size(shape) for name, shape in logical_shapes(module).items()}
    fit = {name: change for name, change in lora.changes.items() if name in have}
    wrong = [name for name, change in fit.items() if change.shape != have[name]]
    if wrong:
        name, more = wrong[0], f" and {len(wrong) - 1} more differ" if len(wrong) > 1 else ""
        raise UserError(
            f"{lora.path} was made for another model: {name} is {_shape(fit[name].shape)} there and"
            f" {_shape(have[name])} here{more}; use it with the model that it was made for."
        )
    clip = any(IMAGE.match(name) for name in have)
    others = [*(name for name in lora.changes if name not in have), *lora.unread]
    unseen = [name for name in others if TEXT.match(name) or (not clip and IMAGE.match(name))]
    loose = [name for name in others if name not in unseen]
    if not fit or (strict and loose):
        names = _few(loose or unseen)
        raise UserError(
            f"{lora.path} does not fit this model: "
            + (f"it has no part called {names};" if loose or unseen else "it changes nothing;")
            + " use the model that it was made for."
        )
    return replace(lora, changes=fit, left_out=(*unseen, *loose))


def _streamed(module: nn.Module) -> set[str]:
    """The parameters that are read again at every use."""
    return {name for name, parameter in module.named_parameters() if parameter.is_meta}


def _check_streamed(lora: Lora, module: nn.Module, streamed: set[str]) -> None:
    """Refuse changes that can only be merged, for weights that are read again at every use."""
    for name in streamed & lora.changes.keys():
        if not isinstance(module.get_submodule(name.rpartition(".")[0]), nn.Linear):
            raise UserError(
                f"{lora.path} changes {name}, which streamed blocks cannot take; give more memory, or another LoRA."
            )


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "one number"
