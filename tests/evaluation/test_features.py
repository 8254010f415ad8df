import numpy as np
import pytest
import torch

from sorairo.evaluation.features import MobileNetV2Features, TransNetV2Features
from sorairo.types import Video


@pytest.fixture
def video():
    frames = np.random.default_rng(0).integers(0, 255, (5, 48, 64, 3), dtype=np.uint8)
    return Video(frames=frames, fps=8.0)


def test_shapes_and_that_a_frozen_clip_has_no_change(video):
    assert MobileNetV2Features()(video).shape == (3, 1280)
    transnet = TransNetV2Features()
    assert transnet(video).shape == (1, 512)
    frozen = Video(frames=video.frames[:1].repeat(5, axis=0), fps=8.0)
    assert transnet(frozen)[0, 256:].max() < 1e-4 < transnet(video)[0, 256:].min()


def test_transnet_gives_what_its_published_class_gives():
    """The class reconfigures torch when it is made, so it is not made here: its layers are."""
    from transnetv2_pytorch.transnetv2_pytorch import StackedDDCNNV2

    features = TransNetV2Features()
    stage = StackedDDCNNV2(in_filters=3, n_blocks=2, filters=16).eval()
    prefix = "SDDCNN.0."
    stage.load_state_dict({k[len(prefix) :]: v for k, v in features.weights.items() if k.startswith(prefix)})
    x = torch.rand(1, 3, 35, 27, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        theirs, ours = stage(x.clone()), features._stage(x, "SDDCNN.0.DDCNN")
    assert torch.allclose(theirs[:, :, 16:19], ours[:, :, 16:19], atol=1e-5)  # away from the ends of time
