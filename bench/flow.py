"""How far each solver ends from the truth (the median), by its steps, on two bells of data; and a picture of it.

    python bench/flow.py [docs/images/flow.png]

The data is a mixture of two normal distributions on a line, so the best velocity is known in closed form. The truth
is Euler in 20000 steps. The picture has Wan's shift of 3.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from sorairo.flow.schedule import unipc_sigmas
from sorairo.flow.solvers import SOLVERS, euler

MEANS, DEVIATION = (-1.2, 0.8), 0.15
SHIFT = 3.0
WIDTH, HEIGHT, SPAN = 960, 480, 3.0


def velocity(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """E[noise - data | x]: that of each bell, weighted by how likely it is that x came from it."""
    means = torch.tensor(MEANS, dtype=x.dtype)
    variance = (1 - sigma) ** 2 * DEVIATION**2 + sigma**2
    off = x[:, None] - (1 - sigma) * means  # x bells
    share = (-off.square() / (2 * variance)).softmax(dim=1)
    each = (sigma - (1 - sigma) * DEVIATION**2) * off / variance - means
    return (share * each).sum(dim=1)


def path(solver: str, x: torch.Tensor, steps: int, shift: float) -> list[torch.Tensor]:
    """x at every level of the schedule."""
    points = [x]
    SOLVERS[solver](velocity, x, unipc_sigmas(steps, shift), lambda step, x: points.append(x))
    return points


def table() -> None:
    x = torch.linspace(-2.5, 2.5, 201, dtype=torch.float64)
    truth = euler(velocity, x, unipc_sigmas(20000, 1.0))
    counts = (4, 8, 12, 16, 32)
    for shift in (1.0, 3.0):
        print(f"shift {shift:g}   " + "".join(f"{steps:>6} steps" for steps in counts))
        for name in SOLVERS:
            errors = [(path(name, x, steps, shift)[-1] - truth).abs().median().item() for steps in counts]
            print(f"{name:10}" + "".join(f"{error:12.4f}" for error in errors))


def picture(where: Path) -> None:
    """Noise on the left flows to data on the right: thin lines the truth, dots UniPC's eight steps, rings Euler's."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "#fbfaf7")
    draw = ImageDraw.Draw(image)
    start = torch.linspace(-2.4, 2.4, 25, dtype=torch.float64)

    def at(sigma: float, x: float) -> tuple[float, float]:
        return 24 + (1 - sigma) * (WIDTH - 48), HEIGHT / 2 - x / SPAN * (HEIGHT / 2)

    fine, coarse = unipc_sigmas(400, SHIFT), unipc_sigmas(8, SHIFT)
    truth, fast, plain = (
        path(name, start, steps, SHIFT) for name, steps in (("unipc", 400), ("unipc", 8), ("euler", 8))
    )
    for line in range(len(start)):
        draw.line([at(s, p[line].item()) for s, p in zip(fine, truth, strict=True)], fill="#b9c4cf", width=1)
        for sigma, dot, ring in zip(coarse, fast, plain, strict=True):
            for point, radius, style in ((dot, 3, {"fill": "#d1495b"}), (ring, 4, {"outline": "#30638e"})):
                x, y = at(sigma, point[line].item())
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), **style)
    image.save(where)


if __name__ == "__main__":
    table()
    if len(sys.argv) > 1:
        picture(Path(sys.argv[1]))
