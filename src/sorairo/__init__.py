"""Sorairo: an open Sora."""
