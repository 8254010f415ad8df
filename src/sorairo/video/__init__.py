"""Video files in and out: read, write, resize, contact sheets."""

from sorairo.video.read import read_clip, read_metadata, read_still, read_video
from sorairo.video.resize import FITS, check_fit, resize
from sorairo.video.sheet import contact_sheet
from sorairo.video.write import EXTENSIONS, check_writable, write_video

__all__ = [
    "EXTENSIONS",
    "FITS",
    "check_fit",
    "check_writable",
    "contact_sheet",
    "read_clip",
    "read_metadata",
    "read_still",
    "read_video",
    "resize",
    "write_video",
]
