"""A model with local convolutions in all that is done with folders: written, read, exported, streamed, estimated."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from sorairo.checkpoints.adapters.wan import from_wan, from_wan_config, to_wan, to_wan_config
from sorairo.checkpoints.export import export
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.checkpoints.lora import apply_loras
from sorairo.checkpoints.memory.estimates import blueprint
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS

CONFIG = replace(PRESETS["tiny"], local=2, local_width=16)


def inputs():
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 8, 3, 4, 6, generator=generator)
    return latents, torch.randn(2, 16, 32, generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("times", [[900.0, 20.0], [[0.0, 500.0, 999.0], [100.0, 0.0, 3.0]]])
def test_one_step_is_the_class_that_diffusers_opens(times):
    import sorairo.diffusers

    torch.manual_seed(0)
    theirs = sorairo.diffusers.LocalWanTransformer3DModel.from_config(to_wan_config(CONFIG)).eval()
    assert theirs.config.in_channels == 8  # of the latents, which is what pipelines ask for
    ours = Transformer(CONFIG)
    ours.load_state_dict(from_wan(theirs.state_dict()))
    latents, text = inputs()
    timestep = torch.tensor(times)
    told = timestep if timestep.ndim == 1 else timestep.repeat_interleave(6, dim=1)
    want = theirs(latents, told, text, return_dict=False)[0]
    assert (ours(latents, timestep, text) - want).abs().max() < 1e-4


def test_names_shapes_and_configuration_go_there_and_back():
    state = Transformer(CONFIG).state_dict()
    back = from_wan(to_wan(state, CONFIG))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert from_wan_config(to_wan_config(CONFIG), text_len=CONFIG.text_len) == CONFIG


@torch.no_grad()
@pytest.mark.parametrize("layout", ["diffusers", "original"])
def test_exported_and_streamed_it_is_the_same(tiny_local_folder, tmp_path, layout):
    export(tiny_local_folder, tmp_path / "there", layout)
    before = load_checkpoint(tiny_local_folder, "fp32").transformer
    after = load_checkpoint(tmp_path / "there", "fp32", stream=True).transformer
    latents, text = inputs()
    given = (latents, torch.tensor([900.0, 20.0]), text)
    assert torch.equal(before(*given), after(*given))


def test_memory_is_estimated(tiny_local_folder, tiny_folder):
    plain, local = (blueprint("x", folder) for folder in (tiny_folder, tiny_local_folder))
    count = {part.name: part.parameters for part in local.parts}["transformer"]
    model = load_checkpoint(tiny_local_folder, "fp32").transformer
    assert count == sum(p.numel() for p in model.parameters())
    ask = local.asks[0]
    assert local.needs(ask, torch.float32) > plain.needs(ask, torch.float32)


@torch.no_grad()
@pytest.mark.parametrize("name", ["blocks.0.attn1.to_q", "local.down.0.up"])
def test_a_lora_changes_blocks_and_convolutions(tiny_local_folder, tmp_path, name):
    plain = load_checkpoint(tiny_local_folder, "fp32")
    module = {"blocks.0.attn1.to_q": "blocks.0.self_attention.q"}.get(name, name)
    before = plain.transformer.get_submodule(module).weight.clone()
    down, up = torch.randn(2, before.shape[1]), torch.randn(before.shape[0], 2)
    save_file(
        {f"transformer.{name}.lora_A.weight": down, f"transformer.{name}.lora_B.weight": up},
        tmp_path / "style.safetensors",
    )
    changed = apply_loras(plain, [f"{tmp_path / 'style.safetensors'}:0.5"])
    after = changed.transformer.get_submodule(module).weight
    assert torch.allclose(after, before + 0.5 * up @ down, atol=1e-5)
