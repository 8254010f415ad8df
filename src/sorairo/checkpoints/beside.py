"""Files that are chosen by hand in place of parts of a model, or found beside its transformer."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sorairo.checkpoints.find import pulled_file
from sorairo.checkpoints.recognise import FilePart, Role, parts_of
from sorairo.types import UserError

__all__ = ["WORDS", "Beside", "Files", "files_of", "find_part", "is_files"]

# Folders of ComfyUI's models/ by what is in them
COMFY: dict[Role, tuple[str, ...]] = {
    "transformer": ("diffusion_models", "unet", "checkpoints"),
    "codec": ("vae",),
    "text": ("text_encoders", "clip"),
    "vision": ("clip_vision",),
}
SUFFIXES = (".safetensors", ".gguf")
MOST, DEEPEST = 500, 4
"""Files of a folder that are looked into, and how deep."""
PAIR = re.compile(r"(?<![a-z])(high|low)(?=[-_. ]?noise|[^a-z]|$)", re.IGNORECASE)
"""What the name of one of two transformers says; flow, slow and highres say nothing."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Files that a user names: the codec (vae), umT5 (text_encoder) and the CLIP (image_encoder)."""

    vae: Path | None = None
    text_encoder: Path | None = None
    image_encoder: Path | None = None

    def __bool__(self) -> bool:
        return any((self.vae, self.text_encoder, self.image_encoder))

    def named(self, role: Role) -> tuple[str, Path | None]:
        """(the option, its file) of a role."""
        return {
            "codec": ("--vae", self.vae),
            "text": ("--text-encoder", self.text_encoder),
            "vision": ("--image-encoder", self.image_encoder),
        }[role]


@dataclass(frozen=True, kw_only=True)
class Files:
    """The transformers of a model: one file, or those for high and for low noise."""

    paths: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Of the model: the file's, without which of two it is."""
        stem = self.paths[0].stem
        if len(self.paths) == 2:
            stem = re.sub(r"[-_. ]?high([-_. ]?noise)?", "", stem, flags=re.IGNORECASE) or stem
        return stem


CHECKPOINTS = ("high_noise_model", "low_noise_model", "transformer", "dit")
"""Folders whose config.json tells that they are part of a checkpoint, perhaps one that lacks its index."""


def is_files(model: str | Path) -> bool:
    """Whether a model is given as files, or as a folder of such, and not as a checkpoint's folder."""
    text, path = str(model), Path(model)
    if re.search(r"(^|,)(high|low)=", text):
        return True
    if path.is_file():
        return path.name != "model_index.json"
    if not path.is_dir() or any((path / name).is_file() for name in ("model_index.json", "config.json")):
        return False
    if any((path / name / "config.json").is_file() for name in CHECKPOINTS):
        return False
    here = any(_places(path, role) for role in COMFY)
    return here or (bool(_weights(path)) and not any(path.glob("*/config.json")))


def files_of(model: str | Path) -> Files:
    """The transformers that are meant by FILE, by high=FILE,low=FILE, or by a folder of files. Raises UserError."""
    text = str(model)
    if re.search(r"(^|,)(high|low)=", text):
        found = re.fullmatch(r"(high|low)=(.+),(high|low)=(.+)", text)
        if not found or found[1] == found[3]:
            raise UserError(f"Two transformers are high=FILE,low=FILE, not {text!r:.200}.")
        pair = {found[1]: Path(found[2]), found[3]: Path(found[4])}
        return Files(paths=(_there(pair["high"]), _there(pair["low"])))
    path = Path(model)
    if path.is_dir():
        return _of_folder(path)
    return _with_twin(_there(path))


