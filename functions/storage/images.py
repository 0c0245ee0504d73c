"""An upload's bytes, checked by content, made into copies that show the same picture and carry nothing else.

Pure: bytes in, bytes out. A copy is written from pixels alone (`_jpeg`), so nothing else of the upload can reach it:
no EXIF, XMP, IPTC, comment, text chunk, colour profile, embedded thumbnail, second frame or bytes behind the end.
"""

import hashlib
import re
import struct
import threading
import zlib
from contextlib import nullcontext
from io import BytesIO

from msgspec import Struct
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

MAX_PIXELS = 40_000_000
"""Most pixels of an upload, width times height by its header."""

# libwebp keeps two canvases of four bytes a pixel and its own rows: 40 megapixels took more than the pod has.
MAX_WEBP_PIXELS = 24_000_000

WEB_SIDE = 1600
"""Longest side of the web size in pixels; a smaller photo keeps its size."""

THUMBNAIL_SIDE = 400
"""Longest side of the thumbnail: the classifier reads it too, and wants 292 pixels of the shorter side of a 4:3 photo."""

# Pillow counts on its own too (and would only warn up to twice this number): the second line behind `_open`.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
ImageFile.LOAD_TRUNCATED_IMAGES = False

_FORMATS = ("JPEG", "PNG", "WEBP")
# Phones save stills with a depth map or a gain map as multi-picture JPEG: the first picture is the photo.
_NAMES = {"JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "WEBP": "WebP"}

# What Pillow raises for damaged bytes, by reading its plugins: beside OSError a few leak out of the parsers.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, struct.error, zlib.error)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# Colour profiles of cameras and editors are 0.5 KB to 600 KB; a larger one is an attack on the profile parser.
_MAX_PROFILE = 1 << 20
_SRGB = ImageCms.createProfile("sRGB")

# Encoders write 10 scans of a progressive photo, the most thorough some 30. libjpeg takes any number and goes over all pixels
# for each: a file of 10 MiB has room for 150,000 empty ones, ten minutes of a core.
MAX_SCANS = 100
# Cameras write some ten segments before the picture, a profile or a depth map some hundred. Pillow reads each by itself, and
# fill bytes between them one by one: seconds of a core, and an object each.
MAX_SEGMENTS, MAX_FILL = 2_000, 65_536
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xff]")
_START_OF_SCAN, _END_OF_IMAGE, _FILL = 0xDA, 0xD9, 0xFF
# Markers without a segment: TEM, and a second start of image.
_BARE = {0x01, 0xD8}

# Lanczos at the web size took half of a photo's time, and Hamming takes half of that. The thumbnail stays as sharp as can be: the
# classifier reads it, and its head knows pictures that were made so (by Bicubic 709 of 900 photographs are right, by this 716).
_FAST, _FINE = Image.Resampling.HAMMING, Image.Resampling.LANCZOS
# Decoded pixels are converted so many rows at a time: that costs a strip, not a second picture.
_STRIP = 256
# 40 megapixels were measured at 100 to 240 MB, WebP at 600 (libwebp keeps two canvases): one at a time per process.
_BIG_PIXELS = 8_000_000
_one_big = threading.Lock()


