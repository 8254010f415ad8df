"""Your own clips into a model: a LoRA, or all weights.

Command:   sorairo data build CLIPS runs/mine/data --model default
           sorairo train finetune --data runs/mine/data --run runs/mine/run
Makes:     runs/mine/run/export/lora.safetensors (sorairo generate --lora); with --full a model's folder
Time:      3 seconds a step on one core for the default model
Expects:   docs/finetune.md has the scores of a demonstration, on the new and on the old
"""

from __future__ import annotations

from sorairo.training.finetune import build
from sorairo.training.finetune import options_of as options

__all__ = ["build", "options"]
