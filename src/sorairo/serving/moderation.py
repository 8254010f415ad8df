"""The policy at the API's door: calls are refused before they become jobs, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

from sorairo.jobs.args import Storyboard
from sorairo.safety.policy import OperatorPolicy, policy_of, texts_of
from sorairo.serving.database import Database
from sorairo.serving.errors import ApiError
from sorairo.serving.keys import Caller
from sorairo.serving.settings import Settings
from sorairo.serving.storage import Store
from sorairo.serving.submit import Wish
from sorairo.serving.tables import File, Job
from sorairo.types import Blocked, Verdict, Video

__all__ = [
    "SEES_SCORES",
    "blocked_as_api",
    "check_picture",
    "check_sources",
    "check_wish",
    "moderation",
    "policy_here",
    "wish_texts",
]

SEES_SCORES = ("red-team", "admin")
"""Roles that are told the raw scores."""


def policy_here(settings: Settings) -> OperatorPolicy:
    """The operator's policy as its file is now, with the log in the server's folder. Raises UserError."""
    return policy_of(settings.policy, settings.folder.absolute() / "audit")


def moderation(verdict: Verdict, role: str = "") -> dict[str, Any]:
    """A verdict as JSON: the categories that were acted on, and for some roles the raw scores of all."""
    acted = {name: one.action for name, one in verdict.decisions.items() if one.action != "allow"}
    shown: dict[str, Any] = {"policy": verdict.policy_version, "categories": acted, "frames": verdict.frames}
    if role in SEES_SCORES:
        shown["scores"] = {name: one.score for name, one in verdict.decisions.items()}
    return shown


def blocked_as_api(
    policy: OperatorPolicy,
    who: Caller,
    texts: Sequence[str],
    videos: Sequence[Video] = (),
    *,
    param: str = "prompt",
    what: str = "The words are",
) -> Verdict:
    """The verdict on texts and pictures of a call. Raises ApiError 400 moderation_blocked."""
    try:
        return policy.called(who.key).check(texts, videos, what=what)
    except Blocked as error:
        raise ApiError(
            400,
            str(error),
            param=param,
            code="moderation_blocked",
            more=moderation(error.verdict, who.role),
        ) from error


def wish_texts(database: Database, wish: Wish, earlier: Sequence[str] = ()) -> tuple[str, ...]:
    """What is read of a call: its words, and those of the videos that it starts from. earlier: more of the latter."""
    request = wish.request
    cards = request.args.cards if isinstance(request.args, Storyboard) else ()
    spans = [request.prompt or "", *(card.words for card in cards if card.words)]
    old: list[str] = [*earlier]
    with database.read() as session:
        for job in session.scalars(select(Job).where(Job.id.in_(request.sources))):
            plan = (job.facts.get("record") or {}).get("plan") or {}
            with suppress(KeyError, TypeError):
                old += [span["text"] for span in plan.get("spans", [])]
    return texts_of(spans, request.negative, old)


def check_wish(
    policy: OperatorPolicy, database: Database, who: Caller, wish: Wish, earlier: Sequence[str] = ()
) -> Verdict:
    """The verdict on the words of a call. Its pictures are looked at when they are uploaded and when they are used.

    Raises ApiError 400 moderation_blocked.
    """
    return blocked_as_api(policy, who, wish_texts(database, wish, earlier))


def check_sources(policy: OperatorPolicy, database: Database, store: Store, who: Caller, wish: Wish) -> None:
    """Look at the pictures that a call starts from, as they were looked at when they came. Raises ApiError 400."""
    with database.read() as session:
        paths = list(session.scalars(select(File.path).where(File.id.in_(wish.request.sources))))
    for path in paths:
        if small := store.local(f"{path}.webp"):
            check_picture(policy, who, small)


def check_picture(policy: OperatorPolicy, who: Caller, small: Path) -> None:
    """Refuse an upload by its small picture. Raises ApiError 400 moderation_blocked."""
    import numpy as np
    from PIL import Image

    with Image.open(small) as picture:
        frames = np.asarray(picture.convert("RGB"))[None]
    blocked_as_api(
        policy, who, [], [Video(frames=frames, fps=1.0)], param="file", what="The picture or clip is"
    )
