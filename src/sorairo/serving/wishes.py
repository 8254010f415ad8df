"""From a call's fields to a Wish: the Videos API's words as our Requests."""

from __future__ import annotations

import math
from typing import Any

from sorairo.jobs.args import Generate
from sorairo.jobs.request import Request
from sorairo.serving.body import Body
from sorairo.serving.catalog import abilities, draws_scenes, fit, model_for, public, reported
from sorairo.serving.charges import doubled, estimate
from sorairo.serving.errors import ApiError
from sorairo.serving.inputs import own
from sorairo.serving.keys import Caller
from sorairo.serving.service import Service
from sorairo.serving.submit import Wish
from sorairo.serving.tables import Character, File, Job
from sorairo.tasks.scene import check_scene
from sorairo.types import UserError

__all__ = ["LONGEST_PROMPT", "create", "edit", "extend", "image", "number", "ours", "remix", "text"]

LONGEST_PROMPT = 32_000
MOST_SECONDS = 120.0
CREATE = {"prompt", "model", "size", "seconds", "seed", "input_reference", "characters", "user"}
"""Fields of POST /videos that are read, and OpenAI's `user`, which is for its own records."""


def text(body: Body, name: str, *, required: bool = False, most: int = LONGEST_PROMPT) -> str | None:
    """A text field; empty is as good as absent. Raises ApiError."""
    value = body.values.get(name)
    if value is None or value == "":
        if required:
            raise ApiError(400, f"{name} is missing.", param=name, code="missing_required_parameter")
        return None
    if not isinstance(value, str):
        raise ApiError(400, f"{name} must be a text.", param=name)
    if len(value) > most:
        raise ApiError(400, f"{name} may have {most} characters, not {len(value)}.", param=name)
    if required and not value.strip():
        raise ApiError(400, f"{name} is empty.", param=name)
    return value


def number(body: Body, name: str) -> float | None:
    """A number, also as a text. Raises ApiError."""
    value = body.values.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        found = float(value)
        if not math.isfinite(found):
            raise ValueError
    except ValueError as error:
        raise ApiError(400, f"{name} must be a number.", param=name) from error
    return found


def create(here: Service, who: Caller, body: Body) -> Wish:
    """POST /videos. Raises ApiError and UserError."""
    prompt = text(body, "prompt", required=True)
    asked, size, seconds = text(body, "model"), text(body, "size"), number(body, "seconds")
    model = model_for(here.settings, asked)
    able = abilities(model)
    old = asked is None or asked != public(model)
    default = "720x1280" if old and here.settings.fit_requests else None
    fitted = fit(here.settings, model, size or default, 4 if seconds is None else seconds)
    reference = here.inputs.reference(who, body, "input_reference")
    character, source = character_of(here, who, body)
    if character and reference:
        raise ApiError(400, "A character and an input_reference do not go together.", param="characters")
    source = reference or source
    if source and not (able.windows or able.needs):
        raise ApiError(
            400, f"The model {public(model)} cannot start from a picture.", param="input_reference"
        )
    request = Request.parse(
        {
            "verb": "animate" if source else "generate",
            "prompt": prompt,
            "sources": [source] if source else [],
            "model": model,
            "size": fitted.size,
            "frames": able.nearest(float(fitted.seconds) * able.fps + 1),
            "seed": whole(body, "seed"),
        }
    )
    said = {
        "model": asked,
        "size": size,
        "seconds": f"{seconds:g}" if seconds else None,
        "notes": [*fitted.notes, *unused(body)],
    }
    return Wish(
        request=request,
        size=size or default or reported(here.settings, fitted.size),
        seconds=fitted.seconds,
        charged=float(fitted.seconds),
        said=said,
        character=character,
    )


def unused(body: Body) -> list[str]:
    """Say which fields of a create change nothing, such as those of other servers."""
    names = sorted(name[:40] for name in {*body.values, *body.uploads} - CREATE)
    return [f"Not used: {', '.join(names[:10])}."] if names else []


def whole(body: Body, name: str) -> int | None:
    """A whole number. Raises ApiError."""
    value = number(body, name)
    if value is not None and (value != int(value) or not 0 <= value < 2**63):
        raise ApiError(400, f"{name} must be a whole number from 0 on.", param=name)
    return None if value is None else int(value)


