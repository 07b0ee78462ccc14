"""Claims: which attribute counts, and what is refused rather than guessed."""

from collections.abc import Mapping
from typing import Any

import pytest

from idp_bridge.saml import Assertion, Claims, Reason, Rejected, read, verify
from idp_bridge.saml.attributes import WELL_KNOWN

from . import idp

CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
MS = "http://schemas.microsoft.com/ws/2008/06/identity/claims"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"


def said(attributes: Mapping[str, tuple[str, ...]], **changes: Any) -> Assertion:
    values: dict[str, Any] = {
        "id": "_a",
        "issuer": idp.IDP,
        "name_id": "opaque-1",
        "name_id_format": PERSISTENT,
        "name_qualifier": None,
        "sp_name_qualifier": None,
        "session_index": None,
        "attributes": attributes,
        "in_response_to": None,
        "issue_instant": idp.NOW,
        "not_on_or_after": idp.NOW,
        "session_not_on_or_after": None,
        "authn_instant": idp.NOW,
        "authn_context": None,
        "warnings": (),
    }
    return Assertion(**{**values, **changes})


ANN = Claims("ann@example.com", "Ann", "Lee", ("A", "B"), groups_overage=False, display_name="Ann Lee")


OID, MACE = "urn:oid:", "urn:mace:dir:attribute-def:"


@pytest.mark.parametrize(
    ("email", "first", "last", "shown", "groups"),
    [
        pytest.param("email", "firstName", "lastName", "displayName", "groups", id="Okta"),
        pytest.param(
            f"{CLAIMS}/emailaddress",
            f"{CLAIMS}/givenname",
            f"{CLAIMS}/surname",
            "http://schemas.microsoft.com/identity/claims/displayname",
            f"{MS}/groups",
            id="Entra",
        ),
        pytest.param(
            f"{CLAIMS}/emailaddress",
            f"{CLAIMS}/givenname",
            f"{CLAIMS}/surname",
            "http://schemas.xmlsoap.org/claims/CommonName",
            "http://schemas.xmlsoap.org/claims/Group",
            id="AD FS",
        ),
        pytest.param(
            "http://schemas.xmlsoap.org/claims/EmailAddress", "FirstName", "LastName", "cn", "group", id="AD FS 1"
        ),
        pytest.param("User.email", "User.FirstName", "User.LastName", "DisplayName", "memberOf", id="OneLogin"),
        pytest.param("email", "first_name", "last_name", "displayName", "groups", id="Google"),
        pytest.param("Email", "FirstName", "LastName", "displayName", "Groups", id="PingOne"),
        pytest.param("mail", "givenName", "sn", "displayName", "memberOf", id="PingFederate"),
        pytest.param("email", "firstname", "lastname", "displayName", "memberOf", id="JumpCloud"),
        pytest.param(f"{OID}1.2.840.113549.1.9.1", f"{OID}2.5.4.42", f"{OID}2.5.4.4", "cn", "member", id="Keycloak"),
        pytest.param("emailAddress", "givenName", "surname", "cn", "isMemberOf", id="SimpleSAMLphp, as in LDAP"),
        pytest.param(
            f"{OID}0.9.2342.19200300.100.1.3",
            f"{OID}2.5.4.42",
            f"{OID}2.5.4.4",
            f"{OID}2.16.840.1.113730.3.1.241",
            f"{OID}1.3.6.1.4.1.5923.1.5.1.1",
            id="SimpleSAMLphp, Shibboleth: by OID",
        ),
        pytest.param(
            f"{MACE}mail", f"{MACE}givenName", f"{MACE}sn", f"{MACE}displayName", "memberOf", id="by MACE names"
        ),
        pytest.param("EmailAddress", "firstName", "lastName", f"{OID}2.5.4.3", "groups", id="others"),
    ],
)
def test_well_known_names(email: str, first: str, last: str, shown: str, groups: str) -> None:
    """Without any mapping the names that each product sends by default are understood."""
    attributes = {
        email: ("ann@example.com",),
        first: (" Ann ",),
        last: ("", "Lee"),
        shown: ("Ann Lee",),
        groups: ("A", "B", "A", ""),
    }
    assert read(said(attributes), {}) == ANN
    assert read(said(attributes), dict.fromkeys(("email", "first_name", "last_name", "groups"))) == ANN


def test_mapping_replaces_the_well_known_names() -> None:
    """A mapped name counts alone and exactly, even where a well-known one is there too."""
    attributes = {
        "email": ("other@example.com",),
        "work": ("ann@example.com",),
        "Roles": ("admin, dev",),
        "groups": ("x",),
    }
    claims = read(said(attributes), {"email": "work", "groups": "Roles", "first_name": "firstname"})
    assert (claims.email, claims.groups, claims.first_name) == ("ann@example.com", ("admin, dev",), None)
    assert read(said(attributes), {"email": "Work"}).email is None


def test_name_id_can_be_mapped() -> None:
    """The word NameID stands for the subject itself."""
    assert (
        read(said({"email": ("x@example.com",)}, name_id="ann@example.com"), {"email": "NameID"}).email
        == "ann@example.com"
    )