def _there(path: Path) -> Path:
    path = pulled_file(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the FILE in it.")
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    return path


def _of_folder(folder: Path) -> Files:
    """The one model of a folder like ComfyUI's models/."""
    places = _places(folder, "transformer") or [folder]
    found: list[Path] = []
    faults: list[str] = []
    for place in places:
        for path in _weights(place):
            if any(part.role == "transformer" for part in _parts(path, faults)):
                found.append(path)
    models = {_with_twin(path, strict=False) for path in found}
    if len(models) == 1:
        files = models.pop()
        return _with_twin(files.paths[0])
    if not found:
        raise UserError(
            f"{folder} holds no transformer of Wan in a .safetensors or .gguf file; give the FILE that is one."
            + "".join(f" {fault}" for fault in faults[:2])
        )
    names = ", ".join(sorted(str(path.relative_to(folder)) for path in found)[:8])
    raise UserError(f"{folder} holds several models ({names}); give the FILE of one as the model.")


def _with_twin(path: Path, strict: bool = True) -> Files:
    """A file, and the one for low noise where its name says that it is for high noise; or the other way round."""
    said = list(PAIR.finditer(path.stem))
    if not said:
        return Files(paths=(path,))
    word, start = said[-1][0], said[-1].start()
    which = word.lower()
    other = "low" if which == "high" else "high"
    spelt = other.upper() if word.isupper() else other.title() if word[0].isupper() else other
    twin = path.with_name(f"{path.stem[:start]}{spelt}{path.stem[start + len(word) :]}{path.suffix}")
    if twin.is_file():
        return Files(paths=(path, twin) if which == "high" else (twin, path))
    if strict:
        raise UserError(
            f"{path.name} is one of two transformers, and {twin.name} is not beside it; give both as"
            " --model high=FILE,low=FILE."
        )
    return Files(paths=(path,))


def find_part(
    role: Role, home: Path, beside: Beside, fits: Callable[[FilePart], bool]
) -> tuple[FilePart | None, str]:
    """(the part of a role that is named, or that lies beside a transformer's file and fits it; what to say of the
    choice, or where there is none, of files that seem to be it). Of several the most precise, then the first by name.
    Raises UserError for a named file of another role, and for one that does not fit."""
    option, named = beside.named(role)
    if named is not None:
        parts = [part for part in parts_of(_there(named)) if part.role == role]
        if not parts:
            raise UserError(f"{option} {named} is no {WORDS[role]}; give the file that is.")
        if not fits(parts[0]):
            raise UserError(f"{option} {named} is a {WORDS[role]} of another model than {home.name}.")
        return parts[0], ""
    found, faults = [], []
    for path in _near(role, home):
        seems = LOOKS[role].search(f"{path.parent.name}/{path.name}")
        parts = _parts(path, faults if seems else [])
        found += [part for part in parts if part.role == role and fits(part)]
    if not found:
        return None, " ".join(faults[:2])
    best = max(found, key=lambda part: part.precision)
    if best.path == home:
        return best, ""
    return best, f"The {WORDS[role]} is {best.path}; {option} FILE takes another."


WORDS: dict[Role, str] = {
    "transformer": "transformer",
    "codec": "codec (VAE)",
    "text": "text encoder (umT5)",
    "vision": "CLIP vision encoder",
}


LOOKS: dict[Role, re.Pattern[str]] = {
    "codec": re.compile("vae", re.IGNORECASE),
    "text": re.compile("t5|text", re.IGNORECASE),
    "vision": re.compile("clip.vision|image.encoder", re.IGNORECASE),
}
"""How a file or its folder is called that seems to be a part, whatever is in it."""


def _near(role: Role, home: Path) -> Iterator[Path]:
    """The file itself, those beside it, and those of the role's folders of ComfyUI's models/, if it lies in one."""
    seen = {home}
    yield home
    for path in sorted(home.parent.glob("*")):
        if path.suffix.lower() in SUFFIXES and path not in seen:
            seen.add(path)
            yield path
    up = [*list(home.absolute().parents)[: 2 + DEEPEST], *list(home.resolve().parents)[: 2 + DEEPEST]]
    for folder in up:  # of a link, both where it is and where it leads to
        places = _places(folder, role)
        for place in places:
            for path in _weights(place):
                if path not in seen:
                    seen.add(path)
                    yield path
        if places:
            return


def _places(folder: Path, role: Role) -> list[Path]:
    """The folders in a folder where ComfyUI keeps files of a role, in its order, in upper case or in lower."""
    there = {path.name.lower(): path for path in sorted(folder.glob("*"), reverse=True) if path.is_dir()}
    return [there[name] for name in COMFY[role] if name in there]


def _weights(folder: Path) -> list[Path]:
    """The files of weights of a folder and of those in it, at any depth, as ComfyUI looks for them."""
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        depth = len(Path(place).relative_to(folder).parts)
        seen.add(os.path.realpath(place))
        folders[:] = [name for name in sorted(folders) if os.path.realpath(Path(place, name)) not in seen]
        folders[:] = folders if depth < DEEPEST else []
        found += [Path(place) / name for name in names if Path(name).suffix.lower() in SUFFIXES]
        if len(found) >= MOST:
            break
    return sorted(found)[:MOST]


def _parts(path: Path, faults: list[str]) -> list[FilePart]:
    """The parts of a file that is only looked at. faults: grows by why one of another kind cannot be read."""
    try:
        return parts_of(path)
    except UserError as error:
        faults.append(str(error))
    except OSError as error:
        faults.append(f"{path} cannot be read ({error.strerror}).")
    return []
