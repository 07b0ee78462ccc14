"""The simulator and the product's own SAML door understand each other, in both directions."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from idp_bridge.saml import (
    POST,
    REDIRECT,
    Reason,
    Rejected,
    ServiceProvider,
    SigningKey,
    SpConfig,
    Trust,
    authn_request,
    parse_certificate,
    read,
    read_idp_metadata,
    sp_metadata,
    verify,
)
from idp_bridge.simulator.crypto import make_key_pair
from idp_bridge.simulator.flavours import FLAVOURS
from idp_bridge.simulator.people import group_guid
from idp_bridge.simulator.saml_idp import Provider, sign_response

ACS = "https://app.test/saml/idp_1/acs"
SP = "https://app.test/saml/idp_1/metadata"
NOW = datetime.now(UTC)
IDP_KEYS, SP_KEYS = make_key_pair("idp"), make_key_pair("sp")


def provider(flavour: str) -> Provider:
    return Provider(flavour, flavour, f"https://{flavour}.test/", f"https://idp.test/{flavour}/sso", IDP_KEYS)


def trust(provider: Provider, **options: bool) -> Trust:
    """What the product holds after an administrator has given it the simulator's metadata."""
    metadata = read_idp_metadata(provider.metadata_xml, now=NOW)
    return Trust(entity_id=metadata.entity_id, certificates=metadata.certificates, **options)


def ourselves() -> ServiceProvider:
    return ServiceProvider(entity_id=SP, acs_url=ACS, decryption_keys=(SP_KEYS.key,))


def our_metadata(*, sign: bool = False, encrypt: bool = False) -> str:
    certificate = (parse_certificate(SP_KEYS.certificate_pem),)
    config = SpConfig(
        entity_id=SP,
        acs_url=ACS,
        slo_url="https://app.test/saml/idp_1/slo",
        sign_authn_requests=sign,
        signing_certificates=certificate if sign else (),
        encryption_certificates=certificate if encrypt else (),
    )
    return sp_metadata(config).decode()


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_door_lets_everybody_in(flavour: str, encrypted: bool) -> None:
    """Each person of the directory, in each script, comes through the door as the one she is."""
    idp = provider(flavour)
    for person in idp.people:
        message = sign_response(
            idp,
            person,
            acs_url=ACS,
            audience=SP,
            in_response_to="_1",
            now=NOW,
            encrypt_to=SP_KEYS.certificate if encrypted else None,
        )
        assertion = verify(message, trust=trust(idp, want_encrypted=encrypted), sp=ourselves(), now=NOW)
        claims = read(assertion, {})
        assert (claims.email, claims.first_name, claims.last_name) == (
            person.email,
            person.given_name,
            person.family_name,
        )
        names = person.groups if flavour == "okta" else tuple(group_guid(name) for name in person.groups)
        assert claims.groups == names
        assert assertion.in_response_to == "_1"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_unsolicited_responses_need_the_administrators_leave(flavour: str) -> None:
    """A tile's answer passes where IdP-initiated sign-in is on, and only there."""
    idp = provider(flavour)
    message = sign_response(idp, idp.people[0], acs_url=ACS, audience=SP, in_response_to=None, now=NOW)
    allowed = trust(idp, allow_idp_initiated=True)
    assert verify(message, trust=allowed, sp=ourselves(), now=NOW).in_response_to is None
    with pytest.raises(Rejected):
        verify(message, trust=trust(idp), sp=ourselves(), now=NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.test/"},
        {"recipient": "https://other.test/acs"},
        {"not_on_or_after": NOW - timedelta(hours=1)},
        {"not_before": NOW + timedelta(hours=1)},
        {"sign_assertion": False, "sign_response": False},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_bent_responses_stay_outside(flavour: str, change: dict[str, object]) -> None:
    """The simulator's changes are real ones: the door refuses each."""
    idp = provider(flavour)
    message = sign_response(idp, idp.people[0], acs_url=ACS, audience=SP, in_response_to="_1", now=NOW, **change)
    with pytest.raises(Rejected):
        verify(message, trust=trust(idp), sp=ourselves(), now=NOW)


def test_a_refusal_is_read_as_one() -> None:
    """A person who refuses at the provider is told apart from a broken message."""
    idp = provider("okta")
    status = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
    message = idp.refusal(acs_url=ACS, in_response_to="_1", status=status, message="No.", now=NOW)
    with pytest.raises(Rejected) as refused:
        verify(message, trust=trust(idp), sp=ourselves(), now=NOW)
    assert refused.value.reason is Reason.STATUS_NOT_SUCCESS


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("binding", [REDIRECT, POST])
def test_the_products_requests_are_read(binding: str, sign: bool) -> None:
    """Plain and signed, by both bindings, for the endpoint that the simulator's metadata names."""
    idp = provider("okta")
    idp.register_sp(our_metadata(sign=sign, encrypt=True), app="ours")
    endpoint = next(e for e in read_idp_metadata(idp.metadata_xml, now=NOW).sso if e.binding == binding)
    key = SigningKey(SP_KEYS.key, parse_certificate(SP_KEYS.certificate_pem)) if sign else None
    sent = authn_request(sp_entity_id=SP, acs_url=ACS, sso=endpoint, now=NOW, relay_state="r 1/é", signing_key=key)
    query = {name: values[0] for name, values in parse_qs(urlsplit(sent.url).query).items()}
    asked = idp.parse_request({**query, **sent.fields}, binding)
    assert (asked.request_id, asked.acs_url) == (sent.id, ACS)
    assert asked.service_provider.encryption_certificate == SP_KEYS.certificate
