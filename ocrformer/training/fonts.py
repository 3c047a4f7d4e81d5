"""Font files: which characters each face really draws, which faces are duplicates, which are held out."""

from __future__ import annotations

import logging
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fontTools.ttLib import TTCollection, TTFont
from PIL import Image, ImageFont

from ocrformer.charset import Charset
from ocrformer.lettering import MISSING, ink
from ocrformer.metrics import fold

SYSTEM_FONTS = Path("/usr/share/fonts")
_SUFFIXES = {".ttf", ".otf", ".ttc", ".woff"}
_REQUIRED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;-()/&"
UNFIT = (
    *"D050000L OCRBE OCRBX LinBiolinum_K StandardSymbols BMEuljirooraeorae Amatic IrianisADFStyle".split(),
    *"RomandeADFStyle Hairline Ecolier Go-Smallcaps Penguin Domestic_Manners Humor Junkyard Joscelyn Campania".split(),
    *"cmex cmsy msam msbm stmary wasy eufm alfa-beta ellenike ellenita elleb".split(),  # mathematics, Greek
    *"bin01st binx01s binaryt binaryx entlayrb 90stars fauxsnow lineding graze symmetry".split(),  # ciphers, toys
    *"snailets qbicle vertigo bitbttf".split(),
    *"booku chanu gothu monou pallu romau sanscu sansu_ sansub sansui schou cyrvetic".split(),  # Cyrillic as Latin-1
    *"ipaitali iparegul ipabold feta.ttf nucleus".split(),  # phonetics, music, toys as Latin-1
)
"""Parts of the names of font files that people would not read either: symbols, ornaments, wrong or broken glyphs."""
OWN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What a font that a user names must draw at least."""
_PROBE = 29  # pixels; glyphs are compared at this size, which no bitmap-only font offers
_ASCENT = 1.07  # by so much at least letters with an ascender are higher than x, z and v; small capitals are not
_SPREAD = 61  # if every 61st syllable of a font is drawn, all are
_HELD_OUT = 12  # one family in so many is kept for validation

logger = logging.getLogger(__name__)
logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of flaws in tables that nothing here looks at


class FontError(ValueError):
    """Fonts that cannot be used, in one sentence."""


@dataclass(frozen=True)
class Face:
    """One face of a font file and what it can draw.

    Attributes:
        path: Font file.
        index: Face within a collection.
        family: Family name, by which faces are held out together.
        characters: Characters with a glyph of their own that leaves ink (and the space).
        syllables: Hangul syllables with a glyph.
        capitals_only: Lower-case letters look like capitals, so text must be set in capitals.
    """

    path: str
    index: int
    family: str
    characters: frozenset[str]
    syllables: str
    capitals_only: bool

    @property
    def held_out(self) -> bool:
        """Whether the family is kept for validation."""
        return zlib.crc32(self.family.encode()) % _HELD_OUT == 0


@lru_cache(maxsize=4096)
def open_font(path: str, index: int, size: int, shaped: bool) -> ImageFont.FreeTypeFont:
    """A face at a size; shaped text has ligatures and OpenType kerning."""
    engine = ImageFont.Layout.RAQM if shaped else ImageFont.Layout.BASIC
    return ImageFont.truetype(path, size, index, layout_engine=engine)


def find_font_files(places: Iterable[str | Path]) -> list[Path]:
    """Font files in folders (searched through) or named directly, sorted by path."""
    found: set[Path] = set()
    for place in map(Path, places):
        if place.is_file():
            found.add(place)
        elif place.is_dir():
            found.update(p for p in place.rglob("*") if p.suffix.lower() in _SUFFIXES)
        else:
            raise FileNotFoundError(f"no such font file or folder: {place}")
    return sorted(found)


def load_faces(
    places: Iterable[str | Path], charset: Charset, *, exclude: Sequence[str] = UNFIT, required: str = _REQUIRED
) -> list[Face]:
    """Every usable face once.

    A face is left out if it lacks required glyphs, its file name contains one of `exclude`, or another looks exactly
    like it and draws as many characters or more.

    Args:
        places: Font files and folders.
        charset: What is wanted of them.
        exclude: Parts of file names.
        required: Characters that a face must draw.

    Raises:
        FontError: If nothing usable was found.
    """
    places = list(places)
    found: dict[bytes, Face] = {}  # by look
    lacking: list[str] = []
    for path in find_font_files(places):
        if any(part.lower() in path.name.lower() for part in exclude):
            continue
        for face, look in _faces_of(path, charset, required, lacking):
            if look not in found or len(face.characters) > len(found[look].characters):
                found[look] = face
    faces = list(found.values())
    if not faces:
        named = ", ".join(map(str, places)) + (f" ({'; '.join(lacking[:5])})" if lacking else "")
        raise FontError(f"no usable font in {named}: install some (for example fonts-dejavu; WOFF2 must be unpacked)")
    for sentence in lacking:
        logger.log(logging.WARNING if required == OWN else logging.DEBUG, "left out: %s", sentence)
    logger.info("%d font faces of %d families", len(faces), len({face.family for face in faces}))
    return faces


def _faces_of(path: Path, charset: Charset, required: str, lacking: list[str]) -> Iterator[tuple[Face, bytes]]:
    """Faces of a file that draw what is required, each with its look; what the others lack is noted."""
    try:
        with path.open("rb") as file:
            fonts = TTCollection(file, lazy=True).fonts if path.suffix.lower() == ".ttc" else [TTFont(file, lazy=True)]
            for index, font in enumerate(fonts):
                yield from _face_of(path, index, font, charset, required, lacking)
    except Exception as error:  # noqa: BLE001 - parsers raise almost anything on a damaged file, ImportError on WOFF2
        logger.warning("%s: unusable font (%s)", path, error)


def _face_of(
    path: Path, index: int, font: TTFont, charset: Charset, required: str, lacking: list[str]
) -> Iterator[tuple[Face, bytes]]:
    """One face, if it draws what is required; a damaged one of a collection costs none of the others."""
    try:
        mapped = font.getBestCmap() or {}
        missing = [c for c in required if ord(c) not in mapped]
        if not missing:
            probe = ImageFont.truetype(str(path), _PROBE, index)
            family = font["name"].getBestFamilyName() or path.stem
            face, look = _inspect(path, index, family, mapped.keys(), probe, charset)
            missing = [c for c in required if c not in face.characters]
            if not missing:
                yield face, look
        if missing:
            lacking.append(f"{path.name} does not draw {' '.join(missing[:12])}")
    except Exception as error:  # noqa: BLE001 - as above
        logger.warning("%s: unusable font (%s)", path, error)


def _inspect(
    path: Path, index: int, family: str, mapped: Iterable[int], probe: ImageFont.FreeTypeFont, charset: Charset
) -> tuple[Face, bytes]:
    codes = set(mapped)
    wanted = [c for c in charset.characters if ord(c) in codes and not "\u1100" <= c <= "\u11ff"]
    tofu = ink(probe, MISSING)
    looks = {c: look for c in wanted if (look := ink(probe, c)) not in (tofu, b"")}
    drawn = {*looks.keys() - _misdrawn(looks), *(" " for c in wanted if c == " ")}
    basic = [c for c in _REQUIRED if c in drawn]
    if len({looks[c] for c in basic}) < len(basic) // 2:
        raise ValueError("it draws different letters alike")
    syllables = _drawn_syllables(probe, "".join(chr(code) for code in range(0xAC00, 0xD7A4) if code in codes), tofu)
    face = Face(str(path), index, family, frozenset(drawn), syllables, _capitals_only(probe, drawn))
    look = b"".join(ink(probe, c) for c in "Rag&5e" + syllables[:1])
    return face, look


def _misdrawn(looks: Mapping[str, bytes]) -> set[str]:
    """Characters that a font draws as others: accents that it lacks, a letter for a sign, ₩ for a backslash.

    Forms of one quote or dash may look alike, and so may letters, figures and signs of ASCII.
    """
    alike: dict[bytes, set[str]] = defaultdict(set)
    for character, look in looks.items():
        alike[look].add(character)
    wrong: set[str] = set()
    for group in alike.values():
        if len({fold(character) for character in group}) > 1 and group != {",", "‚"}:
            money = "\\" in group and group & set("₩¥")
            wrong |= {"\\"} if money else {c for c in group if not c.isascii()}
    return wrong


def _drawn_syllables(font: ImageFont.FreeTypeFont, mapped: str, tofu: bytes) -> str:
    """Those of the mapped syllables that leave ink: many fonts map all 11,172 and draw the 2,350 common ones."""

    def drawn(characters: str) -> str:
        return "".join(c for c in characters if ink(font, c) not in (tofu, b""))

    spread = mapped[::_SPREAD]
    return mapped if drawn(spread) == spread else drawn(mapped)


def _capitals_only(font: ImageFont.FreeTypeFont, drawn: Collection[str]) -> bool:
    """Whether lower-case letters are missing, or (small) capitals: without ascenders, or capitals scaled to one box."""
    if not set("abdeghklqrtvxz") <= set(drawn):
        return True
    if _height(font, "bdhkl") < _ASCENT * _height(font, "xzv"):
        return True
    return sum(_alike(font, lower, lower.upper()) for lower in "abdeghqrt") >= 6


def _height(font: ImageFont.FreeTypeFont, letters: str) -> float:
    """Mean height over the baseline."""
    return sum(-font.getbbox(letter, anchor="ls")[1] for letter in letters) / len(letters)


def _alike(font: ImageFont.FreeTypeFont, one: str, other: str) -> bool:
    def shape(character: str) -> list[int]:
        mask = font.getmask(character)
        image = Image.frombytes("L", mask.size, bytes(mask))
        return list(image.crop(image.getbbox()).resize((12, 16)).tobytes())

    difference = sum(abs(a - b) for a, b in zip(shape(one), shape(other), strict=True))
    return difference < 0.12 * 255 * 12 * 16


def coverage(face: Face) -> str:
    """What a face draws and what it lacks, in words."""
    said = f"{face.family} ({Path(face.path).name}): {len(face.characters)} characters"
    said += f", {len(face.syllables):,} Hangul syllables" if face.syllables else ""
    said += ", capitals only" if face.capitals_only else ""
    lacking = [c for c in map(chr, range(0x21, 0x7F)) if c not in face.characters]
    return f"{said}; left out of its lines: {' '.join(lacking)}" if lacking else said


def font_places(named: Sequence[str | Path]) -> list[str | Path]:
    """The places given, or the system's font folder.

    Raises:
        FileNotFoundError: If neither exists.
    """
    if named:
        return list(named)
    if not SYSTEM_FONTS.is_dir():
        raise FileNotFoundError(f"no fonts given and {SYSTEM_FONTS} does not exist: pass --fonts DIR")
    return [SYSTEM_FONTS]
