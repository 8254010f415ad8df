"""State maps: made from masks, carried by the loader, learned by a head, and where the loss looks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sorairo.data.latents import Bucket, LatentPlan, make_latents
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.maps import KINDS_MAPPED, state_map
from sorairo.data.sources.worlds import Worlds
from sorairo.training.objectives.alignment import AlignmentConfig, MapHead, MixedMapWatch, object_weight
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.parallel.processes import Share
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError, Video
from sorairo.worlds import Captions, WorldClip

SIZE, FRAMES = 32, 5


def clip(seed: int, colour: str = "red", shape: str = "cube") -> WorldClip:
    """A square of 8 pixels that moves right by 8 with every second frame."""
    masks = np.zeros((FRAMES, SIZE, SIZE), dtype=np.uint8)
    for frame in range(FRAMES):
        left = 8 * ((frame + 1) // 2)
        masks[frame, 8:16, left : left + 8] = 1
    return WorldClip(
        video=Video(frames=np.zeros((FRAMES, SIZE, SIZE, 3), np.uint8), fps=8.0),
        captions=Captions(long="a", short="b", paraphrases=("c",)),
        state={"objects": [{"colour": colour, "shape": shape}]},
        seed=seed,
        masks=masks,
    )


def plane(there: torch.Tensor, kind: str) -> torch.Tensor:
    return there[KINDS_MAPPED.index(kind)]


def test_a_map_says_what_is_where():
    there = state_map(clip(0), grid=(3, 4, 4))
    assert there.dtype == torch.uint8 and there.shape == (len(KINDS_MAPPED), 3, 4, 4)
    cube = plane(there, "cube")
    for frame in range(3):  # each latent frame after the first holds two frames, both at this place
        assert cube[frame, 1, frame] == 255 and cube[frame].sum() == 255
    assert torch.equal(plane(there, "red"), cube) and there.sum() == 2 * cube.sum()


def test_a_still_has_a_map_too():
    whole = clip(0)
    still = replace(whole, masks=whole.masks[:1])
    assert torch.equal(state_map(still, grid=(1, 4, 4)), state_map(whole, grid=(3, 4, 4))[:, :1])


def test_a_half_covered_position_is_half():
    there = plane(state_map(clip(0), grid=(3, 2, 2)), "cube")
    assert there[0, 0, 0] == 64  # 8 x 8 of 16 x 16 pixels


def test_objects_weigh_more_only_where_they_can_be_seen():
    there = state_map(clip(0), grid=(3, 4, 4)).float()[None] / 255
    weight = object_weight(there, torch.tensor([[0.5, 0.8, 1.0]]), more=4.0)
    assert weight.shape == (1, 1, 3, 4, 4)
    assert weight[0, 0, 0, 1, 0] == 5 and weight[0, 0, 0, 3, 3] == 1
    assert torch.isclose(weight[0, 0, 1, 1, 1], torch.tensor(3.0)) and (weight[0, 0, 2] == 1).all()


def test_the_head_learns_a_map_from_tokens():
    torch.manual_seed(0)
    head = MapHead(width=8, patch_side=2)
    there = torch.stack([state_map(clip(0), (3, 4, 4)), state_map(clip(1, "blue", "ball"), (3, 4, 4))]) / 255
    tokens = torch.randn(2, 3, 4, 8)
    first = head(tokens, there)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss = head(tokens, there)
        loss.backward()
        optimizer.step()
    assert torch.isclose(first, torch.tensor(6.0).log() + torch.tensor(13.0).log())  # all is as likely
    assert loss < 0.1 * first


def make(tmp_path, align: AlignmentConfig | None, maps: bool = True, predicts="velocity"):
    config = PRESETS["tiny"]
    plan = LatentPlan(
        shards=1, clips=8, run=1, maps=True, buckets=(Bucket(size=(SIZE, SIZE), frames=FRAMES, share=1),)
    )
    make_latents(
        plan,
        tmp_path / "latents",
        source=Worlds(lambda seeds, bucket: (clip(seed) for seed in seeds)),
        encode=lambda frames: torch.randn(len(frames), config.channels, 3, 4, 4),
        words=lambda lines: (torch.zeros(len(lines), 3, config.text_dim), torch.full((len(lines),), 2)),
    )
    torch.manual_seed(0)
    network = Transformer(config)
    network.init_weights()
    loader = Loader(
        tmp_path / "latents",
        tmp_path / "lists",
        LoaderConfig(tokens=64, maps=maps, word_cost=0.0),
        torch.zeros(1, config.text_dim),
    )
    settings = DiffusionConfig(align=align, predicts=predicts)
    return Diffusion(network, loader, settings, lambda *_: {}, lambda *_: None)


def test_a_recipe_that_reads_no_maps_is_told_so(tmp_path):
    with pytest.raises(UserError, match="maps=True"):
        make(tmp_path, AlignmentConfig(), maps=False)


@pytest.mark.parametrize("objects", [0.0, 4.0])
def test_an_aligned_loss_teaches_both_networks_and_shares_add_up(tmp_path, objects):
    objective = make(tmp_path, AlignmentConfig(block=0, objects=objects))
    assert objective.map_head is not None
    torch.nn.init.normal_(objective.map_head.project.weight, std=0.1)
    torch.nn.init.normal_(objective.transformer.head.project.weight, std=0.1)
    batch = objective.batch(0)
    assert batch.map is not None and batch.map.shape[2:] == batch.latents.shape[2:]
    loss, parts = objective.loss(batch, 0)
    loss.backward()
    assert parts.keys() == {"velocity", "maps"}
    first, last = objective.transformer.blocks[0], objective.transformer.blocks[-1]
    assert objective.map_head.project.weight.grad.abs().sum() > 0
    assert all(block.feed_forward.down.weight.grad.abs().sum() > 0 for block in (first, last))
    shares = [Share(index=index, of=2) for index in range(2)]
    halves = [objective.loss(objective.batch(0, share), 0, share)[0] for share in shares]
    assert torch.isclose(sum(halves) / 2, loss, rtol=1e-5)


def test_without_alignment_there_is_no_head(tmp_path):
    objective = make(tmp_path, None)
    assert objective.models.keys() == {"transformer"} and objective.loss(objective.batch(0), 0)[1] == {}


def test_data_predicted_right_has_no_loss_and_zeros_have_that_of_the_data(tmp_path):
    objective = make(tmp_path, None, predicts="data")
    batch = objective.batch(0)
    beginning, _ = objective.loss(batch, 0)  # a network at its beginning says zero
    assert float(beginning.detach()) > 1.0
    data = batch.latents.float()
    objective.transformer.forward = lambda *_, **__: data.clone()
    loss, _ = objective.loss(batch, 0)
    assert float(loss) < 0.05  # what is left is below the least noise


def test_words_are_seen_through_a_projection_which_the_export_folds_in(tmp_path):
    plain, seen = make(tmp_path / "a", None), make(tmp_path / "b", None)
    width = PRESETS["tiny"].text_dim
    seen.projection = torch.diag((torch.arange(width) < 4).float())
    made = []
    seen._exporter = lambda network, folder: made.append(network)
    for network in (plain.transformer, seen.transformer):
        torch.nn.init.normal_(network.head.project.weight, std=0.1)
        torch.nn.init.normal_(network.blocks[0].cross_attention.out.weight, std=0.5)
    seen.transformer.load_state_dict(plain.transformer.state_dict())
    batch = plain.batch(0)
    batch.text.normal_()
    assert not torch.isclose(plain.loss(batch, 0)[0], seen.loss(batch, 0)[0], rtol=1e-4)
    seen.export(tmp_path)
    plain.transformer.load_state_dict(made[0].state_dict())
    assert torch.isclose(plain.loss(batch, 0)[0], seen.loss(batch, 0)[0], rtol=1e-4)


def test_clips_in_a_row_are_one_call_and_the_losses_of_each() -> None:
    """With divided weights each call is an exchange, and processes hold rows of different numbers of clips."""
    torch.manual_seed(2)
    head = MapHead(width=8, patch_side=2)
    torch.nn.init.normal_(head.project.weight)
    calls: list[int] = []
    head.register_forward_hook(lambda *_: calls.append(1))
    shapes, parts = ((2, 4, 4), (1, 4, 6), (3, 2, 4)), (0.5, 0.3, 0.2)
    there = [torch.rand(1, len(KINDS_MAPPED), *shape) / 50 for shape in shapes]
    tokens = [torch.randn(1, t, h * w // 4, 8) for t, h, w in shapes]
    row = torch.cat([one.flatten(1, 2) for one in tokens], dim=1)[None]
    watch = MixedMapWatch(block=1, head=head, there=there, parts=parts)
    watch(0, row)
    watch(1, row)
    assert len(calls) == 1 and watch.loss is not None
    each = [part * head(*pair) for part, *pair in zip(parts, tokens, there, strict=True)]
    torch.testing.assert_close(watch.loss, torch.stack(each).sum())
