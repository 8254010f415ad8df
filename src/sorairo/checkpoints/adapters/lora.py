"""LoRA files for Wan in the key styles that are about -> changes of our Transformer's parameters; pure.

diffusers, PEFT   transformer.blocks.0.attn1.to_q.lora_A.weight
original Wan      diffusion_model.blocks.0.self_attn.q.lora_down.weight (or lora_A), .alpha, .diff, .diff_b, .diff_m
                  the same after pipe.dit. (DiffSynth) or model.diffusion_model.
kohya, musubi     lora_unet_blocks_0_self_attn_q.lora_down.weight, .alpha; also lora_unet_blocks_0.self_attn.q,
                  lora_transformer_blocks_0_attn1_to_q
LyCORIS           lycoris_blocks_0_self_attn_q.lokr_w1 (LoKr), .hada_w1_a (LoHa)
LongCat-Video     lora___lorahyphen___blocks___lorahyphen___0___lorahyphen___attn___lorahyphen___qkv.lora_down.weight
ours              blocks.0.self_attention.q.lora_A.weight
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from sorairo.checkpoints.adapters import longcat
from sorairo.checkpoints.adapters.wan import NAMES, from_wan
from sorairo.config import parse_json
from sorairo.nn.lora import Change, Kronecker, LowRank, Product
from sorairo.types import UserError

__all__ = ["Scaling", "from_lora", "module_name", "original_name", "scaling_of"]

# (theirs, ours): modules by the names of Wan's authors; (\d+) is a block's number
ORIGINAL = [
    (r"patch_embedding", "patches.embed"),
    (r"time_embedding.0", "time.first"),
    (r"time_embedding.2", "time.second"),
    (r"time_projection.1", "time.modulation"),
    (r"text_embedding.0", "words.first"),
    (r"text_embedding.2", "words.second"),
    *(
        (rf"blocks.(\d+).{theirs}.{part}", rf"blocks.\1.{ours}.{'out' if part == 'o' else part}")
        for theirs, ours in (("self_attn", "self_attention"), ("cross_attn", "cross_attention"))
        for part in ("q", "k", "v", "o", "norm_q", "norm_k")
    ),
    (r"blocks.(\d+).cross_attn.(k|v|norm_k)_img", r"blocks.\1.cross_attention.image.\2"),
    (r"img_emb.proj.0", "image.norm_in"),
    (r"img_emb.proj.1", "image.first"),
    (r"img_emb.proj.3", "image.second"),
    (r"img_emb.proj.4", "image.norm_out"),
    (r"blocks.(\d+).norm3", r"blocks.\1.cross_norm"),
    (r"blocks.(\d+).ffn.0", r"blocks.\1.feed_forward.up"),
    (r"blocks.(\d+).ffn.2", r"blocks.\1.feed_forward.down"),
    (r"head.head", "head.project"),
]
ORIGINAL += [
    (r"vace_patch_embedding", "control.patches.embed"),
    (r"vace_blocks.0.before_proj", "control.enter"),
    (r"vace_blocks.(\d+).after_proj", r"control.leave.\1"),
    *((f"vace_{theirs}", f"control.{ours}") for theirs, ours in ORIGINAL if theirs.startswith("blocks.")),
]
# The same by diffusers' names; a name that ends within a word (attn1.norm_) stands for those of q and k
DIFFUSERS = [
    (theirs.format(r"(\d+)") + end, ours.format(r"\1") + end)
    for ours, theirs in ((ours.removesuffix("."), theirs.removesuffix(".")) for ours, theirs in NAMES)
    for end in (("q", "k") if ours.endswith("_") else ("",))
]
DOTTED = [(re.compile(theirs.replace(".", r"\.")), ours) for theirs, ours in ORIGINAL]
# Trainers join a module's name by underscores, all of it or a part
KOHYA = [
    (
        re.compile(
            r"(?:lora_(?:unet|transformer|dit|wan)|lycoris)_+(?:(?:diffusion_)?model_)?"
            + theirs.replace(".", "[._]")
        ),
        ours,
    )
    for theirs, ours in ORIGINAL + DIFFUSERS
]
# What programs put before a layer's name, in any order; never transformer_2, which is another transformer
PREFIX = re.compile(
    r"(?:(?:base_model|pipe|model|module|_orig_mod|transformer|diffusion_model|dit|unet|net|generator|wan)\.)*"
)
PATTERN = re.compile(
    r"[\w.\-|\\^$]{1,200}"
)  # of PEFT's alpha_pattern: no repetition, which could take for ever
LOKR = ("lokr_w1", "lokr_w2", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b")
LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
REFUSED = [
    (re.compile(r".+\.(?:dora_scale|lora_magnitude_vector(?:\.default)?(?:\.weight)?)"), "a DoRA"),
    (re.compile(r".+\.(?:lokr_t2|hada_t1|hada_t2|lora_mid(?:\.weight)?)"), "a LoRA of convolutions (Tucker)"),
    (re.compile(r".+\.(?:oft_blocks|oft_diag|boft_blocks|on_input|ia3_\w+)"), "OFT or IA3"),
]
"""What is computed otherwise than as a sum of products: without it, the rest of the file is another model."""
ADAPTER = r"(?:\.(?!weight$|bias$)\w+)?"  # PEFT's name of it, such as .default
ROLES = [
    (re.compile(rf"(.+)\.(?:lora_A|lora_down|lora\.down){ADAPTER}(?:\.weight)?"), "down"),
    (re.compile(rf"(.+)\.(?:lora_B|lora_up|lora\.up){ADAPTER}(?:\.weight)?"), "up"),
    (re.compile(rf"(.+)\.lora_B{ADAPTER}\.bias"), "up_bias"),
    (re.compile(r"(.+)\.alpha"), "alpha"),
    (re.compile(r"(.+)\.diff"), "diff"),
    (re.compile(r"(.+)\.diff_b"), "diff_b"),
    (re.compile(r"(.+)\.diff_m"), "diff_m"),
    *((re.compile(rf"(.+)\.{part}"), part) for part in LOKR + LOHA),
]


def original_name(module: str) -> str:
    """The authors' name of a layer of one of our blocks, such as blocks.0.self_attn.q: the inverse of module_name."""
    for ours, theirs in (
        (".self_attention.out", ".self_attn.o"),
        (".cross_attention.out", ".cross_attn.o"),
        (".self_attention.", ".self_attn."),
        (".cross_attention.", ".cross_attn."),
        (".feed_forward.up", ".ffn.0"),
        (".feed_forward.down", ".ffn.2"),
    ):
        module = module.replace(ours, theirs)
    return module


