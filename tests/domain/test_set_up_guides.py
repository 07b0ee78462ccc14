"""The files of providers/set_up_guides/: complete, in the words of the screens, and true to what is understood here."""

import re
import tomllib
from pathlib import Path

import pytest

from idp_bridge import idps
from idp_bridge.providers import KINDS, OTHER, VALUES, set_up_guides
from idp_bridge.providers.set_up_guides import CLAIMS, OWN_STEPS, Guide, catalogue
from idp_bridge.saml.attributes import WELL_KNOWN
from idp_bridge.web.dashboard.advice import marked

FOLDER = Path(set_up_guides.__file__).parent
VALUES_HERE = idps.urls("idp_1", "https://sso.example.com")


def texts(guide: Guide) -> list[str]:
    return [
        *guide.metadata,
        *guide.assign,
        *(one.text for screen in guide.screens for one in screen.do),
    ]


def test_every_kind_has_its_file_and_every_file_its_kind() -> None:
    """A new provider is a new file, named in the order of the kinds."""
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(KINDS)
    assert list(catalogue()) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_has_what_a_guide_needs_and_nothing_else(kind: str) -> None:
    """A table that is misspelt would never be shown."""
    said = tomllib.loads((FOLDER / f"{kind}.toml").read_text())
    assert set(said) == {"metadata", "assign", "screens", "attributes"}
    assert all(said.values())
    for screen in said["screens"]:
        assert set(screen) <= {"step", "title", "do", "attributes"}
        assert screen["do"]
        assert all(set(one) <= {"text", "copy", "download"} and one["text"] for one in screen["do"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_has_an_address_of_its_own(kind: str) -> None:
    """No two steps of a guide share one, and no screen takes that of a step of ours."""
    names = [step.name for step in catalogue()[kind].steps]
    assert len(names) == len(set(names))
    assert names[-len(OWN_STEPS) :] == list(OWN_STEPS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_what_every_connection_needs_is_pasted_on_some_screen(kind: str) -> None:
    """ACS URL and entity ID, once each with a box to copy it; and no value that we do not have."""
    copied = [one.copy for screen in catalogue()[kind].screens for one in screen.do if one.copy]
    assert set(copied) <= set(VALUES)
    assert copied.count("acs_url") == copied.count("sp_entity_id") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_its_attributes_are_understood_without_being_mapped(kind: str) -> None:
    """Each name is one of the well-known ones of its claim; the address is always among them, and the table is shown on
    exactly one screen."""
    guide = catalogue()[kind]
    assert [row.claim for row in guide.attributes] == list(CLAIMS)
    assert all(row.name in WELL_KNOWN[row.claim] for row in guide.attributes)
    assert sum(screen.attributes for screen in guide.screens) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_its_texts_are_shown_as_they_are_meant(kind: str) -> None:
    """Marks are closed, and nothing stands in braces that is not filled in."""
    for text in texts(catalogue()[kind]):
        said = str(marked(text, VALUES_HERE))
        assert not re.search(r"\*\*|`|[{}]", said), text
        assert text.count("**") % 2 == 0, text
        assert text.endswith((".", "!", ")")), text


def test_a_screen_is_found_by_its_step_and_ours_are_none() -> None:
    """What a page shows is decided by it."""
    guide = catalogue()[OTHER]
    assert guide.screen(guide.screens[0].step) == guide.screens[0]
    assert [guide.screen(name) for name in OWN_STEPS] == [None] * len(OWN_STEPS)
