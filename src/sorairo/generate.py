"""Any Plan into video: words, noise, latents, frames. There is one path, whatever the task.

from sorairo.generate import load
load("default").generate("a red ball bounces", seconds=2).save("out.mp4")
"""

# Letters: b batch (a sample, and with guidance its twin), c channels, t h w latent grid, l words, d their width

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from sorairo.checkpoints.folder import Checkpoint, load_checkpoint
from sorairo.checkpoints.given import given_frames
from sorairo.codec.model import Codec
from sorairo.flow.guidance import guided, with_known
from sorairo.flow.schedule import timestep_of, unipc_sigmas
from sorairo.flow.solvers import Velocity, unipc
from sorairo.tasks.text_to_video import text_to_video
from sorairo.text.encoder import TextStates
from sorairo.types import Plan, Sample, UserError, Video

__all__ = ["Clip", "Model", "Progress", "generate", "load", "noise_for", "to_frames"]

Progress = Callable[[str, int, int], None]  # (stage, done, of)
Texts = dict[str, TextStates]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip(Sample):
    """A Sample that can be written."""

    def save(self, path: str | Path) -> None:
        """To .mp4, .gif, .webp or .png, with its prompt, seed and model inside the file."""
        from sorairo.video.write import write_video

        width, height = self.plan.size
        facts = {"prompt": self.plan.spans[0].text, "seed": self.plan.seed, "model": self.model}
        write_video(self.video, path, facts | {"size": f"{width}x{height}", "frames": self.plan.frames})


@dataclass(frozen=True, kw_only=True, eq=False)
class Model(Checkpoint):
    """A Checkpoint that can be asked."""

    def generate(
        self,
        prompt: str,
        *,
        size: tuple[int, int] | None = None,
        seconds: float | None = None,
        frames: int | None = None,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        negative: str = "",
        progress: Progress | None = None,
    ) -> Clip:
        """A clip from words; see text_to_video for what may be asked. Raises UserError."""
        plan = text_to_video(
            prompt,
            self.info,
            size=size,
            seconds=seconds,
            frames=frames,
            seed=seed,
            steps=steps,
            guidance=guidance,
            negative=negative,
        )
        return generate(plan, self, progress)[0]


def load(name_or_folder: str | Path = "default", dtype: str = "auto", device: str = "cpu") -> Model:
    """A model that ships in the package, by name, or one in a folder. Raises UserError."""
    checkpoint = load_checkpoint(name_or_folder, dtype, device)
    return Model(**{field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)})


@torch.inference_mode()
def generate(plans: Plan | Iterable[Plan], model: Checkpoint, progress: Progress | None = None) -> list[Clip]:
    """A clip for every plan, in order. progress is told (stage, done, of) as stages go on.

    Clips are made one after another: products of another batch size round differently, and a seed is to mean the
    same frames whatever is made beside it. Raises UserError, before any work, for what the model cannot make.
    """
    plans = [plans] if isinstance(plans, Plan) else list(plans)
    for plan in plans:
        model.info.check(plan)
    tell = progress or (lambda stage, done, of: None)
    steps = [plan.steps or model.info.default_steps for plan in plans]

    start = time.perf_counter()
    tell("text", 0, 1)
    texts = encode_texts(plans, model)
    model.text.rest()
    tell("text", 1, 1)
    timings = [{"text": (time.perf_counter() - start) / len(plans)} for _ in plans]

    latents = []
    for index, plan in enumerate(plans):
        start = time.perf_counter()
        before = sum(steps[:index])
        tell("denoise", before, sum(steps))
        made = denoise(
            plan, model, texts, lambda step, x, n=before: tell("denoise", n + step + 1, sum(steps))
        )
        latents.append(made)  # 1 c t h w
        timings[index]["denoise"] = time.perf_counter() - start

    clips = []
    for index, plan in enumerate(plans):
        start = time.perf_counter()
        tell("decode", index, len(plans))
        pixels = model.codec.decode(latents[index].to(model.dtype))  # 1 3 t h w
        video = Video(frames=to_frames(pixels)[0], fps=plan.fps)
        tell("decode", index + 1, len(plans))
        timings[index]["decode"] = time.perf_counter() - start
        clips.append(Clip(video=video, plan=plan, model=model.info.name, timings=timings[index]))
    return clips


