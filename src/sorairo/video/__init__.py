"""Video files in and out: read, write, resize, contact sheets."""

from sorairo.video.read import read_metadata, read_video
from sorairo.video.resize import resize
from sorairo.video.sheet import contact_sheet
from sorairo.video.write import EXTENSIONS, check_writable, write_video

__all__ = [
    "EXTENSIONS",
    "check_writable",
    "contact_sheet",
    "read_metadata",
    "read_video",
    "resize",
    "write_video",
]
