"""VACE: the same latents as diffusers' WanVACEPipeline from the same noise, whatever is known, shown or followed."""

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sorairo
from sorairo.checkpoints.export import export
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.generation.control import control_tensor, reference_latents
from sorairo.generation.denoise import noise_of
from sorairo.generation.generate import Denoising, encode_texts, generate
from sorairo.generation.timeline import Timeline
from sorairo.types import Known, Plan, Span, UserError, Video
from tests.checkpoints.wan_folders import FRAMES, SIZE, saved

PROMPT = "a red ball drops"
WIDTH, HEIGHT = SIZE


@pytest.fixture(scope="module")
def vace(tmp_path_factory):
    """(diffusers' pipeline, our model, its folder)."""
    diffusers.utils.logging.set_verbosity_error()
    folder = tmp_path_factory.mktemp("vace") / "m"
    pipe = saved("wan2.1-vace", folder)
    return pipe, sorairo.load(folder, "fp32"), folder


def noise_frames(count, seed, size=SIZE):
    shape = (count, size[1], size[0], 3)
    return Video(frames=np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8), fps=16.0)


def plan_for(**changes):
    whole = {"size": SIZE, "frames": FRAMES, "fps": 16.0, "spans": (Span(text=PROMPT),), "seed": 5}
    return Plan(**whole | {"guidance": 3.0, "negative": "blue", "steps": 4} | changes)


def images(frames):
    return [Image.fromarray(frame) for frame in frames]


REGION = (32, 16, 40, 24)
CLIP, PICTURE = noise_frames(FRAMES, 1), noise_frames(1, 2)
CASES = {
    "words alone": plan_for(),
    "first frame": plan_for(known=(Known(video=PICTURE),)),
    "both ends": plan_for(known=(Known(video=PICTURE), Known(video=noise_frames(2, 3), at=3))),
    "region": plan_for(known=(Known(video=CLIP, hold=0, region=REGION),)),
    "references": plan_for(references=(noise_frames(1, 4, (64, 64)), noise_frames(1, 5, (48, 96)))),
    "a clip to follow": plan_for(control=CLIP, control_scale=0.7),
    "all": plan_for(
        known=(Known(video=PICTURE),),
        references=(noise_frames(1, 6, (64, 64)),),
        control=noise_frames(FRAMES, 7),
    ),
}


def inputs(plan):
    """What a user of diffusers' pipeline would give it: a clip that is grey where nothing is known, and a mask."""
    pixels = np.full((plan.frames, HEIGHT, WIDTH, 3), 127.5)
    mask = np.ones((plan.frames, HEIGHT, WIDTH), bool)
    if plan.control:
        pixels[:] = plan.control.frames
    for known in plan.known:
        place = slice(known.at, known.at + len(known.video))
        free = np.zeros((HEIGHT, WIDTH), bool)
        if known.region:
            x, y, w, h = known.region
            free[y : y + h, x : x + w] = True
        pixels[place] = np.where(free[:, :, None], 127.5, known.video.frames)
        mask[place] = free
    return pixels, mask


def theirs(pipe, plan, model, monkeypatch):
    """Latents (1 c t h w). The grey is between two levels, so their reading of pictures is stepped over."""
    pixels, mask = inputs(plan)
    video = torch.from_numpy(pixels / 127.5 - 1).permute(3, 0, 1, 2)[None].float()
    marks = torch.from_numpy(mask)[None, None].expand(1, 3, -1, -1, -1).float()
    whole = type(pipe).preprocess_conditions

    def given(self, v, m, references, *rest):
        _, _, shown = whole(self, None, None, references, *rest)
        return video, marks, shown

    monkeypatch.setattr(type(pipe), "preprocess_conditions", given)
    monkeypatch.setattr("diffusers.pipelines.wan.pipeline_wan_vace.prompt_clean", lambda text: text)
    with torch.no_grad():
        words, others = (
            pipe._get_t5_prompt_embeds([t], max_sequence_length=512) for t in (PROMPT, plan.negative)
        )
    generator = torch.Generator().manual_seed(plan.seed)
    extra = 4 * len(plan.references)
    made = pipe(
        prompt_embeds=words,
        negative_prompt_embeds=others,
        reference_images=[Image.fromarray(one.frames[0]) for one in plan.references] or None,
        conditioning_scale=plan.control_scale,
        width=WIDTH,
        height=HEIGHT,
        num_frames=FRAMES,
        num_inference_steps=plan.steps,
        guidance_scale=plan.guidance,
        latents=noise_of(plan.size, plan.frames + extra, model.codec, generator),
        output_type="latent",
    ).frames
    return made[:, :, len(plan.references) :]


