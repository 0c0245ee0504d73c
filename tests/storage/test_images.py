import hashlib
import warnings
from collections.abc import Callable
from functools import partial
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import JpegImageFile

from functions.storage import images
from functions.storage.images import MAX_PIXELS, THUMBNAIL_SIDE, WEB_SIDE, Copies, ImageRefused, make_copies
from tests.storage import photos


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def refusal(data: bytes) -> str:
    with pytest.raises(ImageRefused) as caught:
        make_copies(data)
    text = str(caught.value)
    assert text.endswith(".")
    assert text.count(". ") == 0, "one sentence"
    return caught.value.code


def corner(image: Image.Image, x: float, y: float) -> tuple[int, int, int]:
    pixel = image.getpixel((round(x * (image.width - 1)), round(y * (image.height - 1))))
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    return int(red), int(green), int(blue)


def is_red(pixel: tuple[int, int, int]) -> bool:
    return pixel[0] > 60 and pixel[2] < 40


def is_blue(pixel: tuple[int, int, int]) -> bool:
    return pixel[2] > 60 and pixel[0] < 40


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_photo_of_each_allowed_format_becomes_a_web_size_and_a_thumbnail(form: str) -> None:
    copies = make_copies(photos.encode(photos.picture(2400, 1800), form))
    web, thumbnail = opened(copies.web), opened(copies.thumbnail)
    assert web.format == thumbnail.format == "JPEG"
    assert (copies.width, copies.height) == web.size == (WEB_SIDE, 1200)
    assert thumbnail.size == (THUMBNAIL_SIDE, 300)
    assert copies.format == {"WEBP": "WebP"}.get(form, form)
    assert copies.content_hash == hashlib.sha256(copies.web).hexdigest()
    assert is_red(corner(web, 0.1, 0.5))
    assert is_blue(corner(web, 0.9, 0.5))


def test_a_small_photo_keeps_its_size() -> None:
    copies = make_copies(photos.encode(photos.picture(200, 100)))
    assert (copies.width, copies.height) == (200, 100)
    assert opened(copies.thumbnail).size == (200, 100)


def test_the_longest_and_thinnest_pictures_have_copies_too() -> None:
    for size in [(9000, 1), (1, 9000), (1, 1)]:
        copies = make_copies(photos.encode(photos.picture(*size), "PNG"))
        assert min(opened(copies.web).size) >= 1
        assert max(opened(copies.web).size) <= WEB_SIDE


def test_the_same_pixels_with_other_metadata_have_the_same_hash() -> None:
    plain, tagged = (
        make_copies(photos.encode(photos.picture(), "PNG")),
        make_copies(photos.encode(photos.picture(), "PNG", exif=photos.gps_exif())),
    )
    assert plain.content_hash == tagged.content_hash


