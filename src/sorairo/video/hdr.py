"""High dynamic range (PQ and HLG, BT.2020) to the standard range (BT.709) that screens and the models know.

Sources: ITU-R BT.2100-2 (PQ and HLG), BT.2390-11 section 5.4.1 (the curve that keeps highlights),
BT.2408-7 (white at 203 nits), BT.2087-0 (primaries), BT.1886 (a screen's gamma).
"""

from __future__ import annotations

import numpy as np

__all__ = ["HDR", "HDR_NOTE", "HLG", "PQ", "to_standard_range"]

PQ, HLG = 16, 18  # as ISO/IEC 23091-2 numbers the transfer functions
HDR = {PQ: "HDR10 (PQ)", HLG: "HLG"}
HDR_NOTE = "{path} is {name}; it is tone-mapped to the standard range (BT.2390)."

WHITE = 203.0  # nits of what is white on paper
PEAK = 1000.0  # nits of the brightest highlight where a file does not say; HLG is defined at this peak
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
A, B, C = 0.17883277, 0.28466892, 0.55991073  # of HLG
LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of BT.2020
TO_709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
    np.float32,
)


def to_standard_range(picture: np.ndarray, transfer: int, peak: float = PEAK) -> np.ndarray:
    """uint8 RGB (h w 3) of BT.709 from uint16 RGB (h w 3), 0 to 65535, of BT.2020 with the transfer PQ or HLG.

    peak: nits of the brightest highlight of a PQ file. Highlights are compressed, what is darker than about half of
    white stays as it is.
    """
    signal = picture.astype(np.float32) / 65535
    nits = pq_nits(signal) if transfer == PQ else hlg_nits(signal)
    most = nits.max(axis=-1, keepdims=True)  # one gain for three channels keeps the hue
    gain = compressed(most, max(peak, WHITE)) / np.maximum(most, 1e-6)
    light = (nits * gain / WHITE) @ TO_709.T
    return np.round(255 * light.clip(0, 1) ** (1 / 2.4)).astype(np.uint8)


def pq_nits(signal: np.ndarray) -> np.ndarray:
    """Nits of a PQ signal in [0, 1] (BT.2100, table 4)."""
    power = signal ** (1 / M2)
    return 10000 * (np.maximum(power - C1, 0) / (C2 - C3 * power)) ** (1 / M1)


def pq_signal(nits: np.ndarray | float) -> np.ndarray:
    """The inverse of `pq_nits`."""
    power = (np.asarray(nits, np.float32) / 10000) ** M1
    return ((C1 + C2 * power) / (1 + C3 * power)) ** M2


def hlg_nits(signal: np.ndarray) -> np.ndarray:
    """Nits on a screen of 1000 of an HLG signal in [0, 1] (BT.2100, table 5, gamma 1.2)."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - C) / A) + B) / 12)
    luma = (scene @ LUMA)[..., None]
    return PEAK * np.maximum(luma, 1e-6) ** 0.2 * scene


def compressed(nits: np.ndarray, peak: float) -> np.ndarray:
    """Nits up to `peak` into nits up to WHITE by the curve of BT.2390, which bends above its knee only."""
    top = pq_signal(peak)
    value, most = pq_signal(np.minimum(nits, peak)) / top, float(pq_signal(WHITE) / top)
    knee = 1.5 * most - 0.5
    if knee >= 1:
        return np.minimum(nits, WHITE)
    t = (value - knee) / (1 - knee)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    )
    return pq_nits(np.where(value < knee, value, bent) * top)
