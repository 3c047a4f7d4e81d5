"""Image intake, the same for training and reading: any picture of a line becomes one 8-bit array of fixed height."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ocrformer.colours import grey_levels
from ocrformer.framing import framed, height_for
from ocrformer.lighting import evened
from ocrformer.magic import is_heic, looks_like_image, scans

Pixels = npt.NDArray[np.uint8]
ImageSource = str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[np.generic]

PAPER = 128
"""Value of empty paper in a prepared line; ink is above, anything lighter than the paper below."""
MAX_PIXELS = 64_000_000
"""Default size limit, checked before a picture is decoded."""
MAX_SCANS = 100
"""Most scans of one JPEG; progressive ones have about ten."""
MAX_PAGES = 10_000
"""Most pages of one TIFF."""
MAX_ASPECT = 512
"""A picture wider than this many times its height is not a text line."""
MIN_WIDTH = 16
"""Prepared lines are widened to this."""

_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_MIN_CONTRAST = 48  # grey levels that count as full ink at least: keeps paper noise from being blown up
_MOST_GROWN = 8_000_000  # pixels of a picture that is enlarged: the widest line of usual height has 524,288
_SUBFILE_TYPE = 254  # TIFF's NewSubfileType
_DEPTHS = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)


class ImageError(ValueError):
    """A picture that cannot be read, in one sentence fit for its owner.

    Args:
        message: The sentence.
        code: What kind of fault, for programs: `unreadable_file`, `empty_file`, `unsupported`, `damaged`, `too_large`,
            `out_of_memory`, `not_a_line`, `too_long` (to be shown) or `bad_array`.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return ImageError, (str(self), self.code)  # exceptions with several arguments pickle by these


