import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrformer.charset import SPECIALS, Charset, CharsetError, compose, decompose, normalise

DEFAULT = Charset.default()


def test_default_holds_what_it_promises():
    for text in ("Ab~", "Ünïçß", "‘’“”–—…•", "§°©®™", "$£€¥₩₹", "①②③④⑤⑥⑦⑧⑨⑩", "ㄱㅎㅏㅣ"):
        assert not DEFAULT.missing(text)


def test_every_hangul_syllable_round_trips():
    everything = "".join(map(chr, range(0xAC00, 0xD7A4)))
    assert DEFAULT.decode(DEFAULT.encode(everything)) == everything


def test_decomposition_is_unicode_nfd_for_hangul_only():
    assert decompose("값") == unicodedata.normalize("NFD", "값")
    assert decompose("é") == "é"


@given(st.text(alphabet="가힣값ab éㄱ-ㅣ", max_size=20))
def test_composing_undoes_decomposing(text):
    assert compose(decompose(text)) == text


def test_labels_are_normalised():
    assert normalise("  a\t b\u00a0c ﬁn e\u0301 ") == "a b c fin é"
    assert normalise("x\u200by\u2011z") == "xy-z"


def test_unknown_characters_are_named():
    with pytest.raises(CharsetError, match=r"'α' \(U\+03B1\)"):
        DEFAULT.encode("alpha α")


def test_repeated_or_composed_characters_are_refused():
    with pytest.raises(CharsetError, match="twice: a"):
        Charset("aba")
    with pytest.raises(CharsetError, match="jamo"):
        Charset("가")


def test_groups_show_characters_as_people_see_them():
    assert DEFAULT.groups(DEFAULT.encode("값a가")) == [("값", 0, 3), ("a", 3, 4), ("가", 4, 6)]
    marked = DEFAULT.extend("q\u0303")
    spelt = [SPECIALS + marked.characters.index(c) for c in "n\u0303q\u0303"]  # as a network may spell it
    assert marked.groups(spelt) == [("ñ", 0, 2), ("q\u0303", 2, 4)]
    assert "".join(text for text, _, _ in marked.groups(spelt)) == normalise(marked.decode(spelt))


def test_lone_jamo_survive():
    ids = DEFAULT.encode("ㄱ")
    assert DEFAULT.decode(ids) == "ㄱ"
    for conjoining, alone in (("\u1161", "ㅏ"), ("\u1108", "ㅃ"), ("\u11aa", "ㄳ"), ("\u11c2", "ㅎ")):
        assert DEFAULT.decode([SPECIALS + DEFAULT.characters.index(conjoining)]) == alone == normalise(conjoining)
        assert DEFAULT.groups([SPECIALS + DEFAULT.characters.index(conjoining)]) == [(alone, 0, 1)]


def test_allowed_characters_are_some():
    charset = Charset("ab ")
    assert charset.allowed("a a") == sorted([charset.space, *charset.encode("a")])
    for none in ("", "\u200b"):
        with pytest.raises(CharsetError, match="none at all"):
            charset.allowed(none)


def test_extension_keeps_old_ids():
    grown = DEFAULT.extend("αβ가a")
    assert grown.characters == DEFAULT.characters + "αβ"
    assert grown.encode("Ab") == DEFAULT.encode("Ab")


def test_special_ids_write_nothing():
    assert DEFAULT.decode([0, 1, 2]) == ""
