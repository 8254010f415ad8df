"""What a file's credentials claim besides its record: the verb, the model's hash, the inputs, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sorairo.checkpoints.digest import weights_digest
from sorairo.checkpoints.find import model_names, models_folder
from sorairo.safety.identity import can_sign, mark_key
from sorairo.types import Sample

if TYPE_CHECKING:
    from sorairo.safety.credentials import Claims, Ingredient

__all__ = ["UNSIGNED", "Making", "claims_of", "making_of", "sign_copy"]

UNSIGNED = 'Files are not signed here, since c2pa-python is missing: pip install "sorairo[safety]".'


@dataclass(frozen=True, kw_only=True)
class Making:
    """verb: of the request; empty for plans without one. weights: SHA-256, see `weights_digest`. mark: whether frames
    get the invisible mark."""

    verb: str = ""
    weights: str = ""
    inputs: tuple[Ingredient, ...] = ()
    mark: bool = False


def making_of(
    verb: str,
    model: Path | None,
    inputs: Sequence[Path] = (),
    loras: Sequence[Path] = (),
    mark: str = "auto",
) -> Making:
    """What is claimed of a job. inputs: its files, whose own credentials are read now. mark: the policy's
    word, see Rules. Raises UserError.

    Without the packages that sign, nothing is read.
    """
    marks = model is not None and (mark == "on" or (mark == "auto" and not packaged(model)))
    if marks:
        mark_key()
    if not can_sign():
        return Making(verb=verb, mark=marks)
    from sorairo.safety.credentials import ingredient
    from sorairo.safety.identity import identity

    identity()  # the first run makes the keys: before the work, so that what is wrong is said before it
    kept = tuple(ingredient(path, verb, number) for number, path in enumerate(inputs))
    return Making(verb=verb, weights=weights_digest(model, loras) if model else "", inputs=kept, mark=marks)


def packaged(model: Path) -> bool:
    """Whether a model comes with the package: the small one, whose clips nobody takes for real."""
    return model.resolve() in [(models_folder() / name).resolve() for name in model_names()]


def claims_of(sample: Sample, making: Making, record: dict[str, Any]) -> Claims:
    """The claims of one output."""
    from sorairo.safety.credentials import Claims

    names = ("prompt", "seed", "software", "mark")
    facts = {name: record[name] for name in names if record.get(name) not in ("", None)}
    verdict = None
    if sample.verdict is not None:
        verdict = asdict(sample.verdict) | {"action": sample.verdict.action}
        verdict["decisions"] = {
            name: {"action": one.action, "score": round(one.score, 4)}
            for name, one in sample.verdict.decisions.items()
            if one.action != "allow"
        }
    return Claims(
        verb=making.verb,
        model=sample.model,
        weights=making.weights,
        ingredients=making.inputs,
        safety=verdict,
        facts=facts,
    )


def sign_copy(path: Path, kind: str, original: Path, sample: Sample, record: dict[str, Any]) -> None:
    """Sign a picture that was made from an output. kind: "thumbnail" or "spritesheet". Raises UserError."""
    if not can_sign():
        return
    from sorairo.safety.credentials import sign

    sign(path, claims_of(sample, making_of(kind, None, [original]), record))