def load(source: ImageSource, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> Pixels:
    """Any picture to 8-bit grey.

    Honours EXIF rotation, puts what is transparent on white or black (`colours`), takes the first frame of several,
    scales deeper samples.

    Args:
        source: Path, encoded bytes, PIL image, or array (H, W), (H, W, 1), (H, W, 3) RGB, (H, W, 4) RGBA.
        max_pixels: Refuse larger pictures before they are decoded.
        name: What error messages call the picture; by default its path, or "image".

    Returns:
        Grey levels (H, W), 0 black.

    Raises:
        ImageError: If it is not a readable picture or too large.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels, name or "array")
    if isinstance(source, Image.Image):
        return _from_pil(source, max_pixels, name or "image")
    if not isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
        raise TypeError(f"a picture is a path, bytes, a PIL image or an array, not {type(source).__name__}")
    return next(load_pages(source, max_pixels=max_pixels, name=name))


def load_pages(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None, first: int = 0
) -> Iterator[Pixels]:
    """Pages of a TIFF one by one, from the `first` on; of anything else the only frame or the first; see `load`."""
    if isinstance(source, bytes | bytearray | memoryview):
        name, data = name or "image", bytes(source)
    else:
        name, data = name or os.fspath(source), _file_bytes(Path(source))
    if scans(data) > MAX_SCANS:
        raise ImageError(f"{name}: a JPEG of more than {MAX_SCANS} scans takes too long", "unsupported")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            pages = 0
            for frame in itertools.count():
                if frame and frame >= (getattr(image, "n_frames", 1) if image.format == "TIFF" else 1):
                    return
                if frame == MAX_PAGES:
                    raise ImageError(f"{name}: more than {MAX_PAGES:,} pages", "too_large")
                image.seek(frame)
                if frame and getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE, 0) & 0b101:
                    continue  # a thumbnail or a mask of another page
                pages += 1
                if pages > first:
                    yield _from_pil(image, max_pixels, name)
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(f"{name}: larger than the memory that is left", "out_of_memory") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{name}: more pixels than the limit of {max_pixels:,}", "too_large") from None
    except UnidentifiedImageError:
        raise _refusal(name, data) from None
    except Exception as error:  # noqa: BLE001 - Pillow's plugins raise almost anything on a damaged file
        raise ImageError(f"{name}: damaged or truncated image ({error})", "damaged") from None


def _file_bytes(path: Path) -> bytes:
    if path == Path():
        raise ImageError(f"{path}: a folder, or a picture without a name", "unreadable_file")
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: cannot open file ({reason})", "unreadable_file") from None


def _refusal(name: str, data: bytes) -> ImageError:
    if not data:
        return ImageError(f"{name}: the file is empty", "empty_file")
    if data[:5] == b"%PDF-":
        return ImageError(f"{name}: a PDF is not a line image; rasterise it and cut the lines first", "unsupported")
    if is_heic(data[:16]):
        return ImageError(f"{name}: HEIC is not supported; convert it to JPEG or PNG first", "unsupported")
    if looks_like_image(data[:512]):
        return ImageError(f"{name}: damaged or truncated image (its header cannot be read)", "damaged")
    return ImageError(f"{name}: not an image in a supported format ({', '.join(_FORMATS)})", "unsupported")


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if not width * height:
        raise ImageError(f"{name}: a picture of {width} x {height} pixels shows nothing", "not_a_line")
    if width * height > max_pixels:
        raise ImageError(f"{name}: {width} x {height} pixels are more than the limit of {max_pixels:,}", "too_large")


def _from_pil(image: Image.Image, max_pixels: int, name: str) -> Pixels:
    _check_size(*image.size, max_pixels, name)
    try:
        image.load()
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else it would be copied for nothing
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith(("I", "F")):
            values, clear = np.asarray(image, dtype=np.float32), image.info.get("transparency")
            return np.where(values == clear, np.uint8(255), _scale_depth(values))
        return grey_levels(image)
    except (OSError, SyntaxError, ValueError, RuntimeError, TypeError) as error:
        raise ImageError(f"{name}: damaged or truncated image ({error})", "damaged") from None


def _from_array(array: npt.NDArray[np.generic], max_pixels: int, name: str) -> Pixels:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(f"{name}: shape {array.shape} is not (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)", "bad_array")
    _check_size(array.shape[1], array.shape[0], max_pixels, name)
    if array.dtype.kind not in "buif":
        raise ImageError(f"{name}: dtype {array.dtype} is not a number", "bad_array")
    if not np.isfinite(array).all():
        raise ImageError(f"{name}: some of its values are infinite or no numbers: replace them", "bad_array")
    if array.dtype == np.uint8 and array.max() > 1:
        scaled = array
    else:
        scaled = _scale_depth(array.astype(np.float64).clip(-1e30, 1e30).astype(np.float32))
    return _from_pil(Image.fromarray(np.ascontiguousarray(scaled)), max_pixels, name)


def _scale_depth(samples: npt.NDArray[np.float32]) -> Pixels:
    """Samples of any depth to 8 bits; the depth is the smallest usual one that holds the brightest sample."""
    samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)  # as TIFFs of measurements mark what is missing
    brightest = float(samples.max(initial=0.0))
    depth = next((d for d in _DEPTHS if brightest <= 1.1 * d), brightest)  # resampling may overshoot
    scaled: Pixels = np.clip(samples * (255.0 / depth), 0, 255).astype(np.uint8)
    return scaled


def prepare(grey: Pixels, height: int, name: str = "image") -> Pixels:
    """Grey levels to a prepared line: fixed height, true aspect ratio, ink above `PAPER` whatever the polarity.

    Only what would be narrower than `MIN_WIDTH` is widened to it. Shadows are lifted (`lighting`), lines that are not
    level become so (`levelling`), and paper above and below a loosely cut line is left out (`framing`).

    Args:
        grey: (H, W) grey levels.
        height: Line height of the model.
        name: What error messages call the picture.

    Returns:
        (height, width), `PAPER` where there is none but paper, 255 at full ink.

    Raises:
        ImageError: If the picture is far too wide for its height to be a line.
    """
    return framed(prepare_whole(grey, height, name), height, PAPER).rows


def prepare_whole(grey: Pixels, height: int, name: str = "image") -> Pixels:
    """As `prepare`, but with all of the picture and nothing else: about as high or higher, (H, W)."""
    tall, wide = grey.shape
    if wide > MAX_ASPECT * tall:
        raise ImageError(f"{name}: {wide} x {tall} pixels are too wide for one text line", "not_a_line")
    rows = height_for(grey, height)
    if rows > tall and rows * round(wide * rows / tall) > _MOST_GROWN:
        rows = height  # a little print on a long strip of paper
    height, width = rows, max(MIN_WIDTH, round(wide * rows / tall))
    if (tall, wide) != (height, width):
        resized = Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
        grey = np.asarray(resized)
    return _normalise_contrast(evened(grey))


def _normalise_contrast(grey: Pixels) -> Pixels:
    """Paper (the commonest side of the histogram) to 128, full ink to 255, for either polarity."""
    cumulative = np.bincount(_around_text(grey).ravel(), minlength=256).cumsum()
    dark, middle, light = np.searchsorted(cumulative, np.array([0.005, 0.5, 0.995]) * cumulative[-1])
    if middle - dark >= light - middle:
        paper, ink = int(middle), min(int(dark), int(middle) - _MIN_CONTRAST)
    else:
        paper, ink = int(middle), max(int(light), int(middle) + _MIN_CONTRAST)
    table = PAPER + (np.arange(256) - paper) * (127.0 / (ink - paper))
    line: Pixels = np.clip(np.rint(table), 0, 255).astype(np.uint8).take(grey)
    return line


def _around_text(grey: Pixels) -> Pixels:
    """The columns that tell paper from ink: all, but for plain ones of another grey than the paper of the text.

    A cover, a shaded cell or a dark edge may be wider than the text. In text no more than half is ink.
    """
    varied = grey.max(axis=0) - grey.min(axis=0) >= _MIN_CONTRAST
    if not 0.1 < varied.mean() < 0.75:
        return grey
    text, level = grey[:, varied], np.median(grey[0, ~varied])
    is_paper = np.abs(text.astype(np.int16) - int(level)) < _MIN_CONTRAST
    return grey if is_paper.mean() > 0.4 else text
