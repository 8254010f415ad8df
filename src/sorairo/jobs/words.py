"""The words of a request: said, taken from an input file, expanded, styled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sorairo.jobs.args import Extend, Storyboard
from sorairo.jobs.request import Request
from sorairo.jobs.source import Source
from sorairo.prompts.styles import apply_style, find_style
from sorairo.safety.policy import OperatorPolicy, policy_of, texts_of
from sorairo.tasks.ask import Ask
from sorairo.text.prompt import denials, unknown_words, words
from sorairo.types import Plan, UserError

if TYPE_CHECKING:
    from sorairo.checkpoints.folder import Checkpoint
    from sorairo.prompts.expand import Expansion

__all__ = ["Rewrites", "expanded", "read_of", "settings", "texts", "warn_of_words", "with_words"]

Rewrites = list[tuple[str, str]]
"""(words, the caption that they became)"""

FROM_FILE = ("extend", "loop", "recut", "blend")
"""Verbs that take the words of their input file where the request has none."""


def texts(request: Request, sources: Sequence[Source]) -> tuple[str, ...]:
    """The words that a verb is asked with: one text, for a blend one of each clip, for a storyboard none.

    Raises UserError where none are said and no input file has any.
    """
    prompt = request.prompt
    match request.verb:
        case "storyboard" | "upscale":
            return ()
        case "remix":
            if prompt is None:
                raise UserError("remix needs words for what is different now; give some as CHANGE.")
            return (sources[0].words(), prompt)
        case "blend":
            return tuple(source.words() if prompt is None else prompt for source in sources)
    if prompt is not None:
        return (prompt,)
    if request.verb not in FROM_FILE or not sources:
        raise UserError(f"{request.verb} needs words for what happens; give some as PROMPT.")
    part = slice(None)
    if isinstance(request.args, Extend):
        part = slice(0, 1) if request.args.before else slice(-1, None)
    elif request.verb == "loop":
        part = slice(-1, None)
    return (sources[0].words(part),)


def read_of(
    request: Request, said: Sequence[str], negative: str, sources: Sequence[Source]
) -> tuple[str, ...]:
    """What the policy reads of a request: its words as the user wrote them, those of cards also in turn, and all after
    the words of the input files, so that what is said over several remixes is read together.

    said: see texts. negative: the negative words, a style's and those of the input file included.
    """
    cards = request.args.cards if isinstance(request.args, Storyboard) else ()
    spans = [*said, *(card.words for card in cards if card.words)]
    old: list[str] = []
    for source in sources:
        with suppress(UserError):  # a broken plan is said where it is needed
            if source.stored:
                old += [span.text for span in source.stored.plan.spans]
    return texts_of(spans, negative, old)


def settings(request: Request, sources: Sequence[Source], seed: int) -> Ask:
    """The settings besides the verb's own. Raises UserError.

    Where the request says nothing the style's settings are used, then for some verbs those of the input file.
    """
    style = find_style(request.style) if request.style else None
    ask = Ask(
        size=request.pixels,
        seconds=request.seconds,
        frames=request.frames,
        seed=seed,
        steps=request.steps,
        guidance=request.guidance,
        negative=request.negative,
        shift=request.shift,
        sampler=request.sampler,
        fit=request.fit,
        control_scale=request.control_scale,
    )
    if request.verb in ("extend", "recut", "remix"):
        ask = as_made(ask, request, sources[0])
    if style is None:
        return ask
    return replace(
        ask,
        negative=ask.negative or style.negative,
        steps=style.steps if ask.steps is None else ask.steps,
        guidance=style.guidance if ask.guidance is None else ask.guidance,
    )


def as_made(ask: Ask, request: Request, source: Source) -> Ask:
    """The settings that a clip made here was made with, where none are asked for: size, steps, guidance, shift,
    sampler and negative words if the same model made it; for a remix its seed too."""
    stored = source.stored
    if stored is None:
        return ask
    plan = stored.plan
    if request.verb == "remix" and request.seed is None:
        ask = replace(ask, seed=plan.seed)
    if model_name(stored.model) != model_name(request.model):
        return ask
    return replace(
        ask,
        size=ask.size or plan.size,
        steps=plan.steps if ask.steps is None else ask.steps,
        guidance=plan.guidance if ask.guidance is None else ask.guidance,
        negative=ask.negative or plan.negative,
        shift=plan.shift if ask.shift is None else ask.shift,
        sampler=plan.sampler if ask.sampler is None else ask.sampler,
    )


def model_name(name_or_folder: str) -> str:
    """The last part of a path, or the name."""
    return name_or_folder.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]


def with_words(
    plan: Plan, request: Request, say: Callable[[str], None], policy: OperatorPolicy | None = None
) -> tuple[Plan, Rewrites]:
    """The plan with expanded and styled words, and what was expanded. `say` is told every rewrite. Raises UserError."""
    rewrites: Rewrites = []
    style = find_style(request.style) if request.style else None

    def text_of(text: str) -> str:
        if request.expand or request.expand_url or request.expand_model:
            longer = expanded(
                text,
                moving=plan.frames > 1,
                url=request.expand_url,
                chat_model=request.expand_model,
                policy=policy,
            ).text
            rewrites.append((text, longer))
            if longer != text:
                say(f"Expanded: {longer}")
            text = longer
        return apply_style(text, style) if style else text

    spans = tuple(replace(span, text=text_of(span.text)) for span in plan.spans)
    return replace(plan, spans=spans), rewrites


def expanded(
    prompt: str,
    *,
    moving: bool = True,
    url: str | None = None,
    chat_model: str = "",
    policy: OperatorPolicy | None = None,
) -> Expansion:
    """A prompt as a long caption: by the world's grammar, or by a chat server.

    policy: reads the prompt before and the caption after; None takes the operator's. Raises UserError and Blocked.
    """
    from sorairo.prompts import expand as expansion
    from sorairo.prompts.chat import chat_rewriter
    from sorairo.prompts.studio import studio_grammar

    if chat_model and not url:
        raise UserError("--chat-model goes with --url, the address of the server that has it.")
    policy = policy or policy_of()
    policy.check([prompt])
    grammar = studio_grammar()
    rewrite = None
    if url:
        examples = [(one, expansion.rewritten(one, grammar)) for one in grammar.examples]
        rewrite = chat_rewriter(url, chat_model, examples)
    found = expansion.expand(prompt, grammar, moving=moving, rewrite=rewrite)
    policy.check([found.text], what="The expanded words are")
    return found


def warn_of_words(plan: Plan, model: Checkpoint, name: str, say: Callable[[str], None]) -> None:
    """Say which words of a plan the model will not understand. name: what the user calls the model."""
    vocabulary = model.info.vocabulary
    unknown: dict[str, None] = {}
    for text in dict.fromkeys(span.text for span in plan.spans if span.text):
        said = words(text)
        strange = unknown_words(text, vocabulary)
        if not said:
            say(f"The prompt {text!r} has no words, so the model decides what to show.")
        elif len(strange) == len(set(said)):
            say(f"{name} knows no word of {text!r}, so the model decides what to show; {LISTED}.")
        else:
            unknown |= dict.fromkeys(strange)
        if denied := denied_in(text):
            say(
                f"{name} does not understand {quoted(denied)}: what a prompt names is likely to appear."
                " Say only what should be seen, and name the rest with --negative."
            )
    if unknown:
        say(f"{name} never saw {quoted(unknown)}; {LISTED}.")
    if denied := denials(plan.negative):
        say(f"--negative says {quoted(denied)}; name there what should not be seen, without “no”.")


LISTED = "`sorairo models info` lists the words that it knows"


def denied_in(text: str) -> list[str]:
    """What a prompt denies, without phrases of the training captions, such as "does not bounce much"."""
    found = denials(text)
    if not found:
        return []
    from sorairo.prompts.studio import studio_phrases

    return [one for one in found if one.lower() not in studio_phrases()]


def quoted(some: Iterable[str]) -> str:
    return ", ".join(f"“{one}”" for one in dict.fromkeys(some))
