"""Context parallelism: the tokens of one clip are split among processes, which meet in attention alone (Ulysses).

Between the places that a class names in `_cp_plan` every process holds some tokens of every frame. In self-attention
they trade tokens for heads: each then has all tokens, in their order, for some of the heads. The plan's form is that
of diffusers' `_cp_plan`; it is applied from outside, by hooks, and removed again by `Context.remove`.

Source: DeepSpeed-Ulysses (Jacobs et al. 2023, arXiv 2309.14509), section 3.
"""

# Letters: b batch, t frames, s tokens of a frame, n = t s tokens, k heads, c channels of a head, d width

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup

from sorairo.nn.attention import Attend
from sorairo.nn.rope import Turns
from sorairo.nn.splitting import Gather, Split, sizes
from sorairo.nn.together import size
from sorairo.transformer.block import Others, SelfAttention
from sorairo.transformer.experts import Experts
from sorairo.transformer.model import Transformer
from sorairo.types import UserError

__all__ = ["Context", "split_clips", "split_context"]


class Context:
    """The processes of `group` as one transformer sees them. tokens: of a whole frame, known once one was split."""

    def __init__(self, group: ProcessGroup) -> None:
        self.group, self.rank = group, distributed.get_rank(group)
        self.of = distributed.get_world_size(group)
        self.tokens = 0
        self.hooks: list[Any] = []
        self.attentions: list[SelfAttention] = []
        # Not a decorator: it imports the compiler, a second that a process on its own does without.
        self.attention = torch.compiler.disable(self._attention)

    def rows(self) -> slice:
        """Which of a frame's tokens are this process's."""
        before = sizes(self.tokens, self.of)[: self.rank]
        return slice(sum(before), sum(before) + sizes(self.tokens, self.of)[self.rank])

    def split(self, x: Tensor, dim: int) -> Tensor:
        """This process's part of x along `dim`. Raises UserError when there is not a token for every process."""
        self.tokens = x.shape[dim]
        if self.tokens < self.of:
            raise UserError(
                f"{self.tokens} tokens of a frame cannot be split among {self.of} processes: start fewer."
            )
        rows = self.rows()
        return x.narrow(dim, rows.start, rows.stop - rows.start)

    def gather(self, x: Tensor, dim: int) -> Tensor:
        """Everyone's parts of x along `dim`, in order; the inverse of split."""
        return _Gather.apply(x, dim, sizes(self.tokens, self.of), self.group)  # type: ignore[return-value]

    def turns(self, place: Turns, frames: int) -> Turns:
        """The turns of this process's tokens, (n' c/2) of (n c/2)."""
        rows = self.rows()
        cos, sin = (part.unflatten(0, (frames, -1))[:, rows].flatten(0, 1) for part in (place.cos, place.sin))
        return Turns(cos, sin, place.sequences)

    def _attention(self, q: Tensor, k: Tensor, v: Tensor, frames: int, attend: Attend) -> Tensor:
        """attend(q, k, v) over the tokens of all processes: (b k n' c) each -> (b k n' c)."""
        parts = sizes(self.tokens, self.of)
        heads = q.shape[1] // self.of
        b, c = q.shape[0], q.shape[-1]
        mine = frames * parts[self.rank]
        qkv = torch.stack([q, k, v])  # 3 b k n' c
        sent = qkv.unflatten(2, (self.of, heads)).movedim(2, 0)  # P 3 b k/P n' c
        counts = [3 * b * heads * frames * part * c for part in parts]
        got = _trade(sent, [sent[0].numel()] * self.of, counts, self.group)
        pieces = [
            piece.view(3, b, heads, frames, part, c)
            for piece, part in zip(got.split(counts), parts, strict=True)
        ]
        q, k, v = torch.cat(pieces, dim=4).flatten(3, 4).unbind(0)  # b k/P n c
        seen = attend(q, k, v).unflatten(2, (frames, self.tokens))  # b k/P t s c
        back = torch.cat([part.flatten() for part in seen.split(parts, dim=3)])
        counts = [b * heads * frames * part * c for part in parts]
        got = _trade(back, counts, [b * heads * mine * c] * self.of, self.group)
        return got.view(self.of, b, heads, mine, c).movedim(0, 1).flatten(1, 2)  # b k n' c

    def remove(self) -> None:
        """Let the transformer compute on its own again."""
        for hook in self.hooks:
            hook.remove()
        for attention in self.attentions:
            attention.context = None
        self.hooks, self.attentions = [], []