class Scaling(NamedTuple):
    """How PEFT scales: alpha / rank, or alpha / sqrt(rank). alpha None: by 1. patterns: alphas of some modules."""

    alpha: float | None = None
    rooted: bool = False
    patterns: Mapping[str, float] = {}

    def scale(self, module: str, rank: int, alpha: float | None) -> float:
        """Of a module by their name. alpha: the file's own for it, which counts first."""
        if alpha is None:
            own = [
                value for name, value in self.patterns.items() if re.fullmatch(rf"(.*\.)?({name})", module)
            ]
            alpha = own[0] if own else self.alpha
        return 1.0 if alpha is None else alpha / (math.sqrt(rank) if self.rooted else rank)


def scaling_of(config: Mapping[str, Any], where: str = "The LoRA") -> Scaling:
    """From PEFT's adapter_config.json, or a file's metadata, in which diffusers keeps the same under a prefix.

    where: how an error begins. Raises UserError for an alpha that is no finite number, for a pattern that cannot be
    read, and for other kinds of PEFT's, which keep their scales elsewhere.
    """
    if text := config.get("lora_adapter_metadata"):
        values = parse_json(str(text), where=f"{where}: lora_adapter_metadata")
        config = {key.removeprefix("transformer."): value for key, value in values.items()}
    kind = config.get("peft_type")
    if kind not in (None, "LORA") or config.get("use_dora"):
        what = "DoRA" if kind in (None, "LORA") else _short(kind)
        raise UserError(
            f"{where}: it is PEFT's {what}, which is not read here; use a plain LoRA, or LyCORIS' own file."
        )
    if "lora_alpha" not in config:
        return Scaling()
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        raise UserError(f"{where}: alpha_pattern is no table of alphas; copy it again.")
    for name, alpha in (("lora_alpha", config["lora_alpha"]), *patterns.items()):
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not abs(alpha) < 1e9:
            raise UserError(f"{where}: {name} is {_short(alpha)}, which is no alpha; copy it again.")
    for pattern in patterns:
        try:
            sound = bool(PATTERN.fullmatch(pattern) and re.compile(pattern))
        except re.error:
            sound = False
        if not sound:
            raise UserError(f"{where}: alpha_pattern {_short(pattern)} cannot be read; copy it again.")
    return Scaling(config["lora_alpha"], bool(config.get("use_rslora")), patterns)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def from_lora(
    tensors: Mapping[str, torch.Tensor], scaling: Scaling | None = None, where: str = "The LoRA"
) -> tuple[dict[str, Change], list[str]]:
    """(changes by our parameters' names, float32; the names of tensors that mean nothing here or lack their half).

    Whether the model has such parameters, and of that shape, is not known here. where: how an error begins. Raises
    UserError for two halves of different rank, for factors of whole numbers, which are quantised, and for an alpha
    that is not one number.
    """
    scaling = scaling or Scaling()
    tensors = longcat.plain_lora(tensors, where)
    modules: dict[str, dict[str, str]] = {}  # module -> role -> tensor's name
    unread = []
    for name in tensors:
        for pattern, kind in REFUSED:
            if pattern.fullmatch(name):
                raise UserError(
                    f"{where} is {kind} (it has {name}), which is not supported; use a plain LoRA."
                )
        for pattern, role in ROLES:
            if found := pattern.fullmatch(name):
                modules.setdefault(found[1], {})[role] = name
                break
        else:
            unread.append(name)
    changes: dict[str, Change] = {}
    for module, names in modules.items():
        ours = module_name(module)
        for role, name in names.items():
            _check(role, name, tensors[name], where)
        if not _whole(set(names)):  # parts that belong together come together or not at all
            unread += names.values()
            continue
        roles = {role: tensors[name].float() for role, name in names.items()}
        if "diff_m" in roles:
            changes[f"{ours}.table"] = roles["diff_m"].flatten(0, -2)  # 1 rows d -> rows d
        for leaf, change in _changes(module, roles, scaling).items():
            named = f"{ours}.{leaf}"
            if named in changes:
                raise UserError(
                    f"{where}: {named} is changed twice, by {module} and under another name; use a sound file."
                )
            changes[named] = change
    return changes, unread


