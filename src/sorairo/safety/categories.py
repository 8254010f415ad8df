"""The names of what the guards look for, as a policy file, a refusal and the published tables spell them."""

from __future__ import annotations

__all__ = ["CATEGORIES"]

CATEGORIES: tuple[str, ...] = (
    "sexual",
    "minors",
    "violence",
    "self-harm",
    "hate",
    "extremism",
    "likeness",
    "elections",
    "illegal",
    "artist-style",
    "injection",
)