class ImageRefused(Exception):
    """The upload cannot be used: `code` in kebab-case, the message one sentence for the person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Copies(Struct, frozen=True):
    """Two JPEG copies of an upload, and what it was.

    `width` and `height` are the web size's pixels, `content_hash` the SHA-256 of the web size in hex (two uploads that
    differ in metadata alone share it), `format` the upload's own format.
    """

    web: bytes
    thumbnail: bytes
    width: int
    height: int
    content_hash: str
    format: str


def make_copies(data: bytes) -> Copies:
    """Check an upload and make its copies, or raise ImageRefused.

    Codes: `not-an-image`, `unsupported-format`, `too-many-pixels`, `image-broken`.
    """
    picture = _decode(data)
    # Colours come after the size: there are fewer pixels then.
    web = _turn(_to_srgb(_fit(picture.image, picture.size, _FAST), picture.profile), picture.orientation)
    web_bytes = _jpeg(web, quality=85)
    return Copies(
        web=web_bytes,
        thumbnail=_jpeg(_fit(web, _within(web.size, THUMBNAIL_SIDE), _FINE), quality=80),
        width=web.width,
        height=web.height,
        content_hash=hashlib.sha256(web_bytes).hexdigest(),
        format=picture.format,
    )


class _Picture(Struct, frozen=True):
    """Decoded pixels, near the web size, and what the copies need to know; `size` is the web size before it is turned."""

    image: Image.Image
    size: tuple[int, int]
    format: str
    orientation: int
    profile: bytes | None


def _decode(data: bytes) -> _Picture:
    opened = _open(data)
    with opened, _one_big if opened.width * opened.height > _BIG_PIXELS else nullcontext():
        try:
            profile = opened.info.get("icc_profile")
            return _Picture(
                size=_within(opened.size, WEB_SIDE),  # before it is shrunk, which rounds
                format=_NAMES[str(opened.format)],
                orientation=_orientation(opened),
                profile=profile if isinstance(profile, bytes) and len(profile) <= _MAX_PROFILE else None,
                image=_shrink(opened),
            )
        except _BOMB:
            raise _too_many_pixels() from None
        except _DAMAGE:
            raise ImageRefused("image-broken", "The photo is damaged or incomplete: upload it again.") from None


def _open(data: bytes) -> Image.Image:
    """Read the header alone. Nothing is decoded before its size is known to be allowed."""
    # Pillow makes a WebP's decoder, and its canvas, before anybody can ask for the size.
    if (size := _webp_size(data)) and size[0] * size[1] > MAX_WEBP_PIXELS:
        raise _too_many_pixels(MAX_WEBP_PIXELS)
    scans, segments, fill = _count_markers(data)
    if segments > MAX_SEGMENTS or fill > MAX_FILL:
        raise ImageRefused(
            "unsupported-format", "The photo holds too much beside its picture: save it again as a plain JPEG."
        )
    if scans > MAX_SCANS:
        raise ImageRefused(
            "unsupported-format", "The photo is stored in too many passes: save it again as a plain JPEG."
        )
    try:
        opened = Image.open(BytesIO(data), formats=_FORMATS)
    except _BOMB:
        raise _too_many_pixels() from None
    except UnidentifiedImageError:
        raise _unknown(data) from None
    except _DAMAGE:
        raise ImageRefused("image-broken", "The photo is damaged or incomplete: upload it again.") from None
    if opened.width * opened.height > MAX_PIXELS:
        raise _too_many_pixels()
    if opened.format != "MPO" and getattr(opened, "is_animated", False):
        raise ImageRefused("unsupported-format", "The file is animated: upload a single still photo.")
    return opened


def _count_markers(data: bytes) -> tuple[int, int, int]:
    """Scans, segments and fill bytes of a JPEG's first picture, by its markers (ITU T.81 §B.1); zeros for anything else.

    Counting ends where one of the limits is passed.
    """
    scans = segments = fill = 0
    if not data.startswith(b"\xff\xd8"):
        return 0, 0, 0
    position = 2
    # In a scan's own data FF is followed by 00 or a restart marker; segments are passed over by their length, for a
    # thumbnail or a profile may hold anything.
    while (found := _MARKER.search(data, position)) is not None:
        marker, position = data[found.end() - 1], found.end()
        if marker == _FILL:
            fill, position = fill + 1, position - 1
            if fill > MAX_FILL:
                break
            continue
        segments += 1
        if marker == _END_OF_IMAGE or scans > MAX_SCANS or segments > MAX_SEGMENTS:
            break
        scans += marker == _START_OF_SCAN
        if marker not in _BARE:
            position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return scans, segments, fill


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by a WebP file's first chunk (RFC 9649), None for anything else."""
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    chunk = data[12:16]
    if chunk == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


