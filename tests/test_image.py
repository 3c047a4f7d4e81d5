import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, TiffImagePlugin

from ocrformer.batching import collate, padded_width
from ocrformer.image import MIN_WIDTH, PAPER, ImageError, load, load_pages, prepare, prepare_whole
from ocrformer.lighting import evened


def drawing(mode: str = "L", ink: object = 0, paper: object = 255) -> Image.Image:
    image = Image.new(mode, (90, 24), paper)
    ImageDraw.Draw(image).text((6, 4), "Text 123", fill=ink)
    return image


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


REFERENCE = np.asarray(drawing())


def deep(factor: int) -> Image.Image:
    return Image.fromarray(REFERENCE.astype(np.uint16) * factor)


def with_alpha() -> Image.Image:
    image = Image.new("RGBA", (90, 24), (0, 0, 0, 0))  # transparent black paper
    ImageDraw.Draw(image).text((6, 4), "Text 123", fill=(0, 0, 0, 255))
    return image


def palette_with_transparency() -> bytes:
    image = drawing().convert("P")
    return encoded(image, transparency=255)


CASES = {
    "grey": encoded(drawing()),
    "rgb": encoded(drawing("RGB", (0, 0, 0), (255, 255, 255))),
    "1-bit": encoded(drawing().convert("1", dither=Image.Dither.NONE)),
    "palette": encoded(drawing().convert("P")),
    "transparent palette": palette_with_transparency(),
    "alpha on white": encoded(with_alpha()),
    "grey with alpha": encoded(drawing().convert("LA")),
    "16 bit": encoded(deep(257)),
    "16 bit tiff": encoded(deep(257), "TIFF"),
    "cmyk": encoded(drawing("RGB", (0, 0, 0), (255, 255, 255)).convert("CMYK"), "TIFF"),
    "float": encoded(Image.fromarray(REFERENCE.astype(np.float32) / 255), "TIFF"),
    "bmp": encoded(drawing(), "BMP"),
    "webp": encoded(drawing("RGB", (0, 0, 0), (255, 255, 255)), "WEBP", lossless=True),
    "gif": encoded(drawing(), "GIF"),
    "first of several frames": encoded(
        drawing(), "TIFF", save_all=True, append_images=[Image.new("L", (90, 24), 0)] * 2
    ),
    "ppm": encoded(drawing(), "PPM"),
}


@pytest.mark.parametrize("data", CASES.values(), ids=CASES.keys())
def test_every_kind_of_picture_gives_the_same_grey(data):
    got = load(data)
    assert got.dtype == np.uint8
    bilevel = (got > 127) == (REFERENCE > 127)  # text antialiasing aside, the picture is black and white
    assert bilevel.mean() > 0.995


def test_exif_rotation_is_honoured():
    sideways = drawing().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 270 to display
    assert load(encoded(sideways, "JPEG", exif=exif, quality=95)).shape == REFERENCE.shape


@pytest.mark.parametrize(
    "array",
    [
        REFERENCE,
        REFERENCE[:, :, None],
        np.repeat(REFERENCE[:, :, None], 3, axis=2),
        REFERENCE > 127,
        REFERENCE.astype(np.uint16) * 257,
        REFERENCE.astype(np.float64) / 255,
        np.dstack([np.zeros_like(REFERENCE)] * 3 + [255 - REFERENCE]),
        (REFERENCE > 127).astype(np.uint8),
    ],
    ids=["grey", "one channel", "rgb", "bool", "16 bit", "float", "alpha", "mask"],
)
def test_arrays_are_taken_too(array):
    assert ((load(array) > 127) == (REFERENCE > 127)).mean() > 0.995


def test_paths_with_any_letters(tmp_path):
    path = tmp_path / "줄 naïve ①.png"
    drawing().save(path)
    assert np.array_equal(load(path), REFERENCE)
    assert np.array_equal(load(str(path)), REFERENCE)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"hello, no picture here", "not an image"),
        (encoded(drawing())[:100], "damaged or truncated"),
        (encoded(drawing("RGB", 0, "white"), "JPEG")[:300], "damaged or truncated"),
        ("/nowhere/line.png", "cannot open"),
        (np.zeros((3, 3, 3, 3), np.uint8), "shape"),
        (np.zeros((0, 3), np.uint8), "shape"),
        (np.array([["a"]]), "dtype"),
    ],
)
def test_what_is_no_picture_gets_one_sentence(source, says):
    with pytest.raises(ImageError, match=says) as caught:
        load(source)
    assert "\n" not in str(caught.value)


def test_transparent_grey_of_16_bits_is_white():
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 30_000]], np.uint16)).save(buffer, "PNG", transparency=0)
    assert load(buffer.getvalue()).tolist() == [[255, 116]]


def test_size_is_checked_before_decoding():
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def bomb(side: int) -> bytes:
        header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"never inflated")

    with pytest.raises(ImageError, match="9000 x 9000 pixels are more than the limit of 64,000,000"):
        load(bomb(9_000))
    with pytest.raises(ImageError, match="more pixels than the limit"):
        load(bomb(60_000))
    with pytest.raises(ImageError, match="limit of 100"):
        load(REFERENCE, max_pixels=100)


