"""Words through their main directions alone: a frozen projection, folded into the text layer when a model is written.

A text encoder's states differ by much that no caption of a small world is about, and a transformer learns to lean on
it; wordings that it never saw then lead it astray. Within the few directions in which training's own sentences differ,
new wordings look like known ones. A projection before a linear layer is another linear layer, so nothing of the layout
changes and nothing is computed more.
"""

# Letters: n states, d their width

from __future__ import annotations

import copy

import torch

from sorairo.transformer.model import Transformer

__all__ = ["folded", "main_directions"]


@torch.no_grad()
def main_directions(states: torch.Tensor, rank: int) -> torch.Tensor:
    """The projection (d d) onto the `rank` main directions of states (n d), of words of training's sentences.

    Around zero, not around their mean: what stands for no word is zeros, and has to stay zeros.
    """
    second = states.double().T @ states.double() / len(states)  # d d
    directions = torch.linalg.eigh(second).eigenvectors[:, -rank:]  # d rank, the largest last
    return (directions @ directions.T).float()


@torch.no_grad()
def folded(transformer: Transformer, projection: torch.Tensor) -> Transformer:
    """A copy that takes plain states (b l d) and computes what the transformer does of projected ones."""
    copied = copy.deepcopy(transformer)
    weight = copied.words.first.weight  # width d
    weight.copy_((weight.float() @ projection.to(weight.device)).to(weight.dtype))
    return copied
