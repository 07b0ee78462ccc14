"""Addresses that pass for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_bridge import look_alikes
from idp_bridge.errors import Invalid
from idp_bridge.text import fold


@pytest.mark.parametrize(
    ("address", "scripts"),
    [
        ("ann@acme.test", ()),
        ("josé@acme.test", ()),
        ("anna.müller-lüdenscheidt@bücher.test", ()),
        ("анна@пример.test", ()),
        ("анна@acme.test", ()),  # each part in one script
        ("άννα@acme.test", ()),
        ("安娜ann@acme.test", ()),
        ("あんなアンナ安娜ann@例え.test", ()),
        ("안나安娜@acme.test", ()),
        ("anna7@acme.test", ()),
        ("аnn@acme.test", ("Cyrillic", "Latin")),
        ("annα@acme.test", ("Greek", "Latin")),
        ("ann@аcme.test", ("Cyrillic", "Latin")),
        ("ann@mail.аcme.test", ("Cyrillic", "Latin")),
        ("ннαν@acme.test", ("Cyrillic", "Greek")),
        ("annᏒ@acme.test", ("Cherokee", "Latin")),
        ("ann안あ@acme.test", ("Hangul", "Hiragana", "Latin")),
        ("ａnn@acme.test", ("Fullwidth", "Latin")),
    ],
)
def test_an_address_mixes_scripts_within_a_part_of_it(address: str, scripts: tuple[str, ...]) -> None:
    """The local part and each label by itself; what Japan, Korea and Taiwan write together is no mixture."""
    assert look_alikes.mixed_scripts(address) == scripts
    if scripts:
        with pytest.raises(Invalid) as caught:
            look_alikes.check(address)
        assert all(script in caught.value.message for script in scripts)
        assert set(caught.value.fields) == {"email"}
    else:
        look_alikes.check(address)


UNSEEN = ("\u200b\u200d\u00ad\u2060\u202e\u2066", "\u0337\u034f\u3164\ufe0f\U000e0100")


@pytest.mark.parametrize("odd", "".join(UNSEEN))
def test_what_nobody_sees_is_no_letter_of_an_address(odd: str) -> None:
    """Zero widths, soft hyphens, controls of direction, fillers, selectors, strokes: it passes for the rest of it."""
    address = f"own{odd}er@acme.test"
    assert look_alikes.unseen(address) == (f"U+{ord(odd):04X}",)
    assert look_alikes.is_disguised(address)
    assert look_alikes.passes_for(address) == "owner@acme.test"
    with pytest.raises(Invalid, match="nobody sees") as caught:
        look_alikes.check(address)
    assert set(caught.value.fields) == {"email"}


def test_a_dot_above_a_letter_that_has_one_is_not_seen() -> None:
    """It is drawn in the place of the letter's own; above another letter it is read."""
    address = "smi\u0307th@acme.test"
    assert look_alikes.unseen(address) == ("U+0307",)
    assert look_alikes.is_disguised(address)
    assert look_alikes.passes_for(address) == "smith@acme.test"
    assert not look_alikes.is_disguised("\N{LATIN SMALL LETTER Z WITH DOT ABOVE}@acme.test")
    assert not look_alikes.is_disguised("z\u0307@acme.test")


@pytest.mark.parametrize("name", ["佐々木", "〆木", "〇〇", "いすゞ", "ヴァー"])
def test_marks_of_japanese_are_written_with_it(name: str) -> None:
    """The signs of repetition and the like are letters of its script, whatever their names begin with."""
    assert not look_alikes.is_disguised(f"{name}@acme.test")
    look_alikes.check(f"{name}@acme.test")


@pytest.mark.parametrize("address", ["ann@acme.test", "jose\u0301@acme.test", "müller@bücher.test", "हिन्दी@acme.test"])
def test_marks_that_are_seen_are_letters(address: str) -> None:
    """Accents and the vowels of other scripts are written, and read."""
    assert not look_alikes.is_disguised(address)


@pytest.mark.parametrize(
    ("address", "passes_for"),
    [
        ("ann@acme.test", None),
        ("анна@acme.test", None),
        ("josé@acme.test", None),
        ("groß@acme.test", None),
        ("сора@acme.test", "copa@acme.test"),
        ("СОРА@acme.test", "copa@acme.test"),
        ("οvo@acme.test", "ovo@acme.test"),
        ("\N{KELVIN SIGN}im@acme.test", "kim@acme.test"),
        ("\N{LATIN SMALL LETTER LONG S}am@acme.test", "sam@acme.test"),
        ("o\N{LATIN SMALL LIGATURE FI}ce@acme.test", "ofice@acme.test"),
        ("ａnn@acme.test", "ann@acme.test"),
        ("\N{MATHEMATICAL BOLD SMALL A}nn@acme.test", "ann@acme.test"),
        ("ıda@acme.test", "ida@acme.test"),
        ("\N{LATIN LETTER SMALL CAPITAL O}wner@acme.test", "owner@acme.test"),
        ("o\N{LATIN LETTER SMALL CAPITAL W}\N{LATIN LETTER SMALL CAPITAL N}er@acme.test", "owner@acme.test"),
        ("\N{LATIN SMALL LETTER ALPHA}nn@acme.test", "ann@acme.test"),
        ("\N{LATIN SMALL LETTER SCRIPT G}ary@acme.test", "gary@acme.test"),
        ("\N{LATIN LETTER SMALL CAPITAL OE}uvre@acme.test", None),
    ],
)
def test_an_address_passes_for_the_one_that_it_looks_like(address: str, passes_for: str | None) -> None:
    """In lower case, and plain ASCII; what looks like no such address passes for none."""
    assert look_alikes.passes_for(address) == passes_for


@given(st.text(), st.text())
def test_what_an_address_passes_for_it_is_not(local: str, domain: str) -> None:
    """Whatever is not ASCII compares unequal to all that it could be taken for."""
    address = f"{local}@{domain}"
    shape = look_alikes.passes_for(address)
    assert shape is None or (shape.isascii() and shape != fold(address))


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_plain_ascii_is_never_a_look_alike(text: str) -> None:
    """It is what the others are compared with."""
    assert (look_alikes.mixed_scripts(text), look_alikes.passes_for(text)) == ((), None)
