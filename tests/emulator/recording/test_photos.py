"""What a camera writes beside the picture goes; the picture stays to the bit."""

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
