"""From a request and its input files to Plans: everything that is decided before a model runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sorairo import tasks
from sorairo.checkpoints.folder import Checkpoint
from sorairo.flow.cache import CacheConfig
from sorairo.jobs import args
from sorairo.jobs.request import Request
from sorairo.jobs.source import Source, kept_sounds
from sorairo.jobs.words import Rewrites, read_of, settings, texts, warn_of_words, with_words
from sorairo.prompts.kinds import word_kinds
from sorairo.safety.policy import OperatorPolicy, policy_of
from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import nearest_size
from sorairo.types import Plan, Video
from sorairo.upscale import check_scale
from sorairo.video.pictures import check_colour
from sorairo.video.resize import check_fit
from sorairo.video.sound import mixed

__all__ = ["Job", "Wanted", "job_of", "plan_of", "wanted"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted:
    """A request whose values were checked and whose files were opened, before a model is loaded."""

    request: Request
    sources: tuple[Source, ...]
    references: tuple[Source, ...]
    control: Source | None
    texts: tuple[str, ...]
    ask: Ask
    cache: CacheConfig | None
    policy: OperatorPolicy

    @property
    def files(self) -> tuple[Source, ...]:
        """All input files, the verb's own first."""
        return (*self.sources, *self.references, *((self.control,) if self.control else ()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What a model is to make. track: the sound of every output, float32 (2 n); None for silence."""

    plans: tuple[Plan, ...]
    rewrites: Rewrites
    track: np.ndarray | None


def wanted(
    request: Request, sources: Sequence[Source] | None = None, policy: OperatorPolicy | None = None
) -> Wanted:
    """Check what can be checked without a model. sources: in place of the request's files. policy: None takes the
    operator's. Raises UserError, and Blocked for words that the policy refuses."""
    policy = policy or policy_of()
    check_fit(request.fit)
    check_colour(request.background)
    if request.upscale is not None:
        check_scale(request.upscale)
    cache = None if request.cache is None else CacheConfig(tolerance=request.cache)
    if sources is None:
        sources = [Source.open(path) for path in request.sources]
    seed = secrets.randbelow(2**31) if request.seed is None else request.seed
    said, ask = texts(request, sources), settings(request, sources, seed)
    policy.check(read_of(request, said, ask.negative, sources))
    return Wanted(
        request=request,
        sources=tuple(sources),
        references=tuple(Source.open(path) for path in request.references),
        control=Source.open(request.control) if request.control else None,
        texts=said,
        ask=ask,
        cache=cache,
        policy=policy,
    )


def job_of(want: Wanted, model: Checkpoint, say: Callable[[str], None]) -> Job:
    """The plans of a request for a model; `say` is told what the user should know. Raises UserError."""
    request, abilities = want.request, model.abilities
    shapes = want.sources or ((want.control,) if want.control else ())
    first = shapes[0].size if shapes else abilities.sizes[0]
    size = want.ask.size or nearest_size(first, abilities)
    videos = [source.video(size, abilities.fps, want.ask.fit, request.background) for source in want.sources]
    ask = replace(
        want.ask, size=size, references=tuple(one.whole(request.background) for one in want.references)
    )
    if want.control:
        shown = want.control.video(size, abilities.fps, want.ask.fit, request.background)
        ask = replace(ask, control=shown)
    plan = plan_of(request, want.texts, videos, abilities, ask)
    if model.few_steps is not None:
        plan, said = model.few_steps.of(plan)
        if said:
            say(said)
    plan, rewrites = with_words(plan, request, say, want.policy)
    plans = tuple(replace(plan, seed=plan.seed + index) for index in range(request.number))
    for one in plans:
        abilities.check(one)
    warn_of_words(plan, model, request.model, say)
    track = mixed(kept_sounds(plan), plan.frames / plan.fps)
    for source in want.files:
        source.check_unchanged()
    return Job(plans=plans, rewrites=rewrites, track=track)


def plan_of(
    request: Request, texts: Sequence[str], videos: Sequence[Video], model: Abilities, ask: Ask
) -> Plan:
    """The Plan of a verb. texts: see words.texts. videos: the input files' frames. Raises UserError."""
    match request.args:
        case args.Generate(scene=scene):
            return tasks.text_to_video(texts[0], model, ask, scene)
        case args.Animate():
            return tasks.animate(videos[0], texts[0], model, ask)
        case args.Extend(before=before):
            return tasks.extend(videos[0], texts[0], model, ask, before=before)
        case args.Loop(free=free):
            return tasks.loop(videos[0] if videos else None, texts[0], model, ask, free=free)
        case args.Connect():
            return tasks.connect(videos[0], videos[1], texts[0], model, ask)
        case args.Recut(keep=keep):
            return tasks.recut(videos[0], keep, texts[0], model, ask)
        case args.Edit(strength=strength, region=region):
            return tasks.edit(videos[0], texts[0], model, ask, strength=strength, region=region)
        case args.Remix(strength=strength):
            return tasks.remix(
                videos[0], texts[0], texts[1], model, ask, kinds=word_kinds(), strength=strength
            )
        case args.Blend(curve=curve):
            return tasks.blend(videos[0], videos[1], (texts[0], texts[1]), model, ask, curve=curve)
        case args.Storyboard(cards=cards):
            board = [
                tasks.Card(
                    at=card.at,
                    words=card.words,
                    picture=None if card.picture is None else videos[card.picture],
                )
                for card in cards
            ]
            return tasks.storyboard(board, model, ask)
    raise AssertionError(request.verb)