def split_context(transformer: nn.Module, group: ProcessGroup) -> Context:
    """Split the tokens of every clip that the transformer sees among the processes of `group`, by its `_cp_plan`.

    All of them must call it with the same inputs; all get the whole velocity. Each then holds its share of every
    gradient: their sum, divided by the number of processes, is the gradient of the loss. Call it before the network is
    sharded. Raises UserError when the heads cannot be divided.
    """
    context = Context(group)
    plan: Mapping[str, Split | Gather] = transformer._cp_plan  # type: ignore[assignment]
    for module in transformer.modules():
        if isinstance(module, SelfAttention):
            if module.heads % context.of:
                raise UserError(
                    f"{module.heads} heads cannot be divided among {context.of} processes: start another number."
                )
            module.context = cast(Others, context)
            context.attentions.append(module)
    if not plan:
        raise UserError("Clips of this model cannot be split among processes: start one.")
    there = dict(transformer.named_modules())  # some parts are only of some models
    for name, what in plan.items():
        module = there.get(name)
        if module is None:
            continue
        act = context.split if isinstance(what, Split) else context.gather
        context.hooks.append(module.register_forward_hook(_after(act, what.dim)))
    context.hooks.append(transformer.register_forward_pre_hook(_watch_whole(context, plan), with_kwargs=True))
    return context


def _after(act: Callable[[Tensor, int], Tensor], dim: int) -> Callable[..., Tensor]:
    return lambda module, inputs, output: act(output, dim)


def _watch_whole(context: Context, plan: Mapping[str, Split | Gather]) -> Callable[..., Any]:
    """Who watches the tokens between the blocks sees those of all processes."""
    dim = next(what.dim for what in plan.values() if isinstance(what, Split))

    def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        watch = named.get("watch")
        if watch is None:
            return None
        block = getattr(watch, "block", None)  # joining costs time, so only where it is asked for

        def whole(number: int, x: Tensor) -> None:
            if block in (None, number):
                watch(number, context.gather(x, dim))

        return inputs, {**named, "watch": whole}

    return hook


class _Trade(torch.autograd.Function):
    """all_to_all of a flat tensor; backwards the gradients travel the same way home."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sent: list[int], got: list[int], group: ProcessGroup) -> Tensor:
        ctx.sent, ctx.got, ctx.group = sent, got, group
        out = x.new_empty(sum(got))
        distributed.all_to_all_single(out, x.contiguous(), got, sent, group=group)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad,) = grads
        out = grad.new_empty(sum(ctx.sent))
        distributed.all_to_all_single(out, grad.contiguous(), ctx.sent, ctx.got, group=ctx.group)
        return out, None, None, None


def _trade(x: Tensor, sent: list[int], got: list[int], group: ProcessGroup) -> Tensor:
    return _Trade.apply(x.flatten(), sent, got, group)  # type: ignore[return-value]


class _Gather(torch.autograd.Function):
    """all_gather along a dimension; its adjoint: the sum of everyone's gradients; each process keeps its part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int, parts: list[int], group: ProcessGroup) -> Tensor:
        ctx.dim, ctx.parts, ctx.group = dim, parts, group
        ctx.rank = distributed.get_rank(group)
        longest = max(parts)
        padded = x.new_zeros(*x.shape[:dim], longest, *x.shape[dim + 1 :])
        padded.narrow(dim, 0, x.shape[dim]).copy_(x)
        everyone = [torch.empty_like(padded) for _ in parts]
        distributed.all_gather(everyone, padded, group=group)
        return torch.cat([one.narrow(dim, 0, part) for one, part in zip(everyone, parts, strict=True)], dim)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        whole = grads[0].contiguous().clone()
        distributed.all_reduce(whole, group=ctx.group)
        return whole.split(ctx.parts, dim=ctx.dim)[ctx.rank], None, None, None


def split_clips(transformer: nn.Module | Experts) -> None:
    """split_context over all processes that have met (nn/together.py); of experts, as each is loaded. Nothing for one.

    Raises UserError.
    """
    if size() == 1:
        return
    everyone = cast(ProcessGroup, distributed.group.WORLD)
    if isinstance(transformer, Experts):
        transformer.loaders = {name: partial(_loaded, load) for name, load in transformer.loaders.items()}
        for held in transformer.held.values():
            split_context(held, everyone)
    else:
        split_context(transformer, everyone)


def _loaded(load: Callable[[], Transformer]) -> Transformer:
    transformer = load()
    split_context(transformer, cast(ProcessGroup, distributed.group.WORLD))
    return transformer
