"""The policy: asked before words and inputs are used, and after frames are made, wherever a video comes from.

generation/ calls it around every video, so no entrance goes past it. What it allows is decided by the operator's file
(rules.py) alone. jobs/ and serving/ ask it earlier too, so that a refusal costs no computation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from sorairo.safety.artists import without_artist
from sorairo.safety.audit import AuditLog
from sorairo.safety.guards import frame_guard, highest, listed, word_guard
from sorairo.safety.lettering import words_in_videos
from sorairo.safety.rules import Rules, default_rules, find_policy, read_rules
from sorairo.types import Blocked, Plan, Span, UserError, Verdict, Video

__all__ = ["OperatorPolicy", "Policy", "policy_of", "texts_of"]

REWRITTEN = "The style of a living artist was left out of the words: {}"


class Policy(Protocol):
    """What generation/ asks."""

    def before(self, plan: Plan) -> tuple[Plan, Verdict]:
        """The plan to make, its words perhaps rewritten, and the verdict on its words and inputs. Raises Blocked."""
        ...

    def after(self, plan: Plan, video: Video, verdict: Verdict) -> Verdict:
        """The verdict with that on the output's frames. verdict: from before. Raises Blocked."""
        ...

    def notes(self, plan: Plan, verdict: Verdict) -> tuple[str, ...]:
        """Sentences for the user on what was changed."""
        ...


def texts_of(spans: Sequence[str], negative: str = "", more: Sequence[str] = ()) -> tuple[str, ...]:
    """What is read of a request: each text alone, then all in turn, then with the negative words.

    more: words that belong to the inputs, such as those of the clip that is remixed.
    """
    said = [text for text in spans if text.strip()]
    old = [text for text in more if text.strip()]
    denied = [negative] if negative.strip() else []
    joined = [" ".join(said), " ".join([*old, *said]), " ".join([*said, *denied])]
    return tuple(dict.fromkeys(text for text in (*said, *denied, *joined) if text))


