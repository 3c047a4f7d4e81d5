"""Text to ids and back; Hangul syllables are spelt as conjoining jamo, so that 67 ids cover all 11,172 of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property

BLANK = 0
"""CTC blank; also fills the unused tail of batched token arrays."""
BOS = 1
"""First input of the decoder."""
EOS = 2
"""Last output of the decoder."""
SPECIALS = 3
"""Ids below this are not characters."""

_SYLLABLE = re.compile("[가-힣]")
_JAMO_SYLLABLE = re.compile("[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?")

_FOLDED = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st", "\ufb06": "st"}
    | dict.fromkeys("\u2010\u2011\u2212\u00ad", "-")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", "")
)
_CONJOINING = [chr(code) for code in (*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3))]
_COMPATIBLE = [chr(code) for code in range(0x3131, 0x3164)]
_LETTER = {unicodedata.name(jamo).split()[-1]: jamo for jamo in _COMPATIBLE}
_LONE = str.maketrans({jamo: _LETTER[unicodedata.name(jamo).split()[-1]] for jamo in _CONJOINING})
"""Jamo that belong into a syllable, and the same letters as they are written alone."""
_SPACES = re.compile(r"\s+")


class CharsetError(ValueError):
    """Text holds characters that the charset does not, or a charset is malformed."""


def _default_characters() -> str:
    ascii_ = "".join(map(chr, range(0x20, 0x7F)))
    latin1 = "".join(chr(code) for code in range(0xC0, 0x100) if code not in (0xD7, 0xF7))
    typographic = "‘’‚“”„‹›«»–—…•「」『』《》〈〉"
    signs = "§°©®™£€¥₩₹" + "①②③④⑤⑥⑦⑧⑨⑩"
    return ascii_ + latin1 + typographic + signs + "".join(_CONJOINING) + "".join(_COMPATIBLE)


def normalise(text: str) -> str:
    """The form in which labels are learnt and compared.

    NFC; f-ligatures, odd hyphens, zero-width characters and jamo without their syllable folded; any run of white space
    one space, none outside.
    """
    if not text.isascii():
        folded = unicodedata.normalize("NFC", text).translate(_FOLDED)
        text = unicodedata.normalize("NFC", folded).translate(_LONE)  # what a zero-width character kept apart
    return _SPACES.sub(" ", text).strip()


def decompose(text: str) -> str:
    """Hangul syllables to conjoining jamo (as NFD does); everything else, accented letters too, stays composed."""
    return _SYLLABLE.sub(lambda match: unicodedata.normalize("NFD", match[0]), text)


def compose(text: str) -> str:
    """Inverse of `decompose`; jamo that make no syllable become the letters that are written alone."""
    return _JAMO_SYLLABLE.sub(lambda match: unicodedata.normalize("NFC", match[0]), text).translate(_LONE)


class Charset:
    """The characters of a model, in the order of their ids.

    Args:
        characters: Each once; a Hangul syllable never appears, its jamo do.

    Raises:
        CharsetError: If a character is repeated or is a composed Hangul syllable.
    """

    def __init__(self, characters: str) -> None:
        if len(set(characters)) != len(characters):
            repeated = sorted({c for c in characters if characters.count(c) > 1})
            raise CharsetError(f"characters listed twice: {' '.join(repeated)}")
        if _SYLLABLE.search(characters):
            raise CharsetError("a charset lists conjoining jamo, not composed Hangul syllables")
        self.characters = characters
        self._ids = {character: index for index, character in enumerate(characters, SPECIALS)}

    @classmethod
    def default(cls) -> Charset:
        """ASCII, Latin-1 letters, typographic and currency signs, circled numbers, Hangul jamo."""
        return cls(_default_characters())

    def __len__(self) -> int:
        """Size of the vocabulary, special ids included."""
        return SPECIALS + len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Charset) and other.characters == self.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    @cached_property
    def reads_hangul(self) -> bool:
        """Whether every modern Hangul syllable can be spelt."""
        return not self.missing("각힣")

    @cached_property
    def space(self) -> int:
        """Id of the space, or -1 if there is none."""
        return self._ids.get(" ", -1)

    def missing(self, text: str) -> list[str]:
        """Characters of normalised text that have no id, sorted."""
        return sorted(set(decompose(normalise(text))) - self._ids.keys())

    def encode(self, text: str) -> list[int]:
        """Ids of the normalised text, without BOS and EOS.

        Raises:
            CharsetError: Naming the characters that are not in the charset.
        """
        spelt = decompose(normalise(text))
        try:
            return [self._ids[character] for character in spelt]
        except KeyError:
            names = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in self.missing(text))
            raise CharsetError(f"not in the model's charset: {names}") from None

    def allowed(self, characters: str) -> list[int]:
        """Ids of the only characters that may be written, sorted.

        Raises:
            CharsetError: If there is none, or one of them is not in the charset.
        """
        space = [self.space] if " " in characters and self.space >= 0 else []  # encoding leaves it out at the ends
        ids = sorted({*self.encode(characters), *space})
        if not ids:
            raise CharsetError("the allowed characters are none at all")
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; special ids are skipped, jamo joined to syllables."""
        return compose("".join(self.characters[index - SPECIALS] for index in ids if index >= SPECIALS))

    def groups(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Characters as a reader sees them, with the half-open range of ids that spells each."""
        spelt = "".join(self.characters[index - SPECIALS] for index in ids)
        groups: list[tuple[str, int, int]] = []
        start = 0
        while start < len(spelt):
            match = _JAMO_SYLLABLE.match(spelt, start)
            end = match.end() if match else start + 1
            while end < len(spelt) and unicodedata.combining(spelt[end]):  # a mark belongs to the letter before it
                end += 1
            groups.append((unicodedata.normalize("NFC", compose(spelt[start:end])), start, end))
            start = end
        return groups

    def extend(self, characters: str) -> Charset:
        """This charset with the new characters of a text appended, so that old ids keep their meaning."""
        spelt = decompose(normalise(characters))
        return Charset(self.characters + "".join(dict.fromkeys(c for c in spelt if c not in self._ids)))
