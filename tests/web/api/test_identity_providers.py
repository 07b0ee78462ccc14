"""Identity providers and their SCIM tokens, as the API tells of them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from threading import BoundedSemaphore
from typing import Any

import pytest

from idp_bridge import fetching, last_uses
from tests import https
from tests.saml import idp as signing_idp
from tests.saml.documents import entity, group, key, role, signed
from tests.web.api.conftest import Caller, member_with, push_group, push_user


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


def test_a_draft_has_its_addresses_before_its_metadata(api: Caller, metadata_xml: str) -> None:
    """It is asked for by its name; nobody is let in by it, and it cannot be enabled before something is trusted."""
    draft = api.post("identity_providers", {"name": "Soon", "draft": True, "join_policy": "jit"})
    assert (draft["state"], draft["enabled"], draft["join_policy"]) == ("draft", False, "jit")
    assert (draft["entity_id"], draft["sso_url"], draft["certificates"]) == (None, None, [])
    assert draft["acs_url"] == f"http://localhost/saml/{draft['id']}/acs"
    at = f"identity_providers/{draft['id']}"
    refusal = api.patch(at, {"enabled": True}, expect=409)
    assert refusal["error_code"] == "ERR_DRAFT_CONNECTION"
    assert api.post(f"{at}/sign_in_flows", {"kind": "test"}, expect=409)["error_code"] == "ERR_DRAFT_CONNECTION"
    assert api.patch(at, {"sso_url": "https://idp.example.test/sso"}, expect=400)
    ready = api.patch(at, {"metadata_xml": metadata_xml})
    assert (ready["state"], ready["entity_id"]) == ("testing", "https://meta.example.test")
    assert api.patch(at, {"enabled": True})["state"] == "enabled"


@pytest.mark.parametrize(
    "more",
    [
        {"draft": False},
        {"draft": True, "enabled": True},
        {"draft": True, "entity_id": "https://idp.example.test"},
        {"draft": True, "metadata_url": "https://idp.example.test/metadata"},
    ],
)
def test_a_draft_is_one_or_it_is_none(api: Caller, more: dict[str, Any]) -> None:
    """Without its metadata nothing else is made, and with some of it no draft."""
    api.post("identity_providers", {"name": "Soon", **more}, expect=400)
    assert api.get("identity_providers")["identity_providers"] == []


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


@pytest.mark.parametrize("domain", ["acme", "a b.test", "https://acme.test", "ana@acme.test"])
def test_what_is_no_domain_is_told_in_words(api: Caller, connection: dict[str, Any], domain: str) -> None:
    """A pattern is for machines, and stands in the OpenAPI document."""
    errors = api.post("identity_providers", {**connection, "domains": [domain]}, expect=400)["details"]["errors"]
    assert errors == {"domains.0": ["Must be a domain such as example.com."]}


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
    last_uses.write()
    assert api.get(f"{tokens}/{second['id']}")["last_used_at"] > datetime.now(UTC).strftime("%Y-%m-%d")
    past = api.post(tokens, {"expires_at": "2020-01-01T00:00:00Z"}, expect=400)
    assert list(past["details"]["errors"]) == ["expires_at"]


# --- metadata at a URL ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[https.Site]:
    with https.serve(tmp_path_factory.mktemp("tls")) as site:
        yield site


@pytest.fixture
def site(server: https.Site, monkeypatch: pytest.MonkeyPatch) -> https.Site:
    """The provider's own site, which may be fetched from although it is on this machine."""
    monkeypatch.setattr(fetching, "PUBLIC", server.limits)
    server.documents = {"/m": entity()}
    return server


def test_a_metadata_url_is_kept_shown_and_looked_at_again(api: Caller, site: https.Site) -> None:
    """What nothing vouches for waits, is shown with its reason, and is accepted by the digest that was shown."""
    made = api.post("identity_providers", {"name": "Meta", "metadata_url": f"{site.origin}/m"})
    here = f"identity_providers/{made['id']}"
    assert made["metadata_url"] == f"{site.origin}/m"
    assert made["metadata_checked_at"] is not None
    site.documents["/m"] = entity(role(keys=key() + key(signing_idp.attacker().certificate.base64_der)))
    seen = api.post(f"{here}/refresh_metadata", None, expect=200)
    assert len(seen["certificates"]) == 1
    waiting = seen["pending_trust"]
    assert len(waiting["certificates"]) == 2
    assert waiting["sso_url"] == made["sso_url"]
    assert "vouches" in waiting["reason"]
    assert [warned["code"] for warned in seen["warnings"] if warned["code"] == "pending_trust"]
    assert api.get(here) == seen
    api.post(f"{here}/pending_trust/accept", {"digest": "0" * 64}, expect=409)
    api.post(f"{here}/pending_trust/accept", {}, expect=400)
    accepted = api.post(f"{here}/pending_trust/accept", {"digest": waiting["digest"]}, expect=200)
    assert (len(accepted["certificates"]), accepted["pending_trust"]) == (2, None)
    api.post(f"{here}/pending_trust/accept", {"digest": waiting["digest"]}, expect=404)


