"""A class of ImageNet -> pictures of it, by a DiT: noise, guided denoising, decoding."""

# Letters: b batch, c channels, h w latent grid or pixels

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Mapping, Sequence

import torch

from sorairo.checkpoints.memory.working import short_name
from sorairo.dit.ddpm import Noise, ddim, ddpm, guide
from sorairo.dit.folder import ClassModel
from sorairo.nn.precision import device_name
from sorairo.pixels import to_levels
from sorairo.safety.policy import Policy, policy_of
from sorairo.types import Plan, Sample, Span, UserError, Video

__all__ = ["STEPS", "class_number", "denoise", "generate_images"]

GUIDANCE = 4.0
STEPS = {"ddim": 50, "ddpm": 250}
# progress(stage, done, total)
Progress = Callable[[str, int, int], None]


def class_number(labels: Mapping[int, tuple[str, ...]], words: str, classes: int = 1000) -> int:
    """The class that words name: one of its names, in any case, or its number, which is below `classes`.

    Raises UserError with the nearest names where none fits, and with the numbers where several do.
    """
    asked = " ".join(words.lower().split())
    if asked.isdecimal() and int(asked) < classes:
        return int(asked)
    names: dict[str, list[int]] = {}
    for number, synonyms in labels.items():
        for name in synonyms:
            names.setdefault(name.lower(), []).append(number)
    numbers = names.get(asked, [])
    if len(numbers) == 1:
        return numbers[0]
    if numbers:
        which = ", ".join(f"{number} ({', '.join(labels[number])})" for number in numbers)
        raise UserError(f"{words!r} names {len(numbers)} classes: {which}; give the number.")
    if not names:
        raise UserError(
            f"This checkpoint names no classes, so {words!r} is unknown; give a class by its number."
        )
    written = {name.lower(): name for synonyms in labels.values() for name in synonyms}
    near = sorted((name for name in names if asked and asked in name), key=len)
    near += [name for name in difflib.get_close_matches(asked, names, n=5, cutoff=0.5) if name not in near]
    hint = f"; did you mean {', '.join(written[name] for name in near[:5])}?" if near else "."
    raise UserError(f"There is no class {words!r} in this model{hint}")


@torch.inference_mode()
def denoise(
    model: ClassModel,
    latents: torch.Tensor,
    classes: Sequence[int],
    *,
    steps: int,
    guidance: float,
    noise: Noise,
    sampler: str | None = None,
    callback: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """Noise (b c h w) -> latents of pictures of the classes (one for each of b), float32.

    guidance 1 is off, and half the cost. noise: what the sampler adds on the way, where it adds any.
    """
    transformer, channels = model.transformer, latents.shape[1]
    weight = transformer.project.weight
    label = torch.tensor([*classes, *([transformer.config.null_class] * len(classes))], device=weight.device)

    def predict(x: torch.Tensor, t: int) -> torch.Tensor:
        timestep = torch.tensor([t], device=weight.device)
        x = x.to(weight)
        if guidance == 1:
            return transformer(x, timestep.expand(len(x)), label[: len(x)]).float()
        asked, other = transformer(torch.cat([x, x]), timestep.expand(2 * len(x)), label).float().chunk(2)
        return guide(asked, other, guidance, channels)  # b c' h w

    step: Callable[[int, torch.Tensor], None] | None = (lambda i, _: callback(i + 1)) if callback else None
    run = ddpm if (sampler or model.sampler) == "ddpm" else ddim
    x = latents.to(weight.device, torch.float32)
    return run(predict, x, model.betas, steps, noise=noise, callback=step)


@torch.inference_mode()
def generate_images(
    model: ClassModel,
    words: str,
    seeds: Sequence[int],
    *,
    steps: int | None = None,
    guidance: float | None = None,
    sampler: str | None = None,
    batch: int = 1,
    progress: Progress | None = None,
    policy: Policy | None = None,
) -> list[Sample]:
    """One picture (a Video of one frame) of a class for each seed.

    words: a name of the class, or its number. sampler: "ddim" or "ddpm"; the checkpoint's own if not given. batch:
    how many are made at once; more is faster on a GPU, and the same picture but for rounding. policy: None takes the
    operator's. Raises UserError for a class, a sampler or a number of steps that there is not. Raises Blocked.
    """
    sampler = sampler or model.sampler
    if sampler not in STEPS:
        raise UserError(f"There is no sampler {sampler!r}; choose {' or '.join(STEPS)}.")
    steps = STEPS[sampler] if steps is None else steps
    if not 1 <= steps <= model.betas.steps:
        raise UserError(f"--steps is {steps}; this model takes from 1 to {model.betas.steps}.")
    guidance = GUIDANCE if guidance is None else guidance
    number = class_number(model.labels, words, model.transformer.config.classes)
    name = model.labels.get(number, (str(number),))[0]
    side, channels = model.transformer.config.side, model.transformer.config.channels
    policy = policy or policy_of()
    asked = [planned(name, (0, 0), seed, steps, guidance) for seed in seeds]
    verdicts = {plan.seed: policy.before(plan)[1] for plan in asked}
    samples: list[Sample] = []
    done, total = 0, steps * -(-len(seeds) // batch)

    def count(_: int) -> None:
        nonlocal done
        done += 1
        if progress:
            progress("denoise", done, total)

    for first in range(0, len(seeds), batch):
        part = seeds[first : first + batch]
        noise = per_sample_noise(part)
        start = time.perf_counter()
        latents = denoise(
            model,
            noise(torch.Size([len(part), channels, side, side])),
            [number] * len(part),
            steps=steps,
            guidance=guidance,
            noise=noise,
            sampler=sampler,
            callback=count,
        )
        denoised = time.perf_counter()
        if progress:
            progress("decode", first, len(seeds))
        images = model.codec.decode(latents.to(model.codec.unmix.weight.dtype))  # b 3 h w
        timings = {"denoise": denoised - start, "decode": time.perf_counter() - denoised}
        for seed, frame in zip(part, to_levels(images).permute(0, 2, 3, 1).cpu().numpy(), strict=True):
            video = Video(frames=frame[None], fps=1.0)
            plan = planned(name, video.size, seed, steps, guidance)
            verdict = policy.after(plan, video, verdicts[seed])
            samples.append(
                Sample(
                    video=video,
                    plan=plan,
                    model=model.name,
                    dtype=short_name(images.dtype),
                    device=device_name(images.device),
                    threads=torch.get_num_threads(),
                    timings=timings,
                    verdict=verdict,
                )
            )
    return samples


def planned(name: str, size: tuple[int, int], seed: int, steps: int, guidance: float) -> Plan:
    """The Plan of one picture."""
    spans = (Span(text=name),)
    return Plan(size=size, frames=1, fps=1.0, spans=spans, seed=seed, steps=steps, guidance=guidance)


def per_sample_noise(seeds: Sequence[int]) -> Noise:
    """Normal values (b c h w), each sample's from a generator of its own; on the CPU, so alike on every device."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return lambda shape: torch.cat([torch.randn((1, *shape[1:]), generator=g) for g in generators])
