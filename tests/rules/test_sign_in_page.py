"""docs/sign-in.md shows the table that decides."""

from pathlib import Path

import pytest

from idp_bridge.identity_conflicts import Kind
from idp_bridge.sign_in import WARNINGS, printed
from idp_bridge.web.dashboard import conflicts

PAGE = Path(__file__).parents[2] / "docs" / "sign-in.md"


def test_the_page_shows_the_table_that_is_asked() -> None:
    """Word for word as the code prints it."""
    page = PAGE.read_text()
    assert printed.within(page) == page, "run: python -m idp_bridge.sign_in docs/sign-in.md"


def test_a_page_without_its_marks_is_refused() -> None:
    """Rather than left as it was."""
    with pytest.raises(ValueError, match="has no"):
        printed.within("# Signing in\n")


def test_every_kind_of_question_is_explained() -> None:
    """On the page of the docs, and on the one where it is decided."""
    page = PAGE.read_text()
    assert [kind for kind in Kind if f"| `{kind}` |" not in page] == []
    assert set(conflicts.WORDS) == set(Kind)


def test_every_warning_of_a_sign_in_is_explained() -> None:
    """By the name that the event has."""
    assert [warning for warning in WARNINGS if f"`{warning}`" not in PAGE.read_text()] == []
