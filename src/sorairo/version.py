"""The version, in one place; pyproject.toml reads it here."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
