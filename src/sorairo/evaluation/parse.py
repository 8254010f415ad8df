"""From pixels back to state: which objects a clip shows, what happens in it, how its camera moves.

The weights were trained on the studio's own clips with exact labels (recipes/parser.py); docs/scorecard.md says how
often it is right, and which words it confuses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

from sorairo.config import from_dict, to_dict
from sorairo.evaluation.network import ParserConfig, ParserNetwork, Reading
from sorairo.evaluation.tracks import Track, Tracklet, blobs_of, link, merge
from sorairo.files import replacing
from sorairo.types import UserError, Video

__all__ = ["Parsed", "Parser", "load_parser", "read_weights", "save_weights"]

WEIGHTS = "weights/studio.safetensors"
SHORTEST = 6  # an object is seen in at least a sixth of the frames
UNIT = 16  # pixels: sizes are padded to a multiple of it


@dataclass(frozen=True, kw_only=True, eq=False)
class Parsed:
    """What a clip shows. event and camera are words of the world, with how sure the parser is (0..1)."""

    objects: tuple[Track, ...]
    event: str
    event_sure: float
    camera: str
    camera_sure: float

    def names(self) -> list[tuple[str, str]]:
        """(colour, shape) of every object, sorted."""
        return sorted((track.colour, track.shape) for track in self.objects)


class Parser:
    """A trained network with the rules that turn its votes into objects."""

    def __init__(self, network: ParserNetwork) -> None:
        self.network = network.eval()
        self.config = network.config

    @torch.inference_mode()
    def __call__(self, video: Video) -> Parsed:
        """Parse one clip of any size (at least 32 pixels a side) and length."""
        h, w = video.frames.shape[1:3]
        x = torch.from_numpy(np.ascontiguousarray(video.frames)).permute(0, 3, 1, 2).float() / 255
        x = F.pad(x, (0, -w % UNIT, 0, -h % UNIT), mode="replicate")
        return self.decode(self.network(x[None]), (h, w))

    def decode(self, reading: Reading, size: tuple[int, int], index: int = 0) -> Parsed:
        """The rules alone, on clip `index` of a batch. size: (height, width) before padding."""
        rows, columns = -(-size[0] // 2), -(-size[1] // 2)
        part = (index, slice(None), slice(0, rows), slice(0, columns))
        sure = reading.object[part].sigmoid().numpy()
        centre = reading.centre[part].float().numpy()
        colour = reading.colour[part].softmax(dim=-1).numpy()
        shape = reading.shape[part].softmax(dim=-1).numpy()
        frames = [blobs_of(*arrays) for arrays in zip(sure, centre, colour, shape, strict=True)]
        chains = merge(link(frames), shortest=-(-len(frames) // SHORTEST))
        event = reading.event[index].softmax(dim=0)
        camera = reading.camera[index].softmax(dim=0)
        return Parsed(
            objects=tuple(self._track(chain, len(frames)) for chain in chains),
            event=self.config.events[int(event.argmax())],
            event_sure=float(event.max()),
            camera=self.config.cameras[int(camera.argmax())],
            camera_sure=float(camera.max()),
        )

    def _track(self, chain: list[Tracklet], frames: int) -> Track:
        path, area = np.full((frames, 2), np.nan), np.zeros(frames)
        for tracklet in chain:
            for frame, blob in tracklet.blobs.items():
                path[frame] = 2 * blob.centre + 0.5
                area[frame] = 4 * blob.area
        whole = Tracklet(blobs={frame: blob for tracklet in chain for frame, blob in tracklet.blobs.items()})
        parts = tuple((part.first, part.last + 1, *self._words(part)) for part in chain)
        colour, shape = self._words(whole)
        return Track(colour=colour, shape=shape, path=path, area=area, parts=parts)

    def _words(self, tracklet: Tracklet) -> tuple[str, str]:
        colour, shape = tracklet.vote("colour"), tracklet.vote("shape")
        return self.config.colours[int(colour.argmax())], self.config.shapes[int(shape.argmax())]


def save_weights(network: ParserNetwork, path: Path) -> None:
    """Write the network in half precision with its config in the metadata, atomically."""
    tensors = {
        name: tensor.half().contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"config": json.dumps(to_dict(network.config))})


def load_parser(path: Path | None = None) -> Parser:
    """The parser that ships with the package, or one from a file. Raises UserError for a file that is none."""
    return _load(path if path else Path(str(files("sorairo.evaluation").joinpath(WEIGHTS))))


@cache
def _load(path: Path) -> Parser:
    config, tensors = read_weights(path)
    network = ParserNetwork(config)
    network.load_state_dict(tensors, strict=False)  # batch norm's counters are not stored
    return Parser(network)


def read_weights(path: Path) -> tuple[ParserConfig, dict[str, torch.Tensor]]:
    """What `save_weights` wrote, in float32. Raises UserError for a file that it did not write."""
    try:
        with safe_open(str(path), framework="pt") as file:
            config = from_dict(ParserConfig, json.loads((file.metadata() or {})["config"]), where=str(path))
            return config, {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"{path} holds no parser weights; recipes/parser.py trains them.") from error