def _whole(roles: set[str]) -> bool:
    """Whether a module's tensors make whole changes, none of them half of one."""
    lokr, loha = roles & set(LOKR), roles & set(LOHA)
    for side in ("w1", "w2"):
        pair = {f"lokr_{side}_a", f"lokr_{side}_b"}
        if lokr and not (f"lokr_{side}" in lokr or pair <= lokr):
            return False
    if loha and len(loha) < len(LOHA):
        return False
    low = roles & {"up", "down"}
    if len(low) == 1 or ("up_bias" in roles and not low):
        return False
    return bool(low or lokr or loha or roles & {"diff", "diff_b", "diff_m"})


def _check(role: str, name: str, tensor: torch.Tensor, where: str) -> None:
    """Refuse a tensor that cannot play its role."""
    if role == "alpha":
        if tensor.numel() != 1:
            raise UserError(f"{where}: {name} is not one number; the file is damaged.")
    elif not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UserError(
            f"{where}: {name} holds whole numbers ({kind}): a quantised LoRA, which is not read here;"
            " get it in bf16, fp16 or fp32."
        )
    if role in ("up", "down", "diff_m", *LOKR, *LOHA) and (tensor.ndim < 2 or not tensor.numel()):
        raise UserError(f"{where}: {name} is no matrix; the file is damaged.")


