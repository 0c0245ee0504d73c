"""Photograph-like images in memory, with everything that cameras and attackers put around the pixels."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from PIL.PngImagePlugin import PngInfo

# Text that must never be found in a copy, wherever in a file it was hidden.
SECRET = b"37.5665N-126.9780E-Hong-Gildong"


def picture(width: int = 640, height: int = 480) -> Image.Image:
    """Red on the left, blue on the right, brighter towards the top: turns and mirrors can be told apart."""
    y, x = np.mgrid[0:height, 0:width]
    light = 255 - (y * 155 // max(1, height - 1))
    left = x < width / 2
    zeros = np.zeros_like(light)
    return Image.fromarray(np.stack([light * left, zeros, light * ~left], -1).astype(np.uint8), "RGB")


def two_things() -> Image.Image:
    """A blue bottle and, beside it, a blue can, on a light table: is it glass or plastic?"""
    table = Image.new("RGB", (640, 480), (214, 211, 204))
    thing = Image.new("RGBA", table.size)
    draw = ImageDraw.Draw(thing)
    glass = (90, 140, 190, 120)
    draw.rounded_rectangle((153, 170, 273, 430), 24, fill=glass)
    draw.polygon([(153, 195), (178, 110), (248, 110), (273, 195)], fill=glass)
    draw.rectangle((178, 60, 248, 112), fill=glass)
    draw.rectangle((175, 42, 251, 70), fill=(200, 60, 50))
    draw.rectangle((169, 190, 179, 400), fill=(255, 255, 255, 120))
    for column in range(141):
        light = 0.55 + 0.45 * float(np.sin(column / 140 * np.pi)) ** 2
        draw.line((356 + column, 180, 356 + column, 430), fill=(int(30 * light), int(60 * light), int(180 * light)))
    draw.ellipse((356, 160, 496, 200), fill=(190, 190, 195), outline=(120, 120, 120), width=3)
    table.paste(thing, mask=thing)
    return table.filter(ImageFilter.GaussianBlur(1))


def encode(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    target = BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def gps_exif(orientation: int = 1) -> Image.Exif:
    """EXIF with a position, a name and the orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = SECRET.decode()
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (37.0, 33.0, 59.4), "E", (126.0, 58.0, 40.8)
    gps[0x1D] = SECRET.decode()
    return exif


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="' + SECRET + b'"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_full_of_metadata(orientation: int = 1, width: int = 640, height: int = 480) -> bytes:
    """EXIF with GPS, XMP, IPTC, a comment, an unknown segment, and bytes behind the end."""
    data = encode(picture(width, height), exif=gps_exif(orientation), comment=SECRET, xmp=XMP, quality=90)
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", len(SECRET) + 5)
    iptc += b"\x1c\x02\x78" + struct.pack(">H", len(SECRET)) + SECRET + b"\x00"
    return data[:2] + _segment(0xED, iptc) + _segment(0xEF, SECRET) + data[2:] + b"PK\x03\x04" + SECRET


def png_full_of_metadata() -> bytes:
    """EXIF with GPS, text chunks of all three kinds, XMP, and bytes behind the end."""
    info = PngInfo()
    info.add_text("Comment", SECRET.decode())
    info.add_text("Compressed", SECRET.decode(), zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return encode(picture(), "PNG", pnginfo=info, exif=gps_exif(6)) + SECRET


def webp_full_of_metadata() -> bytes:
    return encode(picture(), "WEBP", exif=gps_exif(6), xmp=XMP, quality=95)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces width x height pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\x00")) + png_chunk(b"IEND", b"")


def webp_header(width: int, height: int) -> bytes:
    """An extended WebP header alone, announcing width x height pixels."""
    body = b"VP8X" + struct.pack("<I", 10) + b"\x00" * 4
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def jpeg_header(width: int, height: int) -> bytes:
    """A JPEG up to its frame header, announcing width x height pixels."""
    data = encode(picture(8, 8))
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def jpeg_of_scans(more: int, comment: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan comes so many times more."""
    data = encode(picture(64, 64).convert("L"), progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:2] + (_segment(0xFE, comment) if comment else b"") + data[2:-2] + scan * more + data[-2:]
