"""Words of European languages by their frequency, and how running text sets them."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable
from random import Random

LATIN1 = ("fr", "de", "es", "it", "pt", "nl", "sv", "da", "nb", "fi")
"""Languages that Latin-1 writes, beside English."""

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_VOCABULARY = 30_000
_ELIDED = {
    "fr": frozenset("l d c j n s m t qu".split()),
    "it": frozenset("l d c dell all nell dall sull quest".split()),
}
"""Words that lose their vowel before another; the word-frequency package counts them without their apostrophe."""
_VOWELS = tuple("aeiouhàâéèêëîïôùûœæ")
_PLAIN = dict(zip("ØøÆæÐðÞþß", "OoAaDdPps", strict=True))  # which Unicode does not take apart
_QUOTES = ("«{}»", "« {} »", "»{}«", "„{}“", "‚{}‘", "“{}”")


class Lexicon:
    """Words of one language with their frequencies, flattened so that rare words are met too.

    Args:
        counts: Words and how often each is met, in any unit.
        elided: Those that are written together with the next one, which begins with a vowel.
    """

    def __init__(self, counts: Iterable[tuple[str, float]], elided: frozenset[str] = frozenset()) -> None:
        pairs = [(word, weight) for word, weight in counts if word]
        self.words = [word for word, _ in pairs]
        self._cumulative = list(itertools.accumulate(weight**0.6 for _, weight in pairs))
        self._elided = elided
        self._after = [word for word in self.words if word.startswith(_VOWELS) and len(word) > 1]

    @classmethod
    def of_language(cls, language: str) -> Lexicon:
        """From the word-frequency package, which carries its lists."""
        import wordfreq

        frequencies = wordfreq.get_frequency_dict(language, "small")
        common = sorted(frequencies.items(), key=lambda pair: -pair[1])[:_VOCABULARY]
        return cls(
            ((word, weight) for word, weight in common if _WORD.fullmatch(word)), _ELIDED.get(language, frozenset())
        )

    def draw(self, rng: Random) -> str:
        """One word, or two that an apostrophe joins."""
        word = rng.choices(self.words, cum_weights=self._cumulative)[0]
        return word + rng.choice("'’") + rng.choice(self._after) if word in self._elided else word


def accents(alphabet: Iterable[str]) -> dict[str, list[str]]:
    """The alphabet's accented and other letters that look like a plain one, by that one."""
    variants: dict[str, list[str]] = {}
    for letter in alphabet:
        plain = _PLAIN.get(letter) or unicodedata.normalize("NFD", letter)[0]
        if plain != letter and plain.isascii() and plain.isalpha():
            variants.setdefault(plain, []).append(letter)
    return variants


def accented(rng: Random, text: str, variants: dict[str, list[str]]) -> str:
    """Accents on letters of any language, so that their shapes alone tell them."""
    return "".join(rng.choice(variants[c]) if c in variants and rng.random() < 0.3 else c for c in text)


def quoted(rng: Random, text: str) -> str:
    """Text between the quotes of some language."""
    return rng.choice(_QUOTES).format(text)