@torch.inference_mode()
def made_of(plan, model):
    one = Denoising(plan, model, encode_texts([plan], model))
    one.run(lambda step, data: None)
    return one.latents


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_same_latents(vace, case, monkeypatch):
    pipe, model, _ = vace
    want = theirs(pipe, CASES[case], model, monkeypatch)
    made = made_of(CASES[case], model)
    assert made.shape == want.shape
    assert (made - want).abs().max() <= 1e-4 * want.abs().max()


@torch.inference_mode()
def test_each_input_counts(vace):
    _, model, _ = vace
    made = {case: made_of(plan, model) for case, plan in CASES.items()}
    alone = made["words alone"]
    for case in list(CASES)[1:]:
        assert (made[case] - alone).abs().max() > 1e-2 * alone.abs().max(), case


def test_the_cells_of_a_mask_are_theirs(vace):
    pipe, model, _ = vace
    plan = plan_for(frames=17, known=(Known(video=noise_frames(9, 8), hold=0, region=REGION),))
    timeline = Timeline(plan, 4, mends=False)
    (window,) = timeline.windows(17)
    _, free = timeline.shown(window)
    none = reference_latents(plan, model.codec, model.device, model.dtype)
    control = control_tensor(timeline, window, none, model.codec, model.dtype)
    mask = torch.from_numpy(free)[None, None].expand(1, 3, -1, -1, -1).float()
    assert torch.equal(control[:, 8:], pipe.prepare_masks(mask, [[]]))


@torch.inference_mode()
def test_one_layer_of_the_published_shapes_is_theirs():
    """A control block and a block of 1.3B."""
    from sorairo.checkpoints.adapters import wan
    from sorairo.transformer.model import Transformer
    from tests.checkpoints.wan_folders import randomised

    torch.manual_seed(0)
    shape = {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 1}
    kind = diffusers.WanVACETransformer3DModel(**shape, text_dim=64, vace_layers=[0])
    reference = randomised(kind, 0.02)
    ours = Transformer(wan.from_wan_config(reference.config, text_len=16)).eval()
    ours.load_state_dict(wan.from_wan(reference.state_dict()))
    x, control = torch.randn(1, 16, 2, 8, 8), torch.randn(1, 96, 2, 8, 8)
    words, time = torch.randn(1, 16, 64), torch.tensor([700.0])
    want = reference(x, time, words, control_hidden_states=control).sample
    made = ours(x, time, words, control=control)
    assert (made - want).abs().max() <= 1e-4 * want.abs().max()


@torch.inference_mode()
def test_what_is_known_is_kept_and_the_rest_is_made_by_training(vace):
    _, model, _ = vace
    region = generate(plan_for(known=(Known(video=CLIP, hold=0.4, region=REGION),)), model)[0]
    x, y, w, h = REGION
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[y : y + h, x : x + w] = False
    assert np.array_equal(region.video.frames[:, outside], CLIP.frames[:, outside])
    assert not np.array_equal(region.video.frames[:, ~outside], CLIP.frames[:, ~outside])
    for known in (Known(video=PICTURE), Known(video=CLIP.part(0, 3)), Known(video=CLIP.part(0, 2), at=3)):
        sample = generate(plan_for(known=(known,)), model)[0]
        place = slice(known.at, known.at + len(known.video))
        assert np.array_equal(sample.video.frames[place], known.video.frames)
        assert not any("blended in" in note for note in sample.notes)


@torch.inference_mode()
def test_every_verb_and_more_frames_than_fit(vace):
    _, model, _ = vace
    settings = {"steps": 1, "guidance": 1.0}
    reference, clip = noise_frames(1, 9), noise_frames(9, 10)
    assert len(model.extend(clip, PROMPT, frames=16, **settings).video) == 25  # two windows of 17
    assert len(model.connect(PICTURE, noise_frames(1, 3), PROMPT, frames=8, **settings).video) == 10
    assert len(model.animate(PICTURE, PROMPT, frames=5, **settings).video) == 5
    assert len(model.edit(clip, PROMPT, strength=0.5, **settings).video) == 9
    plan = plan_for(frames=21, steps=1, guidance=1.0, references=(reference,), control=noise_frames(20, 11))
    assert len(generate(plan, model)[0].video) == 21


