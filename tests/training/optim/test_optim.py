import torch
from torch import nn

from sorairo.training.optim.ema import Ema
from sorairo.training.optim.muon import muon_directions, orthogonalise
from sorairo.training.optim.optimizer import OptimConfig, Optimizer
from sorairo.training.optim.schedule import Schedule


def test_orthogonalise_agrees_with_the_singular_vectors():
    torch.manual_seed(0)
    x = torch.randn(3, 24, 40)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    ours = orthogonalise(x)
    values = torch.linalg.svdvals(ours)
    assert values.min() > 0.6 and values.max() < 1.3
    exact = u @ v
    cosine = (ours * exact).sum((1, 2)) / (ours.norm(dim=(1, 2)) * exact.norm(dim=(1, 2)))
    assert cosine.min() > 0.98


def test_directions_keep_shapes_order_and_scale():
    torch.manual_seed(0)
    grads = [torch.randn(s) for s in [(64, 32), (32, 64), (64, 32), (48, 4, 3, 3, 3), (128, 128)]]
    for block in (0, 32):
        for grad, direction in zip(grads, muon_directions(grads, block=block), strict=True):
            assert direction.shape == grad.shape
            assert 0.15 < direction.square().mean().sqrt() < 0.25
            assert (grad * direction).sum() > 0
    alone = muon_directions(grads[2:3])[0]
    assert torch.allclose(alone, muon_directions(grads)[2], atol=2e-2)


def test_blocks_of_the_whole_are_the_whole():
    torch.manual_seed(0)
    grads = [torch.randn(32, 64)]
    assert torch.equal(muon_directions(grads, block=0)[0], muon_directions(grads, block=32)[0])


def test_adamw_is_torchs():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(8, 8), nn.Linear(8, 8)
    theirs.load_state_dict(ours.state_dict())
    config = OptimConfig(name="adamw", lr=1e-2, weight_decay=0.1, clip=1e9, betas=(0.9, 0.95))
    mine = Optimizer(ours.named_parameters(), config, torch.float32)
    groups = [
        {"params": [theirs.weight], "weight_decay": 0.1},
        {"params": [theirs.bias], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-8)
    for _ in range(5):
        x = torch.randn(4, 8)
        for net in (ours, theirs):
            net(x).square().sum().backward()
        mine.step(1.0)
        reference.step()
        reference.zero_grad()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-6)


def test_masters_keep_updates_that_bf16_would_lose():
    net = nn.Linear(4, 4, bias=False)
    nn.init.constant_(net.weight, 1.0)
    optimizer = Optimizer(
        net.named_parameters(), OptimConfig(name="adamw", lr=1e-4, weight_decay=0), torch.bfloat16
    )
    for _ in range(100):
        net.weight.grad = torch.ones_like(net.weight)
        optimizer.step(1.0)
    assert net.weight.dtype == torch.bfloat16
    assert torch.allclose(optimizer.weights["weight"], torch.tensor(0.99), atol=1e-4)
    assert torch.allclose(net.weight.float(), torch.tensor(0.99), atol=4e-3)


def test_who_goes_to_muon():
    net = nn.ModuleDict(
        {
            "embed": nn.Embedding(64, 32),
            "body": nn.Linear(32, 32),
            "conv": nn.Conv3d(16, 16, 3),
            "norm": nn.LayerNorm(32),
        }
    )
    optimizer = Optimizer(net.named_parameters(), OptimConfig(), torch.float32)
    assert sorted(optimizer.by_muon) == ["body.weight", "conv.weight"]
    assert not Optimizer(net.named_parameters(), OptimConfig(name="adamw"), torch.float32).by_muon


def test_clipping_and_its_norm():
    net = nn.Linear(2, 1, bias=False)
    optimizer = Optimizer(net.named_parameters(), OptimConfig(name="adamw", clip=1.0), torch.float32)
    net.weight.grad = torch.tensor([[3.0, 4.0]])
    assert optimizer.step(1.0) == 5.0
    assert torch.allclose(optimizer.first["weight"], 0.1 * torch.tensor([[0.6, 0.8]]), atol=1e-5)


def test_the_average_comes_and_goes_without_a_trace():
    net = nn.Linear(4, 4)
    optimizer = Optimizer(net.named_parameters(), OptimConfig(), torch.bfloat16)
    ema = Ema(optimizer.weights, 0.5)
    before = net.weight.detach().clone()
    for value in ema.average.values():
        value.zero_()
    with ema.inside(optimizer.working):
        assert not net.weight.any()
    assert torch.equal(net.weight, before)
    ema.update(optimizer.weights, step=10**6)
    assert torch.allclose(ema.average["weight"], optimizer.weights["weight"] / 2)


def test_schedule_warms_holds_and_decays():
    hold = Schedule(warmup=10)
    assert hold(0) == 0.1 and hold(9) == 1.0 and hold(10**9) == 1.0
    for shape in ("linear", "1-sqrt"):
        decay = Schedule(warmup=10, decay_from=100, decay_steps=50, shape=shape)
        values = [decay(step) for step in range(99, 152)]
        assert values[0] == 1.0 and values[-1] == 0.0 and values == sorted(values, reverse=True)
        assert decay(149) == 0.0
