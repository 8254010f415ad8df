"""Begin a new run with the weights of a model that was trained before, such as the one that ships."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import torch
from torch import Tensor

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.training.objective import Objective
from sorairo.types import UserError

__all__ = ["place_blocks", "place_local", "warm_start"]

log = logging.getLogger(__name__)
LOCAL = "local."
BLOCK = re.compile(r"^blocks\.(\d+)\.")


def warm_start(objective: Objective, model: str | Path) -> None:
    """Give the objective's networks the weights of `model` (a name or a checkpoint folder).

    Where a transformer has more blocks than the model's, the new ones stand evenly between the old and keep what
    `init_weights` gave them. That is a part whose last products are zero, so at first it changes nothing: the network
    begins as the same function. Source: LLaMA Pro (arXiv 2401.02415), section 3.2. Where a transformer has local
    convolutions and the model has none, they begin as `init_weights` left them, which changes nothing either.

    Momenta and averages start from zero, so warm up again. Raises UserError when the networks have another shape.
    """
    checkpoint = load_checkpoint(model, "fp32")
    for name, network in objective.models.items():
        if getattr(checkpoint, name, None) is None:  # a head that helps in training and is not shipped
            log.info("%s starts from nothing", name)
            continue
        ours = network.state_dict()
        theirs = place_local(place_blocks(getattr(checkpoint, name).state_dict(), ours), ours)
        for key in sorted(ours.keys() | theirs.keys()):
            if key not in ours or key not in theirs or ours[key].shape != theirs[key].shape:
                raise UserError(
                    f"{model} cannot be trained on by this recipe: {name}.{key} differs in shape or is missing; "
                    "begin without --from."
                )
        network.load_state_dict(theirs)
        log.info("%s begins with the weights of %s", name, model)


def place_blocks(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """`theirs`, its blocks spread evenly among `ours`, whose others are added; as it is if no fewer."""
    old, new = _blocks(theirs), _blocks(ours)
    if not 0 < old < new:
        return theirs
    places = [
        -(-(number + 1) * new // old) - 1 for number in range(old)
    ]  # rounded up: the last stays the last
    placed = {
        BLOCK.sub(lambda found: f"blocks.{places[int(found[1])]}.", key, count=1): value
        for key, value in theirs.items()
    }
    added = {
        key: value
        for key, value in ours.items()
        if (found := BLOCK.search(key)) and int(found[1]) not in places
    }
    return placed | added


def place_local(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """`theirs` with our local convolutions, and room for their features in the patches and in the head.

    Patches do not look at the features at first (zeros); what the head says to the convolutions is as it was begun. As
    it is where both have convolutions or neither has.
    """
    if any(key.startswith(LOCAL) for key in theirs) or not any(key.startswith(LOCAL) for key in ours):
        return theirs
    placed = theirs | {key: value for key, value in ours.items() if key.startswith(LOCAL)}
    features, channels = ours["local.enter.weight"].shape[0], ours["local.leave.weight"].shape[0]
    embed = torch.zeros_like(ours["patches.embed.weight"])  # d (c p q): the features' columns come last
    old = theirs["patches.embed.weight"]
    embed[:, : old.shape[1]] = old
    placed["patches.embed.weight"] = embed
    for key in (
        "head.project.weight",
        "head.project.bias",
    ):  # (p q c) ...: they come last within each position
        values = ours[key].clone().unflatten(0, (-1, channels + features))
        values[:, :channels] = theirs[key].unflatten(0, (-1, channels))
        placed[key] = values.flatten(0, 1)
    return placed


def _blocks(state: dict[str, Tensor]) -> int:
    """How many blocks a network of these weights has."""
    return 1 + max((int(found[1]) for key in state if (found := BLOCK.search(key))), default=-1)