def test_the_same_from_every_layout(vace, tmp_path):
    _, model, folder = vace
    export(folder, tmp_path / "original", "original")
    export(tmp_path / "original", tmp_path / "again", "diffusers")
    for name in ("transformer", "vae"):
        file = f"{name}/diffusion_pytorch_model.safetensors"
        read = [sorted_bytes(path / file) for path in (folder, tmp_path / "again")]
        assert read[0] == read[1], name
    plan = CASES["all"]
    want = made_of(plan, model)
    for layout in ("original", "again"):
        assert torch.equal(made_of(plan, load_checkpoint(tmp_path / layout, "fp32")), want), layout
    pipe = diffusers.WanVACEPipeline.from_pretrained(tmp_path / "again")
    assert pipe.transformer.config.vace_layers == [0, 2]


def sorted_bytes(path):
    from safetensors.torch import load_file

    return {name: tensor.numpy().tobytes() for name, tensor in sorted(load_file(path).items())}


def test_a_lora_of_the_branch_in_three_key_styles(vace):
    from sorairo.checkpoints.adapters.lora import from_lora

    _, model, _ = vace
    down, up = torch.randn(4, 32), torch.randn(32, 4)
    styles = {
        "diffusers": ("transformer.vace_blocks.1.attn1.to_q", "transformer.vace_blocks.1.proj_out"),
        "authors": ("diffusion_model.vace_blocks.1.self_attn.q", "diffusion_model.vace_blocks.1.after_proj"),
        "kohya": ("lora_unet_vace_blocks_1_self_attn_q", "lora_unet_vace_blocks_1_after_proj"),
    }
    for modules in styles.values():
        tensors = {
            f"{m}.{half}.weight": t for m in modules for half, t in (("lora_down", down), ("lora_up", up))
        }
        changes, unread = from_lora(tensors)
        assert not unread
        assert set(changes) == {"control.blocks.1.self_attention.q.weight", "control.leave.1.weight"}
        assert set(changes) <= set(model.transformer.state_dict())


def test_a_model_without_the_branch_refuses_what_is_for_it(tiny_folder):
    model = sorairo.load(tiny_folder, "fp32")
    plan = replace(CASES["references"], size=model.info.sizes[0], fps=model.info.fps)
    with pytest.raises(UserError, match="takes no reference pictures"):
        generate(plan, model)


def test_references_and_control_are_in_the_plan_of_a_file(vace, tmp_path):
    from sorairo.jobs.plans import read_plan

    _, model, _ = vace
    Image.fromarray(noise_frames(1, 4, (64, 48)).frames[0]).save(tmp_path / "fox.png")
    moving = noise_frames(5, 1)
    pages = images(moving.frames)
    pages[0].save(tmp_path / "poses.webp", save_all=True, append_images=pages[1:], duration=62, lossless=True)
    settings = {"references": [str(tmp_path / "fox.png")], "control": str(tmp_path / "poses.webp")}
    clip = model.generate(PROMPT, steps=1, frames=5, size=SIZE, control_scale=0.5, **settings)
    clip.save(tmp_path / "out.webp")
    plan = read_plan(tmp_path / "out.webp").whole()
    assert plan.control_scale == 0.5 and len(plan.references) == 1 and plan.control is not None
    assert plan.references[0].size == (64, 48)
    again = generate(plan, model)[0].video.frames
    assert np.array_equal(again, clip.video.frames)
    (tmp_path / "fox.png").unlink()
    with pytest.raises(UserError, match=r"fox\.png"):
        read_plan(tmp_path / "out.webp").whole()


def test_clips_alone_cannot_teach_it(vace):
    from sorairo.training.finetune import trainable

    with pytest.raises(UserError, match="more than noise and words"):
        trainable(vace[1])


@torch.inference_mode()
def test_the_branch_in_int8(vace):
    """One step: over several, a tiny model with random weights drives small differences apart."""
    _, model, folder = vace
    eight = load_checkpoint(folder, "int8")
    layers = [m for m in eight.transformer.control.modules() if isinstance(m, torch.nn.Linear)]
    assert [type(m) for m in layers].count(torch.nn.Linear) == 1  # the patches
    plan = replace(CASES["all"], steps=1, guidance=1.0)
    want, made = (made_of(plan, one).float() for one in (model, eight))
    error = (made - want).square().mean()
    assert 10 * torch.log10((want.max() - want.min()) ** 2 / error) > 38
