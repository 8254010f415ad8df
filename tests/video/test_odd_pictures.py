"""Picture files that were read as something else than they are, without a word."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from sorairo.types import UserError
from sorairo.video.hdr import PQ, pq_signal
from sorairo.video.read import read_given, read_metadata, read_notes, read_video
from tests.video.clips import blocks


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_numbers_of_32_bits_are_refused(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.ones((8, 8), dtype)).save(tmp_path / "a.tiff")
    with pytest.raises(UserError, match="32 bits"):
        read_video(tmp_path / "a.tiff")


def test_the_preview_of_a_raw_photograph_is_refused(tmp_path: Path) -> None:
    tags = ImageFileDirectory_v2()
    tags[254] = 1
    Image.fromarray(blocks(frames=1)[0]).save(tmp_path / "a.dng", format="TIFF", tiffinfo=tags)
    with pytest.raises(UserError, match="raw photograph"):
        read_video(tmp_path / "a.dng")


def test_pictures_in_a_row_are_refused_and_a_trailer_is_not(tmp_path: Path) -> None:
    data = BytesIO()
    Image.fromarray(blocks(frames=1)[0]).save(data, "JPEG")
    (tmp_path / "a.jpg").write_bytes(data.getvalue() + b"trailer of a phone")
    (tmp_path / "b.jpg").write_bytes(2 * data.getvalue())
    assert len(read_video(tmp_path / "a.jpg")) == 1
    with pytest.raises(UserError, match="MJPEG"):
        read_video(tmp_path / "b.jpg")


@pytest.mark.parametrize("kind", ["webp", "png", "gif"])
@pytest.mark.parametrize("time", [0, 10])
def test_no_time_at_all_is_a_tenth_of_a_second(tmp_path: Path, kind: str, time: int) -> None:
    pictures = [Image.fromarray(frame) for frame in blocks()]
    pictures[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=pictures[1:], duration=time)
    assert len(read_given(tmp_path / f"a.{kind}", (32, 32), 10.0)) == 5


def test_a_still_of_high_range_is_mapped_and_said(tmp_path: Path) -> None:
    info = PngInfo()
    info.add(b"cICP", bytes([9, PQ, 0, 1]))
    level = round(255 * float(pq_signal(203)))
    Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / "a.png", pnginfo=info)
    assert 220 < read_video(tmp_path / "a.png").frames.mean() < 240
    assert any("HDR10 (PQ)" in note for note in read_notes(tmp_path / "a.png"))


def test_metadata_of_absurd_numbers_and_names(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_itxt("comment", '{"a": ' + "1" * 5000 + "}")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    assert read_metadata(tmp_path / "a.png") == {}
    with pytest.raises(UserError, match="does not exist"):
        read_video(tmp_path / ("a" * 300 + ".png"))