def character_of(here: Service, who: Caller, body: Body) -> tuple[str | None, str | None]:
    """(id, file) of the character that a call names. Raises ApiError."""
    value = body.values.get("characters")
    if not value:
        return None, None
    if not isinstance(value, list) or not all(
        isinstance(one, dict) and isinstance(one.get("id"), str) for one in value
    ):
        raise ApiError(400, "characters is a list of {id}.", param="characters")
    if len(value) != 1:
        raise ApiError(400, "This model takes one character.", param="characters")
    with here.database.read() as session:
        found = own(session, Character, who, value[0]["id"])
        if found.revoked:
            raise ApiError(
                400, "The consent to the character was revoked.", param="characters", code="character_revoked"
            )
        return found.id, found.file


def facts_of(here: Service, who: Caller, identity: str) -> tuple[dict[str, Any], Job | None]:
    """(width, height, frames, fps, seconds of a source; its job)."""
    with here.database.read() as session:
        if identity.startswith("file_"):
            return dict(own(session, File, who, identity).facts), None
        job = own(session, Job, who, identity)
        return dict(job.facts), job


def source_of(here: Service, who: Caller, body: Body) -> str:
    source = here.inputs.reference(who, body, "video")
    if source is None:
        raise ApiError(400, "video is missing.", param="video", code="missing_required_parameter")
    return source


def size_of(here: Service, model: str, facts: dict[str, Any]) -> str:
    """The size that fits a source best."""
    width, height = facts.get("width"), facts.get("height")
    sizes = [f"{w}x{h}" for w, h in abilities(model).sizes]
    own_size = f"{width}x{height}"
    if own_size in sizes:
        return own_size
    from dataclasses import replace

    return fit(replace(here.settings, fit_requests=True), model, own_size if width else None, None).size


def edit(here: Service, who: Caller, body: Body) -> Wish:
    """POST /videos/edits."""
    prompt, source = text(body, "prompt", required=True), source_of(here, who, body)
    facts, job = facts_of(here, who, source)
    model = job.model if job else model_for(here.settings, text(body, "model"))
    size = size_of(here, model, facts)
    request = Request.parse(
        {
            "verb": "edit",
            "prompt": prompt,
            "sources": [source],
            "model": model,
            "size": size,
            "seed": whole(body, "seed"),
        }
    )
    seconds = float(facts.get("seconds") or 1)
    return Wish(
        request=request,
        size=job.size if job else reported(here.settings, size),
        seconds=job.seconds if job else f"{seconds:g}",
        charged=seconds,
        said={"notes": []},
        remixed_from=source if job else None,
    )


def remix(here: Service, who: Caller, body: Body, source: str) -> Wish:
    """POST /videos/{id}/remix."""
    prompt = text(body, "prompt", required=True)
    with here.database.read() as session:
        here.inputs.check(session, who, source, "video_id")
    facts, job = facts_of(here, who, source)
    assert job is not None
    request = Request.parse({"verb": "remix", "prompt": prompt, "sources": [source], "model": job.model})
    return Wish(
        request=request,
        size=job.size,
        seconds=job.seconds,
        charged=float(facts.get("seconds") or 1),
        said={"notes": []},
        remixed_from=source,
    )


def extend(here: Service, who: Caller, body: Body) -> Wish:
    """POST /videos/extensions."""
    prompt, source = text(body, "prompt"), source_of(here, who, body)
    facts, job = facts_of(here, who, source)
    model = job.model if job else model_for(here.settings, text(body, "model"))
    seconds = number(body, "seconds")
    added = 4.0 if seconds is None else seconds
    before = float(job.seconds) if job else float(facts.get("seconds") or 0)
    if not 0 < added <= MOST_SECONDS - before:
        raise ApiError(
            400,
            f"An extension ends at {MOST_SECONDS:g} seconds in all; this has {before:g}.",
            param="seconds",
        )
    size = size_of(here, model, facts)
    request = Request.parse(
        {
            "verb": "extend",
            "prompt": prompt,
            "sources": [source],
            "model": model,
            "size": size,
            "seconds": added,
        }
    )
    return Wish(
        request=request,
        size=job.size if job else reported(here.settings, size),
        seconds=f"{before + added:g}",
        charged=added,
        said={"notes": []},
        remixed_from=source if job else None,
    )


