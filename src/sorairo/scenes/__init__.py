"""Scenes: where each object of a clip is and what it is, as tracks, as maps, and as a small transformer draws it."""
