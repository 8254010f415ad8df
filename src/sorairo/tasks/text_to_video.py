"""Words to video: the plan of a clip, or of a still, from a prompt alone."""

from __future__ import annotations

from dataclasses import replace

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.types import Plan, Scene

__all__ = ["text_to_video"]


def text_to_video(prompt: str, model: Abilities, ask: Ask | None = None, scene: Scene | None = None) -> Plan:
    """A Plan from words. One frame is a still; more than the model makes at once is made in windows.

    scene: where things are, for a model that draws scenes.

    Raises UserError; what the model cannot make is refused when it is asked to.
    """
    ask = ask or Ask()
    return replace(ask.plan(model, prompt, ask.length(model, model.default_frames)), scene=scene)
