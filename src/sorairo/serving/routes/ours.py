"""/v1/sorairo: every verb by the Request of the command line, and what helps to use them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Path as InPath
from starlette.requests import Request as Call

from sorairo.jobs.request import ARGS, Request
from sorairo.serving import catalog, wishes
from sorairo.serving.errors import ApiError, missing
from sorairo.serving.inputs import own
from sorairo.serving.provenance import checked
from sorairo.serving.routes.videos import clean, made
from sorairo.serving.service import FORM, Content, Here, Who, json_body
from sorairo.serving.tables import File, Job

__all__ = ["checks", "router"]

router = APIRouter(prefix="/v1/sorairo", tags=["sorairo"])
checks = APIRouter(tags=["sorairo"])
TEXT = {"type": "string"}


DECIDED = {"verb", "number", *wishes.FORBIDDEN}
"""Fields of a Request that the body does not have."""


def request_schema() -> dict[str, Any]:
    """The fields of a Request that the body has; args of every verb."""
    fields = Request.model_json_schema()["properties"]
    kept = {name: field for name, field in fields.items() if name not in DECIDED}
    return kept | {"args": {"anyOf": [whole(one.model_json_schema()) for one in ARGS.values()]}}


def whole(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema whose references to its own $defs are replaced by what they name."""
    parts = schema.pop("$defs", {})

    def put(value: Any) -> Any:
        if isinstance(value, dict):
            name = value.get("$ref", "").removeprefix("#/$defs/")
            return put(parts[name]) if name in parts else {key: put(one) for key, one in value.items()}
        return [put(one) for one in value] if isinstance(value, list) else value

    return put(schema)


@router.get("/styles")
def styles(who: Who) -> dict[str, Any]:
    """The style presets."""
    from sorairo.prompts.styles import styles as known

    return {"object": "list", "data": [{"name": one.name, "about": one.about} for one in known().values()]}


@router.post("/expand", openapi_extra=json_body(prompt=TEXT, model=TEXT, style=TEXT))
def expand(here: Here, who: Who, body: Content) -> dict[str, Any]:
    """A prompt as the long caption that the model would rather have, and the words that it does not know."""
    from sorairo.jobs.words import expanded
    from sorairo.prompts.styles import apply_style, find_style

    prompt = wishes.text(body, "prompt", required=True, most=2000) or ""
    info = catalog.info_of(catalog.model_for(here.settings, wishes.text(body, "model")))
    found = expanded(prompt, policy=here.policy.called(who.key))
    style = wishes.text(body, "style", most=80)
    said = apply_style(found.text, find_style(style)) if style else found.text
    return {"prompt": said, "unknown": info.unknown_words(prompt), "changed": said != prompt}


@router.get("/plan/{identity}")
def plan(identity: str, here: Here, who: Who) -> dict[str, Any]:
    """The plan that a video or an upload carries."""
    from sorairo.video.read import read_metadata

    name = clean(identity)
    with here.database.read() as session:
        if name.startswith("file_"):
            path = here.store.local(own(session, File, who, name).path)
        else:
            job = own(session, Job, who, name)
            if job.facts.get("record"):
                return {"plan": job.facts["record"].get("plan"), "record": job.facts["record"]}
            path = None
    if path is None:
        raise missing("plan of", identity)
    record = read_metadata(path)
    if not isinstance(record.get("plan"), dict):
        raise ApiError(404, "The file carries no plan.", code="not_found")
    return {"plan": record["plan"], "record": record}


@router.post("/{verb}", openapi_extra=json_body(**request_schema()))
def verb(
    verb: Annotated[str, InPath(json_schema_extra={"enum": list(ARGS)})],
    call: Call,
    here: Here,
    who: Who,
    body: Content,
) -> dict[str, Any]:
    """Start a video by one of our verbs. The body is a Request without its verb; sources are ids of files or videos."""
    if verb not in ARGS:
        raise ApiError(
            404, f"There is no verb {verb[:40]!r}; the verbs are {', '.join(ARGS)}.", code="not_found"
        )
    return made(here, call, who, body, lambda: wishes.ours(here, who, verb, body.values))


@checks.post("/v1/content_provenance_checks", openapi_extra=json_body(file=FORM))
def provenance(here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Whether this server made a file: its credentials, its invisible mark, and copies by the look of their frames.

    What is found of other projects is said without their ids.
    """
    sent = body.uploads.get("file")
    if sent is None:
        raise ApiError(400, "file is missing; send it as multipart/form-data.", param="file")
    with tempfile.TemporaryDirectory(prefix="sorairo-") as folder:
        path = Path(folder) / "file"
        path.write_bytes(sent.data)
        return checked(here, who.project, path)