def encode_texts(plans: list[Plan], model: Checkpoint) -> Texts:
    """The states of every text of the plans, each alone (so that none depends on another), once."""
    texts = [text for plan in plans for text in (plan.spans[0].text, plan.negative)]
    return {text: model.text.encode([text]) for text in dict.fromkeys(texts)}


def denoise(
    plan: Plan, model: Checkpoint, texts: Texts, callback: Callable[[int, torch.Tensor], None] | None = None
) -> torch.Tensor:
    """Latents (1 c t h w), float32, of a plan."""
    scale = model.info.default_guidance if plan.guidance is None else plan.guidance
    pair = [texts[plan.spans[0].text], texts[plan.negative]]
    words = max(int(text.lengths[0]) for text in pair)
    states = torch.cat([text.states[:, :words] for text in pair]).to(model.device, model.dtype)  # 2 l d
    lengths = torch.cat([text.lengths for text in pair]).to(model.device)  # 2
    given = given_frames(model, plan.size, plan.frames, plan.known)

    def ask(x: torch.Tensor, sigma: torch.Tensor | float, copies: int) -> torch.Tensor:
        """The velocity of x (1 c t h w) under the first `copies` texts, (copies c t h w)."""
        if isinstance(sigma, torch.Tensor):
            timestep = (1000 * sigma).floor().expand(copies, -1)  # copies t
        else:
            timestep = torch.full((copies,), float(timestep_of(sigma)), device=x.device)
        x = x.to(model.dtype).expand(copies, -1, -1, -1, -1)
        return model.transformer(x, timestep, states[:copies], lengths[:copies], **given).float()

    def asked(x: torch.Tensor, sigma: torch.Tensor | float) -> torch.Tensor:
        return ask(x, sigma, 1)

    def both(x: torch.Tensor, sigma: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        with_words, without = ask(x, sigma, 2).chunk(2)
        return with_words, without

    noise = noise_for(plan, model.codec).to(model.device)  # 1 c t h w
    velocity: Velocity = guided(both, asked, scale, interval=model.info.guidance_interval)
    if plan.known and not given:
        velocity = with_known(velocity, *known_latents(plan, model, noise))
    sigmas = unipc_sigmas(plan.steps or model.info.default_steps, model.shift)
    return unipc(velocity, noise, sigmas, callback)


def noise_for(plan: Plan, codec: Codec) -> torch.Tensor:
    """The noise (1 c t h w) that a plan starts from: float32, drawn on the CPU from its seed alone."""
    side, width, height = codec.config.space_factor, *plan.size
    frames = 1 + (plan.frames - 1) // codec.config.time_factor
    shape = (1, codec.config.z_dim, frames, height // side, width // side)
    return torch.randn(shape, generator=torch.Generator().manual_seed(plan.seed))


def known_latents(
    plan: Plan, model: Checkpoint, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(known (1 c t h w), noise, cap (1 t)) of the plan's known frames, for `with_known`.

    The codec sees a whole clip in which every frame that is not known repeats the nearest before it (or the first
    that is); a latent frame counts as known where all of its frames are. Raises UserError for a place that
    begins or ends inside a latent frame.
    """
    step = model.codec.config.time_factor
    frames = torch.zeros(plan.frames, *reversed(plan.size), 3)  # frames h w 3
    cap = torch.ones(1, noise.shape[2], device=model.device)
    filled: list[int] = []
    for known in sorted(plan.known, key=lambda known: known.at):
        stop = known.at + len(known.video)
        if ((known.at - 1) % step and known.at != 0) or (stop - 1) % step or stop > plan.frames:
            raise UserError(
                f"Known frames {known.at} to {stop - 1} do not fill whole steps of the model;"
                f" begin at 0 or 1 + {step}k and end on a multiple of {step} below {plan.frames}."
            )
        frames[known.at : stop] = torch.from_numpy(known.video.frames).float()
        cap[:, -(-known.at // step) : (stop - 1) // step + 1] = 1 - known.hold
        filled += range(known.at, stop)
    nearest = [max((f for f in filled if f <= frame), default=filled[0]) for frame in range(plan.frames)]
    pixels = frames[nearest].permute(3, 0, 1, 2)[None] / 127.5 - 1  # 1 3 frames h w
    return model.codec.encode(pixels.to(model.device, model.dtype)).float(), noise, cap


def to_frames(pixels: torch.Tensor) -> np.ndarray:
    """(b 3 t h w) in [-1, 1] -> uint8 (b t h w 3)."""
    levels = ((pixels.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 4, 1).cpu().numpy()
