"""Generated clips kept by seed, so that an interrupted evaluation goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from sorairo.evaluation.suites import Prompt, Suite
from sorairo.files import replacing
from sorairo.types import UserError, Video

__all__ = ["ClipStore"]


class ClipStore:
    """A folder of generated clips, one lossless file per seed, that belongs to one model and one suite."""

    def __init__(self, folder: Path, suite: Suite, model: str) -> None:
        """model: what tells this model's weights from any other's. Raises UserError for a folder of another's."""
        self.folder = folder / "clips"
        owner = {"model": model} | {k: v for k, v in asdict(suite).items() if k != "count" and v != ()}
        owner = json.loads(json.dumps(owner))
        card = folder / "suite.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        if card.exists() and json.loads(card.read_text()) != owner:
            raise UserError(f"{folder} holds clips of another model or suite; choose another --out.")
        with replacing(card) as temporary:
            temporary.write_text(json.dumps(owner, indent=2) + "\n")

    def fill(
        self, prompts: Sequence[Prompt], make: Callable[[Sequence[Prompt]], Iterable[Video]], batch: int = 4
    ) -> Iterator[Video]:
        """The clips of the prompts in order; `make` is asked, a few at a time, for those that are not there yet."""
        for start in range(0, len(prompts), batch):
            part = prompts[start : start + batch]
            missing = [prompt for prompt in part if not self._path(prompt).exists()]
            for prompt, video in zip(missing, make(missing) if missing else [], strict=True):
                self._write(prompt, video)
            for prompt in part:
                yield self._read(prompt)

    def _path(self, prompt: Prompt) -> Path:
        return self.folder / f"{prompt.seed:08d}.safetensors"

    def _write(self, prompt: Prompt, video: Video) -> None:
        from safetensors.torch import save_file

        with replacing(self._path(prompt)) as temporary:
            frames = torch.from_numpy(video.frames).contiguous()
            save_file({"frames": frames}, temporary, metadata={"text": prompt.text, "fps": str(video.fps)})

    def _read(self, prompt: Prompt) -> Video:
        from safetensors.torch import load_file

        return Video(frames=load_file(self._path(prompt))["frames"].numpy(), fps=prompt.fps)
