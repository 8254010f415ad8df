"""The error-correcting code of the mark: 32 bits as 114, convolutional, rate 1/3, 64 states, read by Viterbi.

Generators 133, 171 and 165 (octal), constraint length 7 (Proakis, Digital Communications, table 8.2-2); six zeros end
it.
"""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["BITS", "LENGTH", "decode", "encode"]

BITS, MEMORY, GENERATORS = 32, 6, (0o133, 0o171, 0o165)
LENGTH = (BITS + MEMORY) * len(GENERATORS)


def encode(payload: int) -> np.ndarray:
    """The code bits (114), 0 or 1, of a number of 32 bits."""
    assert 0 <= payload < 2**BITS
    state, out = 0, []
    for index in range(BITS + MEMORY):
        bit = payload >> (BITS - 1 - index) & 1 if index < BITS else 0
        window = bit << MEMORY | state
        out += [(window & generator).bit_count() & 1 for generator in GENERATORS]
        state = window >> 1
    return np.array(out, np.float32)


def decode(soft: np.ndarray) -> int:
    """The number whose code bits are likeliest. soft (114): positive for 0, negative for 1, larger for surer."""
    before, signs = trellis()
    score = np.full(1 << MEMORY, -np.inf)
    score[0] = 0.0
    choices = []
    for index, seen in enumerate(soft.reshape(-1, len(GENERATORS))):
        ways = score[before] + signs @ seen  # (states, 2): from either state before
        if index >= BITS:
            ways[1 << (MEMORY - 1) :] = -np.inf  # the end is zeros
        choices.append(ways.argmax(1))
        score = ways.max(1)
    state, bits = 0, []
    for choice in reversed(choices):
        bits.append(state >> (MEMORY - 1))
        state = int(before[state, choice[state]])
    return int("".join(map(str, bits[::-1][:BITS])), 2)


@cache
def trellis() -> tuple[np.ndarray, np.ndarray]:
    """(states, 2): the two states before each; (states, 2, 3): the signs of the code bits on the way from them."""
    states = np.arange(1 << MEMORY)
    bit = states >> (MEMORY - 1)
    before = np.stack([(states << 1 & (1 << MEMORY) - 1) | last for last in (0, 1)], 1)
    windows = bit[:, None] << MEMORY | before
    signs = [[[1 - 2 * ((int(w) & g).bit_count() & 1) for g in GENERATORS] for w in row] for row in windows]
    return before, np.array(signs, np.float64)
