"""After `import sorairo.diffusers` diffusers opens our models with local convolutions: WanPipeline.from_pretrained.

A folder names this module in its model_index.json; diffusers uses it once it is imported, and says so where it is not.
Models without local convolutions are Wan's own class and need nothing of ours.
"""

# Letters: b batch, c latent channels, f local channels, t h w latent grid

from __future__ import annotations

from typing import Any

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from diffusers.models.modeling_utils import ModelMixin  # diffusers looks for it here when it loads a part
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

from sorairo.transformer.local import Local

__all__ = ["LocalWanTransformer3DModel", "ModelMixin"]


class LocalWanTransformer3DModel(WanTransformer3DModel):
    """WanTransformer3DModel between the convolutions of sorairo.transformer.local; the same as our Transformer.

    in_channels and out_channels are those of the latents, as pipelines expect; inside, Wan's transformer takes and
    gives local_width channels more.
    """

    @register_to_config
    def __init__(
        self,
        patch_size: tuple[int, ...] = (1, 2, 2),
        num_attention_heads: int = 4,
        attention_head_dim: int = 64,
        in_channels: int = 24,
        out_channels: int = 24,
        text_dim: int = 384,
        freq_dim: int = 256,
        ffn_dim: int = 768,
        num_layers: int = 8,
        cross_attn_norm: bool = True,
        qk_norm: str | None = "rms_norm_across_heads",
        eps: float = 1e-6,
        image_dim: int | None = None,
        added_kv_proj_dim: int | None = None,
        rope_max_seq_len: int = 1024,
        pos_embed_seq_len: int | None = None,
        local_blocks: int = 2,
        local_width: int = 64,
    ) -> None:
        super().__init__(
            patch_size=patch_size,
            num_attention_heads=num_attention_heads,
            attention_head_dim=attention_head_dim,
            in_channels=in_channels + local_width,
            out_channels=out_channels + local_width,
            text_dim=text_dim,
            freq_dim=freq_dim,
            ffn_dim=ffn_dim,
            num_layers=num_layers,
            cross_attn_norm=cross_attn_norm,
            qk_norm=qk_norm,
            eps=eps,
            image_dim=image_dim,
            added_kv_proj_dim=added_kv_proj_dim,
            rope_max_seq_len=rope_max_seq_len,
            pos_embed_seq_len=pos_embed_seq_len,
        )
        self.register_to_config(in_channels=in_channels, out_channels=out_channels)
        self.local = Local(local_blocks, in_channels, out_channels, local_width, freq_dim)

    def forward(
        self,
        hidden_states: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        encoder_hidden_states_image: torch.Tensor | None = None,
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """hidden_states: (b c t h w). timestep: (b), or (b tokens), which is the same for all tokens of a frame."""
        frames = timestep
        if timestep.ndim == 2:
            frames = timestep.unflatten(1, (hidden_states.shape[2], -1))[..., 0]  # b t
        features = self.local.before(hidden_states, frames)  # b f t h w
        made: Any = super().forward(
            torch.cat([hidden_states, features.to(hidden_states.dtype)], dim=1),
            timestep,  # pyright: ignore[reportArgumentType]  # they feed it floats themselves
            encoder_hidden_states,
            encoder_hidden_states_image,
            return_dict=False,
            attention_kwargs=attention_kwargs,
        )
        made = made[0]  # b c+f t h w
        channels = made.shape[1] - features.shape[1]
        velocity = made[:, :channels] + self.local.after(features + made[:, channels:], frames)  # b c t h w
        return Transformer2DModelOutput(sample=velocity) if return_dict else (velocity,)