@dataclass(frozen=True, kw_only=True)
class OperatorPolicy:
    """The operator's rules with the guards. who: whose requests these are, for the audit log."""

    rules: Rules
    who: str = "local"
    audit: AuditLog | None = field(default=None, compare=False)

    def called(self, who: str) -> OperatorPolicy:
        """The same policy for another caller."""
        return replace(self, who=who)

    def words(self, texts: Sequence[str]) -> Verdict:
        """The verdict on texts: for each category the highest score of all. It refuses nothing itself."""
        return self.rules.verdict(self._scores(texts))

    def frames(self, videos: Sequence[Video]) -> Verdict:
        """The verdict on pictures alone."""
        return self.rules.verdict({}, self._seen(videos))

    def check(
        self, texts: Sequence[str], videos: Sequence[Video] = (), *, what: str = "The words are"
    ) -> Verdict:
        """The verdict on words and pictures. Raises Blocked, and writes that down."""
        verdict = self.rules.verdict(self._scores(texts))
        if videos:
            verdict = merged(verdict, self._inputs(videos))
        if names := verdict.having("block"):
            self._refuse(what, "change them", names, texts, verdict)
        if verdict.having("rewrite"):
            again = self.rules.verdict(self._scores([without_artist(text) for text in texts]))
            if names := (*again.having("rewrite"), *again.having("block")):
                self._refuse(
                    what, "describe the style without the artist", names, texts, blocked(verdict, names)
                )
        return verdict

    def before(self, plan: Plan) -> tuple[Plan, Verdict]:
        """See Policy. The inputs are the plan's known frames, its references and the clip that it follows."""
        guard = frame_guard(self.rules.guard)  # also where no picture comes in: the output will be looked at
        if self.rules.pictures == "block" and guard is None:
            raise UserError(
                "The policy asks for a look at pictures, which needs more packages: pip install 'sorairo[safety]'."
            )
        texts = texts_of([span.text for span in plan.spans], plan.negative)
        verdict = self.check(texts)
        if plan.inputs:
            inputs = self._inputs(plan.inputs)
            if names := inputs.having("block"):
                self._refuse("An input picture or clip is", "use another one", names, texts, inputs)
            verdict = merged(verdict, inputs)
        if verdict.having("rewrite"):
            spans = tuple(replace(span, text=without_artist(span.text)) for span in plan.spans)
            plan = replace(plan, spans=filled(spans), negative=without_artist(plan.negative))
        return plan, verdict

    def after(self, plan: Plan, video: Video, verdict: Verdict) -> Verdict:
        """See Policy. The whole decision is written to the audit log."""
        texts = texts_of([span.text for span in plan.spans], plan.negative)
        shown = self.rules.verdict({}, self._seen([video]))
        verdict = merged(verdict, shown)
        if names := shown.having("block"):
            self._refuse("The output is", "change the words or the inputs", names, texts, verdict)
        self._note(texts, verdict)
        return verdict

    def notes(self, plan: Plan, verdict: Verdict) -> tuple[str, ...]:
        """Sentences for the user on what the policy changed."""
        said = " ".join(span.text for span in plan.spans)
        return (REWRITTEN.format(said),) if verdict.having("rewrite") else ()

    def _scores(self, texts: Sequence[str]) -> dict[str, float]:
        score = word_guard()
        return highest([one for text in texts for one in (score(text), listed(text, self.rules.blocklist))])

    def _inputs(self, videos: Sequence[Video]) -> Verdict:
        """The verdict on input pictures: what they show, and the words in them where the rules ask for these.

        A picture's words cannot be rewritten, so they are blocked instead. Raises UserError without RapidOCR.
        """
        said = self._scores(words_in_videos(videos)) if self.rules.lettering else {}
        verdict = self.rules.verdict(said, self._seen(videos))
        return blocked(verdict, verdict.having("rewrite"))

    def _seen(self, videos: Sequence[Video]) -> dict[str, float] | None:
        guard = frame_guard(self.rules.guard)
        if guard is None:
            return None
        return highest([guard.scores(video.frames, video.fps) for video in videos])

    def _refuse(
        self, what: str, remedy: str, names: Sequence[str], texts: Sequence[str], verdict: Verdict
    ) -> None:
        self._note(texts, verdict)
        raise Blocked(f"{what} refused by the policy ({', '.join(names)}); {remedy}.", verdict)

    def _note(self, texts: Sequence[str], verdict: Verdict) -> None:
        if self.audit:
            self.audit.append(self.who, texts[-1] if texts else "", verdict)


def merged(first: Verdict, second: Verdict) -> Verdict:
    """Two verdicts of one policy as one: the stricter action and the higher score of each category."""
    order = ("allow", "flag", "rewrite", "block")
    decisions = {
        name: replace(
            max(one, second.decisions[name], key=lambda each: order.index(each.action)),
            score=max(one.score, second.decisions[name].score),
        )
        for name, one in first.decisions.items()
    }
    return replace(first, decisions=decisions, frames=first.frames or second.frames)


def blocked(verdict: Verdict, names: Sequence[str]) -> Verdict:
    """A verdict whose named categories are blocked."""
    changed = {name: replace(verdict.decisions[name], action="block") for name in names}
    return replace(verdict, decisions=verdict.decisions | changed)


def filled(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """Spans that all have words: one that said a style alone goes on with the words beside it. Raises UserError."""
    words = next((span.text for span in spans if span.text), "")
    if not words:
        raise UserError("Nothing but the style of a living artist was asked for; say what should be seen.")
    made: list[Span] = []
    for span in spans:
        words = span.text or words
        made.append(replace(span, text=words))
    return tuple(made)


def policy_of(path: Path | None = None, audit: Path | None = None) -> OperatorPolicy:
    """The policy of a file, else the one that `find_policy` names, else the default. audit: folder of the log where the
    policy names none. Raises UserError."""
    path = path or find_policy()
    try:
        stamp = path.stat().st_mtime_ns if path else 0
    except OSError as error:
        raise UserError(
            f"The policy {path} cannot be read ({error.strerror}); name a file that can."
        ) from error
    return _policy(path, stamp, audit)


@lru_cache(maxsize=16)
def _policy(path: Path | None, stamp: int, audit: Path | None) -> OperatorPolicy:
    rules = read_rules(path) if path else default_rules()
    folder = rules.audit or audit
    return OperatorPolicy(rules=rules, audit=AuditLog(folder, rules.keep) if folder else None)
