"""Synthetic lines: what they say, and the fonts in which it is written."""

import random
import string
from dataclasses import replace

import numpy as np
import pytest
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

from ocrformer.charset import Charset
from ocrformer.training import fonts as font_module
from ocrformer.training import languages, phrases, render, text, values
from ocrformer.training.data import SyntheticConfig, voices_of
from ocrformer.training.font_book import FontBook
from ocrformer.training.fonts import OWN, _capitals_only, find_font_files, font_places, load_faces, open_font
from ocrformer.training.languages import Lexicon
from ocrformer.training.text import TextSource
from ocrformer.training.typeset import Run, Style, draw_style, in_capitals

CHARSET = Charset.default()
MIXTURES = [text.DOCUMENT, text.RECEIPT, text.SCREEN]


# Text


@pytest.mark.parametrize("mixture", MIXTURES)
def test_texts_are_normalised_readable_and_varied(source, mixture):
    rng = random.Random(0)
    drawn = [source.draw(rng, mixture, 30) for _ in range(400)]
    for written in drawn:
        assert not CHARSET.missing(written)
        assert CHARSET.decode(CHARSET.encode(written)) == written
    assert len(set(drawn)) > 300
    characters = set("".join(drawn))
    assert set(string.ascii_letters + string.digits) <= characters
    assert any(ord(c) > 127 for c in characters)


def test_long_texts_on_demand(source):
    rng = random.Random(1)
    lengths = [len(source.draw(rng, text.DOCUMENT, 150)) for _ in range(100)]
    assert sum(length >= 100 for length in lengths) > 70


