"""From words to a video file in one page, with nothing hidden: how a model such as Sora makes a clip.

    python examples/sample.py "A red ball rolls into a blue cube, the camera moves closer." ball.mp4

A clip is not drawn frame by frame. It begins as noise, all frames at once, in a compressed space. A transformer that
has read the words looks at the noise and says in which direction the clip lies; a solver takes a few steps that way.
Then a decoder turns the result into pixels. The package does the same, with known frames, long clips and checks around
it: src/sorairo/generation/. Time runs from noise, sigma = 1, to data, sigma = 0 (docs/shapes.md).
"""

# Letters: b batch, c channels, t h w latent grid (time, height, width), l tokens, d their width

from __future__ import annotations

import sys

import torch

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.flow.path import towards
from sorairo.flow.schedule import unipc_sigmas
from sorairo.flow.solvers import unipc
from sorairo.generation.scenes import STREAM
from sorairo.pixels import to_frames
from sorairo.types import Video
from sorairo.video import write_video

PROMPT = "A red ball rolls into a blue cube, the camera moves closer."


@torch.inference_mode()
def sample(prompt: str, name: str = "default", *, frames: int = 17, seed: int = 0, steps: int = 16) -> Video:
    """A clip of `frames` frames, 1 + 2k for the default model, at the model's own size. name: a model or its folder."""
    model = load_checkpoint(name)
    info, codec, transformer = model.info, model.codec, model.transformer
    width, height = info.sizes[0]

    # 1. Words become tokens, and a frozen language model turns each token into a state that knows its neighbours.
    #    The second text is empty: guidance compares what the model would do with the words and without them.
    print("tokens:", model.text.tokens(prompt))
    both = [model.text.encode([text]) for text in (prompt, "")]
    longest = max(int(text.lengths) for text in both)
    states = torch.cat([text.states[:, :longest] for text in both]).to(model.dtype)  # 2 l d
    lengths = torch.cat([text.lengths for text in both])  # 2

    # 2. Noise: one number for each place of the compressed clip. The first frame has a latent frame of its own, later
    #    ones share theirs, and each covers a square of pixels.
    t = 1 + (frames - 1) // codec.config.time_factor
    h, w = height // codec.config.space_factor, width // codec.config.space_factor
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, codec.config.z_dim, t, h, w, generator=generator)  # 1 c t h w
    print("noise:", tuple(noise.shape))

    # 3. The scene, if the model draws one: a smaller transformer says where each object is in every latent frame, and
    #    what is told of it joins the tokens of the clip. The prediction without words knows no scene (docs/scene.md).
    told = {}
    if model.scene:
        tracks = model.scene.tracks(both[0], both[1], t, torch.Generator().manual_seed(seed ^ STREAM))
        beside = model.scene.tokens(tracks, (h, w))
        told["scene"] = torch.cat([beside, torch.zeros_like(beside)])
        print("objects:", int(tracks.there.sum()))

    # 4. The velocity: noise minus data, as the transformer sees it from x at the noise level sigma. It attends to all
    #    places of the clip at once, which is why motion holds together, and to the tokens.
    def velocity(x: torch.Tensor, sigma: float) -> torch.Tensor:
        timestep = torch.full((2,), float(int(1000 * sigma)))
        two = x.to(model.dtype).expand(2, -1, -1, -1, -1)  # the same noise under both texts
        out = transformer(two, timestep, states, lengths, **told).float()  # 2 c t h w
        if model.predicts == "data":  # some models name the data itself; the velocity follows from it
            out = towards(x, out, sigma)
        asked, plain = out.chunk(2)
        low, high = info.guidance_interval
        scale = info.default_guidance if low <= sigma <= high else 1.0
        return plain + scale * (asked - plain)  # classifier-free guidance (Ho & Salimans 2022)

    # 5. The solver walks down the noise levels. Large steps are possible since each one corrects the one before.
    sigmas = unipc_sigmas(steps, model.shift)  # steps + 1 numbers, falling from 1 to 0
    latents = unipc(
        velocity, noise, sigmas, lambda step, x: print(f"step {step + 1}: sigma {sigmas[step + 1]:.2f}")
    )

    # 6. The decoder: latents to pixels in [-1, 1], then to the levels of a screen.
    pixels = model.pixels(latents)  # 1 3 frames height width
    return Video(frames=to_frames(pixels)[0], fps=info.fps)


def main() -> None:
    """Make the clip and write the file."""
    prompt = sys.argv[1] if len(sys.argv) > 1 else PROMPT
    path = sys.argv[2] if len(sys.argv) > 2 else "ball.mp4"
    write_video(sample(prompt), path)
    print(path)


if __name__ == "__main__":
    main()
