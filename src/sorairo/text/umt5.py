"""Prompts -> states through umT5, the text encoder of Wan. The transformers library computes it."""

# Letters: b batch, l tokens, d width

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from sorairo.text.encoder import TextStates, token_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["UMT5Encoder"]


class UMT5Encoder:
    """A tokenizer and umT5's encoder, in the place of a TextEncoder.

    load: gives the encoder, a module from token ids (1 l) to an object with last_hidden_state (1 l d); it is called at
    the first prompt. nbytes: what that takes, 11 GB at full size in bfloat16. keep: whether it stays when `rest` is
    called.
    """

    def __init__(
        self,
        load: Callable[[], nn.Module],
        tokenizer: Tokenizer,
        width: int,
        max_length: int = 512,
        nbytes: int = 0,
        keep: bool = True,
    ):
        self.load = load
        self.nbytes = nbytes
        self.keep = keep
        self.tokenizer = tokenizer
        self.width = width
        self.max_length = max_length
        self._model: nn.Module | None = None

    def tokens(self, prompt: str, called: str = "The prompt") -> list[int]:
        """The token ids of a prompt, end mark included. called: its name in an error.

        Raises UserError where it is too long.
        """
        return token_ids(self.tokenizer, prompt, self.max_length, called)

    @torch.inference_mode()
    def encode(self, prompts: list[str]) -> TextStates:
        """TextStates of prompts, l = max_length, zeros behind the words. Raises UserError where one is too long.

        Each prompt is computed alone and without its padding, which umT5 would mask.
        """
        coded = [self.tokens(prompt) for prompt in prompts]
        self._model = self._model or self.load()
        device = next(self._model.parameters()).device
        states = torch.zeros(len(prompts), self.max_length, self.width)
        for row, ids in enumerate(coded):
            made = self._model(torch.tensor([ids], device=device)).last_hidden_state  # 1 l d
            states[row, : len(ids)] = made[0].float().cpu()
        return TextStates(states, torch.tensor([len(ids) for ids in coded]))

    def rest(self) -> None:
        """No more prompts for now: free the weights, unless they are kept. The next prompt loads them again."""
        if not self.keep:
            self._model = None
