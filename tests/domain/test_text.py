"""Folded names: what is equal, and what must never become equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_bridge.text import fold


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        ("JOSÉ", "jose\N{COMBINING ACUTE ACCENT}"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
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
    ],
)
def test_a_look_alike_never_matches(look_alike: str, real: str) -> None:
    """Folding must not hand one person's address to another."""
    assert fold(look_alike) != fold(real)


@given(st.text())
def test_no_other_letter_becomes_an_ascii_one(text: str) -> None:
    """A text that is not ASCII stays so."""
    assert fold(text).isascii() == text.isascii()


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    """A stored key may be folded again."""
    assert fold(fold(text)) == fold(text)
