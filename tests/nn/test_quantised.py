import shutil

import gguf
import numpy as np
import pytest
import torch
from torch import nn

from sorairo.nn import precision, quantised
from sorairo.nn.lora import LowRank, attach
from sorairo.nn.quantised import Int8Linear, PackedLinear, is_quantised, product, to_int8
from sorairo.nn.unpack import FORMS, unpack


def random_blocks(form, rows, inputs):
    """Bytes of a form, of any bits, with sound scales."""
    values, size, _ = FORMS[form]
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (rows * inputs // values, size), dtype=np.uint8)
    scales = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,), "Q4_K": (0, 2), "Q5_K": (0, 2)}
    for start in scales.get(form, (0, 2) if form.endswith("_1") else (0,)):
        half = rng.uniform(-0.02, 0.02, len(blocks)).astype(np.float16)
        blocks[:, start : start + 2] = half.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, -1)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_unpacked_as_the_gguf_package_does(form, monkeypatch):
    packed = random_blocks(form, 6, 512)
    expected = torch.from_numpy(gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[form]))
    monkeypatch.setattr("sorairo.nn.unpack.CHUNK", 1100)  # two rows at once
    torch.testing.assert_close(
        unpack(torch.from_numpy(packed), form, torch.float32), expected, rtol=0, atol=0
    )
    half = unpack(torch.from_numpy(packed), form, torch.bfloat16)
    assert torch.equal(half, expected.bfloat16())


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_what_diffusers_reads_in_its_half_precision(form):
    from diffusers.quantizers.gguf.utils import GGUFParameter, dequantize_gguf_tensor

    packed = torch.from_numpy(random_blocks(form, 6, 512))
    theirs = dequantize_gguf_tensor(GGUFParameter(packed, quant_type=gguf.GGMLQuantizationType[form]))
    ours = unpack(packed, form, torch.float32)
    assert (theirs.float() - ours).abs().max() < 1e-3 * ours.abs().max()


def psnr(made, reference):
    error = (made.float() - reference.float()).square().mean()
    return float(20 * torch.log10(reference.max() - reference.min()) - 10 * torch.log10(error))


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Linear(96, 64).requires_grad_(False)


def test_a_layer_in_8_bits_is_near_the_layer_and_a_row_does_not_depend_on_others(layer):
    x = torch.randn(2, 20, 96) * torch.rand(2, 20, 1) * 10
    x[0, 3] = 0
    eight = Int8Linear.of(layer)
    y = eight(x)
    assert psnr(y, layer(x)) > 45 and torch.equal(y[0, 3], layer.bias)
    assert torch.equal(eight(x[1:, 5:6]), y[1:, 5:6])
    assert eight(x.bfloat16()).dtype == torch.bfloat16


def test_both_ways_to_multiply_int8_are_equal(monkeypatch):
    a, b = (torch.randint(-127, 128, shape, dtype=torch.int8) for shape in ((5, 700), (32, 700)))
    monkeypatch.setattr(quantised, "has_int8", lambda: True)
    exact = product(a, b)
    monkeypatch.setattr(quantised, "has_int8", lambda: False)
    assert exact.dtype == torch.int32 and torch.equal(product(a, b).int(), exact)


@pytest.mark.skipif(not precision.has_int8_pairs(), reason="a CPU that multiplies int8 otherwise")
def test_products_in_pairs_read_what_is_transposed():
    """oneDNN read the transposed one in the order of its memory: wrong numbers, in silence."""
    torch.manual_seed(0)
    a, b = torch.randint(-127, 128, (40, 64)), torch.randint(-64, 65, (64, 48))
    exact = (a @ b).float()
    assert torch.equal(product(a.to(torch.int8), b.to(torch.int8).T).float(), exact)
    assert torch.equal(product(a.T.contiguous().to(torch.int8).T, b.to(torch.int8).T).float(), exact)


@pytest.mark.skipif(not precision.has_int8_pairs(), reason="a CPU that multiplies int8 otherwise")
def test_products_in_pairs_are_exact_at_their_largest():
    """A pair's sum is cut off at 2^15; that of the largest bytes and weights is just below."""
    for a in (-127, 127, None):
        x = torch.full((40, 700), a) if a else torch.randint(-127, 128, (40, 700))
        for b in (-64, 64, None):
            y = torch.full((32, 700), b) if b else torch.randint(-64, 65, (32, 700))
            made = product(x.to(torch.int8), y.to(torch.int8))
            assert torch.equal(made.long(), x.long() @ y.long().T)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
def test_products_in_pairs_are_compiled_around():
    if not precision.has_int8_pairs() or shutil.which("g++") is None:
        pytest.skip("needs such a CPU and a compiler")
    layer = Int8Linear.of(nn.Linear(96, 64).requires_grad_(False))
    x = torch.randn(50, 96)
    with torch.inference_mode():
        torch.testing.assert_close(torch.compile(layer)(x), layer(x))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.parametrize("form", ["Q8_0", "Q4_K"])
def test_packed_weights_are_unpacked_in_compiled_code(form):
    if shutil.which("g++") is None:
        pytest.skip("needs a compiler")
    packed = torch.from_numpy(random_blocks(form, 64, 512))
    layer = PackedLinear(nn.Linear(512, 64, bias=False), form, packed.shape[1])
    layer.weight = nn.Parameter(packed.view(torch.int8), requires_grad=False)
    x = torch.randn(5, 512)
    with torch.inference_mode():
        torch.testing.assert_close(torch.compile(layer)(x), layer(x), rtol=1e-4, atol=1e-4)


def test_scales_stay_float32_and_loras_are_computed_beside(layer):
    model = nn.Sequential(nn.Sequential(layer), nn.Linear(64, 8))
    to_int8(model, "0")
    assert is_quantised(model) and isinstance(model[0][0], Int8Linear) and type(model[1]) is nn.Linear
    model[0][0].fill(layer.weight)
    model[0][0].bias = layer.bias
    model.to(torch.bfloat16)
    assert model[0][0].scale.dtype == torch.float32 and model[0][0].bias.dtype == torch.bfloat16
    model.float()
    x, change = torch.randn(4, 96), LowRank(torch.randn(2, 96), torch.randn(64, 2))
    before = model[0][0](x)
    attach(model, [({"0.0.weight": change}, 0.5)])
    torch.testing.assert_close(
        model[0][0](x), before + 0.5 * x @ (change.up @ change.down).T, atol=1e-3, rtol=1e-4
    )


def test_int8_instructions_are_known_by_name(monkeypatch):
    for have, expected in (
        ({"avx2": True}, False),
        ({"avx512_vnni": True}, True),
        ({"amx_int8": True}, True),
    ):
        precision.has_int8.cache_clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda have=have: have, raising=False)
        assert precision.has_int8() is expected
    precision.has_int8.cache_clear()
