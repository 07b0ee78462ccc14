"""Plays `fixtures/saml/`: a folder dropped in there is a test, without a line of code."""

from pathlib import Path
from typing import Any

import pytest

from idp_bridge.saml import Reason, Rejected
from idp_bridge.saml.errors import LOGOUT_REASONS

from .playing import FOLDER, case_of, play

#: Those that need a database, a browser or the request's own time, or are about logout: no Response is refused for them
#: by the door alone.
BY_OTHERS = LOGOUT_REASONS | {
    Reason.EMAIL_MISSING,
    Reason.AUTHENTICATION_STALE,
    Reason.REQUEST_UNKNOWN,
    Reason.OTHER_BROWSER,
    Reason.REQUEST_NOT_NAMED,
    Reason.ASSERTION_REPLAYED,
}
PROVIDERS = {
    "adfs", "auth0", "entra", "google", "jumpcloud", "keycloak", "lasso", "okta", "onelogin", "ping", "shibboleth",
    "simplesamlphp",
}  # fmt: skip


def folders(kind: str) -> list[Path]:
    return sorted(path.parent for path in (FOLDER / kind).glob("*/case.json"))


def cases(kind: str) -> list[Any]:
    """Every folder of this kind; see fixtures/saml/README.md for what is in one."""
    return [pytest.param(folder, id=folder.name) for folder in folders(kind)]


@pytest.mark.parametrize("folder", cases("good"))
def test_each_products_form_is_accepted(folder: Path) -> None:
    """Each product's form says who somebody is, with the attribute names that the product starts with."""
    assert play(folder) == case_of(folder)["expect"]


@pytest.mark.parametrize("folder", [*cases("bad"), *cases("attacks")])
def test_bad_and_forged_messages_are_refused(folder: Path) -> None:
    """Each for its own reason, and an administrator is told what came and what was wanted."""
    expect = case_of(folder)["expect"]
    with pytest.raises(Rejected) as caught:
        play(folder)
    assert caught.value.reason == expect["refused"]
    assert dict(caught.value.facts) == expect.get("facts", caught.value.facts)


@pytest.mark.parametrize("reason", sorted(set(Reason) - BY_OTHERS))
def test_every_reason_of_the_door_has_its_fixture(reason: Reason) -> None:
    """`bad/<reason>` is the good case with one thing changed, and that is refused for this reason."""
    expect = case_of(FOLDER / "bad" / reason)["expect"]
    assert (expect["refused"], set(expect)) == (reason, {"refused", "facts"})


def test_fixtures_are_there() -> None:
    """A walk over nothing would pass too; and nothing lies there that no reason names."""
    assert {folder.name for folder in folders("good")} >= PROVIDERS
    assert {folder.name for folder in folders("bad")} == set(Reason) - BY_OTHERS
    assert len(folders("attacks")) >= 10