def test_polarity_does_not_matter():
    dark = prepare(load(drawing()), 32)
    light = prepare(load(drawing(ink=255, paper=0)), 32)
    assert np.abs(dark.astype(int) - light.astype(int)).max() <= 2


def test_shadows_are_lifted_and_even_lines_left_alone():
    wide = Image.new("L", (600, 32), 235)
    ImageDraw.Draw(wide).text((6, 6), "A line of text that a shadow falls upon, " * 3, fill=30)
    even = np.asarray(wide)
    assert evened(even) is even and evened(255 - even).tobytes() == (255 - even).tobytes()
    light = 0.35 + 0.65 / (1 + np.exp(-(np.arange(600) - 300) / 12))
    shadowed = (even * light).astype(np.uint8)
    lifted = evened(shadowed).astype(int)
    assert np.abs(lifted - even).mean() < 4 < np.abs(shadowed.astype(int) - even).mean()
    dark = (255 - even).astype(float) * light
    assert evened(dark.astype(np.uint8)).tobytes() == dark.astype(np.uint8).tobytes()


def test_faint_ink_is_brought_to_full_strength_but_noise_is_not():
    faint = prepare(load(drawing(ink=160, paper=230)), 32)
    assert faint.max() == 255
    noise = np.random.default_rng(0).integers(250, 256, (32, 200)).astype(np.uint8)
    assert abs(prepare(noise, 32).astype(int) - PAPER).max() < 32


def test_height_is_fixed_and_aspect_kept():
    assert prepare(REFERENCE[5:19], 28).shape == (28, 180)
    assert prepare(REFERENCE[5:19], 42).shape == (42, 270)
    assert prepare(np.full((100, 3), 255, np.uint8), 32).shape == (32, MIN_WIDTH)


def test_absurdly_wide_pictures_are_refused():
    with pytest.raises(ImageError, match="too wide"):
        prepare(np.full((2, 5000), 255, np.uint8), 32)


@given(st.integers(1, 5000))
def test_padded_width_is_wide_enough_and_not_wasteful(width):
    padded = padded_width(width)
    assert padded >= width
    assert padded % 4 == 0
    assert padded <= max(width * 9 / 8 + 1, width + 16)


def test_collate_pads_with_paper():
    batch, widths = collate([np.full((32, 20), 255, np.uint8), np.full((32, 30), 255, np.uint8)], 40)
    assert batch.shape == (2, 1, 32, 40)
    assert widths.tolist() == [20, 30]
    assert (batch[0, 0, :, 20:] == PAPER).all()


def test_a_thousand_mutated_files_give_a_line_or_one_sentence():
    rng = np.random.default_rng(1)
    originals = list(CASES.values())
    for round_ in range(1000):
        data = bytearray(originals[round_ % len(originals)])
        for _ in range(rng.integers(1, 12)):
            data[rng.integers(len(data))] = rng.integers(256)
        if round_ % 3 == 0:
            data = data[: rng.integers(1, len(data))]
        try:
            line = prepare(load(bytes(data)), 32)
        except ImageError as error:
            assert "\n" not in str(error)
        else:
            assert line.shape[0] == 32


@pytest.mark.parametrize("size", [(0, 0), (0, 10), (10, 0)])
def test_pictures_without_pixels_are_refused(size):
    with pytest.raises(ImageError, match="shows nothing"):
        load(Image.new("L", size))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_white_lettering_without_a_ground_is_put_on_black(mode):
    ground, ink = ((255, 255, 255, 0), (255, 255, 255, 255)) if mode == "RGBA" else ((255, 0), (255, 255))
    page = Image.new(mode, (90, 24), ground)
    ImageDraw.Draw(page).text((4, 4), "white", fill=ink)
    grey = load(page)
    assert grey[0, 0] == 0 and grey.max() > 240 and load(Image.new(mode, (9, 9), ground)).min() == 255


def test_thumbnails_in_a_tiff_are_no_pages(tmp_path):
    page, buffer = drawing(), io.BytesIO()
    thumbnail = TiffImagePlugin.ImageFileDirectory_v2()
    thumbnail[254] = 1
    with TiffImagePlugin.AppendingTiffWriter(buffer, True) as file:
        for picture, tags in ((page, None), (page.resize((20, 6)), thumbnail), (page.crop((0, 0, 50, 20)), None)):
            picture.save(file, "TIFF", **({"tiffinfo": tags} if tags else {}))
            file.newFrame()
        data = buffer.getvalue()
    assert [grey.shape for grey in load_pages(data)] == [(page.height, page.width), (20, 50)]
    assert next(load_pages(data, first=1)).shape == (20, 50)


