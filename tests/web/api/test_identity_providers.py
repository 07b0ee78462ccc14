"""Identity providers and their SCIM tokens, as the API tells of them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.saml import idp as signing_idp
from tests.web.api.conftest import Caller, member_with, push_group


def test_a_connection_is_made_read_changed_and_deleted(api: Caller, connection: dict[str, Any]) -> None:
    """The answer has what is pasted at the provider, the certificate's fingerprint, and no key."""
    made = api.post("identity_providers", {**connection, "sign_authn_requests": True, "domains": ["@Acme.test"]})
    here = f"http://localhost/saml/{made['id']}"
    assert made["acs_url"] == f"{here}/acs"
    assert made["sp_entity_id"] == made["sp_metadata_url"] == f"{here}/metadata"
    assert made["start_url"] == f"{here}/start"
    assert made["scim_base_url"] == "http://localhost/scim/v2"
    assert set(made["certificates"][0]) == {"fingerprint_sha256", "not_before", "not_after"}
    assert (made["enabled"], made["allow_idp_initiated"], made["join_policy"]) == (True, False, "invite_only")
    assert (made["default_roles"], made["domains"]) == (["developer"], ["acme.test"])
    assert "PRIVATE KEY" not in str(made)
    assert "sp_key" not in made
    assert api.get(f"identity_providers/{made['id']}") == made
    change = {
        "name": "Okta 2",
        "description": "Staff",
        "join_policy": "jit",
        "default_roles": ["viewer"],
        "allow_idp_initiated": True,
        "attribute_mapping": {"email": "NameID", "groups": None},
        "sso_url": "https://idp.example.test/sso2",
    }
    changed = api.patch(f"identity_providers/{made['id']}", change)
    mapping = {"email": "NameID", "first_name": None, "last_name": None, "groups": None}
    assert changed == {**made, **change, "attribute_mapping": mapping}
    assert api.get("identity_providers")["identity_providers"] == [changed]
    api.delete(f"identity_providers/{made['id']}")
    api.get(f"identity_providers/{made['id']}", expect=404)


@pytest.fixture
def metadata_xml() -> str:
    """The metadata of a provider that signs."""
    provider = signing_idp.idp()
    certificate = "".join(provider.certificate.pem.strip().splitlines()[1:-1])
    return (
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://meta.example.test">'
        '<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
        '<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
        f"<ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" '
        'Location="https://meta.example.test/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>'
    )


def test_metadata_says_what_is_trusted(api: Caller, metadata_xml: str) -> None:
    """Entity ID, address and certificates are read from it, at creation and at a change."""
    made = api.post("identity_providers", {"name": "Meta", "metadata_xml": metadata_xml})
    assert (made["entity_id"], made["sso_url"]) == ("https://meta.example.test", "https://meta.example.test/sso")
    other = metadata_xml.replace("meta.example.test", "moved.example.test")
    moved = api.patch(f"identity_providers/{made['id']}", {"metadata_xml": other})
    assert moved["sso_url"] == "https://moved.example.test/sso"
    refusal = api.post("identity_providers", {"name": "Bad", "metadata_xml": "<a/>"}, expect=400)
    assert refusal["error_code"] == "ERR_INVALID_METADATA"
    assert "metadata_xml" in refusal["details"]["errors"]


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example.test/metadata",
        "https://127.0.0.1/metadata",
        "https://169.254.169.254/latest",
        "ftp://x",
        "x",
    ],
)
def test_a_metadata_url_leads_outside(api: Caller, url: str) -> None:
    """https and a public address, or it is refused in plain words."""
    refusal = api.post("identity_providers", {"name": "Meta", "metadata_url": url}, expect=400)
    assert list(refusal["details"]["errors"]) == ["metadata_url"]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"certificates": None}, "certificates"),
        ({"certificates": []}, "certificates"),
        ({"certificates": ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]}, "certificates"),
        ({"sso_url": "http://idp.example.test/sso"}, "sso_url"),
        ({"sso_url": "javascript:alert(1)"}, "sso_url"),
        ({"slo_url": "http://idp.example.test/slo"}, "slo_url"),
        ({"join_policy": "anybody"}, "join_policy"),
        ({"domains": ["acme"]}, "domains.0"),
        ({"default_roles": ["emperor"]}, "roles"),
        ({"attribute_mapping": {"mail": "x"}}, "attribute_mapping.mail"),
        ({"enabled": "yes"}, "enabled"),
        ({"metadata_xml": "<a/>"}, "_schema"),
        ({"sp_key": "x"}, "sp_key"),
    ],
)
def test_what_cannot_be_trusted_is_refused(
    api: Caller, connection: dict[str, Any], change: dict[str, Any], wrong: str
) -> None:
    """400 at creation and at a change, with the field named; nothing is kept."""
    assert list(api.post("identity_providers", {**connection, **change}, expect=400)["details"]["errors"]) == [wrong]
    assert api.get("identity_providers")["identity_providers"] == []
    made = api.post("identity_providers", connection)
    if wrong != "_schema":
        api.patch(f"identity_providers/{made['id']}", change, expect=400)
        assert api.get(f"identity_providers/{made['id']}") == made


def test_http_is_for_this_machine_only(api: Caller, connection: dict[str, Any]) -> None:
    """A provider on loopback may speak http: the demo's does."""
    made = api.post("identity_providers", {**connection, "sso_url": "http://127.0.0.1:9000/sso"})
    assert made["sso_url"] == "http://127.0.0.1:9000/sso"


def test_a_connection_says_how_it_is_trusted(api: Caller, connection: dict[str, Any]) -> None:
    """Exactly one of the three ways, and that one whole."""
    refusal = api.post("identity_providers", {"name": "Okta"}, expect=400)
    assert set(refusal["details"]["errors"]) == {"entity_id", "sso_url", "certificates"}
    both = {"name": "Okta", "metadata_xml": "<a/>", "metadata_url": "https://idp.example.test"}
    api.post("identity_providers", both, expect=400)


def test_only_administrators_see_connections(api: Caller, connection: dict[str, Any]) -> None:
    """Reading them is administrative too."""
    _, developer = member_with(api, "developer", "team_manager", "billing", "viewer")
    developer.get("identity_providers", expect=403)
    developer.post("identity_providers", connection, expect=403)


def test_two_scim_tokens_live_side_by_side(api: Caller, connection: dict[str, Any]) -> None:
    """So a rotation has no gap; a revoked one stops at once."""
    provider = api.post("identity_providers", connection)
    tokens = f"identity_providers/{provider['id']}/scim_tokens"
    first, second = (api.post(tokens, {"description": name}) for name in ("old", "new"))
    assert first["token"].endswith(first["ends_with"])
    assert api.get(f"{tokens}/{first['id']}")["token"] is None
    assert [row["description"] for row in api.get(tokens)["scim_tokens"]] == ["new", "old"]
    push_group(api, first["token"], "One")
    push_group(api, second["token"], "Two")
    api.delete(f"{tokens}/{first['id']}")
    status = Caller(api.app, first["token"]).call("GET", "/scim/v2/Groups").status_code
    assert status == 401
    assert api.get(f"{tokens}/{second['id']}")["last_used_at"] > datetime.now(UTC).strftime("%Y-%m-%d")
    past = api.post(tokens, {"expires_at": "2020-01-01T00:00:00Z"}, expect=400)
    assert list(past["details"]["errors"]) == ["expires_at"]
