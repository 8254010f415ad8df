"""Verbs: small pure functions from what is wanted to a Plan, which generate.py runs.

from sorairo import tasks
plan = tasks.animate(read_video("ball.png"), "The ball rolls to the right.", model.abilities)
model.make(plan)[0].save("ball.mp4")
"""

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.animate import animate
from sorairo.tasks.ask import Ask
from sorairo.tasks.blend import blend
from sorairo.tasks.connect import connect
from sorairo.tasks.edit import edit
from sorairo.tasks.extend import extend
from sorairo.tasks.loop import loop
from sorairo.tasks.recut import recut
from sorairo.tasks.remix import remix
from sorairo.tasks.storyboard import Card, storyboard
from sorairo.tasks.text_to_video import text_to_video

__all__ = [
    "Abilities",
    "Ask",
    "Card",
    "animate",
    "blend",
    "connect",
    "edit",
    "extend",
    "loop",
    "recut",
    "remix",
    "storyboard",
    "text_to_video",
]
