"""The options that all verbs share, declared once. A verb takes `options: Options` and gets them all."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

if TYPE_CHECKING:
    from sorairo.jobs.request import Request

__all__ = ["Options", "with_fields", "with_options"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of every verb besides its own; each field is an option."""

    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FOLDER|FILE",
            help="Name, folder or file of the model; high=FILE,low=FILE for two transformers.",
        ),
    ] = "default"
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Width and height in pixels. Default: the model's first size."),
    ] = None
    seconds: Annotated[
        float | None,
        typer.Option(metavar="S", help="Length in seconds, rounded to one that the model can make."),
    ] = None
    frames: Annotated[
        int | None, typer.Option(metavar="N", help="Length in frames, instead of --seconds.")
    ] = None
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="The same seed gives the same video. Default: random.")
    ] = None
    number: Annotated[
        int,
        typer.Option(
            "-n", metavar="K", help="Make K videos with consecutive seeds: out-1.mp4, out-2.mp4, ..."
        ),
    ] = 1
    steps: Annotated[int | None, typer.Option(metavar="N", help="Denoising steps. Default: the model's.")] = (
        None
    )
    guidance: Annotated[
        float | None,
        typer.Option(metavar="G", help="How closely to follow the words. Default: the model's."),
    ] = None
    shift: Annotated[
        float | None,
        typer.Option(
            metavar="S", help="Move the noise levels up (over 1) or down (below 1). Default: the model's."
        ),
    ] = None
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="unipc|euler|dpm++|lcm",
            help="How noise becomes video; lcm adds fresh noise at each step. Default: the model's.",
        ),
    ] = None
    negative: Annotated[
        str, typer.Option(metavar="WORDS", help="Things that should not be seen, such as: blur, second ball.")
    ] = ""
    style: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A preset of words and settings; `sorairo styles list` shows them."
        ),
    ] = None
    expand: Annotated[
        bool, typer.Option("--expand", help="Rewrite the prompt as a long caption, like those of training.")
    ] = False
    expand_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Expand with this chat server (OpenAI's protocol), not with the grammar."
        ),
    ] = None
    expand_model: Annotated[
        str, typer.Option(metavar="NAME", help="With --expand-url: the name of the server's model.")
    ] = ""
    fit: Annotated[
        str,
        typer.Option(metavar="crop|letterbox|stretch", help="How inputs are fitted to the output size."),
    ] = "crop"
    background: Annotated[
        str, typer.Option(metavar="COLOUR", help="Background colour for transparent inputs.")
    ] = "white"
    upscale: Annotated[
        int | None,
        typer.Option(metavar="2", help="Double the width and height of the output."),
    ] = None
    references: Annotated[
        list[str] | None,
        typer.Option(
            "--reference",
            metavar="FILE",
            help="A picture of someone or something that should appear; repeatable. For VACE models.",
        ),
    ] = None
    control: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A clip of depth, poses, edges or greys that the output follows. For VACE models.",
        ),
    ] = None
    control_scale: Annotated[
        float,
        typer.Option(
            metavar="S", help="How much known frames, --reference and --control count in VACE models."
        ),
    ] = 1.0
    vae: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The codec, for a model that is a file. Default: found beside it."),
    ] = None
    text_encoder: Annotated[
        str | None, typer.Option(metavar="FILE", help="The same for umT5, which reads the words.")
    ] = None
    image_encoder: Annotated[
        str | None, typer.Option(metavar="FILE", help="The same for the CLIP that sees pictures (Wan 2.1).")
    ] = None
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:WEIGHT]",
            help="Apply a LoRA at this weight; repeatable. Prefix high= or low= applies it to one of two"
            " transformers.",
        ),
    ] = None
    loose: Annotated[bool, typer.Option("--lora-loose", help="Ignore LoRA tensors that match no layer.")] = (
        False
    )
    cache: Annotated[
        float | None,
        typer.Option(
            metavar="T", help="Skip steps that can be predicted within this error; 0.2 skips about half."
        ),
    ] = None
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Compile the model's blocks, which takes a minute. Default: large models only.",
            show_default=False,
        ),
    ] = None
    attention: Annotated[
        str,
        typer.Option(
            metavar="auto|NAME",
            help="The kernel of attention: torch, blocks, flash or sage; compared before it is used.",
        ),
    ] = "auto"
    memory: Annotated[
        str | None, typer.Option(metavar="8GB", help="Limit memory; the chosen strategy is printed.")
    ] = None
    dtype: Annotated[
        str,
        typer.Option(
            metavar="auto|bf16|fp32|int8",
            help="Precision; auto is the fastest on this machine. int8 multiplies in 8 bits, half the memory.",
        ),
    ] = "auto"
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The output: .mp4, .gif, .webp or .png.",
            show_default="out.mp4",
        ),
    ] = None
    sheet: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Also write a contact sheet.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False

    def request(
        self, verb: str, prompt: str | None, sources: Sequence[Path | str], args: dict[str, Any]
    ) -> Request:
        """The same as a Request. Raises UserError."""
        from sorairo.jobs.request import Request

        own = {"out", "sheet", "as_json"}
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in own}
        values |= {
            "lora": self.lora or [],
            "references": self.references or [],
            "verb": verb,
            "prompt": prompt,
            "args": args,
        }
        return Request.parse(values | {"sources": [str(path) for path in sources]})


def with_options(**helps: str | None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator: the verb's parameter `options` becomes the options of Options.

    helps: option name -> this verb's help text, or None to leave the option out.
    """
    return with_fields(Options, "options", **helps)


def with_fields(
    kind: type, parameter: str, **helps: str | None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator: the command's parameter of that name becomes the fields of `kind`, a dataclass whose fields are
    annotated as typer's options. helps: see with_options."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(verb, eval_str=True)
        hints = get_type_hints(kind, include_extras=True)
        shared = [
            _parameter(one, hints[one.name], helps.get(one.name))
            for one in fields(kind)
            if helps.get(one.name, "") is not None
        ]
        kept = [p.replace(kind=p.KEYWORD_ONLY) for name, p in own.parameters.items() if name != parameter]

        @functools.wraps(verb)
        def run(**values: Any) -> None:
            made = kind(**{p.name: values.pop(p.name) for p in shared})
            verb(**values, **{parameter: made})

        run.__signature__ = own.replace(parameters=[*kept, *shared])  # pyright: ignore
        run.__annotations__ = {p.name: p.annotation for p in (*kept, *shared)}
        return run

    return decorate


def _parameter(one: Field[Any], hint: Any, words: str | None) -> inspect.Parameter:
    """A field as a parameter for typer. words: replaces its help text."""
    name, default = one.name, one.default
    if words:
        kind, option = get_args(hint)
        option = copy.copy(option)
        option.help = words
        hint = Annotated[kind, option]
    assert default is not MISSING
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
