"""GGUF files, written by gguf's own writer, against the same weights unpacked beforehand."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from safetensors.torch import load_file, save_file

from sorairo.checkpoints.adapters.wan_original import from_original, to_original
from sorairo.checkpoints.encoders import load_text
from sorairo.checkpoints.folder import load_checkpoint, open_layout
from sorairo.checkpoints.gguf import T5
from sorairo.checkpoints.headers import read_entry, read_header
from sorairo.checkpoints.lora import apply_loras
from sorairo.checkpoints.memory.estimates import KNOWN, UMT5, Ask, with_packed
from sorairo.checkpoints.memory.planner import plan_memory
from sorairo.checkpoints.memory.streaming import load_streamed
from sorairo.checkpoints.memory.working import entries_part
from sorairo.checkpoints.tensors import load_weights
from sorairo.nn.quantised import PackedEmbedding, PackedLinear
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError
from tests.nn.test_quantised import random_blocks

CONFIG = replace(PRESETS["tiny"], layers=2, heads=4, head_dim=64, hidden=256)


def write(path, tensors, arch="wan", more=lambda writer: None):
    """A GGUF file of {name: array, or (packed array, kind)}. more: adds what else is in it."""
    writer = gguf.GGUFWriter(path, arch)
    more(writer)
    for name, value in tensors.items():
        packed, kind = value if isinstance(value, tuple) else (value, None)
        if packed.ndim > 4:  # as city96's converter keeps what does not fit
            writer.add_array(f"comfy.gguf.orig_shape.{name}", [int(side) for side in packed.shape])
            packed = packed.reshape(packed.shape[0], -1)
        writer.add_tensor(name, packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def packed_transformer(path, form, names=to_original):
    """Write a random transformer with the products of its blocks packed; returns it as it is unpacked."""
    torch.manual_seed(0)
    model = Transformer(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    tensors = {}
    for name, tensor in names(model.state_dict(), CONFIG).items():
        array = tensor.numpy()
        if array.ndim == 2 and name.startswith("blocks.") and array.shape[1] % 256 == 0:
            packed = random_blocks(form, *array.shape)
            tensors[name] = (packed, Kind[form])
            plain = torch.from_numpy(gguf.quants.dequantize(packed, Kind[form]))
            for ours, value in from_original({name: plain}).items():
                model.get_parameter(ours).copy_(value)
        else:
            tensors[name] = array
    write(path, tensors)
    return model


def inputs():
    torch.manual_seed(1)
    return torch.randn(1, CONFIG.channels, 2, 4, 4), torch.tensor([500.0]), torch.randn(1, 4, CONFIG.text_dim)


def meta():
    with torch.device("meta"):
        return Transformer(CONFIG)


@pytest.mark.parametrize("form", ["Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_0"])
def test_a_packed_transformer_equals_the_same_weights_unpacked(tmp_path, form):
    reference = packed_transformer(tmp_path / "wan.gguf", form)
    entries, model, streamed = read_header(tmp_path / "wan.gguf"), meta(), meta()
    load_weights(model, entries, from_original, torch.float32)
    load_streamed(streamed, entries, from_original, torch.float32)
    packed = [part for part in model.modules() if isinstance(part, PackedLinear)]
    assert len(packed) == 20 and {part.form for part in packed} == {form}
    with torch.inference_mode():
        expected = reference(*inputs())
        assert torch.equal(model(*inputs()), expected) and torch.equal(streamed(*inputs()), expected)


def test_a_folder_with_a_gguf_file_is_a_checkpoint_and_takes_loras(tmp_path, tiny_folder):
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_folder, folder)
    plain = load_checkpoint(folder, "fp32")
    (path,) = (folder / "transformer").glob("*.safetensors")
    tensors = {}
    for name, tensor in to_original(plain.transformer.state_dict(), plain.transformer.config).items():
        array = tensor.float().numpy()
        if array.ndim == 2 and name.startswith("blocks.") and array.shape[1] % 32 == 0:
            tensors[name] = (gguf.quants.quantize(array, Kind.Q8_0), Kind.Q8_0)
            for ours, value in from_original(
                {name: torch.from_numpy(gguf.quants.dequantize(tensors[name][0], Kind.Q8_0))}
            ).items():
                plain.transformer.get_parameter(ours).data = value
        else:
            tensors[name] = array
    path.unlink()
    write(path.with_suffix(".gguf"), tensors)
    packed = load_checkpoint(folder, "fp32")
    config = plain.transformer.config
    given = (
        torch.randn(1, config.channels, 2, 4, 4),
        torch.tensor([500.0]),
        torch.randn(1, 4, config.text_dim),
    )
    with torch.inference_mode():
        torch.testing.assert_close(
            packed.transformer(*given), plain.transformer(*given), rtol=1e-4, atol=1e-6
        )
        names = ("blocks.0.attn1.to_q", config.width, config.width)
        save_file(
            {
                f"{names[0]}.lora_A.weight": torch.randn(2, names[2]),
                f"{names[0]}.lora_B.weight": torch.randn(names[1], 2),
            },
            tmp_path / "lora.safetensors",
        )
        apply_loras(packed, [str(tmp_path / "lora.safetensors")])
        apply_loras(plain, [str(tmp_path / "lora.safetensors")])
        torch.testing.assert_close(
            packed.transformer(*given), plain.transformer(*given), rtol=1e-3, atol=1e-4
        )


def test_umt5_under_llama_cpps_names_equals_it_unpacked(tmp_path):
    from tests.checkpoints.wan_folders import tokenizer, umt5

    model = umt5(d_model=256, d_kv=64, d_ff=256, num_layers=2, vocab_size=96)
    folder = tmp_path / "text_encoder"
    folder.mkdir()
    tokenizer().save_pretrained(tmp_path / "tokenizer")
    (folder / "config.json").write_text(json.dumps(model.config.to_dict()))
    tensors = {}
    for name, parameter in model.encoder.named_parameters():
        full = "shared.weight" if name == "embed_tokens.weight" else f"encoder.{name}"
        theirs = llama_name(full)
        array = parameter.detach().numpy()
        if array.ndim == 2 and array.shape[1] % 256 == 0:
            packed = random_blocks("Q6_K", *array.shape)
            tensors[theirs] = (packed, Kind.Q6_K)
            parameter.data = torch.from_numpy(gguf.quants.dequantize(packed, Kind.Q6_K))
        else:
            tensors[theirs] = array
    write(folder / "umt5.gguf", tensors, "t5encoder")
    text = load_text(tmp_path, 16, torch.float32, torch.device("cpu"))
    states = text.encode(["a red ball drops"])
    assert isinstance(text._model.embed_tokens, PackedEmbedding)
    ids = torch.tensor([text.tokens("a red ball drops")])
    with torch.inference_mode():
        expected = model.encoder(ids).last_hidden_state
    torch.testing.assert_close(states.states[:, : ids.shape[1]], expected, rtol=1e-5, atol=1e-5)


def llama_name(full):
    """llama.cpp's name of a tensor of transformers' T5."""
    for theirs, ours in T5:
        pattern = re.sub(r"\\\\?1", lambda _: r"(\d+)", ours.replace(".", r"\."))
        pattern = re.sub(r"\\\\?2", lambda _: "([qkvo])", pattern)
        if found := re.match(pattern, full):
            parts = re.split(r"\(.*?\)", theirs)
            made = "".join(a + b for a, b in zip(parts, (*found.groups(), ""), strict=True))
            return made.replace("\\.", ".") + full[found.end() :]
    raise AssertionError(full)


@pytest.mark.parametrize("shape", [(32, 1, 2, 2), (8, 4, 2, 2), (8, 16), (128,)])
def test_a_patch_embedding_of_fewer_sides_is_whole(tmp_path, shape):
    """GGUF has four sides at most: some converters join the first two, others the last, and keep no note of it."""
    patch = torch.randn(8, 4, 1, 2, 2)
    tensors = {
        "patch_embedding.weight": patch.numpy().reshape(shape),
        "patch_embedding.bias": patch.numpy()[:, 0, 0, 0, 0],
    }
    write(tmp_path / "m.gguf", tensors)
    entry = read_header(tmp_path / "m.gguf")["patch_embedding.weight"]
    assert entry.shape == (8, 4, 1, 2, 2) and torch.equal(read_entry(entry), patch)


def test_damaged_files_and_other_forms_are_named(tmp_path):
    path = tmp_path / "wan.gguf"
    packed_transformer(path, "Q4_K")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is damaged or cut short"):
        read_header(path)
    path.write_bytes(whole[:40])
    with pytest.raises(UserError, match="is damaged or cut short"):
        read_header(path)
    packed = np.zeros((4, 18), dtype=np.uint8)
    write(path, {"blocks.0.ffn.0.weight": (packed, Kind.IQ4_NL)})
    with pytest.raises(UserError, match=r"blocks\.0\.ffn\.0\.weight is packed as IQ4_NL.*Q4_K"):
        read_header(path)


def sparse_14b(path, form):
    """A GGUF file of Wan 14B's shapes with no bytes of weights: what is read of it is its header."""
    config = PRESETS["wan-14b"]
    with torch.device("meta"):
        few = Transformer(replace(config, layers=1)).state_dict()
    state = {name: tensor for name, tensor in few.items() if not name.startswith("blocks.")}
    for block in range(config.layers):
        state |= {
            re.sub(r"^blocks\.0\.", f"blocks.{block}.", name): tensor
            for name, tensor in few.items()
            if name.startswith("blocks.")
        }
    writer = gguf.GGUFWriter(path, "wan")
    for name, tensor in to_original(state, config).items():
        shape, kind = tuple(tensor.shape), Kind[form]
        small = len(shape) != 2 or not name.startswith("blocks.")
        values, size = gguf.GGML_QUANT_SIZES[Kind.F16 if small else kind]
        if len(shape) > 4:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(shape))
            shape = (shape[0], int(np.prod(shape[1:])))
        count = int(np.prod(shape)) // values * size
        if small:
            writer.add_tensor_info(name, shape, np.dtype(np.float16), count)
        else:
            bytes_shape = (*shape[:-1], shape[-1] // values * size)
            writer.add_tensor_info(name, bytes_shape, np.dtype(np.uint8), count, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    start = writer.fout[0].tell()
    total = sum(-(-info.nbytes // 32) * 32 for info in writer.tensors[0].values())
    writer.fout[0].truncate(-(-start // 32) * 32 + total)
    writer.close()


def test_a_model_of_14b_is_planned_into_10_gb(tmp_path):
    plan = KNOWN["Wan-AI/Wan2.1-T2V-14B-Diffusers"]()
    sparse_14b(tmp_path / "wan.gguf", "Q4_K")
    transformer = entries_part("transformer", read_header(tmp_path / "wan.gguf"))
    count, blocks = UMT5.parameters, UMT5.parameters // 256
    text = replace(UMT5, packed=count, packed_bytes=144 * blocks, largest=4096 * 10240)
    packed = with_packed(plan, [transformer, text])
    assert transformer.parameters == next(
        part.parameters for part in plan.parts if part.name == "transformer"
    )
    small, large = (Ask(size=size, frames=17) for size in ((480, 320), (832, 480)))
    held = plan_memory(packed, small, torch.bfloat16, 10 * 10**9)
    assert not held.stream and 9e9 < held.peak < 10e9
    assert not plan_memory(packed, large, torch.bfloat16, 11 * 10**9).stream
    assert not plan_memory(plan, large, torch.bfloat16, 22 * 10**9, int8=True).stream


ONE_PASS = """
import sys, torch
torch.set_num_threads(1)
from sorairo.checkpoints.adapters.wan_original import from_original
from sorairo.checkpoints.headers import read_header
from sorairo.checkpoints.tensors import load_weights
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from pathlib import Path
config = PRESETS["wan-14b"]
with torch.device("meta"):
    model = Transformer(config)
load_weights(model, read_header(Path(sys.argv[1])), from_original, torch.float32)
model.requires_grad_(False)
with torch.inference_mode():
    made = model(torch.zeros(1, 16, 1, 16, 16), torch.tensor([500.0]), torch.zeros(1, 4, config.text_dim))
assert made.shape == (1, 16, 1, 16, 16) and bool(torch.isfinite(made).all())
print(next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_pass_of_14b_takes_less_than_10_gb(tmp_path):
    """All 40 blocks, mapped from a file of zeros and unpacked at use; the pages of the file count."""
    sparse_14b(tmp_path / "wan.gguf", "Q4_K")
    command = [sys.executable, "-c", ONE_PASS, str(tmp_path / "wan.gguf")]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"{peak / 1e9:.2f} GB")
    assert 7e9 < peak < 10e9


def metadata_of_pieces(path, writer):
    """llama.cpp's keys for the pieces of a spiece.model."""
    from transformers.convert_slow_tokenizer import import_protobuf

    proto = import_protobuf().ModelProto()
    proto.ParseFromString(path.read_bytes())
    writer.add_tokenizer_model("t5")
    writer.add_token_list([piece.piece for piece in proto.pieces])
    writer.add_token_scores([piece.score for piece in proto.pieces])
    writer.add_token_types([piece.type for piece in proto.pieces])


def test_gguf_files_are_a_model_and_its_words(tmp_path):
    """--model FILE.gguf as city96 publishes Wan, umT5 as llama.cpp converts it beside, its words in its metadata."""
    from tests.checkpoints import wan_folders
    from tests.checkpoints.comfy_files import authors_transformer, put_back, write_codec
    from tests.checkpoints.test_encoders import pieces

    folder, home = tmp_path / "diffusers", tmp_path / "models"
    with pytest.MonkeyPatch.context() as patch:
        family = wan_folders.FAMILIES["wan2.1-t2v"] | {"heads": (1, 128)}
        patch.setitem(wan_folders.FAMILIES, "wide", family)
        wan_folders.saved("wide", folder)
    layout = open_layout(folder)
    config = layout.transformers[0].config
    for name in ("unet", "text_encoders"):
        (home / name).mkdir(parents=True)
    tensors, meant = {}, authors_transformer(folder / "transformer", config)
    for name, tensor in meant.items():
        tensors[name] = tensor.numpy()
        if tensor.ndim == 2 and name.startswith("blocks."):
            packed = gguf.quants.quantize(tensor.numpy(), Kind.Q8_0)
            tensors[name] = (packed, Kind.Q8_0)
            meant[name] = torch.from_numpy(gguf.quants.dequantize(packed, Kind.Q8_0))
    write(home / "unet" / "wan2.1-t2v-14b-Q8_0.gguf", tensors)
    put_back(folder / "transformer", meant, config)
    write_codec(folder / "vae", home / "vae" / "wan_2.1_vae.safetensors", layout.codec.config)
    words = home / "text_encoders" / "umt5-xxl-encoder-Q8_0.gguf"
    state = load_file(folder / "text_encoder" / "model.safetensors")
    named = {llama_name(name): t.numpy() for name, t in state.items() if "embed_tokens" not in name}
    pieces(tmp_path / "spiece.model")
    write(words, named, "t5encoder", partial(metadata_of_pieces, tmp_path / "spiece.model"))

    want = load_checkpoint(folder, "fp32")
    for model in (home / "unet" / "wan2.1-t2v-14b-Q8_0.gguf", home):
        got = load_checkpoint(model, "fp32")
        assert any(isinstance(part, PackedLinear) for part in got.transformer.modules())
        prompt = "a red  ball drops"
        assert got.text.tokens(prompt) == want.text.tokens(prompt)
        torch.testing.assert_close(
            got.text.encode([prompt]).states, want.text.encode([prompt]).states, rtol=1e-4, atol=1e-4
        )
        given = torch.randn(1, 4, 2, 4, 4), torch.tensor([500.0]), torch.randn(1, 4, config.text_dim)
        with torch.inference_mode():
            torch.testing.assert_close(
                got.transformer(*given), want.transformer(*given), rtol=1e-4, atol=1e-5
            )
        assert [note.split(" is ")[0] for note in got.notes] == ["The codec (VAE)", "The text encoder (umT5)"]
    write(words, named, "t5encoder")  # a converter that left the words out
    with pytest.raises(UserError, match="no tokenizer in it"):
        load_checkpoint(home)
