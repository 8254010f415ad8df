import pytest
import torch

from sorairo.dit.model import PRESETS, DiT, DiTConfig
from sorairo.dit.names import from_dit, from_dit_config, to_dit, to_dit_config
from sorairo.types import UserError

TINY = PRESETS["tiny"]
# one layer at the real width
REAL = DiTConfig(side=8, layers=1)


def reference(config=TINY):
    """diffusers' class with random weights everywhere, the blocks' embeddings equal as published."""
    from diffusers import DiTTransformer2DModel

    torch.manual_seed(0)
    model = DiTTransformer2DModel.from_config(to_dit_config(config)).eval()
    shared = model.transformer_blocks[0].norm1.emb.state_dict()
    for block in model.transformer_blocks:
        block.norm1.emb.load_state_dict(shared)
    return model


def ours(model, config=TINY):
    dit = DiT(config)
    dit.load_state_dict(from_dit(model.state_dict()))
    return dit.eval()


def inputs(config=TINY, side=None):
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(3, config.channels, side or config.side, side or config.side, generator=generator)
    return latents, torch.tensor([999, 500, 0]), torch.tensor([7, config.null_class, 0])


def largest_error(got, want):
    return ((got - want).abs().max() / want.abs().max()).item()


@torch.no_grad()
@pytest.mark.parametrize("config", [TINY, REAL], ids=["small", "one layer of XL"])
def test_one_step_is_diffusers(config):
    model = reference(config)
    latents, timestep, label = inputs(config)
    want = model(latents, timestep, label).sample
    assert largest_error(ours(model, config)(latents, timestep, label), want) < 1e-4


@torch.no_grad()
def test_other_sizes_stretch_the_positions_as_diffusers_does():
    model = reference()
    latents, timestep, label = inputs(side=12)
    want = model(latents, timestep, label).sample
    assert largest_error(ours(model)(latents, timestep, label), want) < 1e-4


@torch.no_grad()
def test_bf16_is_over_40_db():
    model = reference(REAL)
    latents, timestep, label = inputs(REAL)
    want = model(latents, timestep, label).sample
    got = ours(model, REAL).bfloat16()(latents.bfloat16(), timestep, label)
    assert got.dtype == torch.bfloat16
    range_ = want.max() - want.min()
    assert 10 * torch.log10(range_**2 / (got.float() - want).square().mean()) > 40


def test_names_and_shapes_go_there_and_back():
    state = reference().state_dict()
    back = to_dit(from_dit(state), TINY)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert from_dit_config(to_dit_config(TINY)) == TINY


@pytest.mark.parametrize("name", ["xl-2-256", "xl-2-512"])
def test_the_published_size_has_exactly_these_tensors(name):
    from diffusers import DiTTransformer2DModel

    config = PRESETS[name]
    with torch.device("meta"):
        theirs = DiTTransformer2DModel.from_config(to_dit_config(config)).state_dict()
        mine = DiT(config).state_dict()
    renamed = from_dit(theirs)
    assert {k: v.shape for k, v in renamed.items()} == {k: v.shape for k, v in mine.items()}
    assert {k: v.shape for k, v in to_dit(mine, config).items()} == {k: v.shape for k, v in theirs.items()}
    assert sum(t.numel() for t in mine.values()) == 674_834_720  # 675M with the fixed positions


def test_unequal_embeddings_and_other_families_are_refused():
    state = reference().state_dict()
    state["transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight"] += 1
    with pytest.raises(UserError, match="differs from the other blocks"):
        from_dit(state)
    with pytest.raises(UserError, match="not a DiT"):
        from_dit_config({"_class_name": "WanTransformer3DModel"})
    with pytest.raises(UserError, match="norm_type"):
        from_dit_config(to_dit_config(TINY) | {"norm_type": "ada_norm_single"})


def test_blocks_begin_as_the_identity():
    torch.manual_seed(0)
    model = DiT(TINY)
    model.init_weights()
    x, condition = torch.randn(2, 16, TINY.width), torch.randn(2, TINY.width)
    assert torch.equal(model.blocks[0](x, condition), x)
    latents, timestep, label = inputs()
    assert model(latents, timestep, label).abs().max() == 0
