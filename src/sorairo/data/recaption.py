"""New words for clips that are encoded already: recaptioning (Betker et al. 2023, DALL-E 3) without a captioner.

The exact caption says all that a clip's other captions can say, so they are rewritten from it when the world has
learnt new sentences. Pictures stay as they are. Legend: n clips, l words, d width of a word's state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from sorairo.data.latents import KINDS, Words, encoded_words
from sorairo.data.shards import read_shard, write_shard
from sorairo.data.sources.worlds import caption_lines
from sorairo.types import UserError
from sorairo.worlds.captions import Captions

__all__ = ["recaption"]

log = logging.getLogger(__name__)

Rewrite = Callable[[str, int, bool], Captions | None]  # exact caption, seed, whether it moves -> all captions


def recaption(folder: Path, rewrite: Rewrite, words: Words) -> tuple[int, int]:
    """Give every clip of a folder of shards the captions that `rewrite` has for it; None, or another exact caption
    than the clip's, leaves the clip's words as they are. Shards are replaced one by one, each whole or not at all.

    Returns how many clips have new captions, and how many kept theirs. Raises UserError when the folder is empty.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise UserError(f"{folder} holds no shards of latents: make them first (docs/training.md).")
    new = kept = 0
    for done, path in enumerate(paths):
        shard = read_shard(path)
        moving = int(shard.info["frames"]) > 1
        lines, records = [], []
        for record in shard.records:
            before = record["captions"]
            captions = rewrite(before["long"], record["seed"], moving)
            if captions is not None and captions.long == before["long"]:
                line, new = caption_lines(captions, record["seed"]), new + 1
            else:
                line, kept = tuple(before[kind] for kind in KINDS), kept + 1
            lines.append(line)
            records.append({**record, "captions": dict(zip(KINDS, line, strict=True))})
        others = {name: tensor for name, tensor in shard.tensors.items() if not name.startswith("text_")}
        write_shard(path, {**others, **encoded_words(lines, words)}, records, shard.info)
        log.info("captions: shard %d of %d", done + 1, len(paths))
    return new, kept
