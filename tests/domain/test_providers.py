"""The files of providers/: complete, true to their placeholders, and with a fix for whatever a sign-in can end by."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from idp_bridge import providers
from idp_bridge.errors import Code
from idp_bridge.providers import KINDS, OTHER, PLACEHOLDERS, VALUES, catalogue, fix, plain, recognise
from idp_bridge.saml.errors import Reason
from idp_bridge.sign_in import ADMITTING, Outcome
from idp_bridge.simulator.serve import ENTITY_IDS
from idp_bridge.web.dashboard.advice import marked

FOLDER = Path(providers.__file__).parent

#: Where in the provider's menus something is: what pages and fixes ask for. A file may have more of its own.
PLACES = {"settings", "metadata", "certificate", "people", "our_certificate"}

#: What a SAML sign-in can be refused for: by the door, by who may come in, by the plan, the seats and the last
#: administrator.
REFUSALS = [
    *(reason.value for reason in Reason),
    *(outcome.value for outcome in Outcome if outcome not in ADMITTING),
    Code.PLAN_REQUIRED.value,
    Code.SEATS_FULL.value,
    Code.LAST_ADMINISTRATOR.value,
]
TABLES: dict[str, Any] = {
    "title": str, "sources": list, "note": str, "recognised_by": dict, "labels": dict, "where": dict, "fixes": list,
}  # fmt: skip


def document(kind: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{kind}.toml").read_text())


def texts(kind: str) -> list[str]:
    one = catalogue()[kind]
    return [one.note, *one.where.values(), *one.fixes.values()]


def test_every_file_is_offered_and_every_kind_has_its_file() -> None:
    """One file for each; a file that is dropped into the folder must be named in the order."""
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_complete(kind: str) -> None:
    """Every table, a label for each value that is pasted, a place for each thing that is looked for, its sources."""
    said = document(kind)
    assert {name: type(value) for name, value in said.items()} == TABLES
    assert set(said["recognised_by"]) <= {"hosts", "paths", "names"}
    assert bool(said["recognised_by"]) == (kind != OTHER)
    assert set(said["labels"]) == {*VALUES, "token"}
    assert set(said["where"]) >= PLACES
    assert all(source.startswith("https://") for source in said["sources"])
    assert said["sources"]
    assert all(set(row) == {"for", "text"} and row["for"] and row["text"] for row in said["fixes"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_fix_stands_once_and_for_something_that_can_happen(kind: str) -> None:
    """Twice for one reason, the first would never be read; for an unknown one, none would."""
    named = [why for row in document(kind)["fixes"] for why in row["for"]]
    assert len(named) == len(set(named))
    assert set(named) <= set(REFUSALS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_in_braces_is_known(kind: str) -> None:
    """A place of the same file, or something that is filled in; a place names no other place."""
    one = catalogue()[kind]
    for text in texts(kind):
        assert set(re.findall(r"\{(.*?)\}", text)) <= {*one.where, *PLACEHOLDERS}, text
    for text in one.where.values():
        assert not set(re.findall(r"\{(.*?)\}", text)) & set(one.where), text


@pytest.mark.parametrize("kind", KINDS)
def test_marks_are_closed(kind: str) -> None:
    """An open one would stand on the page as it was typed."""
    for text in texts(kind):
        assert text.count("**") % 2 == 0, text
        assert text.count("`") % 2 == 0, text
    for why in REFUSALS:
        assert not re.search(r"\*\*|`", str(marked(fix(kind, why) or ""))), why


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("why", REFUSALS)
def test_every_refusal_has_a_fix(kind: str, why: str) -> None:
    """In the provider's words or in general ones; nothing is left in braces, whatever facts there are."""
    text = fix(kind, why)
    assert text is not None
    for facts in ({}, {"got": "a value", "acs_url": "https://sp.test/acs"}):
        said = plain(text, facts)
        assert len(said) > 20
        assert not re.search(r"[{}`]|\*\*", said), said


def test_a_general_fix_leads_into_the_providers_own_menus() -> None:
    """What only ``other`` has words for names the places of the provider at hand."""
    assert "version_unsupported" not in catalogue()["okta"].fixes
    assert catalogue()["okta"].where["settings"] in (fix("okta", "version_unsupported") or "")


def test_an_unknown_reason_has_no_fix() -> None:
    """Rather nothing than a guess."""
    assert fix("okta", "moon_phase") is None


@pytest.mark.parametrize(
    ("kind", "name", "entity_id", "sso_url"),
    [
        ("okta", "Staff", "http://www.okta.com/exk1", "https://acme.okta.com/app/acme_1/exk1/sso/saml"),
        ("okta", "Staff", "http://www.okta.com/exk1", "https://login.acme.test/app/acme_1/exk1/sso/saml"),
        ("okta", "Okta (simulated)", ENTITY_IDS["okta"], "http://127.0.0.1:8001/okta/sso"),
        ("entra", "Staff", "https://sts.windows.net/5f/", "https://login.microsoftonline.com/5f/saml2"),
        ("entra", "Entra ID", ENTITY_IDS["entra"], "http://127.0.0.1:8001/entra/sso"),
        ("google", "x", "https://accounts.google.com/o/saml2?idpid=C1", "https://accounts.google.com/o/saml2/idp?idpid=C1"),
        ("onelogin", "x", "https://app.onelogin.com/saml/metadata/5f", "https://acme.onelogin.com/trust/saml2/http-post/sso/5f"),
        ("ping", "x", "https://auth.pingone.eu/5f", "https://auth.pingone.eu/5f/saml20/idp/sso"),
        ("ping", "x", "https://sso.acme.test", "https://sso.acme.test/idp/SSO.saml2"),
        ("adfs", "x", "http://sts.acme.test/adfs/services/trust", "https://sts.acme.test/adfs/ls/"),
        ("keycloak", "x", "https://id.acme.test/realms/staff", "https://id.acme.test/realms/staff/protocol/saml"),
        ("simplesamlphp", "x", "https://id.acme.test/meta", "https://id.acme.test/simplesaml/saml2/idp/SSOService.php"),
        ("jumpcloud", "x", "acme", "https://sso.jumpcloud.com/saml2/acme"),
        ("google", "Google for contractors", "https://idp.test/meta", "https://idp.test/sso"),
        ("other", "Shopping portal", "https://idp.test/meta", "https://idp.test/sso"),
        ("other", "x", "https://okta.com.evil.test/meta", "https://notokta.com/sso"),
        ("other", "", "", ""),
        ("other", "x", "https://[not-an-address", "https://idp.test/sso"),
    ],
)  # fmt: skip
def test_a_connection_is_recognised(kind: str, name: str, entity_id: str, sso_url: str) -> None:
    """By host, by path, by name; a host that only looks like one of theirs is none."""
    assert recognise(name=name, entity_id=entity_id, sso_url=sso_url) == kind


def test_what_came_in_a_message_cannot_speak_on_the_page() -> None:
    """Markup and braces in a fact are shown, not obeyed."""
    said = str(marked("It is {got}, not {want}.", {"got": "<b>**bold**</b> {want}", "want": "this"}))
    assert said == "It is <code>&lt;b&gt;**bold**&lt;/b&gt; {want}</code>, not <code>this</code>."