def test_jpegs_of_many_scans_are_refused():
    """Each takes as long as a picture, and hundreds fit into a small file."""
    data = encoded(drawing(), "JPEG", progressive=True)
    load(data)
    with pytest.raises(ImageError, match="a JPEG of more than 100 scans"):
        load(data[:-2] + b"\xff\xda\0\x08" * 100)
    load(data + b"\xff\xda" * 200)  # a film that follows holds the marker too


def test_photos_of_telephones_are_named():
    with pytest.raises(ImageError, match=r"photo\.heic: HEIC is not supported; convert it to JPEG or PNG first"):
        load(b"\0\0\0\x18ftypheic\0\0\0\0", name="photo.heic")


def test_colours_of_equal_lightness_are_told_apart():
    page = Image.new("RGB", (90, 24), (76, 76, 76))
    ImageDraw.Draw(page).text((4, 4), "red", fill=(255, 0, 0))
    assert np.ptp(np.asarray(page.convert("L"))) < 10 and np.ptp(load(page)) > 150
    tinted = Image.new("RGB", (90, 24), (250, 240, 200))
    assert np.array_equal(load(tinted), np.asarray(tinted.convert("L")))


def test_premultiplied_grey_is_put_on_white():
    assert load(Image.new("LA", (4, 4), (0, 0)).convert("La")).min() == 255


@pytest.mark.parametrize("wrong", [None, 5, [b"x"]])
def test_what_is_no_picture_at_all_is_a_type_error(wrong):
    with pytest.raises(TypeError, match="a picture is a path"):
        load(wrong)


@pytest.mark.parametrize("cover", [0, 60, 128, 200, 255])
@pytest.mark.parametrize("paper", [255, 0], ids=["dark on light", "light on dark"])
def test_a_cover_is_not_the_paper(cover, paper):
    """However much wider than the text it is, and in whatever grey."""
    picture = np.full((32, 90), paper, np.uint8)
    for left in range(4, 80, 9):
        picture[10:22, left : left + 6] = 255 - paper
    covered = np.concatenate([picture, np.full((32, 300), cover, np.uint8)], axis=1)
    assert np.array_equal(prepare(covered, 32)[:, :90], prepare(picture, 32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(value):
    array = np.full((20, 80), 0.5)
    array[3, 4] = value
    with pytest.raises(ImageError, match="infinite or no numbers"):
        load(array)


@pytest.mark.parametrize(("paper", "kind"), [(1e305, np.float64), (1.0, np.float16), (1.0, np.longdouble)])
def test_floats_of_any_size_and_precision_are_read(paper, kind):
    array = np.full((20, 80), paper, kind)
    array[5:15, ::4] = 0
    read = load(array)
    assert read.min() == 0 and read.max() >= 254


def test_low_print_on_a_long_strip_of_paper_does_not_grow_beyond_measure():
    strip = np.full((175, 89_600), 255, np.uint8)
    strip[80:90] = np.random.default_rng(0).choice([0, 255], (10, 89_600))
    assert prepare_whole(strip, 32).size < 8_000_000
    assert prepare_whole(strip[:, :2000], 32).shape[0] > 300  # as lines that are cut loosely do


def lettered(print_, paper, speck=None, under=None):
    """Lettering in colours; `under`: transparent paper, with that colour beneath and the letters' edges blended."""
    shape = Image.new("L", (360, 96), 0)
    ImageDraw.Draw(shape).text((20, 16), "Text 123", fill=255, font_size=56)
    image = Image.composite(Image.new("RGB", shape.size, print_), Image.new("RGB", shape.size, under or paper), shape)
    if under:
        image.putalpha(shape)
    if speck:
        ImageDraw.Draw(image).rectangle((1, 1, 4, 4), fill=speck)
    return image, np.asarray(shape) == 255


@pytest.mark.parametrize(
    "picture",
    [
        lettered((255, 0, 0), (76, 76, 76)),
        lettered((255, 255, 0), (255, 255, 255)),
        lettered((255, 255, 255), None, under=(255, 255, 255)),
    ],
    ids=["equally light", "yellow", "white on nothing"],
)
def test_lettering_shows_whatever_its_colour(picture):
    image, inside = picture
    grey = load(encoded(image))
    assert abs(float(np.median(grey[inside])) - float(np.median(grey))) > 150


@pytest.mark.parametrize("change", ["margin", "turned"])
def test_paper_with_transparent_margins_lies_on_white(change):
    paper, _ = lettered((0, 0, 0), (255, 255, 255))
    paper = paper.convert("RGBA")
    if change == "turned":
        image = paper.rotate(3, expand=True)
    else:
        image = Image.new("RGBA", (504, 154), (0, 0, 0, 0))
        image.paste(paper, (72, 29))
    grey = load(encoded(image))
    assert grey[0, 0] == 255 and np.median(grey) == 255 and grey.min() == 0


@pytest.mark.parametrize("colours", [((0, 0, 160), (250, 245, 200)), ((20, 20, 20), (255, 230, 0))])
def test_ordinary_colours_are_plainly_grey(colours):
    picture, _ = lettered(*colours, speck=(255, 0, 0))
    assert np.array_equal(load(encoded(picture)), np.asarray(picture.convert("L")))
