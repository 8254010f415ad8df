import numpy as np
import pytest
import torch

from sorairo.data.shards import ShardError, read_shard, write_shard
from sorairo.types import UserError

FRAMES = np.arange(2 * 1 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 1, 4, 4, 3)
RECORDS = [{"seed": np.int64(1), "path": np.ones((2, 2))}, {"seed": 2, "words": "a cube"}]


def test_a_shard_reads_back(tmp_path):
    path = tmp_path / "deep/clips.safetensors"
    write_shard(
        path, {"frames": FRAMES, "latents": torch.ones(2, 3, dtype=torch.bfloat16)}, RECORDS, {"fps": 8}
    )
    shard = read_shard(path)
    assert len(shard) == 2 and shard.info == {"fps": 8}
    assert shard.records == [{"seed": 1, "path": [[1.0, 1.0], [1.0, 1.0]]}, {"seed": 2, "words": "a cube"}]
    assert np.array_equal(shard["frames"].numpy(), FRAMES) and shard["latents"].dtype == torch.bfloat16
    assert [p.name for p in path.parent.iterdir()] == ["clips.safetensors"]


def test_damage_is_named(tmp_path):
    path = tmp_path / "clips.safetensors"
    write_shard(path, {"frames": FRAMES}, RECORDS)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ShardError, match="damaged"):
        read_shard(path)
    path.write_text("words")
    with pytest.raises(ShardError, match="damaged"):
        read_shard(path)
    with pytest.raises(ShardError, match="damaged"):
        read_shard(tmp_path / "absent.safetensors")


def test_another_safetensors_file_is_no_shard(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ShardError, match="not a shard"):
        read_shard(tmp_path / "model.safetensors")


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "clips.safetensors"
    write_shard(path, {"frames": FRAMES}, RECORDS)
    with pytest.raises(TypeError):
        write_shard(path, {"frames": FRAMES}, [{"seed": object()}, {}])
    assert read_shard(path).records[1]["words"] == "a cube"
    with pytest.raises(UserError, match="cannot be written"):
        write_shard(path / "below.safetensors", {"frames": FRAMES}, RECORDS)
