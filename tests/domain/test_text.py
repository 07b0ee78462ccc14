"""Folded names: what is equal, and what must never become equal."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from idna.idnadata import codepoint_classes
from idna.intranges import intranges_contain

from idp_bridge.text import fold


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        ("JOSÉ", "jose\N{COMBINING ACUTE ACCENT}"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("Σίσυφος", "σΊσυφος"),
        ("Группа", "ГРУППА"),
        ("\N{ANGSTROM SIGN}ke", "Åke"),
    ],
)
def test_spellings_of_one_name_are_equal(one: str, other: str) -> None:
    """Case and composition make no difference."""
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("look_alike", "real"),
    [
        ("\N{KELVIN SIGN}im@example.com", "kim@example.com"),
        ("\N{LATIN SMALL LETTER LONG S}am@example.com", "sam@example.com"),
        ("groß@example.com", "gross@example.com"),
        ("o\N{LATIN SMALL LIGATURE FI}ce@example.com", "ofice@example.com"),
        ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}da@example.com", "ida@example.com"),
        ("аnn@example.com", "ann@example.com"),
        ("bob@κόσμος.test", "bob@κόσμοσ.test"),
        ("bob@ΚΌΣΜΟΣ.test", "bob@κόσμος.test"),
        ("bob@ab\N{ZERO WIDTH JOINER}c.test", "bob@abc.test"),
        ("bob@ab\N{ZERO WIDTH NON-JOINER}c.test", "bob@abc.test"),
    ],
)
def test_a_look_alike_never_matches(look_alike: str, real: str) -> None:
    """Folding must not hand one person's address to another."""
    assert fold(look_alike) != fold(real)


def test_no_two_domains_fold_to_one() -> None:
    """No letter of domain names becomes another one: those that IDNA2008 allows stand as they are (RFC 5892)."""
    letters = (code for code in range(0x80, sys.maxunicode + 1) if intranges_contain(code, codepoint_classes["PVALID"]))
    assert [chr(code) for code in letters if fold(chr(code)) != chr(code)] == []


@given(st.text())
def test_no_other_letter_becomes_an_ascii_one(text: str) -> None:
    """A text that is not ASCII stays so."""
    assert fold(text).isascii() == text.isascii()


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    """A stored key may be folded again."""
    assert fold(fold(text)) == fold(text)
