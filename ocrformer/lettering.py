"""A font for captions: one of the system's that has the characters, so that no picture shows empty boxes."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_NAMES = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NanumGothic.ttf",
    "UnDotum.ttf",
    "AppleSDGothicNeo.ttc",  # macOS
    "malgun.ttf",  # Windows
    "unifont.otf",
)
MISSING = "\U0010fffe"
"""No font has this character: what it draws instead stands for all that it lacks."""


def font_for(text: str, size: int) -> Font:
    """The first font that draws all of a text, or else the one that draws most; Pillow's own is always there."""
    wanted = sorted(set(text) - {" "})

    def lacking(font: Font) -> int:
        return sum(not _draws(font, character) for character in wanted)

    best, least = ImageFont.load_default(size), len(wanted) + 1
    for font in _fonts(size):
        count = lacking(font)
        if count < least:
            best, least = font, count
        if not count:
            break
    return best


def _fonts(size: int) -> Iterator[Font]:
    for name in _NAMES:
        try:
            yield ImageFont.truetype(name, size)
        except OSError:
            continue
    yield ImageFont.load_default(size)


def _draws(font: Font, character: str) -> bool:
    """Whether a character leaves ink, and not that of a missing one."""
    return ink(font, character) not in (ink(font, MISSING), b"")


def ink(font: Font, character: str) -> bytes:
    """The pixels of a character, nothing if it leaves none."""
    mask = font.getmask(character)
    return bytes(mask) if mask.getbbox() else b""
