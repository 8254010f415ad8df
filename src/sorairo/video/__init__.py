"""Video files in and out: read, write, resize, contact sheets."""

from sorairo.video.read import read_clip, read_given, read_metadata, read_size, read_still, read_video
from sorairo.video.resize import FITS, check_fit, resize
from sorairo.video.sheet import contact_sheet
from sorairo.video.sound import Sound, has_sound
from sorairo.video.write import EXTENSIONS, check_writable, write_video

__all__ = [
    "EXTENSIONS",
    "FITS",
    "Sound",
    "check_fit",
    "check_writable",
    "contact_sheet",
    "has_sound",
    "read_clip",
    "read_given",
    "read_metadata",
    "read_size",
    "read_still",
    "read_video",
    "resize",
    "write_video",
]
