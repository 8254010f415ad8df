"""What a task needs to know about a model, and which plans that model can make."""

from __future__ import annotations

from dataclasses import dataclass

from sorairo.tasks.scene import check_scene
from sorairo.types import SAMPLERS, Known, Plan, UserError

__all__ = ["Abilities"]

LONGEST = 3600
"""Frames of the longest clip. A mistyped length is refused and does not run for days."""
PATCHES = 1024
"""Patches along the width or the height; position codes of Wan reach as far."""
REFERENCES = 16
"""Reference pictures; each costs as much as a latent frame. VACE was trained with fewer."""
SHIFTS = (0.01, 100.0)
"""The least and the largest shift that is not a mistake of typing."""


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """A model, as tasks see it.

    sizes: (width, height) in pixels of its training, the default first. multiple: what every width and height is a
    multiple of, pixels. max_frames: of one window; longer clips take several. step: frames of a latent frame after the
    first. conditioning, needs, chunk: see ModelInfo. only_steps: the only possible number of denoising steps, if there
    is one. own_levels: it knows no noise levels but its own, as with only_steps. scene_frames: of the longest clip that
    can follow a scene, 0 for a model that draws none.
    """

    name: str
    sizes: tuple[tuple[int, int], ...]
    max_frames: int
    default_frames: int
    fps: float
    step: int
    conditioning: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    chunk: int = 0
    only_steps: int | None = None
    own_levels: bool = False
    multiple: int = 16
    scene_frames: int = 0

    @property
    def windows(self) -> bool:
        """Whether it takes any known frames, and so makes longer clips, loops and all verbs that begin with a clip."""
        return not self.needs and self.max_frames > 3 * self.step

    @property
    def longest(self) -> int:
        """Frames of the longest clip, 1 + step k."""
        most = LONGEST if self.windows else self.max_frames
        return 1 + (most - 1) // self.step * self.step

    def nearest(self, frames: float) -> int:
        """The possible number of frames, 1 + step k, nearest to `frames`."""
        return min(1 + self.step * max(0, round((frames - 1) / self.step)), self.longest)

    def check(self, plan: Plan) -> None:
        """Raise UserError, with the nearest that can be made, for a plan that this model cannot make."""
        self._check_spans(plan)
        self._check_size(plan.size)
        if self.needs:
            self._check_pictures(plan)
        self._check_length(plan)
        if plan.fps != self.fps:
            raise UserError(
                f"{self.name} makes {self.fps:g} frames a second, not {plan.fps:g}; ask for that."
            )
        if not 0 <= plan.seed < 2**63:
            raise UserError(f"The seed must be a whole number from 0 to 2^63 - 1, not {plan.seed}.")
        if plan.steps is not None and not 1 <= plan.steps <= 1000:
            raise UserError(f"Steps must be from 1 to 1000, not {plan.steps}.")
        if self.only_steps and plan.steps not in (None, self.only_steps):
            raise UserError(
                f"{self.name} was made for {self.only_steps} steps, not {plan.steps}; ask for those."
            )
        self._check_sampling(plan)
        if plan.guidance is not None and not 0 <= plan.guidance <= 50:
            raise UserError(f"Guidance must be from 0 to 50 (1 is off), not {plan.guidance:g}.")
        if (plan.known or plan.loop) and not (self.windows or self.needs):
            raise UserError(f"{self.name} makes {self.max_frames} frames at once; it cannot be given frames.")
        if "begin" in self.conditioning and not begins(plan):
            raise UserError(
                f"{self.name} goes on from frames at the beginning, which it keeps; it cannot be given others, or hold"
                " them in part."
            )
        if plan.loop and self.chunk:
            raise UserError(f"{self.name} makes clips from their beginning on; use another model for loops.")
        if not 0 <= plan.back < 1 or (plan.back and (plan.known or not plan.loop)):
            raise UserError(
                "Only of a loop with nothing known can one half keep to the other, by less than 1."
            )
        for known in plan.known:
            _check_known(known, plan)
        self._check_control(plan)
        self._check_scene(plan)

    def _check_scene(self, plan: Plan) -> None:
        """A scene that is set, in place of one that the model draws."""
        if plan.scene is None:
            return
        if not self.scene_frames:
            raise UserError(f"{self.name} follows no scene; use a model that draws scenes, such as default.")
        if plan.known or plan.loop or len(plan.spans) > 1:
            raise UserError(
                "A scene goes with a clip from one prompt, not with known frames, loops or cards."
            )
        check_scene(plan.scene)

    def _check_control(self, plan: Plan) -> None:
        """Reference pictures and a clip to follow."""
        if not (plan.references or plan.control or plan.control_scale != 1):
            return
        if "control" not in self.conditioning:
            raise UserError(
                f"{self.name} takes no reference pictures and no clip to follow; use a VACE model, such as"
                " wan2.1-vace-1.3b."
            )
        if len(plan.references) > REFERENCES:
            raise UserError(
                f"{len(plan.references)} reference pictures are too many; give up to {REFERENCES}."
            )
        if any(len(picture) != 1 for picture in plan.references):
            raise UserError(
                "A reference is a picture, and this is a clip; give it with --control, or a frame."
            )
        if plan.control and plan.control.size != plan.size:
            raise UserError("The clip to follow must have the size of the output; resize it first.")
        if not 0 <= plan.control_scale <= 10:
            raise UserError(f"The control's scale is from 0 to 10 (1 is usual), not {plan.control_scale:g}.")

    def _check_size(self, size: tuple[int, int]) -> None:
        """Any multiple can be made; one that training did not show is a note (generation/generate.py)."""
        nearest = tuple(self.multiple * min(max(1, round(side / self.multiple)), PATCHES) for side in size)
        if nearest != size:
            raise UserError(
                f"{self.name} makes widths and heights that are multiples of {self.multiple}, not {size[0]}x{size[1]};"
                f" the nearest that it can make is {nearest[0]}x{nearest[1]}."
            )

    def _check_sampling(self, plan: Plan) -> None:
        """The sampler and the shift."""
        if plan.sampler is not None and plan.sampler not in SAMPLERS:
            raise UserError(
                f"The sampler is {', '.join(SAMPLERS[:-1])} or {SAMPLERS[-1]}, not {plan.sampler!r:.40}."
            )
        low, high = SHIFTS
        if plan.shift is not None and not low <= plan.shift <= high:
            raise UserError(f"The shift is from {low:g} to {high:g} (1 is none), not {plan.shift:g}.")
        if (self.only_steps or self.own_levels) and (plan.sampler is not None or plan.shift is not None):
            raise UserError(
                f"{self.name} was made for its own noise levels; ask for no other --sampler or --shift."
            )

    def _check_spans(self, plan: Plan) -> None:
        if not plan.spans or plan.spans[0].start != 0:
            raise UserError("The first words must hold from the first frame on; let them start at 0.")
        starts = [span.start for span in plan.spans]
        if starts != sorted(set(starts)) or starts[-1] >= max(1, plan.frames):
            raise UserError("Words must start one after another, within the clip; move those that do not.")
        for span, after in zip(plan.spans, [*starts[1:], plan.frames], strict=True):
            if not span.text.strip():
                raise UserError("The prompt is empty; say what should be seen.")
            if span.stop not in (None, after):
                raise UserError("Words must hold until the next ones start; leave no gap between them.")

    def _check_pictures(self, plan: Plan) -> None:
        """A model that needs pictures takes whole frames at the ends of one clip, as extra channels."""
        ends = {"first": 0, "last": plan.frames - 1}
        lacks = [
            end for end in self.needs if not any(k.at <= ends[end] < k.at + len(k.video) for k in plan.known)
        ]
        if lacks:
            raise UserError(
                f"{self.name} starts from pictures; give it the {' and the '.join(lacks)} frame of the clip."
            )
        places = {ends[end] for end in self.conditioning}
        if any(known.at not in places or len(known.video) != 1 for known in plan.known):
            raise UserError(
                f"{self.name} can be given one frame at a time, the {' and the '.join(self.conditioning)} of the clip."
            )
        if any(known.hold != 1 or known.region is not None for known in plan.known):
            raise UserError(f"{self.name} keeps its input pictures; edit a clip with another model.")
        if plan.loop or len(plan.spans) > 1:
            raise UserError(
                f"{self.name} makes one window of {self.max_frames} frames with one text; use another model for loops"
                " and cards."
            )

    def _check_length(self, plan: Plan) -> None:
        """With known frames any length is possible; from words alone whole steps of the model."""
        whole = plan.frames % self.step == 1 % self.step
        if 1 <= plan.frames <= self.longest and (whole or (plan.known and not self.needs)):
            if plan.loop and plan.frames <= 2 * self.step:
                raise UserError(f"A loop takes at least {1 + 2 * self.step} frames; ask for as many.")
            return
        steps = ", ".join(str(1 + self.step * k) for k in range(3))
        raise UserError(
            f"{plan.frames} frames cannot be made; give {steps}, ... up to {self.longest}; "
            f"{self.nearest(plan.frames)} is nearest ({self.name} makes {self.max_frames} at once)."
        )


def begins(plan: Plan) -> bool:
    """Whether all known frames are the plan's first ones, kept as they are."""
    return all(known.at == 0 and known.hold == 1 and known.region is None for known in plan.known)


def _check_known(known: Known, plan: Plan) -> None:
    if known.video.size != plan.size:
        raise UserError("Known frames must have the size of the output; resize them first.")
    if not 0 <= known.at <= plan.frames - len(known.video):
        raise UserError(
            f"Known frames {known.at} to {known.at + len(known.video) - 1} lie outside the clip of {plan.frames}."
        )
    if not 0 <= known.hold <= 1:
        raise UserError(f"Known frames hold by 0 to 1, not {known.hold:g}.")
    if known.region is not None:
        x, y, w, h = known.region
        width, height = plan.size
        if not (0 <= x < x + w <= width and 0 <= y < y + h <= height):
            raise UserError(
                f"The region {x},{y},{w},{h} is not inside the picture of {width}x{height}; give x,y,width,height."
            )
