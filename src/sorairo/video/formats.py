"""What a file is, by its first bytes: the formats that are read, and by what; others are refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sorairo.types import UserError

__all__ = ["Format", "format_of"]

READ = "MP4, MOV, WebM, MKV, AVI, Ogg, MPEG, GIF, PNG, JPEG, WebP, AVIF, HEIC, TIFF, BMP and JPEG 2000"


@dataclass(frozen=True, kw_only=True)
class Format:
    """name: as people say it. demuxer: FFmpeg's, which alone may open the file; empty where Pillow reads it."""

    name: str
    demuxer: str = ""

    @property
    def picture(self) -> bool:
        """Whether Pillow reads it, and it holds no sound."""
        return not self.demuxer


MP4 = Format(name="MP4", demuxer="mov")
MATROSKA = Format(name="Matroska", demuxer="matroska")
GIF = Format(name="GIF", demuxer="gif")
HEIC = Format(name="HEIC")
TS = Format(name="MPEG-TS", demuxer="mpegts")

STARTS: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", Format(name="PNG")),
    (b"\xff\xd8\xff", Format(name="JPEG")),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"BM", Format(name="BMP")),
    (b"II*\0", Format(name="TIFF")),
    (b"MM\0*", Format(name="TIFF")),
    (b"II+\0", Format(name="TIFF")),
    (b"MM\0+", Format(name="TIFF")),
    (b"\xff\x4f\xff\x51", Format(name="JPEG 2000")),
    (b"\x1a\x45\xdf\xa3", MATROSKA),
    (b"OggS", Format(name="Ogg", demuxer="ogg")),
    (b"\0\0\x01\xba", Format(name="MPEG program stream", demuxer="mpeg")),
)

# What people do hand over, and what to do about it.
OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"FLV", "Flash video (FLV)"),
    (b"\x30\x26\xb2\x75", "Windows Media file (WMV, ASF)"),
    (b".RMF", "RealMedia file"),
    (b"8BPS", "Photoshop file"),
    (b"%PDF", "PDF document"),
    (b"<svg", "SVG drawing"),
    (b"<?xml", "XML document, perhaps an SVG drawing"),
    (b"<!DOC", "web page"),
    (b"<html", "web page"),
    (b"#EXTM3U", "playlist"),
    (b"\0\0\x01\0", "icon (ICO)"),
    (b"v/1\x01", "OpenEXR picture"),
    (b"DDS ", "DirectDraw surface"),
    (b"#?RADIANCE", "Radiance HDR picture"),
    (b"YUV4MPEG2", "raw video (Y4M)"),
    (b"\0\0\x01\xb3", "bare MPEG video stream"),
    (b"\0\0\0\x01", "bare H.264 or H.265 stream"),
    (b"\xff\x0a", "JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "JPEG XL picture"),
    (b"DKIF", "IVF video"),
    (b"ID3", "sound file (MP3)"),
    (b"fLaC", "sound file (FLAC)"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"Rar!", "RAR archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"wOFF", "font"),
    (b"P5", "PNM picture"),
    (b"P6", "PNM picture"),
    (b"\xff\xfb", "sound file (MP3)"),
    (b"\xff\xf3", "sound file (MP3)"),
    (b"\xff\xf2", "sound file (MP3)"),
    (b"\xff\xf1", "sound file (AAC)"),
    (b"\xff\xf9", "sound file (AAC)"),
    (b"caff", "sound file (CAF)"),
    (b".snd", "sound file (AU)"),
    (b"MThd", "MIDI file"),
    (b"\0\0\x01", "bare video stream"),
    (b"\x06\x0e\x2b\x34", "MXF video"),
    (b"nut/multimedia", "NUT video"),
    (b"CWS", "Flash film (SWF)"),
    (b"FWS", "Flash film (SWF)"),
    (b"qoif", "QOI picture"),
    (b"icns", "Apple icon (ICNS)"),
    (b"BPG\xfb", "BPG picture"),
    (b"gimp xcf", "GIMP file (XCF)"),
    (b"%!PS", "PostScript document"),
    (b"IIRO", "raw photograph (ORF)"),
    (b"IIRS", "raw photograph (ORF)"),
    (b"IIU\0", "raw photograph (RW2)"),
    (b"FUJIFILMCCD-RAW", "raw photograph (RAF)"),
    (b"\x93NUMPY", "NumPy array"),
)

# Boxes with which a QuickTime file of old, without a brand, begins.
BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
HEIF = (b"heic", b"heix", b"heim", b"heis")
HEIF_CLIPS = (b"hevc", b"hevx", b"msf1", b"hevm", b"hevs")
AVIF = (b"avif", b"avis")
SOUND = (b"M4A ", b"M4B ", b"M4P ")
VOWELS = ("icon", "OpenEXR", "XML", "IVF", "SVG", "MXF", "Apple")  # spoken with a vowel, so "an"


def format_of(path: Path) -> Format:
    """The format of a file. Raises UserError, by name where it has one, for those that are not read."""
    with path.open("rb") as file:
        head = file.read(1024)
    if head[4:8] == b"ftyp":
        return branded(path, head)
    if head[4:12] == b"jP  \r\n\x87\n":  # the box after it tells a moving picture (mj2) from a still
        return MP4 if head[12:28][8:12] == b"mjp2" else Format(name="JPEG 2000")
    if head[4:8] in BOXES:
        return MP4
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] in (b"WEBP", b"AVI "):
        return Format(name="WebP") if head[8:12] == b"WEBP" else Format(name="AVI", demuxer="avi")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        raise refused(path, "sound file (WAV)")
    for start, found in STARTS:
        if head.startswith(start):
            return found
    for offset, step in ((0, 188), (4, 192)):  # packets, or packets behind a time stamp of four bytes
        if head[offset::step][:4] == b"G" * len(head[offset::step][:4]) and len(head) > offset + 188:
            return TS
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for start, name in OTHERS:
        if head.startswith(start) or (start[:1] in b"<#" and text.lower().startswith(start.lower())):
            raise refused(path, name)
    raise UserError(
        f"{path} cannot be read as a video or a picture; it may be damaged, or be of another format than {READ}."
    )


def branded(path: Path, head: bytes) -> Format:
    """The format of an ISO base media file, by its brands."""
    size = int.from_bytes(head[:4], "big")
    brands = [head[8:12], *(head[i : i + 4] for i in range(16, min(size, len(head)), 4))]
    major = brands[0]
    if major in AVIF or (major in (b"mif1", b"msf1", b"miaf") and any(one in AVIF for one in brands)):
        return Format(name="AVIF")
    if major in HEIF_CLIPS:
        raise refused(path, "HEIF sequence of pictures")
    if major in HEIF or (major in (b"mif1", b"miaf") and any(one in HEIF for one in brands)):
        return HEIC
    if major in (b"mif1", b"miaf"):
        raise refused(path, "HEIF file of an unknown kind")
    if major in (b"crx ",):
        raise refused(path, "raw photograph (CR3)")
    if major in SOUND:
        raise UserError(f"{path} holds no video track.")
    return MP4


def refused(path: Path, name: str) -> UserError:
    article = "an" if name.split()[0] in VOWELS else "a"
    return UserError(f"{path} is {article} {name}, which is not read here; convert it to MP4 or PNG.")
