"""Begin a new run with the weights of a model that was trained before, such as the one that ships."""

from __future__ import annotations

import logging
from pathlib import Path

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.training.objective import Objective
from sorairo.types import UserError

__all__ = ["warm_start"]

log = logging.getLogger(__name__)


def warm_start(objective: Objective, model: str | Path) -> None:
    """Give the objective's networks the weights of `model` (a name or a checkpoint folder).

    Momenta and averages begin anew, so warm up again. Raises UserError when the model's networks have another shape.
    """
    checkpoint = load_checkpoint(model, "fp32")
    for name, network in objective.models.items():
        if not hasattr(checkpoint, name):  # a head that helps in training and is not shipped
            log.info("%s begins anew", name)
            continue
        theirs = getattr(checkpoint, name).state_dict()
        ours = network.state_dict()
        for key in sorted(ours.keys() | theirs.keys()):
            if key not in ours or key not in theirs or ours[key].shape != theirs[key].shape:
                raise UserError(
                    f"{model} cannot be trained on by this recipe: {name}.{key} differs in shape or is missing; "
                    "begin without --from."
                )
        network.load_state_dict(theirs)
        log.info("%s begins with the weights of %s", name, model)