def test_what_waits_can_be_discarded(api: Caller, site: https.Site) -> None:
    """And nothing is trusted of it."""
    made = api.post("identity_providers", {"name": "Meta", "metadata_url": f"{site.origin}/m"})
    here = f"identity_providers/{made['id']}"
    api.delete(f"{here}/pending_trust?digest={'0' * 64}", expect=404)
    site.documents["/m"] = entity(role(keys=key(signing_idp.attacker().certificate.base64_der)))
    shown = api.post(f"{here}/refresh_metadata", None, expect=200)["pending_trust"]["digest"]
    api.delete(f"{here}/pending_trust", expect=400)
    api.delete(f"{here}/pending_trust?digest={'0' * 64}", expect=409)
    api.delete(f"{here}/pending_trust?digest={shown}")
    after = api.post(f"{here}/refresh_metadata", None, expect=200)
    assert (after["pending_trust"], after["certificates"]) == (None, made["certificates"])


def test_nobody_is_kept_waiting_where_many_wait_already(
    api: Caller, site: https.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429, so that our own threads serve everybody else meanwhile."""
    made = api.post("identity_providers", {"name": "Meta", "metadata_url": f"{site.origin}/m"})
    monkeypatch.setattr(fetching, "_places", BoundedSemaphore(1))
    assert fetching._places.acquire(blocking=False)
    for path, body in (
        (f"identity_providers/{made['id']}/refresh_metadata", None),
        ("identity_providers", {"name": "Other", "metadata_url": f"{site.origin}/m"}),
    ):
        told = api.call("POST", path, body, expect=429)
        assert told.headers["Retry-After"] == "5"
    fetching._places.release()
    api.post(f"identity_providers/{made['id']}/refresh_metadata", None, expect=200)


def test_what_cannot_be_refreshed_says_why(api: Caller, site: https.Site, connection: dict[str, Any]) -> None:
    """In the connection's own answer; one without a URL is 409."""
    made = api.post("identity_providers", {"name": "Meta", "metadata_url": f"{site.origin}/m"})
    site.documents.clear()
    after = api.post(f"identity_providers/{made['id']}/refresh_metadata", None, expect=200)
    assert "404" in after["metadata_error"]
    assert after["certificates"] == made["certificates"]
    by_hand = api.post("identity_providers", connection)
    api.post(f"identity_providers/{by_hand['id']}/refresh_metadata", None, expect=409)


def test_a_metadata_url_can_be_given_up(api: Caller, site: https.Site) -> None:
    """What is trusted stays."""
    made = api.post("identity_providers", {"name": "Meta", "metadata_url": f"{site.origin}/m"})
    after = api.patch(f"identity_providers/{made['id']}", {"metadata_url": None})
    assert (after["metadata_url"], after["metadata_checked_at"]) == (None, None)
    assert after["certificates"] == made["certificates"]
    api.post("identity_providers", {"name": "None", "metadata_url": None}, expect=400)


def test_the_entity_is_named_where_a_document_has_several(api: Caller, site: https.Site) -> None:
    """At a URL and in a text; without a name the refusal lists what is there."""
    several = group(entity(), entity(entity_id="urn:b"))
    site.documents["/m"] = several
    for source in ({"metadata_xml": several}, {"metadata_url": f"{site.origin}/m"}):
        refusal = api.post("identity_providers", {"name": "Meta", **source}, expect=400)
        assert "urn:b" in str(refusal["details"]["errors"])
        made = api.post("identity_providers", {"name": "Meta", **source, "entity_id": "urn:b"})
        assert made["entity_id"] == "urn:b"


def test_a_certificate_for_metadata_must_fit_the_document_it_comes_with(api: Caller) -> None:
    """Else every refresh would say that nothing vouches for it."""
    pinned = signing_idp.pair("metadata")
    body = {"name": "Meta", "metadata_certificate": pinned.certificate.pem}
    document = entity(attributes=' ID="_1"')
    refusal = api.post("identity_providers", {**body, "metadata_xml": document}, expect=400)
    assert list(refusal["details"]["errors"]) == ["metadata_certificate"]
    made = api.post("identity_providers", {**body, "metadata_xml": signed(document, pinned)})
    assert made["metadata_certificate"] == pinned.certificate.pem
    for wrong in ("nonsense", signing_idp.pair("weak", "rsa1024").certificate.pem):
        refusal = api.patch(f"identity_providers/{made['id']}", {"metadata_certificate": wrong}, expect=400)
        assert list(refusal["details"]["errors"]) == ["metadata_certificate"]
    assert api.patch(f"identity_providers/{made['id']}", {"metadata_certificate": None})["metadata_certificate"] is None


# --- the other settings -----------------------------------------------------------------------------------------


def test_every_switch_is_written_and_read(api: Caller, connection: dict[str, Any]) -> None:
    """Off at first; an event tells of each."""
    made = api.post("identity_providers", connection)
    switches = ("require_gcm", "allow_weak_signatures", "bounce_idp_initiated", "redact_sign_in_flows")
    assert not any(made[name] for name in switches)
    persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
    change = {**dict.fromkeys(switches, True), "name_id_format": persistent, "sso_binding": "post"}
    after = api.patch(f"identity_providers/{made['id']}", change)
    assert {name: after[name] for name in change} == change
    assert [warned["code"] for warned in after["warnings"]].count("weak_signatures_allowed") == 1
    (event,) = api.get(f"events?type=identity_provider_updated.v0&object_id={made['id']}")["events"]
    assert {name: event["object"][name] for name in change} == change
    assert set(event["object"]["before"]) == set(change)
    api.patch(f"identity_providers/{made['id']}", {"name_id_format": "urn:x"}, expect=400)


def test_a_weak_key_needs_its_switch(api: Caller, connection: dict[str, Any]) -> None:
    """A connection that could sign nobody in is not made."""
    weak = {**connection, "certificates": [signing_idp.pair("weak", "rsa1024").certificate.pem]}
    refusal = api.post("identity_providers", weak, expect=400)
    assert list(refusal["details"]["errors"]) == ["certificates"]
    api.post("identity_providers", {**weak, "allow_weak_signatures": True})


def test_the_logout_url_answered_is_ours_and_the_providers_has_a_name_of_its_own(
    api: Caller, connection: dict[str, Any]
) -> None:
    """The provider's may be written under either name, and what is read can be written back."""
    theirs = "https://idp.example.test/slo"
    for name in ("slo_url", "idp_slo_url"):
        made = api.post("identity_providers", {**connection, name: theirs})
        assert made["slo_url"] == f"http://localhost/saml/{made['id']}/slo"
        assert (made["idp_slo_url"], made["idp_slo_binding"]) == (theirs, "redirect")
    change = {"idp_slo_binding": "post", "idp_slo_response_url": f"{theirs}/done"}
    after = api.patch(f"identity_providers/{made['id']}", change)
    assert after == {**made, **change}
    assert api.patch(f"identity_providers/{made['id']}", {"idp_slo_url": None})["idp_slo_url"] is None
    two = {**connection, "slo_url": theirs, "idp_slo_url": f"{theirs}/other"}
    assert list(api.post("identity_providers", two, expect=400)["details"]["errors"]) == ["idp_slo_url"]


def test_what_a_deletion_does_to_people_is_said_beforehand(api: Caller, connection: dict[str, Any]) -> None:
    """And what switching off does, which is less."""
    provider = api.post("identity_providers", connection)["id"]
    token = api.post(f"identity_providers/{provider}/scim_tokens", {})["token"]
    push_user(api, token, "ann@acme.test")
    push_group(api, token, "Engineering")
    said = api.get(f"identity_providers/{provider}/impact")
    assert said["disable"] == {**dict.fromkeys(said["disable"], 0), "refused": None, "locked_out": 1}
    assert said["delete"] == {
        "refused": None,
        "sessions_ended": 0,
        "locked_out": 1,
        "members_released": 1,
        "scim_tokens_deleted": 1,
        "directory_users_deleted": 1,
        "groups_deleted": 1,
        "role_mappings_deleted": 0,
    }
