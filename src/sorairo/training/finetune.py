"""Fine-tuning a model on a folder that `sorairo data build` made: low-rank changes (LoRA), or all weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sorairo.checkpoints.export import export_trained
from sorairo.checkpoints.folder import Checkpoint, find_folder, load_checkpoint, read_info
from sorairo.checkpoints.memory.available import available_memory
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.manifest import Manifest, read_manifest
from sorairo.data.shards import Shard
from sorairo.data.sources.base import KINDS
from sorairo.flow.times import TimesConfig
from sorairo.training.encoding import encoding_of
from sorairo.training.loop import TrainConfig
from sorairo.training.low_rank import LoraConfig, add_lora, lora_layers, merged, write_lora
from sorairo.training.memory import StepMemory, choose_checkpointing, step_memory
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.objectives.sheets import SheetConfig, sheet_sampler
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.training.parallel.placement import find_device, working_dtype
from sorairo.training.state import newest_step
from sorairo.training.validation import Validation, hold_out
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.types import UserError

__all__ = ["FinetuneOptions", "build", "options_of"]

log = logging.getLogger(__name__)
CAPTIONS = (0.4, 0.2, 0.2, 0.2)  # the shares of the four captions of a clip
FEW = 8  # steps that a student takes at most
SMALL = 512  # width below which a model takes larger learning rates


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """What the command line asks for.

    data: a folder of `sorairo data build`. model: a name or a folder. lora: what is trained; None: all weights. rate:
    of the optimizer; None: one that suits the model's width. tokens: of a step, words included at a fifth each.
    packed: a step has clips of all shapes (`Loader.mixed`). steps: after which the rate has fallen to zero, over the
    last fifth. held_out: the share of the files kept for validation. prompts: of the sample sheets; none: captions of
    the data. look: steps between sheets and validation, 0 for never.
    """

    data: Path
    model: str = "single"
    lora: LoraConfig | None = field(default_factory=LoraConfig)
    rate: float | None = None
    tokens: int = 2592
    packed: bool = False
    steps: int = 300
    held_out: float = 0.1
    prompts: tuple[str, ...] = ()
    look: int = 100
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.tokens < 1 or self.look < 0:
            raise UserError("--steps and --tokens are at least 1, and --sample-every is at least 0.")
        if not 0 <= self.held_out < 1:
            raise UserError(f"--held-out is a share from 0 to below 1, not {self.held_out:g}.")
        if self.rate is not None and not 0 < self.rate < 1:
            raise UserError(f"--rate is a learning rate above 0 and below 1, not {self.rate:g}.")


def options_of(given: Mapping[str, Any]) -> FinetuneOptions:
    """Of what the command line gave by name; None counts as not given. Raises UserError."""
    values = {name: value for name, value in given.items() if value is not None}
    if "data" not in values:
        raise UserError("Fine-tuning needs --data, a folder that sorairo data build made.")
    low = {name: values.pop(name) for name in ("rank", "alpha", "targets") if name in values}
    if values.pop("full", False):
        if low:
            raise UserError(
                f"--full trains all weights, so --{min(low)} means nothing; leave one of them out."
            )
        values["lora"] = None
    else:
        if "targets" in low:
            low["targets"] = tuple(name.strip() for name in low["targets"].split(",") if name.strip())
        values["lora"] = LoraConfig(**{"alpha": float(low.get("rank", LoraConfig().rank)), **low})
    names = {"prompt": "prompts", "sample_every": "look"}
    values = {names.get(name, name): value for name, value in values.items()}
    return FinetuneOptions(**values | {"prompts": tuple(values.get("prompts", ()))})


def build(run_dir: Path, options: FinetuneOptions) -> tuple[Diffusion, TrainConfig]:
    """The objective and the loop's settings.

    Raises UserError for data of another codec or text encoder, for models that take a picture beside the noise or have
    two transformers, and where a step does not fit into memory.
    """
    device = find_device(options.device)
    dtype = working_dtype("auto", device)
    manifest = read_manifest(options.data)
    if not manifest.clips:
        raise UserError(f"{options.data} holds no clips: none passed the filters of sorairo data build.")
    model = load_checkpoint(options.model, dtype if options.lora else torch.float32)
    transformer = trainable(model)
    manifest.check(encoding_of(model.codec, model.text, model.info), options.data)
    with torch.no_grad():
        empty = model.text.encode([""])
    loader = Loader(
        options.data,
        run_dir / "lists",
        LoaderConfig(
            tokens=options.tokens,
            patch=transformer.config.patch_side,
            captions=CAPTIONS,
            packed=options.packed,
        ),
        empty.states[0, : int(empty.lengths[0])].float(),
    )
    shards = loader.whole()
    names = {shard.path.name for shard in shards}
    manifest = replace(manifest, shards=tuple(one for one in manifest.shards if one.name in names))
    if not manifest.shards:
        raise UserError(f"Every shard of {options.data} is damaged or missing: run sorairo data build again.")
    optim = optimizer_of(options, transformer.config.width)
    plan = memory_plan(transformer, loader, shards, manifest, dtype, options, optim, device)
    held = hold_out(shards, run_dir / "held_out.json", options.held_out)
    loader.held = frozenset(held)
    if options.lora is not None:
        add_lora(transformer, options.lora)
    else:
        transformer.requires_grad_(True)
    frames = "frames" in model.info.conditioning  # such models were trained with a noise level for each frame
    shares = 0.2 if frames else 0.0
    objective = Finetuned(
        options,
        transformer.train(),
        loader,
        DiffusionConfig(
            times=TimesConfig(per_frame=shares, known=shares, shift=max(1.0, model.shift / 2)),
            predicts=model.predicts,
        ),
        sampler=watcher(model, shards, manifest, options, held),
        exporter=partial(export, run_dir, options),
    )
    tail = max(1, options.steps // 5)
    ends = tail + (tail == 1)  # a decay over one step has a rate of 0 in it
    return objective, TrainConfig(
        steps=options.steps,
        device=options.device,
        optim=optim,
        schedule=Schedule(warmup=min(20, options.steps), decay_from=options.steps - tail, decay_steps=ends),
        ema_decay=0.98,
        compile=False,  # which takes minutes, as long as many a fine-tuning
        checkpointing=plan.checkpointing,
        sample_every=options.look,
    )


class Finetuned(Diffusion):
    """Diffusion, whose settings say what is fine-tuned and how."""

    def __init__(self, asked: FinetuneOptions, *parts: Any, **more: Any):
        super().__init__(*parts, **more)
        self.asked = asked

    def settings(self) -> dict[str, Any]:
        lora = self.asked.lora
        return {
            **super().settings(),
            "finetune": {
                "model": self.asked.model,
                "rank": lora.rank if lora else 0,
                "alpha": lora.alpha if lora else 0.0,
                "targets": list(lora.targets) if lora else [],
                "held_out": self.asked.held_out,
            },
        }


def trainable(model: Checkpoint) -> Transformer:
    """Its one transformer that takes nothing beside noise and words. Raises UserError."""
    transformer = model.transformer
    if not isinstance(transformer, Transformer):
        raise UserError(
            f"{model.info.name} has two transformers that take turns; fine-tuning takes models of one."
        )
    config = transformer.config
    if type(config) is not TransformerConfig or config.control_layers or config.rates:
        raise UserError(
            f"{model.info.name} sees more than noise and words (control, a rate or a memory), which clips alone cannot"
            " teach; fine-tune a text-to-video model."
        )
    if config.condition_channels or config.image_dim:
        raise UserError(
            f"{model.info.name} takes a picture beside the noise; fine-tuning takes models of words alone."
        )
    info = model.info
    if model.times or model.few_steps or (info.default_guidance == 1 and info.default_steps <= FEW):
        raise UserError(f"{info.name} is a student of few steps; fine-tune its teacher.")
    return transformer


def optimizer_of(options: FinetuneOptions, width: int) -> OptimConfig:
    """AdamW for low-rank changes, Muon for all weights. Wide models take smaller rates."""
    if options.lora is not None:
        rate = options.rate or (2e-3 if width < SMALL else 1e-4)
        return OptimConfig(name="adamw", lr=rate)
    rate = options.rate or (2e-4 if width < SMALL else 1e-5)
    return OptimConfig(lr=rate, muon_lr=2 * rate)


def memory_plan(
    transformer: Transformer,
    loader: Loader,
    shards: list[Shard],
    manifest: Manifest,
    dtype: torch.dtype,
    options: FinetuneOptions,
    optim: OptimConfig,
    device: torch.device,
) -> StepMemory:
    """What the largest step needs, said in the log; blocks are recomputed where it does not fit otherwise."""
    encoding = manifest.encoding
    shapes = {
        (
            1 + (shard.frames - 1) // encoding.time_factor,
            shard.size[1] // encoding.space_factor,
            shard.size[0] // encoding.space_factor,
        )
        for shard in manifest.shards
    }
    t, h, w = max(shapes, key=lambda shape: loader.batch_size(shape) * shape[0] * shape[1] * shape[2])
    words = max(int(shard[f"text_{kind}"].shape[1]) for shard in shards for kind in KINDS)
    shape = (loader.batch_size((t, h, w)), t, h, w)
    weights = dtype if options.lora else torch.float32
    if options.packed:  # the last clip of a step may pass the budget
        shape = (shape[0] + 1, t, h, w)
    needed = partial(
        step_memory,
        transformer.config,
        shape,
        words,
        weights,
        lora=options.lora,
        optim=optim,
        packed=options.packed,
    )
    plan = needed()
    free = available_memory(device)
    if free is not None and plan.total > 0.9 * free:
        plan = choose_checkpointing(plan, needed(checkpointing=True), device)
    log.info("memory of a step of %d clips:\n%s", shape[0], "\n".join(plan.lines(free)))
    return plan


def watcher(
    model: Checkpoint,
    shards: list[Shard],
    manifest: Manifest,
    options: FinetuneOptions,
    held: list[tuple[str, int]],
) -> Callable[[Transformer, Path, int], dict[str, float]]:
    """Writes a sheet of samples and the LoRA of this moment, and measures validation."""
    validation = Validation(shards=shards, held=held, predicts=model.predicts)
    first = max(manifest.shards, key=lambda shard: shard.clips)
    records = next(shard.records for shard in shards if shard.path.name == first.name)
    prompts = options.prompts or tuple(record["captions"]["long"] for record in records[:4])
    sheet = sheet_sampler(
        model.codec,
        model.text,  # pyright: ignore[reportArgumentType]  # umT5 encodes as MiniLM does
        prompts,
        SheetConfig(
            size=first.size,
            frames=first.frames,
            fps=model.info.fps,
            steps=model.info.default_steps,
            guidance=model.info.default_guidance,
            shift=model.shift,
            predicts=model.predicts,
        ),
    )

    def sample(transformer: Transformer, folder: Path, step: int) -> dict[str, float]:
        if options.lora is not None:
            write_lora(transformer, folder / "lora.safetensors", options.lora, about(options, step))
        return {**validation.scores(transformer), **sheet(transformer, folder, step)}

    return sample


def about(options: FinetuneOptions, step: int) -> dict[str, str]:
    """What a LoRA's metadata says of its making."""
    words = " ".join(read_manifest(options.data).vocabulary)
    return {"software": "sorairo", "base_model": options.model, "steps": str(step), "words": words}


def export(run_dir: Path, options: FinetuneOptions, transformer: Transformer, folder: Path) -> None:
    """The LoRA's file, or the whole model's folder."""
    step = newest_step(run_dir / "checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    if options.lora is not None:
        assert any(lora_layers(transformer))
        write_lora(transformer, folder / "lora.safetensors", options.lora, about(options, step))
        return
    source = find_folder(options.model)
    info, words = read_info(source), read_manifest(options.data).vocabulary
    info = replace(
        info,
        name=f"{info.name}-tuned",
        vocabulary=tuple(sorted({*info.vocabulary, *words})) if info.vocabulary else (),
        recipe="recipes/finetune.py",
        steps_trained=info.steps_trained + step,
        scorecard={},
        licence="see the licences of the model and of the clips",
    )
    plain = Transformer(transformer.config)
    plain.load_state_dict(merged(transformer))
    export_trained(source, folder, plain, info)
