"""Photographs without what a camera writes into them: positions, names, comments. The picture stays as it is, to the bit.

What goes is overwritten by zeros in its place, so that the file keeps its size and every offset in it: segments of JPEG (ITU-T
T.81), chunks of PNG, with their check sums, and of WebP. The orientation is kept: without it the picture would lie on its side.
"""

import struct
import zlib

_EXIF = b"Exif\x00\x00"
_PNG = b"\x89PNG\r\n\x1a\n"
# Chunks of a PNG that make the picture; all others that may be left out are.
_PNG_KEPT = {
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"gAMA",
    b"cHRM",
    b"sRGB",
    b"iCCP",
    b"sBIT",
    b"acTL",
    b"fcTL",
    b"fdAT",
}
_ORIENTATION = 0x0112


def without_metadata(content: bytes) -> bytes:
    """The same picture, of the same size in bytes; what is no picture of these kinds comes back as it is."""
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    if content.startswith(_PNG):
        return _png(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp(content)
    return content


def is_picture(content: bytes) -> bool:
    return content.startswith((b"\xff\xd8", _PNG)) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")


def _jpeg(content: bytes) -> bytes:
    out, at = bytearray(content), 2
    while at + 4 <= len(out) and out[at] == 0xFF:
        marker = out[at + 1]
        if marker == 0xFF:  # a byte that fills up
            at += 1
            continue
        if marker == 0xD9:
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        end = at + 2 + int.from_bytes(out[at + 2 : at + 4])
        if end > len(out):
            break
        if marker == 0xE1 and out[at + 4 : at + 10] == _EXIF:
            out[at + 10 : end] = _exif(bytes(out[at + 10 : end]))
        elif marker == 0xFE or (0xE1 <= marker <= 0xEF and marker not in (0xE2, 0xEE)):  # not colours (ICC, Adobe)
            out[at + 4 : end] = bytes(end - at - 4)
        if marker == 0xDA:
            end = _end_of_scan(out, end)
        at = end
    end = bytes(out).rfind(b"\xff\xd9") if at >= len(out) else at
    after = end + 2 if end >= 0 and out[end : end + 2] == b"\xff\xd9" else len(out)
    out[after:] = bytes(len(out) - after)  # what telephones append: another picture, a film
    return bytes(out)


def _end_of_scan(content: bytearray, at: int) -> int:
    """Where the next marker is: in a scan's data 0xFF is followed by 0 or by a restart."""
    while (at := content.find(b"\xff", at)) >= 0 and at + 1 < len(content):
        if content[at + 1] != 0 and not 0xD0 <= content[at + 1] <= 0xD7:
            return at
        at += 2
    return len(content)


def _png(content: bytes) -> bytes:
    out, at = bytearray(content), 8
    while at + 12 <= len(out):
        length, kind = int.from_bytes(out[at : at + 4]), bytes(out[at + 4 : at + 8])
        end = at + 8 + length
        if end + 4 > len(out):
            break
        if kind == b"eXIf":
            out[at + 8 : end] = _exif(bytes(out[at + 8 : end]))
        elif kind not in _PNG_KEPT:
            out[at + 4 : at + 8] = b"zeRo"  # private, and safe to leave out: a reader passes it by
            out[at + 8 : end] = bytes(length)
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4)
        at = end + 4
        if kind == b"IEND":
            break
    out[at:] = bytes(len(out) - at)
    return bytes(out)


def _webp(content: bytes) -> bytes:
    out, at = bytearray(content), 12
    while at + 8 <= len(out):
        kind, length = bytes(out[at : at + 4]), int.from_bytes(out[at + 4 : at + 8], "little")
        end = at + 8 + length
        if end > len(out):
            break
        if kind == b"EXIF":
            skip = 6 if out[at + 8 : at + 14] == _EXIF else 0
            out[at + 8 + skip : end] = _exif(bytes(out[at + 8 + skip : end]))
        elif kind == b"XMP ":
            out[at + 8 : end] = bytes(length)
        at = end + length % 2
    return bytes(out)


def _exif(tiff: bytes) -> bytes:
    """As long as before, with the orientation alone in it."""
    kept = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, _ORIENTATION, 3, 1, _orientation(tiff), 0, 0)
    return kept + bytes(len(tiff) - len(kept)) if len(tiff) >= len(kept) else bytes(len(tiff))


def _orientation(tiff: bytes) -> int:
    """The first directory's orientation; 1 (as it is) where there is none."""
    order = {b"MM": ">", b"II": "<"}.get(tiff[:2])
    try:
        assert order is not None
        (first,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, first)
        for number in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, first + 2 + 12 * number)
            if tag == _ORIENTATION and 1 <= value <= 8:
                return int(value)
    except (struct.error, AssertionError):
        pass
    return 1