def image(here: Service, body: Body) -> Wish:
    """POST /images/generations: a still."""
    prompt = text(body, "prompt", required=True)
    model = model_for(here.settings, text(body, "model"))
    size = text(body, "size")
    fitted = fit(here.settings, model, None if size == "auto" else size, None)
    request = Request.parse(
        {
            "verb": "generate",
            "prompt": prompt,
            "model": model,
            "size": fitted.size,
            "frames": 1,
            "seed": whole(body, "seed"),
        }
    )
    return Wish(
        request=request,
        size=fitted.size,
        seconds="0",
        charged=0.1,
        kind="image",
        said={"size": size, "notes": fitted.notes},
    )


FORBIDDEN = (
    "expand_url",
    "expand_model",
    "lora",
    "memory",
    "dtype",
    "compile",
    "attention",
    "cache",
    "loose",
)
FORBIDDEN += ("vae", "text_encoder", "image_encoder", "references", "control")
"""What reaches files or hosts of the server, or would load its model another time: the operator's to decide."""


def ours(here: Service, who: Caller, verb: str, values: dict[str, Any]) -> Wish:
    """POST /sorairo/{verb}: a Request, whose sources are ids. Raises ApiError and UserError."""
    for name in FORBIDDEN:
        if name in values:
            raise ApiError(400, f"{name} is decided by the server's operator.", param=name)
    model = values.get("model")
    if model is not None and not isinstance(model, str):
        raise ApiError(400, "model must be a text.", param="model")
    values = values | {"verb": verb, "model": model_for(here.settings, model)}
    request = Request.parse(values)
    if request.number != 1:
        raise ApiError(
            400,
            "number is 1 here; send a request for each variation, with a seed of its own.",
            param="number",
        )
    check_settings(here, request)
    with here.database.read() as session:
        for source in request.sources:
            here.inputs.check(session, who, source, "sources")
        from_video = next((source for source in request.sources if source.startswith("video_")), None)
        if request.verb == "upscale":
            charged, size, seconds = doubled(session, request)
        else:
            charged, size, seconds = estimate(session, request, from_video)
    return Wish(
        request=request,
        size=size,
        seconds=f"{seconds:g}",
        charged=charged,
        said={"notes": []},
        remixed_from=from_video,
    )


def check_settings(here: Service, request: Request) -> None:
    """Refuse, before it is queued, what the model cannot make. Raises ApiError and UserError."""
    from sorairo.prompts.styles import find_style
    from sorairo.upscale import check_scale
    from sorairo.video.pictures import check_colour
    from sorairo.video.resize import check_fit

    able = abilities(request.model)
    sizes = [f"{w}x{h}" for w, h in able.sizes]
    if request.size and request.size.lower().replace("\u00d7", "x") not in sizes:
        raise ApiError(
            400,
            f"{able.name} makes {', '.join(sizes)}, not {request.size}.",
            param="size",
            code="invalid_size",
        )
    length = request.seconds if request.seconds is not None else (request.frames or 1) / able.fps
    if not (math.isfinite(length) and 0 < length <= able.longest / able.fps):
        raise ApiError(400, f"{able.name} makes up to {able.longest / able.fps:g} seconds.", param="seconds")
    if isinstance(request.args, Generate) and request.args.scene is not None:
        if not draws_scenes(request.model):
            raise ApiError(
                400, f"{able.name} follows no scene; ask for a model that draws scenes.", param="args"
            )
        check_scene(request.args.scene)
    if request.prompt and len(request.prompt) > LONGEST_PROMPT:
        raise ApiError(400, f"prompt may have {LONGEST_PROMPT} characters.", param="prompt")
    if (
        request.verb in ("generate", "animate", "connect", "edit", "remix")
        and not (request.prompt or "").strip()
    ):
        raise UserError(f"{request.verb} needs a prompt; say what happens.")
    if request.verb == "loop" and not request.sources and not (request.prompt or "").strip():
        raise UserError("loop needs a prompt or a clip.")
    if request.style:
        find_style(request.style)
    if request.upscale is not None:
        check_scale(request.upscale)
    check_fit(request.fit)
    check_colour(request.background)
    if request.seed is not None and not 0 <= request.seed < 2**63:
        raise ApiError(400, "The seed must be a whole number from 0 to 2^63 - 1.", param="seed")
