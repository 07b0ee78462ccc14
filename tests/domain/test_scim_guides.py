"""The guides to provisioning: complete, true to their placeholders, with words for every error that a push ends in."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from idp_bridge import providers
from idp_bridge.plans import Feature
from idp_bridge.providers import scim_guides
from idp_bridge.providers.scim_guides import KINDS, OTHER, SIDES, fix, guide, problem, problems
from idp_bridge.web.dashboard.advice import marked

FOLDER = Path(scim_guides.__file__).parent
FACTS = {"scim_base_url": "https://sp.test/scim/v2"}

#: What our answers say -> the kind of error that it is.
SAID: tuple[tuple[int, str | None, str, str], ...] = (
    (403, None, "SCIM provisioning needs the Enterprise plan; this account is on Pro.", "plan"),
    (403, None, "All 5 seats of this account are taken (5 used, 0 reserved by invitations). Remove …", "seats_full"),
    (409, None, "This would leave the account without an active administrator. …", "last_administrator"),
    (409, None, "a@x.test is managed by another directory of this account. The case waits …", "other_directory"),
    (409, None, "2 members of this account have the address a@x.test. The case waits …", "ambiguous"),
    (409, "uniqueness", "… and this identity provider may only take over members of …", "domain"),
    (409, None, "This identity provider may only speak for addresses of x.test, …", "domain"),
    (409, "uniqueness", "The address a@x.test belongs to another member of this account already.", "address_taken"),
    (409, None, "This person is a member of the account again already, as b@x.test. Send her …", "member_again"),
    (409, "uniqueness", "A user with the userName 'a@x.test' exists in this directory already.", "user_exists"),
    (409, "uniqueness", "A group with the displayName 'Crew' exists in this directory already.", "group_exists"),
    (200, "uniqueness", "1 of 2 operations failed, the first: A group with the displayName …", "group_exists"),
    (400, "invalidValue", "members: no user of this directory has the id du_1.", "members_missing"),
    (404, None, "User du_1 was not found in this directory.", "not_found"),
    (400, "invalidFilter", "'shoeSize' is not an attribute of User.", "filter"),
    (400, "invalidVers", "This server speaks SCIM 2.0 only: the base URL is https://sp.test/scim/v2.", "version"),
    (400, "invalidValue", "userName is required.", "value"),
    (400, "invalidPath", "'shoeSize' is not an attribute of User.", "mapping"),
    (400, "mutability", "id is read-only.", "mapping"),
    (404, None, "There is nothing at '/scim/v2/User'.", "path"),
    (405, None, "The method is not allowed.", "path"),
    (501, None, "There is no /Me here: a SCIM token stands for a directory, and for no person.", "path"),
    (412, None, "The resource has changed since it was read; read it again and repeat.", "changed_meanwhile"),
    (413, None, "The body is larger than …", "form"),
    (415, None, "Send application/scim+json or application/json, in UTF-8.", "form"),
    (429, None, "More than 500 requests a second with one SCIM token.", "rate"),
    (503, None, "The database is busy or away. Try again shortly.", "busy"),
    (500, None, "Something went wrong on our side.", "ours"),
)  # fmt: skip


def document(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text())


def texts(kind: str) -> list[str]:
    one = guide(kind)
    return [one.note, one.test, one.paste, one.again, *(step.text for step in one.steps), *one.fixes.values()]


def test_every_provider_that_is_offered_has_a_guide() -> None:
    """A file for each, and no file that nobody asks for."""
    assert set(KINDS) == set(providers.KINDS)
    assert {path.stem for path in FOLDER.glob("*.toml")} == {*KINDS, "errors"}
    assert guide("moon").steps == guide(OTHER).steps


@pytest.mark.parametrize("kind", KINDS)
def test_a_guide_is_complete(kind: str) -> None:
    """Steps with a title and a text, the base URL among them, where the next token goes, its sources."""
    one = guide(kind)
    assert one.steps
    assert all(step.title and step.text for step in one.steps)
    assert any("{scim_base_url}" in step.text for step in one.steps)
    assert one.test
    assert one.paste
    assert one.again
    assert one.sources
    assert all(source.startswith("https://") for source in one.sources)
    assert not one.test.endswith(".")


@pytest.mark.parametrize("kind", KINDS)
def test_marks_are_closed_and_what_stands_in_braces_is_known(kind: str) -> None:
    """Nothing stands on the page as it was typed."""
    for text in [*texts(kind), *(one.fix for one in problems()), *(one.what for one in problems())]:
        assert text.count("**") % 2 == 0, text
        assert text.count("`") % 2 == 0, text
        assert set(re.findall(r"\{(.*?)\}", text)) <= {"scim_base_url"}, text
        assert not re.search(r"\*\*|`|[{}]", str(marked(text, FACTS))), text


@pytest.mark.parametrize("kind", KINDS)
def test_a_fix_is_for_an_error_that_there_is(kind: str) -> None:
    """Of a provider's fix for another one nobody would ever read; one that we mend needs none."""
    named = {one.name: one for one in problems()}
    for name in guide(kind).fixes:
        assert name in named
        assert named[name].side == "identity_provider"


def test_every_error_is_named_once_and_says_who_acts() -> None:
    """And has words of its own."""
    names = [one.name for one in problems()]
    assert len(names) == len(set(names))
    assert all(one.side in SIDES and one.what and one.fix and one.statuses for one in problems())
    assert {name for *_, name in SAID} == set(names)


@pytest.mark.parametrize(("status", "scim_type", "detail", "name"), SAID)
def test_an_error_is_recognised(status: int, scim_type: str | None, detail: str, name: str) -> None:
    """By status, scimType and what our sentence says."""
    found = problem(status=status, scim_type=scim_type, detail=detail)
    assert found is not None
    assert found.name == name
    for kind in KINDS:
        assert len(fix(kind, found)) > 20


def test_an_error_is_told_apart_by_words_that_are_ours() -> None:
    """Each part of a sentence stands in the code that says it; else a mended sentence would lose its words here."""
    root = FOLDER.parents[2]
    ours = "\n".join(path.read_text() for folder in ("idp_bridge", "scim") for path in (root / folder).rglob("*.py"))
    ours += f"{Feature.SCIM.value} needs the"  # plans.require puts the two together
    assert [part for one in problems() for part in one.says if part not in ours] == []


def test_what_is_none_of_them_has_no_words() -> None:
    """Rather nothing than a guess."""
    assert problem(status=418, scim_type=None, detail="I am a teapot.") is None


def test_okta_and_entra_have_words_of_their_own_for_the_common_ones() -> None:
    """Those that an administrator of theirs meets in the first weeks."""
    common = {"user_exists", "group_exists", "not_found", "members_missing", "filter", "value", "mapping"}
    for kind in ("okta", "entra"):
        assert common <= set(guide(kind).fixes)