_OTHER_IMAGES = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"\x00\x00\x01\x00": "ICO",
    b"8BPS": "PSD",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
}
_SUPPORTED_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_ISO_BRANDS = {b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis"}


def _unknown(data: bytes) -> ImageRefused:
    """Why Pillow knew nothing of it: an image of another kind, a damaged one, or no image at all."""
    kind = next((name for start, name in _OTHER_IMAGES.items() if data.startswith(start)), None)
    if data[4:8] == b"ftyp" and data[8:12] in _ISO_BRANDS:
        kind = "HEIC or AVIF"
    if kind:
        return ImageRefused("unsupported-format", f"{kind} files can't be read: upload a JPEG, PNG or WebP photo.")
    if data.startswith(_SUPPORTED_STARTS) or _webp_size(data):
        return ImageRefused("image-broken", "The photo is damaged or incomplete: upload it again.")
    return ImageRefused("not-an-image", "The file is not an image: upload a JPEG, PNG or WebP photo.")


def _too_many_pixels(most: int = MAX_PIXELS) -> ImageRefused:
    return ImageRefused(
        "too-many-pixels", f"The photo has too many pixels: at most {most // 1_000_000} megapixels are taken."
    )


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(opened: Image.Image) -> int:
    """The EXIF orientation; 1 where EXIF is absent or unreadable (bad metadata does not justify refusing a photo)."""
    try:
        value = opened.getexif().get(0x0112, 1)
    except _DAMAGE:
        return 1
    return value if isinstance(value, int) else 1


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    # An orientation that there is not is none.
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _shrink(opened: Image.Image) -> Image.Image:
    """Decode, and bring to at most two and a half times the web size in plain L, RGB or CMYK; transparency goes onto white."""
    # libjpeg decodes at 1/2, 1/4 or 1/8 size for a fraction of time and memory; other formats take no notice.
    factor = _factor(opened)
    opened.draft(None, (max(1, opened.width // factor), max(1, opened.height // factor)))
    opened.load()
    factor = _factor(opened)
    width, height = opened.size
    mode = "CMYK" if opened.mode == "CMYK" else "L" if _is_grey(opened) else "RGB"
    if opened.mode == mode and not opened.has_transparency_data:
        return opened.reduce(factor) if factor > 1 else opened
    canvas = Image.new(mode, (-(-width // factor), -(-height // factor)))
    rows = _STRIP * factor
    for top in range(0, height, rows):
        strip = _plain(opened.crop((0, top, width, min(top + rows, height))), mode)
        canvas.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return canvas


def _factor(image: Image.Image) -> int:
    """The whole number to divide the sides by that leaves at least 1.25 times the web size for the last, fine step."""
    return max(1, max(image.size) * 4 // (5 * WEB_SIDE))


def _is_grey(image: Image.Image) -> bool:
    return image.mode in {"1", "L", "I;16"} and "transparency" not in image.info


def _plain(strip: Image.Image, mode: str) -> Image.Image:
    if strip.mode == "I;16":
        # A 16-bit grey PNG: convert("L") alone would clip every value above 255 to white.
        strip = strip.point(lambda value: value * (1 / 257)).convert("L")
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        ground = Image.new("RGB", strip.size, "white")
        ground.paste(strip, mask=strip.getchannel("A"))
        strip = ground
    return strip if strip.mode == mode else strip.convert(mode)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours as sRGB, so that dropping the profile changes nothing to the eye; unreadable profiles are passed over."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, *_DAMAGE):
            converted = None
        if converted is not None:
            return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height with the longest at most `side`, the other at least one pixel, however long and thin the picture is."""
    width, height = size
    scale = min(1.0, side / max(size))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _fit(image: Image.Image, size: tuple[int, int], filter_: Image.Resampling) -> Image.Image:
    """The whole picture in this size."""
    return image if image.size == size else image.resize(size, filter_, reducing_gap=2.0)


def _jpeg(image: Image.Image, *, quality: int) -> bytes:
    """The picture's pixels as a JPEG, and nothing that was beside them."""
    target = BytesIO()
    if isinstance(image, ImageFile.ImageFile):
        image = image.copy()  # a file knows its markers; what is made of it has `info` at most
    image.info = {}
    # Not progressive: that saves 2 % of the bytes, and every reader (the classifier too) decodes three times as long. Nor with
    # Huffman tables of its own, which save 2 % too: to find them takes as long as to write the picture.
    image.save(target, "JPEG", quality=quality)
    return target.getvalue()
