"""Captions by a small network that learned the simulated worlds: it describes such clips, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sorairo.codec.latent_space import LatentSpace
from sorairo.config import from_dict
from sorairo.data.captions.network import EVERYTHING, SUBJECT, CaptionerConfig, CaptionerNetwork
from sorairo.data.encoders import clip_encoder
from sorairo.files import file_hash, whole_file
from sorairo.types import UserError

__all__ = ["SHIPPED", "Trained", "save_captioner"]

SHIPPED = Path(__file__).parent / "weights" / "worlds.safetensors"
SPACE = "space."  # before the names of the latent space's tensors


class Trained:
    """A Captioner. Raises UserError for a file that holds none.

    Clips of any size; what does not fill the network's patches is cut off at the right and below.
    """

    def __init__(self, path: Path = SHIPPED) -> None:
        self.network, self.space = _load(path)
        self.name = f"worlds {file_hash(path)[:12]}"
        self.encode = clip_encoder(self.space)

    def caption(self, frames: np.ndarray, fps: float) -> list[str]:
        """See Captioner."""
        unit = self.space.space_factor * self.network.config.patch
        t, h, w = frames.shape[:3]
        step = self.space.time_factor
        kept = frames[: 1 + (t - 1) // step * step, : h // unit * unit, : w // unit * unit]
        if not kept.size:
            raise UserError(f"The captioner looks at clips of {unit} pixels a side and more.")
        return self.of(self.encode(np.ascontiguousarray(kept[None])))[0]

    def of(self, latents: Tensor) -> list[list[str]]:
        """The same of latents (b c t h w) of the space that it reads: a subject and everything of each."""
        said = [self.network.caption(latents.float(), mark) for mark in (SUBJECT, EVERYTHING)]
        return [list(both) for both in zip(*said, strict=True)]


def save_captioner(network: CaptionerNetwork, space: LatentSpace, path: Path) -> None:
    """Both in one file, in half precision: what a captioner reads belongs to it."""
    tensors: dict[str, Tensor] = {name: value.half() for name, value in network.state_dict().items()}
    tensors |= {SPACE + name: value for name, value in space.state_dict().items()}
    with whole_file(path) as temporary:
        save_file(
            {name: value.contiguous() for name, value in tensors.items()},
            temporary,
            metadata={"captioner": json.dumps(asdict(network.config))},
        )


def _load(path: Path) -> tuple[CaptionerNetwork, LatentSpace]:
    try:
        with safe_open(path, framework="pt") as file:
            said: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        config = from_dict(CaptionerConfig, json.loads(said["captioner"]))
        network = CaptionerNetwork(config)
        network.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(SPACE)})
        space = LatentSpace(**{k.removeprefix(SPACE): v for k, v in tensors.items() if k.startswith(SPACE)})
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} holds no captioner; recipes/captioner.py makes one.") from error
    return network.eval().requires_grad_(False), space
