"""Fine-tuning: a LoRA that other programs open, a plan of its memory, validation, and refusals in one sentence."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import sorairo
from sorairo.checkpoints.export import export_trained
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.checkpoints.lora import apply_loras
from sorairo.cli.main import app
from sorairo.data.encoders import words_encoder
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.manifest import Manifest, ShardEntry, read_manifest, write_manifest
from sorairo.data.shards import read_shard, write_shard
from sorairo.files import file_hash
from sorairo.text.encoder import TextEncoder
from sorairo.text.umt5 import UMT5Encoder
from sorairo.training.encoding import encoding_of
from sorairo.training.finetune import FinetuneOptions, build, trainable
from sorairo.training.low_rank import LoraConfig, add_lora, merged, write_lora
from sorairo.training.memory import choose_checkpointing, step_memory
from sorairo.training.validation import Validation, hold_out
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError
from tests.checkpoints import wan_folders

TINY = replace(PRESETS["tiny"], channels=8, text_dim=32)
LINES = ("a red ball drops", "a blue cube rolls", "a ball", "a cube")


@pytest.fixture(scope="module")
def data(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sorairo data build` leaves, of ten clips of random latents; two come from one file."""
    folder = tmp_path_factory.mktemp("tune") / "data"
    model = load_checkpoint(tiny_folder, "fp32")
    assert isinstance(model.text, TextEncoder)
    states, lengths = words_encoder(model.text)(list(LINES))
    n, generator = 10, torch.Generator().manual_seed(3)
    tensors = {
        "latents": torch.randn(n, 8, 3, 4, 4, generator=generator).bfloat16(),
        "text_lengths": lengths[None].expand(n, -1),
        **{
            f"text_{kind}": states[i, None].expand(n, -1, -1).bfloat16()
            for i, kind in enumerate(("long", "short", "paraphrase", "paraphrase2"))
        },
    }
    records = [
        {"clip": str(i), "sha256": f"file {max(1, i)}", "captions": {"long": LINES[0]}} for i in range(n)
    ]
    path = folder / "clips-00000.safetensors"
    write_shard(path, tensors, records, {})
    side = model.codec.config.space_factor
    entry = ShardEntry(
        name=path.name,
        sha256=file_hash(path),
        clips=n,
        size=(4 * side, 4 * side),
        frames=1 + 2 * model.codec.config.time_factor,
    )
    write_manifest(
        folder,
        Manifest(
            encoding=encoding_of(model.codec, model.text, model.info),
            shards=(entry,),
            clips=n,
            complete=True,
            vocabulary=("blueprint", "red"),
        ),
    )
    return folder


def run(*words: object) -> tuple[int, str]:
    return run_cli("train", "finetune", *words)


