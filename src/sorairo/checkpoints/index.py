"""model_index.json: which family a folder is of, which parts it has, and how two transformers share the work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sorairo.checkpoints.adapters import longcat
from sorairo.checkpoints.families import FAMILIES
from sorairo.checkpoints.scheduler import SCHEDULERS
from sorairo.checkpoints.schemas import IndexFile
from sorairo.config import check, parse_json
from sorairo.types import UserError

__all__ = ["DMD_TIMES", "FORCED", "SKYREELS", "Index", "is_longcat", "read_index", "read_json"]

SKYREELS = ("SkyReelsV2Pipeline", "SkyReelsV2ImageToVideoPipeline")
FORCED = (
    "SkyReelsV2DiffusionForcingPipeline",
    "SkyReelsV2DiffusionForcingImageToVideoPipeline",
    "SkyReelsV2DiffusionForcingVideoToVideoPipeline",
)
"""Diffusion forcing: every frame has a noise level of its own."""
PIPELINES = (
    "WanPipeline",
    "WanImageToVideoPipeline",
    "WanVACEPipeline",
    "WanDMDPipeline",
    "WanCausalDMDPipeline",
    *SKYREELS,
    *FORCED,
    *(name for family in FAMILIES for name in family.pipelines),
)
DMD_TIMES = (1000, 757, 522)
"""Where FastVideo's models of few steps are asked; their files do not say. Source: its configs/pipelines/wan.py."""
TRANSFORMERS = (
    "WanTransformer3DModel",
    "LocalWanTransformer3DModel",
    "WanVACETransformer3DModel",
    "SkyReelsV2Transformer3DModel",
    "CausalWanTransformer3DModel",
    *(name for family in FAMILIES for name in family.classes),
)
# Part -> the classes that we can read; none named: any
CLASSES = {
    "transformer": TRANSFORMERS,
    "transformer_2": TRANSFORMERS,
    "vae": ("AutoencoderKLWan",),
    "text_encoder": ("BertModel", "UMT5EncoderModel"),
    "tokenizer": (),
    "image_encoder": ("CLIPVisionModel", "CLIPVisionModelWithProjection"),
    "image_processor": (),
    "scheduler": SCHEDULERS,
}
NEEDED = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")


@dataclass(frozen=True, kw_only=True)
class Index:
    """family: the pipeline's class. parts: those that are there, and of which class. own_times: each frame has a noise
    level of its own (expand_timesteps). boundary: the sigma above which `transformer` works and below which
    `transformer_2` does; None where there is one. times: see Layout. homes: folders of parts, by the parts' names."""

    family: str
    parts: dict[str, str]
    boundary: float | None
    own_times: bool
    times: tuple[float, ...] = ()
    homes: dict[str, Path] = field(default_factory=dict)


def read_index(folder: Path) -> Index:
    """What a folder in WanPipeline's layout holds. Raises UserError for another family or class, or a part missing."""
    where = folder / "model_index.json"
    values = read_json(where) if where.is_file() or not is_longcat(folder) else _longcat_index(folder)
    homes = {part: folder / part for part in CLASSES}
    if DIT in values and "transformer" not in values:
        values["transformer"], homes["transformer"] = values[DIT], folder / DIT
    family = values.get("_class_name")
    if family not in PIPELINES:
        raise UserError(f"{where} is of a {family}; only {', '.join(PIPELINES)} are supported.")
    if family == "HeliosPyramidPipeline" and not values.get("is_distilled"):
        raise UserError(
            f"{where} is of Helios-Mid, a step on the way to Helios-Distilled, which is not supported; take that, or"
            " Helios-Base."
        )
    parts = {}
    for part, classes in CLASSES.items():
        found = values.get(part)
        kind = found[1] if isinstance(found, list) and len(found) == 2 else None
        if kind is None and part not in NEEDED:
            continue
        if not homes[part].is_dir():
            raise UserError(
                f"{folder} is not whole: {homes[part].name}/ is missing; copy the checkpoint again."
            )
        if classes and kind not in classes:
            raise UserError(f"{folder}: {part} is of class {kind}; only {' or '.join(classes)} is supported.")
        parts[part] = str(kind)
    check(IndexFile, values, where=str(where))
    boundary = values.get("boundary_ratio")
    if (boundary is None) == ("transformer_2" in parts):
        raise UserError(f"{where}: boundary_ratio and transformer_2 belong together; one of them is missing.")
    own_times = bool(values.get("expand_timesteps", False)) or family in FORCED
    times = DMD_TIMES if family == "WanDMDPipeline" else ()
    return Index(
        family=str(family), parts=parts, boundary=boundary, own_times=own_times, times=times, homes=homes
    )


DIT = "dit"
"""Where LongCat-Video's authors have the transformer. Their folder has no index."""


def is_longcat(folder: Path) -> bool:
    """Whether a folder is in the layout of LongCat-Video's authors. Raises UserError for its avatars."""
    where = folder / DIT / "config.json"
    if not where.is_file():
        return False
    kind = str(read_json(where).get("_class_name"))
    if kind.startswith("LongCatVideoAvatar"):
        raise UserError(
            f"{folder} is LongCat-Video-Avatar, which moves a face by speech and is not supported; take"
            " meituan-longcat/LongCat-Video."
        )
    return kind == longcat.CLASS


def _longcat_index(folder: Path) -> dict[str, Any]:
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json").get("_class_name")
    kinds = {
        DIT: longcat.CLASS,
        "vae": "AutoencoderKLWan",
        "text_encoder": "UMT5EncoderModel",
        "tokenizer": "T5",
    }
    kinds["scheduler"] = str(scheduler)
    return {"_class_name": "LongCatVideoPipeline", **{part: ["", kind] for part, kind in kinds.items()}}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a checkpoint."""
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{path} is missing; copy the checkpoint again.") from error
    return parse_json(text, where=str(path))
