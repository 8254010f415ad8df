import pytest
import torch
from torch import nn

from sorairo.nn.lora import LowRank, attach, full, merge
from sorairo.nn.norm import RMSNorm
from sorairo.types import UserError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = RMSNorm(8)
        self.up = nn.Linear(8, 12)
        self.down = nn.Linear(12, 8, bias=False)

    def forward(self, x):
        return self.down(self.up(self.norm(x)).tanh())


def low_rank(o, i, r, scale=1.0):
    return LowRank(torch.randn(r, i), torch.randn(o, r), scale)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().requires_grad_(False)


@pytest.fixture
def loras():
    torch.manual_seed(1)
    first = {"up.weight": low_rank(12, 8, 3, 0.5), "up.bias": torch.randn(12), "norm.weight": torch.randn(8)}
    second = {"up.weight": low_rank(12, 8, 2), "down.weight": torch.randn(8, 12)}
    return [(first, 0.7), (second, -0.4)]


def test_merged_is_the_formula(net, loras):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    merge(net, loras)
    (first, a), (second, b) = loras
    one, two = first["up.weight"], second["up.weight"]
    want = before["up.weight"] + a * 0.5 * one.up @ one.down + b * two.up @ two.down
    assert torch.allclose(net.up.weight, want, atol=1e-6)
    assert torch.allclose(net.up.bias, before["up.bias"] + a * first["up.bias"])
    assert torch.allclose(net.norm.weight, before["norm.weight"] + a * first["norm.weight"])
    assert torch.allclose(net.down.weight, before["down.weight"] + b * second["down.weight"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_undone_to_the_bit(net, loras, dtype):
    net.to(dtype)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    merged = merge(net, loras)
    assert all(tensor.dtype == dtype for tensor in net.state_dict().values())
    assert not torch.equal(net.up.weight, before["up.weight"])
    merged.undo()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_rounded_once(net, loras):
    """The bfloat16 result is the float32 result, rounded: not a sum of rounded parts."""
    weight = net.to(torch.bfloat16).up.weight.float()
    total = weight + sum(w * full(changes["up.weight"]) for changes, w in loras)
    merge(net, loras)
    assert torch.equal(net.up.weight, total.bfloat16())


def test_what_cannot_be_undone_is_said(net, loras):
    with pytest.raises(UserError, match="not kept"):
        merge(net, loras, keep=False).undo()
    first, second = merge(net, loras), merge(net, loras)
    with pytest.raises(UserError, match="changed again"):
        first.undo()
    second.undo()
    first.undo()


def test_beside_is_as_merged_and_leaves_no_trace(net, loras):
    x = torch.randn(2, 5, 8)
    plain, before = net(x), {name: tensor.clone() for name, tensor in net.state_dict().items()}
    beside = attach(net, loras)
    got = net(x)
    assert torch.equal(net.up.weight, before["up.weight"])
    beside.remove()
    assert torch.equal(net(x), plain)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    merge(net, loras)
    assert torch.allclose(got, net(x), atol=1e-5)
    assert not torch.allclose(got, plain, atol=0.1)


def test_a_weight_of_zero_changes_nothing(net, loras):
    before = {name: tensor.data_ptr() for name, tensor in net.state_dict().items()}
    merge(net, [(changes, 0.0) for changes, _ in loras])
    assert before == {name: tensor.data_ptr() for name, tensor in net.state_dict().items()}