def run_cli(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def trained(tiny_folder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of rank 2 after eight steps, stopped half way and continued by the same command."""
    folder = tmp_path_factory.mktemp("tune") / "run"
    words = ["--data", data, "-m", tiny_folder, "--run", folder, "--rank", 2, "--alpha", 4, "--tokens", 24]
    words += ["--steps", 8, "--rate", 0.05, "--sample-every", 4]
    assert run(*words, "--hours", 0)[0] == 0
    assert run(*words)[0] == 0
    return folder


def test_the_lora_is_what_was_learned_and_the_old_model_is_as_it_was(
    trained: Path, tiny_folder: Path
) -> None:
    file = trained / "export" / "lora.safetensors"
    tensors = load_file(file)
    assert "diffusion_model.blocks.0.self_attn.q.lora_A.weight" in tensors
    assert any(value.abs().sum() > 0 for name, value in tensors.items() if "lora_B" in name)
    plain, changed = (sorairo.load(tiny_folder, dtype="fp32") for _ in range(2))
    changed = apply_loras(changed, [str(file)])
    x, t = torch.randn(1, 8, 3, 4, 4), torch.full((1, 3), 500.0)
    text = torch.randn(1, 5, 32)
    assert isinstance(plain.transformer, Transformer) and isinstance(changed.transformer, Transformer)
    with torch.no_grad():
        assert not torch.allclose(plain.transformer(x, t, text), changed.transformer(x, t, text))


def test_a_lora_becomes_part_of_a_model_that_can_be_served(
    trained: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    file, made = trained / "export" / "lora.safetensors", tmp_path / "model"
    assert run_cli("export", tiny_folder, made, "--lora", file)[0] == 0
    beside, inside = apply_loras(sorairo.load(tiny_folder, dtype="fp32"), [str(file)]), sorairo.load(made)
    assert isinstance(beside.transformer, Transformer) and isinstance(inside.transformer, Transformer)
    ours, theirs = beside.transformer.state_dict(), inside.transformer.float().state_dict()
    plain = sorairo.load(tiny_folder, dtype="fp32").transformer.state_dict()
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-2, atol=1e-3) for name in ours)
    assert any((theirs[name] - plain[name]).abs().max() > 0.01 for name in ours)
    assert inside.info.name == beside.info.name and inside.info.scorecard == {}
    assert {"blueprint", "red"} <= {*beside.info.vocabulary} == {*inside.info.vocabulary}
    with pytest.raises(UserError, match="diffusers' layout alone"):
        run_cli("export", tiny_folder, made, "--lora", file, "--layout", "original")
    with pytest.raises(UserError, match="has one transformer"):
        run_cli("export", tiny_folder, tmp_path / "other", "--lora", f"high={file}")
    assert not (tmp_path / "other").exists()


def test_sheets_loras_and_validation_stand_in_the_run(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    scores = [line for line in lines if "score/validation" in line]
    assert len(scores) == 2 and all(line["score/trained"] > 0 for line in scores)
    sample = trained / "samples" / "step-00000008"
    assert (sample / "sheet.png").is_file() and (sample / "lora.safetensors").is_file()
    assert json.loads((trained / "held_out.json").read_text())


def test_clips_of_all_shapes_in_a_step(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    words = ["--data", data, "-m", tiny_folder, "--run", tmp_path / "run", "--rank", 2, "--tokens", 24]
    code, said = run(*words, "--steps", 2, "--packed", "--sample-every", 0)
    assert code == 0, said
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["objective"]["data"]["packed"]
    assert (tmp_path / "run" / "export" / "lora.safetensors").is_file()


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_last_of_few_steps_trains_too(tiny_folder: Path, data: Path, tmp_path: Path, steps: int) -> None:
    """The decay is over one step: at a rate of 0 a run of one step would leave the model as it was."""
    low = LoraConfig(rank=2)
    options = FinetuneOptions(data=data, model=str(tiny_folder), lora=low, tokens=32, steps=steps)
    schedule = build(tmp_path / "run", options)[1].schedule
    assert all(schedule(step) > 0 for step in range(steps))


def test_diffusers_maps_every_key_to_a_layer_that_it_has(tmp_path: Path) -> None:
    from diffusers import WanTransformer3DModel
    from diffusers.loaders.lora_conversion_utils import (  # pyright: ignore[reportMissingImports]
        _convert_non_diffusers_wan_lora_to_diffusers,
    )

    from sorairo.checkpoints.adapters.wan import to_wan_config

    transformer = Transformer(TINY)
    add_lora(transformer, LoraConfig(rank=2))
    write_lora(transformer, tmp_path / "lora.safetensors", LoraConfig(rank=2), {})
    theirs = _convert_non_diffusers_wan_lora_to_diffusers(load_file(tmp_path / "lora.safetensors"))
    config = {k: v for k, v in to_wan_config(TINY).items() if not k.startswith("_")}
    with torch.device("meta"):
        layers = dict(WanTransformer3DModel(**config).named_modules())
    assert len(theirs) == 2 * 10 * TINY.layers
    for name, value in theirs.items():
        layer = layers[name.removeprefix("transformer.").rsplit(".lora_", 1)[0]]
        assert isinstance(layer, torch.nn.Linear)
        assert value.shape[1 if "lora_A" in name else 0] == (
            layer.in_features if "lora_A" in name else layer.out_features
        )


def test_the_file_computes_what_the_trained_layers_do(tmp_path: Path) -> None:
    torch.manual_seed(0)
    transformer = Transformer(TINY)
    config = LoraConfig(rank=3, alpha=6.0, targets=("attention", "feed_forward"))
    before = {name: value.clone() for name, value in transformer.state_dict().items()}
    add_lora(transformer, config)
    trained = [name for name, p in transformer.named_parameters() if p.requires_grad]
    assert trained and all(".lora_" in name for name in trained)
    assert all(torch.equal(merged(transformer)[name], value) for name, value in before.items())
    with torch.no_grad():
        for name in trained:
            transformer.get_parameter(name).normal_()
    plain = Transformer(TINY)
    plain.load_state_dict(merged(transformer))
    x, t, text = torch.randn(2, 8, 3, 4, 4), torch.full((2, 3), 500.0), torch.randn(2, 5, 32)
    with torch.no_grad():
        assert torch.allclose(plain(x, t, text), transformer(x, t, text), atol=1e-4)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
def test_the_memory_plan_counts_what_training_holds(lora: LoraConfig | None) -> None:
    plain = step_memory(TINY, (4, 3, 4, 4), 8, torch.float32, lora=lora)
    transformer = Transformer(TINY)
    if lora:
        add_lora(transformer, lora)
    assert plain.weights == 4 * sum(p.numel() for p in transformer.parameters())
    trained = 4 * sum(p.numel() for p in transformer.parameters() if p.requires_grad)
    assert plain.gradients == trained and 3 * trained <= plain.optimizer <= 4 * trained
    again = step_memory(TINY, (4, 3, 4, 4), 8, torch.float32, lora=lora, checkpointing=True)
    assert 0 < again.activations < plain.activations
    row = step_memory(TINY, (4, 3, 4, 4), 8, torch.float32, lora=lora, packed=True)
    assert row.weights == plain.weights and plain.activations < row.activations < 4 * plain.activations
    assert any("blocks recomputed" in line for line in again.lines(10**9))


def test_too_little_memory_is_said_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, again = (
        step_memory(TINY, (4, 3, 4, 4), 8, torch.float32, checkpointing=way) for way in (False, True)
    )
    cpu = torch.device("cpu")
    for free, wanted in ((2 * plain.total, plain), (int(1.2 * again.total), again), (None, plain)):
        monkeypatch.setattr("sorairo.training.memory.available_memory", lambda device, free=free: free)
        assert choose_checkpointing(plain, again, cpu) == wanted
    monkeypatch.setattr("sorairo.training.memory.available_memory", lambda device: again.total // 2)
    with pytest.raises(UserError, match=r"even with blocks recomputed.*smaller --tokens"):
        choose_checkpointing(plain, again, cpu)


def test_all_clips_of_a_file_are_held_out_or_none_and_no_batch_has_them(data: Path, tmp_path: Path) -> None:
    shards = [read_shard(data / "clips-00000.safetensors")]
    held = hold_out(shards, tmp_path / "held.json", 0.2)
    rows = {row for _, row in held}
    assert 1 <= len(rows) < 10 and (0 in rows) == (1 in rows)
    assert held == hold_out(shards, tmp_path / "held.json", 0.9)  # as it was decided first
    loader = Loader(data, tmp_path / "lists", LoaderConfig(tokens=24, drop=0.0), torch.zeros(1, 32), held)
    kept = read_shard(data / held[0][0])["latents"][sorted(rows)].flatten(1)
    for step in range(8):
        batch = loader.batch(step).latents.flatten(1)
        size = min(batch.shape[1], kept.shape[1])
        assert not (batch[:, None, :size] == kept[None, :, :size]).all(-1).any()
    assert hold_out(shards, tmp_path / "none.json", 0.0) == []


def test_overfitting_is_said_once(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shards = [read_shard(data / "clips-00000.safetensors")]
    watch = Validation(shards=shards, held=hold_out(shards, tmp_path / "held.json", 0.2))
    transformer = Transformer(TINY)
    first = watch.scores(transformer)
    assert first == watch.scores(transformer)  # fixed noise
    watch.seen[:] = [0.0, 1.0, 1.0]
    with caplog.at_level(logging.WARNING):
        watch.scores(transformer)
        watch.scores(transformer)
    assert sum("by heart" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rank", "0"], "at least 1"),
        (["--rank", "4096"], "more than this model's layers have"),
        (["--targets", "attention,nose"], "cannot change 'nose'"),
        (["--full", "--rank", "2"], "means nothing"),
        (["--held-out", "1"], "share from 0"),
        (["--rate", "-1"], "learning rate"),
    ],
)
def test_wrong_options_are_one_sentence(
    data: Path, tiny_folder: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        run("--data", data, "-m", tiny_folder, "--run", tmp_path / "run", *words)


def test_a_student_of_few_steps_is_refused() -> None:
    for name in ("fast", "single"):
        model = load_checkpoint(name, "fp32")
        if name == "single":
            trainable(model)
            continue
        with pytest.raises(UserError, match="fine-tune its teacher"):
            trainable(model)


def test_data_of_another_model_and_folders_that_are_none_are_refused(
    data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    manifest = read_manifest(data)
    write_manifest(other, replace(manifest, encoding=replace(manifest.encoding, time_factor=9)))
    for folder, said in (
        (other, "time factor"),
        (tmp_path, "data build"),
        (tmp_path / "none", "does not exist"),
    ):
        with pytest.raises(UserError, match=said):
            run("--data", folder, "-m", tiny_folder, "--run", tmp_path / "run")
    with pytest.raises(UserError, match="needs --data"):
        run("--run", tmp_path / "run")
    with pytest.raises(UserError, match="takes no options for fine-tuning"):
        CliRunner().invoke(
            app, ["train", "tiny", "--run", str(tmp_path / "t"), "--rank", "2"], catch_exceptions=False
        )


def test_shards_that_were_damaged_later_are_named_and_the_rest_goes_on(
    data: Path, tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = tmp_path / "data"
    shutil.copytree(data, mine)
    manifest, first = read_manifest(mine), mine / "clips-00000.safetensors"
    entries = [replace(manifest.shards[0], name=f"clips-{number:05d}.safetensors") for number in range(4)]
    for entry in entries[1:]:
        shutil.copy(first, mine / entry.name)
    write_manifest(mine, replace(manifest, shards=tuple(entries), clips=40))
    flipped, gone, cut, _ = (mine / entry.name for entry in entries)
    content = bytearray(flipped.read_bytes())
    content[-9] ^= 64
    flipped.write_bytes(content)
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:500])
    words = [
        "--data",
        mine,
        "-m",
        tiny_folder,
        "--rank",
        2,
        "--tokens",
        24,
        "--steps",
        2,
        "--sample-every",
        2,
    ]
    assert run(*words, "--run", tmp_path / "run")[0] == 0
    said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert [word for one in said for word in ("damaged", "missing") if f" is {word}:" in one] == [
        "damaged",
        "missing",
        "damaged",
    ]
    assert all(path.name in one for path, one in zip((flipped, gone, cut), said, strict=True))
    (mine / entries[3].name).unlink()
    with pytest.raises(UserError, match="Every shard of"):
        run(*words, "--run", tmp_path / "none")


def test_all_weights_become_a_model_of_their_own(data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    words = ["--data", data, "-m", tiny_folder, "--run", tmp_path / "run", "--full", "--tokens", 24]
    assert run(*words, "--steps", 2, "--sample-every", 0)[0] == 0
    model = sorairo.load(tmp_path / "run" / "export", dtype="fp32")
    assert model.info.name.endswith("-tuned")
    assert len(model.generate("a red ball", frames=1, steps=1).video) == 1


def test_all_weights_of_a_wan_keep_its_words_codec_and_solver(tmp_path: Path) -> None:
    """umT5 cannot be written by save_checkpoint; the folder is copied but for the transformer."""
    wan_folders.saved("wan2.1-t2v", tmp_path / "wan")
    model = load_checkpoint(tmp_path / "wan", "fp32")
    transformer = trainable(model)
    with torch.no_grad():
        transformer.blocks[0].table.add_(1)
    folder = tmp_path / "tuned"
    export_trained(tmp_path / "wan", folder, transformer, replace(model.info, name="wan-tuned"))
    again = load_checkpoint(folder, "fp32")
    assert (
        again.info.name == "wan-tuned" and again.shift == model.shift and isinstance(again.text, UMT5Encoder)
    )
    for ours, theirs in ((again.transformer, transformer), (again.codec, model.codec)):
        assert isinstance(ours, torch.nn.Module) and isinstance(theirs, torch.nn.Module)
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
