"""What the lines say: running text from corpora or word frequencies, mixed with the values that documents hold."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ocrformer.charset import Charset, normalise
from ocrformer.datasets import DatasetError
from ocrformer.training import hangul, languages, phrases, values
from ocrformer.training.languages import Lexicon

_STRAIGHT = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "—": "--", "–": "-", "…": "..."})
_EMPHASIS = re.compile(r"(?<!\w)([_*])(\w[^_*]{0,300}?)\1(?!\w)")
_FOREIGN = 0.16
"""Share of texts in words of other languages: without them accents are lost, and `l'` is read as a capital I."""
_ENGLISH = 0.08
"""The same of Korean texts, where they are English ones."""
_ALONE = 0.3
"""Share of short texts that are one phrase, often a single mark, instead of as many as there is room for."""
_MISTAKEN = "‚„‹›…–—™"  # for , ,, < > ... - and TM
_OFTENER = 4  # times more often than other signs these are strewn between words
_LONGEST = 40  # characters of what is still kept whole as a word


@dataclass(frozen=True)
class Mixture:
    """Shares of the kinds of text in one domain; they need not add up to one."""

    running: float
    receipt: float
    form: float
    screen: float
    rare: float


DOCUMENT = Mixture(running=0.75, receipt=0.06, form=0.07, screen=0.02, rare=0.12)
RECEIPT = Mixture(running=0.15, receipt=0.71, form=0.04, screen=0.02, rare=0.08)
SCREEN = Mixture(running=0.44, receipt=0.10, form=0.04, screen=0.32, rare=0.10)

KINDS = {
    "running": Mixture(running=1, receipt=0, form=0, screen=0, rare=0),
    "rare": Mixture(running=0, receipt=0, form=0, screen=0, rare=1),
}
"""Texts of one kind, for measuring."""
_MAKERS: dict[str, phrases.Maker] = {"receipt": phrases.receipt, "form": phrases.form, "screen": phrases.screen}


def read_text(file: Path) -> str:
    """A text file's content.

    Raises:
        DatasetError: If it is no UTF-8.
    """
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise DatasetError(f"{file}: no UTF-8 text; save it as UTF-8") from None


def _plain(file: Path) -> str:
    """A file's text without marks of emphasis, `_so_` or `*so*`, as digitised books have them."""
    return _EMPHASIS.sub(r"\2", normalise(read_text(file)))


def _is_jamo(character: str) -> bool:
    return "\u1100" <= character <= "\u11ff" or "\u3131" <= character <= "\u318e"


class Prose:
    """Running text cut anywhere between words from text files."""

    def __init__(self, text: str) -> None:
        self.text = text

    def draw(self, rng: Random, length: int) -> str:
        """About `length` characters; whole words, but where they have no end."""
        start = rng.randrange(max(1, len(self.text) - length))
        space = self.text.rfind(" ", max(0, start - _LONGEST), start + 1)
        start = space + 1 if space >= 0 or start <= _LONGEST else start
        end = start + length
        space = self.text.find(" ", end, end + _LONGEST)
        return self.text[start : space if space > 0 else None if end + _LONGEST >= len(self.text) else end]