@pytest.mark.parametrize(
    "make",
    [
        photos.jpeg_full_of_metadata,  # neither resized nor turned
        partial(photos.jpeg_full_of_metadata, 1, 1800, 40),
        partial(photos.jpeg_full_of_metadata, 1, 9000, 40),
        photos.png_full_of_metadata,
        photos.webp_full_of_metadata,
    ],
    ids=["jpeg", "jpeg resized", "jpeg reduced", "png", "webp"],
)
def test_no_metadata_and_no_position_survives(make: Callable[[], bytes]) -> None:
    data = make()
    assert photos.SECRET in data, "the test would prove nothing"
    assert opened(data).getexif().get_ifd(0x8825), "the upload holds a position"
    copies = make_copies(data)
    for copy in (copies.web, copies.thumbnail):
        assert photos.SECRET not in copy
        for mark in (b"Exif", b"http://ns.adobe.com", b"Photoshop", b"8BIM", b"ICC_PROFILE", b"xmp", b"PK\x03\x04"):
            assert mark not in copy
        image = opened(copy)
        assert not image.getexif()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"}
        assert {name for name, _ in image.applist} <= {"APP0"}  # type: ignore[attr-defined]  # only a JPEG's class has it
        assert copy.endswith(b"\xff\xd9")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_the_camera_is_applied(orientation: int) -> None:
    upright = photos.picture(64, 48)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    web = opened(make_copies(photos.encode(stored, quality=95, exif=photos.gps_exif(orientation))).web)
    assert web.size == (64, 48)
    assert is_red(corner(web, 0.1, 0.1))
    assert is_blue(corner(web, 0.9, 0.1))
    assert corner(web, 0.1, 0.05)[0] > corner(web, 0.1, 0.95)[0] + 60, "the bright side is up"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_unreadable_exif_is_no_reason_to_refuse_a_photo() -> None:
    data = photos.encode(photos.picture(), exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff\x01\x12")
    assert make_copies(data).width == 640


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_there_is_not_is_none(orientation: int) -> None:
    web = opened(make_copies(photos.encode(photos.picture(64, 48), exif=photos.gps_exif(orientation))).web)
    assert web.size == (64, 48)
    assert is_red(corner(web, 0.1, 0.1))


def swapping(size: int = 0) -> bytes:
    """The sRGB profile with its red and blue columns exchanged: whoever reads it swaps the two colours."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"tmp_").replace(b"bXYZ", b"rXYZ").replace(b"tmp_", b"bXYZ").ljust(size, b"\0")


def test_a_wide_gamut_profile_is_converted_and_not_just_dropped() -> None:
    web = opened(make_copies(photos.encode(photos.picture(), "PNG", icc_profile=swapping())).web)
    assert is_blue(corner(web, 0.1, 0.1))
    assert "icc_profile" not in web.info


def test_a_profile_of_more_than_a_mebibyte_is_not_read() -> None:
    for size, is_right in ((1 << 20, is_blue), ((1 << 20) + 1, is_red)):
        photo = photos.encode(photos.picture(64, 48), "JPEG", icc_profile=swapping(size))
        assert is_right(corner(opened(make_copies(photo).web), 0.1, 0.1))


def test_copies_are_as_fine_as_their_size_needs() -> None:
    copies = make_copies(photos.encode(photos.picture(), "PNG"))
    for copy, quality in ((copies.web, 85), (copies.thumbnail, 80)):
        alike = Image.open(BytesIO(photos.encode(photos.picture(), "JPEG", quality=quality)))
        assert isinstance(alike, JpegImageFile)
        found = Image.open(BytesIO(copy))
        assert isinstance(found, JpegImageFile)
        assert found.quantization == alike.quantization


OF_ANOTHER_SPACE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize(
    "profile",
    [b"no profile", b"\x00" * 200, b"A" * (2 << 20), OF_ANOTHER_SPACE],
    ids=["short", "zeros", "giant", "of another space"],
)
def test_a_broken_or_giant_colour_profile_is_passed_over(profile: bytes) -> None:
    web = opened(make_copies(photos.encode(photos.picture(), "JPEG", icc_profile=profile)).web)
    assert is_red(corner(web, 0.1, 0.1))


def test_transparency_is_put_on_white() -> None:
    image = photos.picture().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    for form in ("PNG", "WEBP"):
        assert corner(opened(make_copies(photos.encode(image, form)).web), 0.5, 0.5) == (255, 255, 255)


def test_a_palette_with_transparency_is_put_on_white() -> None:
    image = photos.picture().quantize(8)
    web = opened(make_copies(photos.encode(image, "PNG", transparency=bytes(8))).web)
    assert corner(web, 0.5, 0.5) == (255, 255, 255)


def test_a_grey_picture_of_16_bits_keeps_its_tones() -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))
    web = opened(make_copies(photos.encode(Image.fromarray(ramp), "PNG")).web)
    assert corner(web, 0.5, 0.5)[0] == pytest.approx(127, abs=3)
    assert corner(web, 0.0, 0.5)[0] < 5
    assert corner(web, 1.0, 0.5)[0] > 250


def test_a_16_bit_grey_png_with_a_transparent_value_is_read() -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))
    assert make_copies(photos.encode(Image.fromarray(ramp), "PNG", transparency=65535)).width == 256


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr"])
def test_every_colour_mode_is_read(mode: str) -> None:
    form = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"
    web = opened(make_copies(photos.encode(photos.picture().convert(mode), form)).web)
    assert web.mode == "RGB"
    if mode in {"CMYK", "P", "YCbCr"}:
        assert is_red(corner(web, 0.1, 0.1))


def test_a_large_photo_is_shrunk_without_seams() -> None:
    y, x = np.mgrid[0:5000, 0:6000]
    ramp = Image.fromarray(np.stack([x * 255 // 5999, y * 255 // 4999, x * 0], -1).astype(np.uint8), "RGB")
    for form in ("JPEG", "PNG"):
        web = np.asarray(opened(make_copies(photos.encode(ramp, form)).web)).astype(int)
        assert web.shape == (1333, 1600, 3)
        assert np.abs(np.diff(web[:, :, 1].mean(axis=1))).max() < 2, "rows follow each other smoothly"
        assert np.abs(np.diff(web[:, :, 0].mean(axis=0))).max() < 2


@pytest.mark.parametrize(
    "data",
    [
        photos.png_bomb(50_000, 50_000),
        photos.png_bomb(8000, 5001),
        photos.webp_header(16_383, 16_383),
        photos.webp_header(8000, 5001),
        photos.jpeg_header(65_000, 65_000),
        photos.jpeg_header(8000, 5001),
    ],
    ids=["png-bomb", "png", "webp-bomb", "webp", "jpeg-bomb", "jpeg"],
)
def test_more_than_40_megapixels_are_refused_by_the_header(data: bytes) -> None:
    assert MAX_PIXELS == 8000 * 5000
    assert refusal(data) == "too-many-pixels"
    with warnings.catch_warnings(action="ignore"):  # as in production, where a warning of Pillow's ends nothing
        assert refusal(data) == "too-many-pixels"


def test_exactly_40_megapixels_are_taken() -> None:
    image = Image.new("1", (8000, 5000), 1)
    assert make_copies(photos.encode(image, "PNG")).width == WEB_SIDE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"hello" * 100,
        b"%PDF-1.7 " + b"0" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\x00" * 5000,
    ],
    ids=["empty", "letter", "text", "pdf", "svg", "zeros"],
)
def test_what_is_no_image_is_said_to_be_none(data: bytes) -> None:
    assert refusal(data) == "not-an-image"


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "ICO", "AVIF"])
def test_other_kinds_of_image_are_named(form: str) -> None:
    image = photos.picture(64, 64)
    try:
        data = photos.encode(image, form)
    except (KeyError, OSError):  # a Pillow without that encoder
        data = b"\x00\x00\x00\x1cftypavif" + b"\x00" * 64
    assert refusal(data) == "unsupported-format"


def test_an_executable_that_calls_itself_jpeg_is_no_image() -> None:
    assert refusal(b"\x7fELF" + b"JFIF" * 50) == "not-an-image"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_a_cut_file_is_broken(form: str, part: float) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 300, 3), dtype=np.uint8), "RGB")
    data = photos.encode(noise, form)
    assert refusal(data[: max(12, int(len(data) * part))]) in {"image-broken", "not-an-image"}


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_an_animation_is_refused(form: str) -> None:
    frames = [photos.picture(64, 64), photos.picture(64, 64).transpose(Image.Transpose.ROTATE_180)]
    data = photos.encode(frames[0], form, save_all=True, append_images=frames[1:], duration=100)
    assert refusal(data) == "unsupported-format"


def test_the_first_picture_of_a_multi_picture_jpeg_is_the_photo() -> None:
    first, second = photos.picture(), Image.new("RGB", (640, 480), "green")
    data = photos.encode(first, "MPO", save_all=True, append_images=[second])
    copies = make_copies(data)
    assert copies.format == "JPEG"
    assert is_red(corner(opened(copies.web), 0.1, 0.1))


def test_giant_text_chunks_are_refused_without_being_unpacked() -> None:
    import zlib

    body = b"Comment\x00\x00" + zlib.compress(b"a" * (200 << 20), 9)
    data = photos.encode(photos.picture(), "PNG")
    bomb = data[:33] + photos.png_chunk(b"zTXt", body) + data[33:]
    assert refusal(bomb) == "image-broken"


def test_a_jpeg_of_more_scans_than_any_encoder_writes_is_refused_before_it_is_decoded() -> None:
    assert make_copies(photos.jpeg_of_scans(50)).width == 64
    assert refusal(photos.jpeg_of_scans(150)) == "unsupported-format"
    # What looks like a scan inside a comment is none, and neither is anything behind the end.
    assert make_copies(photos.jpeg_of_scans(0, comment=b"\xff\xda\x00\x02" * 1000)).width == 64
    for behind in (b"", bytes(8)):
        assert make_copies(photos.encode(photos.picture()) + behind + photos.jpeg_of_scans(150)).width == 640
    assert images._count_markers(photos.jpeg_of_scans(150))[0] == images.MAX_SCANS + 1, (
        "no more are counted than matter"
    )


def test_a_file_that_is_a_zip_as_well_keeps_only_the_picture() -> None:
    import zipfile

    target = BytesIO()
    target.write(photos.encode(photos.picture()))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("payload.html", photos.SECRET)
    copies = make_copies(target.getvalue())
    assert not zipfile.is_zipfile(BytesIO(copies.web))
    assert photos.SECRET not in copies.web


def test_damage_anywhere_ends_in_a_refusal_or_a_picture() -> None:
    import random
    import warnings

    chance = random.Random(7)
    small = photos.picture(60, 40)
    sources = [
        photos.encode(small, exif=photos.gps_exif(6)),
        photos.encode(small, progressive=True),
        photos.encode(small.convert("CMYK")),
        photos.encode(small, "PNG", exif=photos.gps_exif()),
        photos.encode(small.convert("P"), "PNG"),
        photos.encode(small, "WEBP", exif=photos.gps_exif()),
    ]
    seen: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow's word about unreadable EXIF
        for _ in range(1500):
            data = bytearray(chance.choice(sources))
            for _ in range(chance.choice([1, 2, 8])):
                data[chance.randrange(min(len(data), chance.choice([40, 400, 10_000])))] = chance.randrange(256)
            if chance.random() < 0.2:
                del data[chance.randrange(len(data)) :]
            try:
                assert isinstance(make_copies(bytes(data)), Copies)
                seen.add("taken")
            except ImageRefused as refused:
                seen.add(refused.code)
    assert {"taken", "image-broken", "not-an-image"} <= seen


@pytest.mark.parametrize("size", [(4800, 1), (7200, 2), (1, 4800), (16_000, 1), (16_383, 3), (2401, 1)])
def test_a_thread_of_a_picture_keeps_a_side_of_one_pixel(size: tuple[int, int]) -> None:
    content = BytesIO()
    Image.new("RGB", size, (9, 99, 9)).save(content, "JPEG")
    copies = make_copies(content.getvalue())
    assert min(copies.width, copies.height) == 1
    assert max(copies.width, copies.height) == min(max(size), WEB_SIDE)


@pytest.mark.parametrize(
    "beside",
    [b"\xff\xe5\x00\x02" * 3000, b"\xff\xfe\x00\x03." * 3000, b"\xff" * 80_000],
    ids=["segments", "comments", "fill"],
)
def test_what_costs_seconds_before_the_picture_is_refused_and_a_camera_s_share_is_not(beside: bytes) -> None:
    content = photos.encode(photos.picture())
    assert refusal(content[:2] + beside + content[2:]) == "unsupported-format"
    assert make_copies(content[:2] + beside[: len(beside) // 3] + content[2:]).width == 640


@pytest.mark.parametrize(("limit", "place"), [("MAX_SCANS", 0), ("MAX_SEGMENTS", 1), ("MAX_FILL", 2)])
def test_as_many_markers_as_are_allowed_are_taken_and_not_one_more(
    monkeypatch: pytest.MonkeyPatch, limit: str, place: int
) -> None:
    photo = photos.encode(photos.picture(64, 48), progressive=True)
    photo = photo[:2] + b"\xff\xff\xff" + photo[2:]
    there = images._count_markers(photo)[place]
    assert there > 1
    monkeypatch.setattr(images, limit, there)
    assert make_copies(photo).width == 64
    monkeypatch.setattr(images, limit, there - 1)
    assert refusal(photo) == "unsupported-format"


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_photo_of_as_many_pixels_as_are_allowed_is_taken(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 64 * 48)
    assert make_copies(photos.encode(photos.picture(64, 48), form)).width == 64
    assert refusal(photos.encode(photos.picture(64, 49), form)) == "too-many-pixels"


def test_a_webp_is_refused_by_the_memory_that_its_decoder_would_take() -> None:
    assert refusal(photos.webp_header(16_383, 2441)) == "too-many-pixels"


def test_large_photos_are_decoded_one_at_a_time_and_small_ones_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    class Counted:
        def __enter__(self) -> None:
            taken.append("large")

        def __exit__(self, *_: object) -> None:
            taken.append("done")

    monkeypatch.setattr(images, "_one_big", Counted())
    monkeypatch.setattr(images, "_BIG_PIXELS", 64 * 48)
    make_copies(photos.encode(photos.picture(64, 48)))
    assert taken == []
    make_copies(photos.encode(photos.picture(64, 49)))
    assert taken == ["large", "done"]


def test_a_webp_of_as_many_pixels_as_are_allowed_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_WEBP_PIXELS", 64 * 48)
    assert make_copies(photos.encode(photos.picture(64, 48), "WEBP")).width == 64
    assert refusal(photos.encode(photos.picture(64, 49), "WEBP")) == "too-many-pixels"


@pytest.mark.parametrize("size", [(1, 1), (17, 3), (300, 2), (2, 5000), (16383, 1), (1, 16383)])
@pytest.mark.parametrize("kind", ["lossy", "lossless", "with transparency"])
def test_a_webp_s_size_is_read_as_its_decoder_reads_it(size: tuple[int, int], kind: str) -> None:
    out = BytesIO()
    picture = Image.new("RGBA" if kind == "with transparency" else "RGB", size, (10, 20, 30))
    # A picture's profile makes the extended form, whose size stands elsewhere.
    more = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()} if "with" in kind else {}
    picture.save(out, "WEBP", lossless=kind == "lossless", **more)
    assert images._webp_size(out.getvalue()) == opened(out.getvalue()).size == size


@pytest.mark.parametrize(
    ("start", "code"),
    [
        (b"\0\0\0\x18ftypheic", "unsupported-format"),
        (b"\0\0\0\x18ftypavif", "unsupported-format"),
        (b"\0\0\0\x18ftypisom", "not-an-image"),  # a film
        (b"\0\0\0\x18abcdheic", "not-an-image"),
        (b"\0\0\0\x18ftyp", "not-an-image"),
    ],
)
def test_of_files_in_boxes_only_pictures_are_called_pictures(start: bytes, code: str) -> None:
    with pytest.raises(ImageRefused) as refused:
        make_copies(start + bytes(64))
    assert refused.value.code == code
