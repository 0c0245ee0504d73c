"""What a camera writes beside the picture goes; the picture stays to the bit."""

import struct
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageOps, PngImagePlugin

from emulator.recording.photos import is_picture, without_metadata
from tests.emulator.recording.scenes import photo_with_position

SECRETS = (b"Kim Mina", b"Telephone", b"mina at home", b"<x:xmpmeta", b"after the end")
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>Kim Mina</x:xmpmeta>"


def made(form: str, **options: Any) -> bytes:
    image = Image.linear_gradient("L").convert("RGB").resize((61, 47))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x013B] = 6, "Telephone", "Kim Mina"
    exif.get_ifd(0x8825).update({1: "N", 2: (37.0, 33.0, 59.4), 3: "E", 4: (126.0, 54.0, 6.48)})
    out = BytesIO()
    image.save(out, form, exif=exif, **options)
    return out.getvalue()


def text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "Kim Mina")
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


CASES = {
    "jpeg": lambda: made("JPEG", comment=b"mina at home", xmp=XMP) + b"after the end",
    "progressive": lambda: made("JPEG", progressive=True, comment=b"mina at home"),
    "png": lambda: made("PNG", pnginfo=text()) + b"after the end",
    "webp": lambda: made("WEBP", xmp=XMP, lossless=True),
    "telephone": photo_with_position,
}


@pytest.mark.parametrize("case", CASES)
def test_metadata_goes_and_the_picture_stays(case: str) -> None:
    content = CASES[case]()
    clean = without_metadata(content)
    assert len(clean) == len(content)
    assert any(secret in content for secret in SECRETS)
    assert not any(secret in clean for secret in SECRETS)
    was, now = Image.open(BytesIO(content)), Image.open(BytesIO(clean))
    assert was.tobytes() == now.tobytes()
    assert dict(now.getexif()) == {0x0112: 6}
    assert not now.getexif().get_ifd(0x8825), "no position"
    assert ImageOps.exif_transpose(now).size == ImageOps.exif_transpose(was).size != was.size


@pytest.mark.parametrize("case", CASES)
def test_what_was_cleaned_is_clean(case: str) -> None:
    clean = without_metadata(CASES[case]())
    assert without_metadata(clean) == clean


@pytest.mark.parametrize("case", CASES)
def test_a_photograph_cut_short_is_cleaned_as_far_as_it_goes(case: str) -> None:
    content = CASES[case]()
    for end in range(0, len(content), max(1, len(content) // 40)):
        assert len(without_metadata(content[:end])) == end


def test_what_is_no_picture_is_left_alone() -> None:
    for content in (b"", b"\xff", b"RIFF....WAVE", b"GIF89a", b"Kim Mina"):
        assert not is_picture(content)
        assert without_metadata(content) == content
    for content in (b"RIFF....WAVEWEBP", b"RIFX....WEBPEXIF\x01\x00\x00\x00x"):
        assert not is_picture(content)
        assert without_metadata(content) == content
    assert all(is_picture(CASES[case]()) for case in CASES)


def segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2) + payload


START, END = b"\xff\xd8", b"\xff\xd9"
MINE, GONE = segment(0xFE, b"Kim Mina"), segment(0xFE, bytes(8))
# A scan's data: 0xFF itself, and a restart.
SCAN = segment(0xDA, b"scan") + b"a\xff\x00b\xff\xd3c"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (MINE, GONE),  # the last bytes of a file that was cut off
        (MINE + END, GONE + END),
        (b"\xff" + MINE + END, b"\xff" + GONE + END),
        (b"\xff\x01\xff\xd0\xff\xd7" + MINE + END, b"\xff\x01\xff\xd0\xff\xd7" + GONE + END),
        (SCAN + MINE + SCAN + END + b"another", SCAN + GONE + SCAN + END + bytes(7)),
        (segment(0xE3, b"maker") + END, segment(0xE3, bytes(5)) + END),
        (segment(0xEF, b"maker") + END, segment(0xEF, bytes(5)) + END),
        (segment(0xE1, b"XMP") + END, segment(0xE1, bytes(3)) + END),
        # How colours are meant stays, and so does what is no segment.
        (segment(0xE0, b"JFIF") + END, None),
        (segment(0xE2, b"Exif\x00\x00" + b"ICC" * 20) + END, None),
        (segment(0xEE, b"Adobe") + END, None),
        (segment(0xDB, b"table") + END, None),
        (b"a\xfe\x00\x06kept", None),
        (b"\xff\xfe\x00\x60longer than there is", None),
    ],
)
def test_of_a_jpeg_what_tells_of_people_goes_wherever_it_is(was: bytes, now: bytes | None) -> None:
    assert without_metadata(START + was) == START + (was if now is None else now)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        ([(0x0112, 6)], 6),
        ([(0x0112, 1)], 1),
        ([(0x0112, 8)], 8),
        ([(0x0112, 0)], 1),
        ([(0x0112, 9)], 1),
        ([(0x0100, 5), (0x0112, 3)], 3),
        ([(0x0100, 5)], 1),
        ([], 1),
    ],
)
def test_of_what_a_camera_wrote_the_orientation_is_kept_where_it_is_one(
    order: str, entries: list[tuple[int, int]], kept: int
) -> None:
    tiff = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(entries))
    tiff += b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in entries) + b"Kim Mina" * 5
    clean = without_metadata(START + segment(0xE1, b"Exif\x00\x00" + tiff) + END)
    assert b"Kim" not in clean
    # Its one entry, in the other order of bytes: after the marker, the length, the name and the head of eight bytes.
    assert struct.unpack_from(">HHHIH", clean, 2 + 4 + 6 + 8) == (1, 0x0112, 3, 1, kept)
    short = without_metadata(START + segment(0xE1, b"Exif\x00\x00" + tiff[:20]) + END)
    assert short == START + segment(0xE1, b"Exif\x00\x00" + bytes(20)) + END, "what has no room for it is left empty"
