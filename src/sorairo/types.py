"""The nouns that cross borders: Video, Known, Span, Scene, Plan, Verdict, Sample. All frozen; see docs/shapes.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np

__all__ = [
    "SAMPLERS",
    "Blocked",
    "Cancelled",
    "Decision",
    "Known",
    "Origin",
    "Plan",
    "Sample",
    "SamplerName",
    "Scene",
    "SceneCamera",
    "SceneObject",
    "ScenePlace",
    "Span",
    "UserError",
    "Verdict",
    "Video",
]

SamplerName = Literal["unipc", "euler", "dpm++", "lcm"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
STRICT = {"extra": "forbid"}  # for pydantic, which reads what people write: a mistyped key is an error
LONG = re.compile(r"\S{300,}")


class UserError(ValueError):
    """A mistake of the user's: one sentence that says what to do. The CLI prints it and exits with 2.

    It may repeat a value of a file, which may be thousands of letters long, so very long words are cut.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(LONG.sub(lambda found: f"{found[0][:120]}...{found[0][-20:]}", sentence))


class Cancelled(Exception):
    """The work was stopped on request. What was on disk before stays there."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a policy does about one category. action: allow, flag, rewrite or block. score: 0 to 1."""

    action: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a policy decided about one request or output.

    policy_version: names the policy's content. decisions: for every category. frames: whether pictures were looked at,
    False where the guard of frames is not installed. off: the operator's policy lets pass what the default one blocks,
    rewrites or flags; lifted: those categories.
    """

    policy_version: str
    decisions: dict[str, Decision] = field(default_factory=dict)
    frames: bool = False
    off: bool = False
    lifted: tuple[str, ...] = ()

    @property
    def action(self) -> str:
        """The strictest action of all categories."""
        taken = {one.action for one in self.decisions.values()}
        return next((action for action in ("block", "rewrite", "flag") if action in taken), "allow")

    def having(self, action: str) -> tuple[str, ...]:
        """The categories with an action."""
        return tuple(name for name, one in self.decisions.items() if one.action == action)


class Blocked(UserError):
    """A request or an output that the policy refuses. verdict: what was decided, with the categories."""

    def __init__(self, sentence: str, verdict: Verdict) -> None:
        super().__init__(sentence)
        self.verdict = verdict


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the frames of a Video come from: a file, read at the Video's size and rate, from frame `first` on.

    path: as it was typed. sha256: of the file's bytes, in hex. fit, background: how the file was read.
    """

    path: Path
    sha256: str
    fit: str = "crop"
    background: str = "white"
    first: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Video:
    """Frames as a screen shows them.

    frames: uint8 RGB (t h w 3). fps: frames per second. origin: the file that the frames are from, as read; None for
    frames that were computed, resized or sampled after they were read.
    """

    frames: np.ndarray
    fps: float
    origin: Origin | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.frames.shape[2], self.frames.shape[1]

    def __len__(self) -> int:
        return self.frames.shape[0]

    def part(self, start: int, stop: int) -> Video:
        """Frames `start` up to, not including, `stop`, with their origin."""
        origin = self.origin and replace(self.origin, first=self.origin.first + start)
        return Video(frames=self.frames[start:stop], fps=self.fps, origin=origin)


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """A clip or a still with its place on the output's timeline.

    at: the output frame where it starts. hold: how firmly it is kept; 1.0 exactly, 0 <= hold < 1 starts from
    it noised to sigma = 1 - hold (an edit). region: (x, y, width, height) in pixels; hold applies inside it, and
    everything outside is kept exactly.
    """

    video: Video
    at: int = 0
    hold: float = 1.0
    region: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Span:
    """Words that hold from frame `start` up to, not including, frame `stop` (None: the end)."""

    text: str
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True, kw_only=True)
class ScenePlace:
    """Where an object is at a moment.

    at: seconds. x, y: of its middle, from -1 to 1 across the picture's middle square, right and down. width, height:
    parts of that square's side. distance: metres from the lens; of two objects, the nearer hides the other.
    """

    __pydantic_config__: ClassVar = STRICT

    at: float = 0.0
    x: float
    y: float
    width: float = 0.3
    height: float = 0.3
    distance: float = 6.0


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """An object and its way. Between places it goes straight; before the first and after the last it rests."""

    __pydantic_config__: ClassVar = STRICT

    shape: str
    colour: str
    path: tuple[ScenePlace, ...]


@dataclass(frozen=True, kw_only=True)
class SceneCamera:
    """Where a point of the floor is in the picture at a moment, which says where the camera stands and looks.

    at: seconds. x, y: of the point, as in ScenePlace. turn: radians by which the camera has gone around it. horizon:
    its y; -1 is the upper edge. distance: metres to the point.
    """

    __pydantic_config__: ClassVar = STRICT

    at: float = 0.0
    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    horizon: float = -1.0
    distance: float = 6.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What stands where in every moment of a clip (docs/scene.md). camera: empty for one that stands still."""

    __pydantic_config__: ClassVar = STRICT

    objects: tuple[SceneObject, ...]
    camera: tuple[SceneCamera, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that determines a video, for every task.

    size: (width, height). spans: in order, the first from frame 0, each up to the next. loop: the frame after
    the last is the first again. back: how firmly (0: not at all) the second half of a loop from words
    is held to the first half in reverse. A seed means the same video at any batch size. steps, guidance, shift,
    sampler: None takes the checkpoint's own; the sampler is one of SAMPLERS, with its own levels (flow/samplers.py).
    references: stills, of any size, of things that should appear. control: a clip of the plan's size whose depth,
    poses, edges or colours the output follows from its first frame on. control_scale: how much these two and the known
    frames count. All three are for models whose conditioning is "control". scene: for models that draw scenes, in place
    of the one that they would draw.
    """

    size: tuple[int, int]
    frames: int
    fps: float
    spans: tuple[Span, ...]
    seed: int
    known: tuple[Known, ...] = ()
    loop: bool = False
    back: float = 0.0
    steps: int | None = None
    guidance: float | None = None
    negative: str = ""
    shift: float | None = None
    sampler: str | None = None
    references: tuple[Video, ...] = ()
    control: Video | None = None
    control_scale: float = 1.0
    scene: Scene | None = None

    @property
    def inputs(self) -> tuple[Video, ...]:
        """All pictures and clips that it is made with."""
        shown = (self.control,) if self.control else ()
        return (*(known.video for known in self.known), *self.references, *shown)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One output video with its plan and how it was computed.

    timings: seconds per stage (text, denoise, decode, ...). notes: sentences on uses that the model was not
    trained for. dtype, device, threads: of the computation; they decide its last digits. verdict: what the policy
    decided; None where none was asked.
    """

    video: Video
    plan: Plan
    model: str
    dtype: str = ""
    device: str = ""
    threads: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    verdict: Verdict | None = None