def test_corpora_are_quoted_verbatim(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("zweifelsohne quirlig " * 500, "utf-8")
    source = text.TextSource(CHARSET, [corpus])
    rng = random.Random(2)
    drawn = [source.draw(rng, text.Mixture(1, 0, 0, 0, 0), 40) for _ in range(50)]
    assert sum("zweifelsohne" in d.lower() or "quirlig" in d.lower() for d in drawn) > 30


def test_values_look_like_what_they_are():
    rng = random.Random(3)
    assert all(any(c.isdigit() for c in values.price(rng)) for _ in range(200))
    assert all(any(c.isdigit() for c in values.phone(rng)) for _ in range(200))
    assert any("O" in values.code(rng) for _ in range(300))
    repeats = [phrases.rare(rng, "abc", lambda _: "word") for _ in range(300)]
    assert any(len(set(r)) == 1 and len(r) > 8 for r in repeats)


def test_nonsense_is_no_word_and_as_long():
    rng = random.Random(4)
    drawn = [phrases.nonsense(rng, lambda _: "reading") for _ in range(300)]
    assert sum(word.lower() == "reading" for word in drawn) < 30
    assert sum(sorted(word.lower()) == sorted("reading") for word in drawn) > 60
    assert all(7 <= len(word) <= 14 for word in drawn)


def test_words_that_lose_their_vowel_are_joined_to_one_that_begins_with_a_vowel():
    lexicon = Lexicon([("l", 5.0), ("eau", 1.0), ("mer", 1.0), ("été", 1.0)], frozenset("l"))
    drawn = {lexicon.draw(random.Random(seed)) for seed in range(200)}
    assert drawn == {"l'eau", "l’eau", "l'été", "l’été", "eau", "mer", "été"}
    french = Lexicon.of_language("fr")
    drawn = {french.draw(random.Random(seed)) for seed in range(2000)}
    assert not drawn & {"l", "d", "qu"} and any(word.startswith(("l'", "l’")) for word in drawn)


def test_other_languages_are_met_beside_a_corpus(tmp_path):
    """Without them the accents of capitals were lost, and the `l'` of French was read as a capital I."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("plain words of English, " * 500, "utf-8")
    source = text.TextSource(CHARSET, [corpus])
    rng = random.Random(5)
    drawn = [source.draw(rng, text.KINDS["running"], 60) for _ in range(1000)]
    accented = sum(any("À" <= character <= "ÿ" for character in line) for line in drawn)
    assert 80 < accented < 200
    assert any(set(line) & set("«»„¿") for line in drawn)


def test_a_mark_may_be_all_there_is():
    source, rng = text.TextSource(CHARSET), random.Random(7)
    short = {source.draw(rng, text.KINDS["rare"], 4) for _ in range(3000)}
    assert {"-", ".", "x"} <= short
    long = {source.draw(rng, text.KINDS["rare"], 40) for _ in range(500)}
    assert min(map(len, long)) > 20


def test_signs_that_are_mistaken_for_others_are_strewn_oftener():
    source = text.TextSource(CHARSET)
    assert source.signs.count("‚") == 5 and source.signs.count("§") == 1
    assert set(source.signs) <= set(CHARSET.characters)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_character_of_the_charset_is_drawn(language):
    """Quotes, brackets, ₩, ™ and circled digits were not: their codes lie between those of the two kinds of jamo."""
    source = text.TextSource(CHARSET, language=language)
    rng = random.Random(6)
    drawn = set("".join(source.draw(rng, text.DOCUMENT, 60) for _ in range(20_000)))
    letters = {c for c in CHARSET.characters if language == "en" and c >= "\u3131"}
    assert {c for c in CHARSET.characters if not "\u1100" <= c <= "\u11ff"} - letters <= drawn


def test_accents_and_signs_where_no_language_has_them():
    variants = languages.accents("äáøßzñ")
    assert variants == {"a": ["ä", "á"], "o": ["ø"], "s": ["ß"], "n": ["ñ"]}
    written = languages.accented(random.Random(0), "a sonata " * 20, variants)
    assert set(written) == set("aäáoøsßnñt ")
    strewn = phrases.strewn(random.Random(0), "one two", ["™"])
    assert strewn.replace("™", " ").split() == ["one", "two"] and "™" in strewn
    assert phrases.strewn(random.Random(0), "", ["™"]) == ""


# Fonts


def test_faces_have_the_glyphs_they_must_draw(faces):
    assert len({face.family for face in faces}) >= 3
    for face in faces:
        assert set(string.ascii_letters + string.digits) <= face.characters
        assert "\u3131" not in face.characters  # DejaVu has no Hangul
    assert not any("LastResort" in face.path for face in faces)  # a box for every character


def test_excluded_and_duplicate_fonts_are_left_out(fonts, tmp_path):
    twice = load_faces([fonts, fonts], CHARSET)
    assert len(twice) == len({(f.path, f.index) for f in twice})
    assert not [f for f in load_faces([fonts], CHARSET, exclude=["Mono"]) if "Mono" in f.path]
    copy = tmp_path / "copy.ttf"
    copy.write_bytes((fonts / "DejaVuSans.ttf").read_bytes())
    assert len(load_faces([fonts / "DejaVuSans.ttf", copy], CHARSET)) == 1


def test_of_fonts_that_look_alike_the_richer_one_is_kept(fonts, tmp_path):
    font = TTFont(fonts / "DejaVuSans.ttf")
    subset = Subsetter()
    subset.populate(text=string.printable)
    subset.subset(font)
    font.save(tmp_path / "a-few.ttf")
    (tmp_path / "b-all.ttf").write_bytes((fonts / "DejaVuSans.ttf").read_bytes())
    (face,) = load_faces([tmp_path], CHARSET)
    assert face.path.endswith("b-all.ttf") and "é" in face.characters


def test_characters_drawn_as_others_are_not_the_fonts(fonts, tmp_path):
    font = TTFont(fonts / "DejaVuSans.ttf")
    for table in (table.cmap for table in font["cmap"].tables if table.isUnicode()):
        for character, drawn in ("ÒT", "ñc", "\\₩", "–-", "‚,", '“"', "|l"):
            table[ord(character)] = table[ord(drawn)]
    font.save(tmp_path / "misdrawn.ttf")
    (face,) = load_faces([tmp_path], CHARSET)
    (whole,) = load_faces([fonts / "DejaVuSans.ttf"], CHARSET)
    assert whole.characters - face.characters == {"Ò", "ñ", "\\"}


def test_missing_and_broken_fonts(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such font"):
        find_font_files([tmp_path / "none"])
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    (tmp_path / "packed.woff2").write_bytes(b"wOF2" + bytes(100))  # needs a package that nobody asked for
    with pytest.raises(ValueError, match=r"no usable font.*WOFF2 must be unpacked"):
        load_faces([tmp_path], CHARSET)
    assert font_places(["x"]) == ["x"]


def test_web_fonts_are_fonts_and_what_a_named_one_lacks_is_told(fonts, tmp_path, caplog):
    for name, characters, flavour in (("all.woff", OWN, "woff"), ("some.ttf", "ABC", None)):
        font = TTFont(fonts / "DejaVuSans.ttf")
        subset = Subsetter()
        subset.populate(text=characters)
        subset.subset(font)
        font.flavor = flavour
        font.save(tmp_path / name)
    (face,) = load_faces([tmp_path], CHARSET, required=OWN)
    assert face.path.endswith("all.woff")
    assert "left out: some.ttf does not draw D E F" in caplog.text


def test_what_a_face_lacks_is_written_plainly(faces):
    face = faces[0]
    assert render.drawable("“a”『b』", face).replace("[", "").replace("]", "").strip('"“”') != ""
    assert "『" in face.characters or "『" not in render.drawable("『b』", face)
    assert render.drawable("가나", face) == ""
    korean = replace(face, syllables="하허호")
    written = render.drawable("호 힣가!", korean)
    assert written[:2] == "호 " and set(written[2:4]) <= set("하허호") and written[4:] == "!"


def test_families_are_drawn_fairly(faces):
    rng = random.Random(0)
    drawn = {FontBook(faces).draw(rng).family for _ in range(300)}
    assert drawn == {face.family for face in faces}


# Korean


def test_only_syllables_that_leave_ink_count(monkeypatch):
    """Fonts map syllables that they draw as an empty box."""
    mapped = "가각간갇갈"
    monkeypatch.setattr(font_module, "_SPREAD", 2)
    for drawn, expected in (("가간갈", mapped), ("가각간", "가각간"), ("", "")):
        monkeypatch.setattr(font_module, "ink", lambda _, c, drawn=drawn: b"ink" if c in drawn else b"box")
        assert font_module._drawn_syllables(None, mapped, b"box") == expected


def test_marks_of_emphasis_go_and_all_others_stay(tmp_path):
    (tmp_path / "a.txt").write_text("It was _so_ *very late* for snake_case_name a*b*c x|y **** 12", "utf-8")
    (prose,) = TextSource(Charset.default(), [tmp_path / "a.txt"]).prose
    assert prose.text == "It was so very late for snake_case_name a*b*c x|y **** 12"


def test_shares_of_scripts(faces):
    korean = [replace(face, syllables="가나다") for face in faces]
    for share, scripts in ((0, [False]), (0.3, [False, True]), (1, [True])):
        voices = voices_of(SyntheticConfig(korean=share), Charset.default(), korean)
        assert [voice.source.korean for voice in voices] == scripts
    with pytest.raises(ValueError, match="from 0 to 1"):
        SyntheticConfig(korean=1.5)


def test_korean_texts_cover_rare_syllables_and_values():
    source = text.TextSource(CHARSET, language="ko")
    rng = random.Random(0)
    drawn = [source.draw(rng, mixture, 20) for mixture in MIXTURES for _ in range(300)]
    together = "".join(drawn)
    syllables = {c for c in together if "가" <= c <= "힣"}
    assert len(syllables) > 1000  # far more than the two or three hundred of common words
    assert "원" in together and "년" in together and "『" in together and "〉" in together
    assert any(c.isascii() and c.isalpha() for c in together)
    assert all(not CHARSET.missing(written) for written in drawn)


def test_small_capitals_are_spelled_as_capitals_of_the_charset(faces):
    charset = Charset.default()
    letters = "".join(c for c in charset.characters if c.isalpha() and c < "\u1100")
    font = open_font(faces[0].path, faces[0].index, 20, False)
    style = Style(font, emphasis=open_font(faces[0].path, faces[0].index, 15, False), capitals=True, span=(1, 2))
    assert style.spelled("Note Joseph and") == "Note JOSEPH and"
    assert [run.text for run in style.runs("Note Joseph and")] == ["Note ", "J", "OSEPH", " ", "and"]
    assert not charset.missing(Style(font, emphasis=font, capitals=True, span=(0, 1)).spelled(letters))


def test_thin_spaces_and_emphasis_leave_the_text_alone(faces):
    font, other = (open_font(faces[0].path, faces[0].index, size, False) for size in (20, 21))
    style = Style(font, emphasis=other, span=(1, 3), thin=4.0)
    text = "So: it is; who? 12:30 ; end!"
    assert style.spelled(text) == text == "".join(run.text for run in style.runs(text))
    assert {run.text: run.gap for run in style.runs(text)}[": "] == 4.0
    assert sum(run.font is other for run in style.runs(text)) == 2


def test_old_ones_look_like_small_capital_i_and_stay_figures(faces):
    font, small = (open_font(faces[0].path, faces[0].index, size, False) for size in (20, 14))
    style = Style(font, thin=4.0, old_one=small)
    text = "1811; born 21 May"
    assert style.spelled(text) == text
    runs = style.runs(text)
    assert "".join(run.text for run in runs) == "I8II; born 2I May"
    assert [run.font is small for run in runs] == [run.text == "I" for run in runs]
    assert sum(run.gap for run in runs) == 4.0


def test_lone_marks_are_drawn(source):
    rng = random.Random(5)
    drawn = [source.draw(rng, text.RECEIPT, 1) for _ in range(3000)]
    assert {":", "@", "RM"} <= set(drawn)


def test_small_capitals_are_none_that_a_charset_may_lack():
    assert in_capitals("été of α, γ and ÿ, ß") == "ÉTÉ OF α, γ AND ÿ, ß"


def test_equal_cells(faces):
    """A full stop is as wide as a figure, and stands at the left of its cell."""
    font = open_font(faces[0].path, faces[0].index, 40, False)
    style = Style(font, pitch=30.0, lean=0.0)
    (run,) = style.runs("1.8")
    assert style.length(run) == 90
    canvas = Image.new("L", (90, 60))
    style.draw(ImageDraw.Draw(canvas), run, 0, 50)
    ink = np.flatnonzero(np.asarray(canvas).max(axis=0))
    stop = ink[(ink >= 30) & (ink < 60)]
    assert stop[0] >= 30 and stop[-1] < 44  # as far left as the font lets it
    assert ink[-1] >= 62


def test_small_capitals_are_neither_of_faces_that_lack_them_nor_mixed_with_other_letters(faces):
    face = faces[0]
    poor = replace(face, characters=face.characters - {"É"})
    styles = [draw_style(random.Random(seed), poor, None, 20, 1.0, 0.0) for seed in range(60)]
    assert not any(style.capitals for style in styles)
    assert any(draw_style(random.Random(seed), face, None, 20, 1.0, 0.0).capitals for seed in range(60))
    capitals, italic = (replace(face, path=name, capitals_only=name == "capitals") for name in ("capitals", "italic"))
    assert FontBook([face, capitals]).sibling(random.Random(0), face) is None
    assert FontBook([face, capitals, italic]).sibling(random.Random(0), face) == italic


def test_letters_without_ascenders_are_small_capitals(faces):
    class Small:
        """As a face of small capitals: all letters are of one height."""

        def getbbox(self, letter, anchor):
            return (0, -14, 12, 0)

    assert _capitals_only(Small(), faces[0].characters)
    assert not _capitals_only(open_font(faces[0].path, faces[0].index, 29, False), faces[0].characters)


def test_text_without_spaces_is_cut_anywhere():
    letters = "".join(random.Random(0).choices(string.ascii_letters, k=5000))
    drawn = {text.Prose(letters).draw(random.Random(seed), 50) for seed in range(20)}
    assert len(drawn) > 10 and max(map(len, drawn)) <= 50 + 2 * 40
    assert text.Prose("two words").draw(random.Random(0), 5) in ("two words", "words")


def test_ligatures_do_not_turn_characters_into_others(monkeypatch):
    monkeypatch.setattr(ImageFont.FreeTypeFont, "getlength", lambda *_, features=None: features)
    font = ImageFont.FreeTypeFont.__new__(ImageFont.FreeTypeFont)
    font.layout_engine = ImageFont.Layout.RAQM
    for symbols in ("a -> b", "(c) 1998", "0x1F", "x != y", "<3", "Tel. 1", "Nr. 2", "oeuvre"):
        assert "-liga" in (Style(font).length(Run(symbols, font)) or ()), symbols
    assert Style(font, ("onum",)).length(Run("office 12 (of 3)", font)) == ["onum", "-calt", "-rlig"]


def test_capitals_of_faces_that_have_nothing_else_stay_in_the_charset(faces):
    face = replace(faces[0], capitals_only=True, characters=faces[0].characters | {"Ÿ"})
    assert "Ÿ" not in render.drawable("L'Haÿ", face)
