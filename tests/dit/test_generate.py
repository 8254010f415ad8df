import json

import numpy as np
import pytest
import torch

from sorairo.dit import codec as kl_image
from sorairo.dit import model as dit
from sorairo.dit.betas import from_scheduler_config, to_scheduler_config
from sorairo.dit.codec_names import to_kl_image_config
from sorairo.dit.ddpm import Betas
from sorairo.dit.estimates import blueprint
from sorairo.dit.folder import is_class_folder, load_class_model
from sorairo.dit.generate import class_number, denoise, generate_images, per_sample_noise
from sorairo.dit.names import to_dit_config
from sorairo.types import UserError

LABELS = {
    "0": "tench, Tinca tinca",
    "134": "crane",
    "207": "golden retriever",
    "208": "Labrador retriever",
    "517": "crane",
}


def save_pipeline(folder, scheduler="ddim", betas=None):
    """A DiTPipeline with random weights, saved by diffusers itself."""
    from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, DiTPipeline, DiTTransformer2DModel

    torch.manual_seed(0)
    transformer = DiTTransformer2DModel.from_config(to_dit_config(dit.PRESETS["tiny"])).eval()
    shared = transformer.transformer_blocks[0].norm1.emb.state_dict()
    for block in transformer.transformer_blocks:
        block.norm1.emb.load_state_dict(shared)
    codec = AutoencoderKL.from_config(to_kl_image_config(kl_image.PRESETS["tiny"])).eval()
    kind = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}[scheduler]
    config = to_scheduler_config(betas or Betas(), scheduler)
    pipeline = DiTPipeline(transformer, codec, kind.from_config(config), id2label=LABELS)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder)
    # diffusers leaves out what it cannot tell from a default; the published folder has it
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"id2label": LABELS}))
    return pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dit")
    save_pipeline(folder)
    return folder


def largest_error(got, want):
    return ((got - want).abs().max() / want.abs().max()).item()


@pytest.mark.parametrize("guidance", [4.0, 1.0])
def test_eight_ddim_steps_are_the_pipelines(tmp_path, guidance):
    pipeline = save_pipeline(tmp_path)
    model = load_class_model(tmp_path)
    seeds, classes = [3, 4], [207, 0]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    want = pipeline(classes, guidance, generators, num_inference_steps=8, output_type="pt").images
    noise = per_sample_noise(seeds)
    latents = denoise(
        model, noise(torch.Size([2, 4, 8, 8])), classes, steps=8, guidance=guidance, noise=noise
    )
    got = (model.codec.decode(latents) / 2 + 0.5).clamp(0, 1)
    assert want.std() > 0.01 and largest_error(got, want) < 1e-4


def test_eight_ddpm_steps_are_the_pipelines(tmp_path):
    pipeline = save_pipeline(tmp_path, "ddpm")
    model = load_class_model(tmp_path)
    torch.manual_seed(5)
    start = torch.Generator().manual_seed(3)
    want = pipeline([207], 4.0, start, num_inference_steps=8, output_type="pt").images
    torch.manual_seed(5)
    # the pipeline draws for both halves of the guided batch and keeps the first
    noise = lambda shape: torch.randn(2 * shape[0], *shape[1:])[: shape[0]]  # noqa: E731
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    latents = denoise(model, latents, [207], steps=8, guidance=4.0, noise=noise)
    assert largest_error((model.codec.decode(latents) / 2 + 0.5).clamp(0, 1), want) < 1e-4


def test_bf16_makes_nearly_the_same_picture(folder):
    noise = per_sample_noise([3])
    latents = noise(torch.Size([1, 4, 8, 8]))
    made = []
    for dtype in (None, torch.bfloat16):
        model = load_class_model(folder, dtype)
        x = denoise(model, latents, [207], steps=8, guidance=4.0, noise=noise)
        made.append((model.codec.decode(x.to(dtype or torch.float32)).float() / 2 + 0.5).clamp(0, 1))
    assert -10 * torch.log10((made[0] - made[1]).square().mean()) > 40


