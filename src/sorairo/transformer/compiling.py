"""Compiled blocks: what lies between the products becomes a few kernels; worth it where steps take seconds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import nn

from sorairo.files import cache_home
from sorairo.nn.attention import Attend, Backend, in_blocks
from sorairo.nn.packed import AttendEach, attend_each, attend_to_own
from sorairo.transformer.block import Attends, Block
from sorairo.transformer.experts import Experts
from sorairo.transformer.model import Transformer, TransformerConfig

__all__ = ["compile_blocks", "keep_compiled", "uncompiled", "use_attention", "worth_compiling"]

LARGE = 500_000_000
"""Weights from which on compiling (about a minute) pays within the first clip on a CPU."""


def compile_blocks(transformer: nn.Module | Experts) -> None:
    """Compile every block in place, at its first use; of experts, as each is loaded.

    All blocks share one compilation, and a second shape of tokens or words costs one more. Blocks that are streamed
    from a file are left as they are. Results differ by rounding. What was compiled is kept for later processes, see
    `keep_compiled`.
    """
    keep_compiled()
    if isinstance(transformer, Experts):
        transformer.loaders = {name: partial(_loaded, load) for name, load in transformer.loaders.items()}
        parts = list(transformer.held.values())
    else:
        parts = [transformer]
    for part in parts:
        uncompiled(part)
        for module in part.modules():
            if isinstance(module, getattr(part, "block_class", Block)):
                module.compile()


def uncompiled(transformer: nn.Module) -> None:
    """Leave loops in attention out of what is compiled: a compiler would unroll them, and again for each number of
    queries and of clips in a row."""
    blocks = cast(Attend, torch.compiler.disable(in_blocks))
    each = cast(AttendEach, torch.compiler.disable(attend_each))
    own = cast(AttendEach, torch.compiler.disable(attend_to_own))
    for module in transformer.modules():
        if isinstance(module, Attends):
            module.blocks, module.each, module.own = blocks, each, own


def use_attention(transformer: nn.Module | Experts, chosen: Backend, *, compiled: bool) -> None:
    """Let a chosen kernel attend in every block; of experts, as each is loaded. compiled: whether the blocks are, which
    then leave it out."""
    if compiled:
        chosen = replace(chosen, attend=cast(Attend, torch.compiler.disable(chosen.attend)))
    parts = [transformer]
    if isinstance(transformer, Experts):
        loaders = transformer.loaders.items()
        transformer.loaders = {name: partial(_attending, load, chosen) for name, load in loaders}
        parts = list(transformer.held.values())
    for part in parts:
        assert isinstance(part, nn.Module)
        for module in part.modules():
            if isinstance(module, Attends):
                module.blocks = chosen


def _attending(load: Callable[[], Transformer], chosen: Backend) -> Transformer:
    transformer = load()
    use_attention(transformer, chosen, compiled=False)
    return transformer


def keep_compiled() -> None:
    """Let compiled code lie in the user's cache, unless TORCHINDUCTOR_CACHE_DIR names another place: torch's own is in
    /tmp. It belongs to a version of torch and a processor, and may be deleted at any time."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    name, theirs = "TORCHINDUCTOR_CACHE_DIR", default_cache_dir()
    if os.environ.get(name, theirs) == theirs:  # importing a compiler sets it
        os.environ[name] = str(cache_home() / "compiled")


def _loaded(load: Callable[[], Transformer]) -> Transformer:
    transformer = load()
    compile_blocks(transformer)
    return transformer


def worth_compiling(config: TransformerConfig, device: torch.device) -> bool:
    """Whether a model is large enough, and there is what compiling for its device needs: on a CPU a C++ compiler."""
    with torch.device("meta"):
        weights = sum(
            p.numel() for p in Block(config.width, config.heads, config.hidden, True, 0).parameters()
        )
    if weights * config.layers < LARGE:
        return False
    return device.type != "cpu" or shutil.which(os.environ.get("CXX", "g++")) is not None