def _changes(module: str, roles: Mapping[str, torch.Tensor], scaling: Scaling) -> dict[str, Change]:
    """A module's changes by parameter, "weight" and "bias"."""
    made: dict[str, Change] = {}
    if "up" in roles:
        # a convolution's are r c 1 p p and o r 1 1 1
        down, up = roles["down"].flatten(1), roles["up"].flatten(1)
        if down.shape[0] != up.shape[1]:
            raise UserError(
                f"{module} goes down to rank {down.shape[0]} and up from {up.shape[1]}; the file is damaged."
            )
        alpha = roles["alpha"].item() if "alpha" in roles else None
        made["weight"] = LowRank(down, up, scaling.scale(module, down.shape[0], alpha))
        if "up_bias" in roles:
            made["bias"] = roles["up_bias"] * made["weight"].scale
    kinds = [kind for kind in ("up", "hada_w1_a") if kind in roles]
    kinds += [kind for kind in ("lokr_w1", "lokr_w1_a") if kind in roles][:1]
    if len(kinds) > 1:
        raise UserError(f"{module} is changed in two ways, by {' and '.join(kinds)}; the file is damaged.")
    if kinds and kinds[0] != "up":
        made["weight"] = _lycoris(module, roles)
    if "diff" in roles:
        if "weight" in made:
            raise UserError(f"{module} has both factors and .diff; the file is damaged.")
        whole = roles["diff"]
        made["weight"] = whole.flatten(1) if whole.ndim > 2 else whole
    if "diff_b" in roles:
        made["bias"] = roles["diff_b"]
    return made


def _lycoris(module: str, roles: Mapping[str, torch.Tensor]) -> Change:
    """A LoKr or a LoHa. Their scale is alpha / rank; of a LoKr of two whole factors it is 1, as LyCORIS has it."""
    alpha = roles["alpha"].item() if "alpha" in roles else None
    flat = {role: tensor.flatten(1) for role, tensor in roles.items() if role in LOKR + LOHA}
    try:
        if "hada_w1_a" in flat:
            rank = flat["hada_w1_b"].shape[0]
            first = LowRank(flat["hada_w1_b"], flat["hada_w1_a"])
            second = LowRank(flat["hada_w2_b"], flat["hada_w2_a"])
            if first.shape != second.shape or any(f.up.shape[1] != f.down.shape[0] for f in (first, second)):
                raise RuntimeError("factors of different shapes")
            return Product(first, second, 1.0 if alpha is None else alpha / rank)
        rank, factors = None, []
        for side in ("w1", "w2"):
            if f"lokr_{side}" in flat:
                factors.append(flat[f"lokr_{side}"])
            else:
                rank = flat[f"lokr_{side}_b"].shape[0]
                factors.append(flat[f"lokr_{side}_a"] @ flat[f"lokr_{side}_b"])
    except RuntimeError as error:
        raise UserError(f"{module} has factors that do not fit together; the file is damaged.") from error
    return Kronecker(factors[0], factors[1], 1.0 if alpha is None or rank is None else alpha / rank)


def module_name(theirs: str) -> str:
    """Our name of a module. One that is not theirs stays."""
    for pattern, ours in KOHYA:
        if found := pattern.fullmatch(theirs):
            return found.expand(ours)
    bare = theirs[PREFIX.match(theirs).end() :]  # pyright: ignore[reportOptionalMemberAccess]
    for pattern, ours in DOTTED:
        if found := pattern.fullmatch(bare):
            return found.expand(ours)
    (name,) = from_wan({f"{bare}.weight": torch.empty(0, 0)}, NAMES + longcat.NAMES)
    return name.removesuffix(".weight")