@pytest.mark.parametrize(
    ("name_id", "name_id_format", "email"),
    [
        ("ann@example.com", idp.EMAIL, "ann@example.com"),
        ("ann@example.com", PERSISTENT, "ann@example.com"),
        ("opaque-1", PERSISTENT, None),
    ],
)
def test_name_id_stands_in_only_as_an_address(name_id: str, name_id_format: str, email: str | None) -> None:
    """Without an e-mail attribute a NameID counts where its format or its shape says that it is an address."""
    assert read(said({}, name_id=name_id, name_id_format=name_id_format), {}).email == email


def test_mapped_email_that_is_absent_is_not_replaced_by_the_name_id() -> None:
    """An administrator who named an attribute does not want another source."""
    assert read(said({}, name_id="ann@example.com"), {"email": "work"}).email is None


@pytest.mark.parametrize(
    "value",
    [
        "ann",
        "ann@",
        "@example.com",
        "ann@example.com ",
        "ann @example.com",
        "a@b@c",
        "Ann <ann@example.com>",
        "<script>@example.com",
        '"ann"@example.com',
        "ann,bob@example.com",
        "ann@[192.0.2.1]",
        "a\x00@b",
        "a\u200bnn@example.com",
        "ann\u202e@example.com",
        "ann\ufeff@example.com",
        "ann@example\u00ad.com",
        "ann\u3164@example.com",
        "\u115fann@example.com",
        "ann@example.com\u034f",
        "\u738b" * 60 + "@" + "\u738b" * 60,
    ],
)
def test_address_that_is_none_is_refused(value: str) -> None:
    """Nothing is trimmed or repaired: two spellings must never become one person."""
    with pytest.raises(Rejected) as caught:
        read(said({"email": (value,)}), {})
    assert caught.value.reason is Reason.EMAIL_MALFORMED


def test_email_format_with_something_else_is_refused() -> None:
    """A NameID that claims to be an address must be one."""
    with pytest.raises(Rejected) as caught:
        read(said({}, name_id="ann", name_id_format=idp.EMAIL), {})
    assert caught.value.reason is Reason.EMAIL_MALFORMED


def test_two_addresses_are_ambiguous() -> None:
    """The first of two is a guess; the same one twice is not."""
    with pytest.raises(Rejected) as caught:
        read(said({"email": ("ann@example.com", "bob@example.com")}), {})
    assert caught.value.reason is Reason.EMAIL_AMBIGUOUS
    assert read(said({"email": ("ann@example.com", "ann@example.com")}), {}).email == "ann@example.com"


def test_no_groups_and_nothing_said_about_groups_differ() -> None:
    """An empty attribute means none; an absent one leaves what is known."""
    assert read(said({"groups": ()}), {}).groups == ()
    assert read(said({}), {}).groups is None


@pytest.mark.parametrize("link", ["http://schemas.microsoft.com/claims/groups.link", f"{MS}/groups.link"])
def test_entra_groups_overage_is_flagged(link: str) -> None:
    """Above 150 groups Entra sends a link: groups are unknown, not none."""
    claims = read(said({link: ("https://graph.windows.net/x",)}), {})
    assert (claims.groups, claims.groups_overage) == (None, True)


def test_an_overage_of_the_claim_that_was_mapped_is_flagged() -> None:
    """Entra names the link after the claim, and the claim's name is the administrator's choice."""
    claims = read(said({"urn:teams.link": ("https://graph.windows.net/x",)}), {"groups": "urn:teams"})
    assert (claims.groups, claims.groups_overage) == (None, True)


def test_real_response_end_to_end() -> None:
    """From the form field to the claims."""
    assertion = verify(idp.post(idp.good()), trust=idp.trust(), sp=idp.service_provider(), now=idp.NOW)
    claims = read(assertion, {})
    assert (claims.email, claims.first_name, claims.groups) == (
        "ann@example.com",
        "Ann",
        ("Engineering", "On call, EU"),
    )


def test_every_well_known_name_is_tested() -> None:
    """Whoever adds a name to the table says above whose it is; no name stands for two claims."""
    (mark,) = test_well_known_names.pytestmark  # type: ignore[attr-defined]
    tested = [set(column) for column in zip(*(param.values for param in mark.args[1]), strict=True)]
    assert tested == [set(WELL_KNOWN[name]) for name in ("email", "first_name", "last_name", "display_name", "groups")]
    assert len(set().union(*WELL_KNOWN.values())) == sum(map(len, WELL_KNOWN.values()))


def test_groups_with_separators_stay_one_group() -> None:
    """Commas, semicolons and line breaks are part of a name: nobody makes two groups of one."""
    names = ("a,b", "a;b", "a|b", "a\nb", " a ", "a")
    assert read(said({"groups": names}), {}).groups == names
    assert read(said({"Role": ("admin",)}), {}).groups is None


def test_record_of_the_claims_is_the_address() -> None:
    """What an administrator sees of them among the checks of a sign-in."""
    assert read(said({"email": ("ann@example.com",)}), {}).told == "ann@example.com"
    assert read(said({}), {}).told == ""
