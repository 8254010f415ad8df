"""Loaded models, kept and shared between requests that want them alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from sorairo.checkpoints.beside import Beside
from sorairo.checkpoints.folder import Checkpoint
from sorairo.checkpoints.lora import apply_loras
from sorairo.checkpoints.memory.planner import load_within
from sorairo.jobs.request import Request

__all__ = ["Models"]


class Models:
    """Loads what requests ask for, and keeps the last one.

    Only one is held at a time, since a second would need its memory beside the first. Threads may share this. say: is
    told how models are held; None tells whoever asks for one.
    """

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self._lock, self._say = Lock(), say
        self._key: tuple[Any, ...] | None = None
        self._model: Checkpoint | None = None

    def get(self, request: Request, say: Callable[[str], None] = lambda sentence: None) -> Checkpoint:
        """The model as a request wants it: within its memory, with its LoRAs, compiled. `say` is told how it is held.

        Raises UserError.
        """
        size, frames = (request.pixels, request.frames) if request.memory else (None, None)
        key = (request.model, request.dtype, request.memory, size, frames)
        key += (request.lora, request.loose, request.compile, request.attention, beside_of(request))
        with self._lock:
            if self._model is None or key != self._key:
                self._model = self._key = None  # its memory is free before the next one is loaded
                self._model, self._key = load(request, self._say or say), key
            return self._model

    @property
    def held(self) -> Checkpoint | None:
        """The model that is held now."""
        return self._model

    def drop(self) -> None:
        """Free the loaded model."""
        with self._lock:
            self._model = self._key = None


def beside_of(request: Request) -> Beside | None:
    """The files that a request names for parts of its model."""
    named = {name: getattr(request, name) for name in ("vae", "text_encoder", "image_encoder")}
    return Beside(**{name: Path(file) for name, file in named.items() if file}) or None


def load(request: Request, say: Callable[[str], None]) -> Checkpoint:
    """The model of a request, loaded. Raises UserError."""
    asked, beside = (request.memory, request.model, request.dtype), beside_of(request)
    model = load_within(*asked, request.pixels, request.frames, say, beside)
    model = apply_loras(model, request.lora, strict=not request.loose)
    for note in model.notes:
        say(note)
    from sorairo.nn.backends import backend
    from sorairo.transformer.compiling import compile_blocks, use_attention, worth_compiling
    from sorairo.transformer.context import split_clips

    split_clips(model.transformer)
    # a plan that streams blocks leaves those as they are
    wanted = request.compile
    compiled = worth_compiling(model.transformer.config, model.device) if wanted is None else wanted
    if compiled:
        compile_blocks(model.transformer)
    if request.attention != "auto":
        chosen = backend(request.attention, model.device, model.dtype)
        use_attention(model.transformer, chosen, compiled=compiled)
    return model
