"""The captioner's network: latents of a clip -> a sentence, word by word. Trained by recipes/captioner.py."""

# Letters: b clips, c channels, t h w latent grid, s tokens of a frame, n = t s tokens, l words, d width, v vocabulary

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sorairo.transformer.conditions import sinusoids
from sorairo.transformer.patches import to_patches

__all__ = ["END", "EVERYTHING", "PAD", "SUBJECT", "CaptionerConfig", "CaptionerNetwork", "spoken", "words_of"]

PAD, END, SUBJECT, EVERYTHING = range(4)
"""Marks before the words. A sentence begins with what it is to say."""
MARKS = 4
WAVES = 32  # sinusoids for a place along each of time, height and width


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """words: the vocabulary, in small letters, with the full stop and the comma. longest: words of a caption.

    pace: every how many latent frames one is looked at.
    """

    words: tuple[str, ...]
    channels: int = 24
    width: int = 128
    heads: int = 4
    hidden: int = 384
    layers: int = 2
    longest: int = 80
    pace: int = 2
    patch: int = 2


class CaptionerNetwork(nn.Module):
    """Latents (b c t h w) and the words so far (b l) -> scores of the next ones (b l v)."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.config = config
        d, v = config.width, MARKS + len(config.words)
        kind = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.embed = nn.Linear(config.channels * config.patch**2, d)
        self.embed_place = nn.Linear(3 * WAVES, d)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(d, config.heads, config.hidden, **kind),
            config.layers,
            norm=nn.LayerNorm(d),
            enable_nested_tensor=False,
        )
        self.embed_word = nn.Embedding(v, d)
        self.embed_order = nn.Embedding(config.longest + 1, d)
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(d, config.heads, config.hidden, **kind),
            config.layers,
            norm=nn.LayerNorm(d),
        )
        self.head = nn.Linear(d, v)

    def look(self, latents: Tensor) -> Tensor:
        """What is seen, (b t' s d), of every `pace`-th latent frame; h and w are multiples of `patch`."""
        patches = to_patches(latents[:, :, :: self.config.pace], self.config.patch)  # b t s c*p*p
        t, s = patches.shape[1:3]
        h = latents.shape[3] // self.config.patch
        seconds, rows, columns = torch.meshgrid(
            torch.arange(t), torch.arange(h), torch.arange(s // h), indexing="ij"
        )
        place = torch.stack(
            [10 * seconds, rows * 64 // h, columns * 64 * h // s], dim=-1
        )  # of any size alike
        waves = sinusoids(place.to(latents.device), WAVES).flatten(-2).flatten(0, 2)  # n 3*waves
        x = self.embed(patches.flatten(1, 2)) + self.embed_place(waves.to(patches.dtype))  # b n d
        return self.encoder(x).unflatten(1, (t, s))

    def say(self, seen: Tensor, words: Tensor) -> Tensor:
        """Scores (b l v) of the word after each of (b l)."""
        order = torch.arange(words.shape[1], device=words.device)
        x = self.embed_word(words) + self.embed_order(order)
        later = torch.ones(len(order), len(order), dtype=torch.bool, device=words.device).triu(1)
        return self.head(self.decoder(x, seen.flatten(1, 2), tgt_mask=later))

    def forward(self, latents: Tensor, words: Tensor) -> Tensor:
        return self.say(self.look(latents), words)

    @torch.inference_mode()
    def caption(self, latents: Tensor, mark: int) -> list[str]:
        """A sentence for each clip, the likeliest word each time."""
        seen = self.look(latents)
        words = torch.full((len(latents), 1), mark, device=latents.device)
        while words.shape[1] <= self.config.longest:
            following = self.say(seen, words)[:, -1].argmax(-1)
            following = torch.where((words == END).any(1), END, following)
            words = torch.cat([words, following[:, None]], dim=1)
            if bool((following == END).all()):
                break
        return [
            spoken([self.config.words[i - MARKS] for i in row if i >= MARKS]) for row in words[:, 1:].tolist()
        ]

    def numbers(self, text: str, mark: int) -> list[int]:
        """The mark, the numbers of a sentence's words, and the end; words that it does not know are left out."""
        known = {word: MARKS + index for index, word in enumerate(self.config.words)}
        return [mark, *(known[word] for word in words_of(text) if word in known), END]


def words_of(text: str) -> list[str]:
    """'A red ball, rolling.' -> a, red, ball, the comma, rolling, the full stop."""
    return re.findall(r"[a-z0-9']+|[.,]", text.lower())


def spoken(words: Sequence[str]) -> str:
    """The inverse, with a capital at the beginning of each sentence."""
    text = re.sub(r" ([.,])", r"\1", " ".join(words))
    return re.sub(r"(?:^|(?<=\. ))[a-z]", lambda found: found[0].upper(), text)
