"""Models and LoRAs that were distilled to few steps, by their published names, and the settings of their authors.

Their tensors are those of any LoRA, so only the name tells. What a user sets counts first. Sources: the model cards of
lightx2v/Wan2.2-Lightning and lightx2v/Wan2.1-*-StepDistill-CfgDistill-Lightx2v.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sorairo.types import Plan, SamplerName

__all__ = ["FewSteps", "few_steps"]


@dataclass(frozen=True, kw_only=True)
class FewSteps:
    """Settings of a distillation. shift, sampler: None for the model's own, at the levels of Sampler.grid. source: the
    file that is known for them."""

    steps: int
    shift: float | None = None
    sampler: SamplerName | None = None
    guidance: float = 1.0
    grid: int = 0
    source: str = ""

    def of(self, plan: Plan) -> tuple[Plan, str]:
        """(the plan with these where it says nothing, what to say of that). A plan with steps of its own stays."""
        if plan.steps not in (None, self.steps):
            return plan, ""
        made = replace(
            plan,
            steps=self.steps,
            guidance=self.guidance if plan.guidance is None else plan.guidance,
            shift=self.shift if plan.shift is None else plan.shift,
            sampler=self.sampler if plan.sampler is None else plan.sampler,
        )
        said = f"--steps {made.steps} --guidance {made.guidance:g}"
        said += "" if made.shift is None else f" --shift {made.shift:g}"
        said += "" if made.sampler is None else f" --sampler {made.sampler}"
        return made, f"{self.source} was made for few steps: {said}, where you set none."


# (in the name of the file or its folder, in lower case; its settings)
KNOWN = [
    (r"wan2\.?2.*(lightning|lightx2v|4[-_ ]?steps?)", FewSteps(steps=4, shift=5.0, sampler="euler")),
    (r"4[-_ ]?steps?[-_ ]lora", FewSteps(steps=4, shift=5.0, sampler="euler")),
    (
        r"lightx2v|cfg[-_]?(and[-_])?step[-_]?distill|step[-_]?distill",
        FewSteps(steps=4, shift=5.0, sampler="lcm"),
    ),
    # Source: github.com/meituan-longcat/LongCat-Video, get_timesteps_sigmas and the scripts
    (r"cfg[-_]step[-_]lora", FewSteps(steps=16, grid=50)),
]
PLAIN = re.compile(r"(high_noise|low_noise)?_?(model|adapter_model|pytorch_lora_weights|lora)", re.IGNORECASE)


def few_steps(paths: Sequence[Path]) -> FewSteps | None:
    """The settings of the first file that is known, by its name, or by its folder's where it has a plain one; None for
    others."""
    for path in paths:
        names = [path.stem]
        if PLAIN.fullmatch(path.stem):  # the folder says what it is
            names.append(path.resolve().parent.name)
        for name in names:
            for pattern, settings in KNOWN:
                if re.search(pattern, name.lower()):
                    return replace(settings, source=path.name)
    return None