def test_a_seed_is_the_same_picture_in_any_batch(folder):
    model = load_class_model(folder)
    alone = [generate_images(model, "crane" if n == 0 else "208", [n], steps=2)[0] for n in (1, 2)]
    together = generate_images(model, "Labrador  Retriever", [1, 2, 9], steps=2, batch=2)
    assert [sample.plan.seed for sample in together] == [1, 2, 9]
    for a, b in zip(alone, together, strict=False):
        assert a.video.frames.shape == (1, 16, 16, 3) and a.video.size == model.size
        assert np.abs(a.video.frames.astype(int) - b.video.frames.astype(int)).max() <= 1
    assert together[0].plan.spans[0].text == "Labrador retriever" and together[0].plan.steps == 2


def test_ddpm_may_be_asked_for_and_progress_is_told(folder):
    model = load_class_model(folder)
    told = []
    generate_images(
        model, "tench", [0, 1, 2], steps=3, sampler="ddpm", batch=2, progress=lambda *a: told.append(a)
    )
    assert [a for a in told if a[0] == "denoise"] == [("denoise", i, 6) for i in range(1, 7)]


def test_classes_are_found_by_name_or_number():
    labels = {int(k): tuple(v.split(", ")) for k, v in LABELS.items()}
    assert class_number(labels, "Tinca Tinca") == 0
    assert class_number(labels, "517") == 517
    with pytest.raises(UserError, match=r"names 2 classes: 134 \(crane\), 517 \(crane\); give the number"):
        class_number(labels, "crane")
    with pytest.raises(UserError, match="did you mean golden retriever, Labrador retriever"):
        class_number({k: v for k, v in labels.items() if k > 134}, "retriever")
    with pytest.raises(UserError, match="did you mean tench"):
        class_number(labels, "trench")
    with pytest.raises(UserError, match="no class 'zzzzqq'"):
        class_number(labels, "zzzzqq")
    with pytest.raises(UserError, match="names no classes"):
        class_number({}, "tench")
    assert class_number({}, "999") == 999
    with pytest.raises(UserError, match="no class '1000'"):
        class_number(labels, "1000")


def test_bad_asks_are_one_sentence(folder, tmp_path):
    model = load_class_model(folder)
    with pytest.raises(UserError, match="1 to 1000"):
        generate_images(model, "tench", [0], steps=0)
    with pytest.raises(UserError, match="ddim or ddpm"):
        generate_images(model, "tench", [0], sampler="euler")
    assert is_class_folder(folder) and not is_class_folder(tmp_path)
    (tmp_path / "model_index.json").write_text('{"_class_name": "WanPipeline"}')
    with pytest.raises(UserError, match="sorairo generate"):
        load_class_model(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        load_class_model(tmp_path / "no")


def test_the_needs_of_a_folder_are_told_without_loading_it(folder):
    model = load_class_model(folder)
    plan = blueprint("tiny", folder)
    for part, module in zip(plan.parts, (model.transformer, model.codec), strict=True):
        assert part.parameters == sum(p.numel() for p in module.parameters()) and part.dtype == "fp32"
    assert plan.asks[0].size == model.size


def test_scheduler_configs_go_there_and_back():
    for betas, sampler in (
        (Betas(), "ddim"),
        (Betas(clip=2.0, offset=1, data_at_end=False), "ddim"),
        (
            Betas(variance="learned_range", spacing="trailing", predicts="velocity", shape="scaled_linear"),
            "ddpm",
        ),
    ):
        assert from_scheduler_config(to_scheduler_config(betas, sampler)) == (betas, sampler)
    with pytest.raises(UserError, match="beta_schedule = 'sigmoid'"):
        from_scheduler_config({"beta_schedule": "sigmoid"})
    with pytest.raises(UserError, match="_class_name = 'PNDMScheduler'"):
        from_scheduler_config({"_class_name": "PNDMScheduler"})