class TextSource:
    """Draws the text of one line.

    Args:
        charset: Only its characters are produced.
        files: Text corpora, sentences or paragraphs a line; without any, words come from word frequencies.
        language: Language of the words in receipts, names and addresses.
        emphasised: Characters that random strings should hold more often than others.

    Raises:
        DatasetError: If there are files and no text in any.
    """

    def __init__(
        self, charset: Charset, files: Sequence[Path] = (), language: str = "en", emphasised: Iterable[str] = ()
    ) -> None:
        self.charset = charset
        self.prose = [Prose(text) for text in map(_plain, files) if text]
        if files and not self.prose:
            raise DatasetError(f"{', '.join(map(str, files))}: no text in it")
        self._prose_weights = [len(prose.text) ** 0.5 for prose in self.prose]
        self.korean = language == "ko"
        self.lexicon = Lexicon.of_language(language)
        self.foreign_share = _ENGLISH if self.korean else _FOREIGN
        self.foreign = [Lexicon.of_language(name) for name in (("en",) if self.korean else languages.LATIN1)]
        plain = [c for c in charset.characters if not _is_jamo(c) or (self.korean and c >= "\u3131")]
        emphasis = sorted(emphasised)
        self.alphabet = plain + emphasis * (len(plain) // max(1, len(emphasis)))
        letters = [c for c in plain if c.isalpha() and not _is_jamo(c)]
        signs = sorted(set(plain) - {*letters, *string.digits, " "})
        self.signs = signs + _OFTENER * [sign for sign in signs if sign in _MISTAKEN]
        self.accents = languages.accents(letters)
        self.syllables = [chr(code) for code in range(0xAC00, 0xD7A4)] if self.korean else []

    def draw(self, rng: Random, mixture: Mixture, length: int) -> str:
        """Text of at most roughly `length` characters, of the kind that the mixture asks for."""
        shares = vars(mixture)
        kind = rng.choices(list(shares), list(shares.values()))[0]
        if kind == "running":
            text = self._case(rng, self._running(rng, length))
        else:
            text = self._joined(rng, length, _MAKERS.get(kind, self._rare))
        if self.korean and rng.random() < 0.1:
            text = hangul.quoted(rng, text)
        if self.korean and rng.random() < 0.2:
            text = f"{text} {hangul.phrase(rng)}" if rng.random() < 0.5 else f"{hangul.phrase(rng)} {text}"
        if rng.random() < 0.25:
            text = text.translate(_STRAIGHT)
        return self._readable(text)

    def _joined(self, rng: Random, length: int, make: phrases.Maker) -> str:
        words = (rng.choice(self.foreign) if rng.random() < self.foreign_share else self.lexicon).draw
        parts = [make(rng, words)]
        if length < 12 and rng.random() < _ALONE:
            return parts[0]
        while sum(map(len, parts)) + len(parts) < length:
            parts.append(make(rng, words))
        return " ".join(parts)

    def _rare(self, rng: Random, words: phrases.Words) -> str:
        """Random strings; in Korean mostly syllables drawn uniformly, so that the rarest are met too."""
        if self.syllables and rng.random() < 0.75:
            return "".join(rng.choices(self.syllables, k=rng.randint(1, 8)))
        return phrases.rare(rng, self.alphabet, words)

    def _running(self, rng: Random, length: int) -> str:
        if rng.random() < self.foreign_share:
            text = self._invented(rng, rng.choice(self.foreign), length)
            text = languages.quoted(rng, text) if rng.random() < 0.2 else text
        elif self.prose and rng.random() < 0.94:
            text = rng.choices(self.prose, self._prose_weights)[0].draw(rng, length)
        else:
            text = self._invented(rng, self.lexicon, length)
        if rng.random() < 0.08:
            text = phrases.strewn(rng, text, self.signs)
        elif rng.random() < 0.05:
            text = languages.accented(rng, text, self.accents)
        if rng.random() < 0.06:  # amounts of money amid the words, whose signs are rare otherwise
            head, _, tail = text.partition(" ")
            text = f"{head} {values.price(rng)} {tail}"
        return _decorate(rng, text) if rng.random() < 0.25 else text

    def _invented(self, rng: Random, lexicon: Lexicon, length: int) -> str:
        """Words drawn independently, with punctuation: no language model can help to read them."""
        parts: list[str] = []
        size = 0
        while size < length:
            word = lexicon.draw(rng)
            if rng.random() < 0.15:
                word = phrases.nonsense(rng, lexicon.draw)
            roll = rng.random()
            word = word.capitalize() if roll < 0.2 else word.upper() if roll < 0.25 else word
            if rng.random() < 0.06:
                word = rng.choice((values.date, values.price, values.quantity, values.code))(rng)
            word += rng.choice((",", ".", ";", ":", "!", "?", ")", "”", "…", " –", " —")) if rng.random() < 0.15 else ""
            parts.append(word)
            size += len(word) + 1
        return " ".join(parts)

    def _case(self, rng: Random, text: str) -> str:
        roll = rng.random()
        if roll < 0.80:
            return text
        return (
            text.upper()
            if roll < 0.88
            else text.title()
            if roll < 0.94
            else text.lower()
            if roll < 0.98
            else text.swapcase()
        )

    def _readable(self, text: str) -> str:
        missing = self.charset.missing(text)
        return normalise(text.translate(dict.fromkeys(map(ord, missing))) if missing else text)


def _decorate(rng: Random, text: str) -> str:
    """Line ends, headings, references and lists, as pages have them."""
    number = rng.randint(1, 400)
    return rng.choice(
        (
            f"{text[:-2]}-",
            f"{number} {text.upper()}",
            f"{text} {number}",
            f"{rng.randint(1, 20)}. {text}",
            f"{rng.randint(1, 9)}.{rng.randint(1, 9)} {text}",
            f"• {text}",
            f"({rng.choice('abcdefivx')}) {text}",
            f"[{number}] {text}",
            f"{text} [{rng.choice(('Aho et al. 1974', str(number), '12, 13', 'Smith 1988b'))}]",
            f"{text} ({rng.choice(('see Fig. 3', '1987', 'ibid.', 'p. 12', 'A.M.', str(number)))})",
            f"“{text}”",
            f"{rng.choice('①②③④⑤⑥⑦⑧⑨⑩')} {text}",
            f"§ {rng.randint(1, 99)} {text}",
            f"{text} © {number + 1600}",
            f"{text}: {values.date(rng)}",
            f"{values.date(rng)} — {text}",
            f"{text} {values.price(rng)}, {values.quantity(rng)}",
            f"{text} {rng.choice(('.', '.', '. ', ' .', '_', '-')) * rng.randint(3, 40)} {number}",
        )
    )
