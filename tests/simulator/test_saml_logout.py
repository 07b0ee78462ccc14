"""Single logout at the simulated providers: they ask, they answer, and they take no unsigned word."""

from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask.testing import FlaskClient
from lxml import etree, html
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.samlp import STATUS_PARTIAL_LOGOUT, STATUS_SUCCESS

from idp_bridge.saml import (
    POST,
    REDIRECT,
    Endpoint,
    SigningKey,
    SpConfig,
    Trust,
    logout,
    parse_certificate,
    sp_metadata,
)
from idp_bridge.saml.logout import LogoutRequest, LogoutResponse
from idp_bridge.saml.profile import NameId
from idp_bridge.saml.sending import Sent
from idp_bridge.simulator.crypto import make_key_pair
from idp_bridge.simulator.flavours import FLAVOURS
from idp_bridge.simulator.saml_idp import Provider, Refused, sign_response
from idp_bridge.simulator.saml_logout import Answered, answer, ask, end, read
from idp_bridge.simulator.service_provider import ServiceProvider, SignedIn
from idp_bridge.simulator.site import create_site

IDP_KEYS, SP_KEYS = make_key_pair("idp"), make_key_pair("sp")
KEY = SigningKey(SP_KEYS.key, parse_certificate(SP_KEYS.certificate_pem))
BINDINGS = {BINDING_HTTP_REDIRECT: REDIRECT, BINDING_HTTP_POST: POST}


def now() -> datetime:
    """The time of the call, not of the import: pysaml2 looks at its own clock, and a whole run takes minutes."""
    return datetime.now(UTC)


def entity(name: str) -> str:
    return f"https://{name}.test/saml/idp_1"


def provider(flavour: str) -> Provider:
    return Provider(flavour, flavour, f"https://{flavour}.test/", f"https://idp.test/{flavour}/sso", IDP_KEYS)


def register(idp: Provider, name: str = "app") -> ServiceProvider:
    urls = {"acs_url": f"{entity(name)}/acs", "slo_url": f"{entity(name)}/slo"}
    config = SpConfig(entity_id=entity(name), **urls, signing_certificates=(KEY.certificate,))
    return idp.register_sp(sp_metadata(config).decode(), app=name)


def signed_in(idp: Provider, name: str = "app", person: int = 0) -> SignedIn:
    sign_response(
        idp, idp.people[person], acs_url=f"{entity(name)}/acs", audience=entity(name), in_response_to=None, now=now()
    )
    return idp.signed_in[-1]


def ours(idp: Provider, session: SignedIn, binding: str, key: SigningKey = KEY) -> Sent:
    """A LogoutRequest of the product's own."""
    return logout.logout_request(
        sp_entity_id=session.service_provider,
        slo=Endpoint(BINDINGS[binding], idp.slo_url),
        name_id=NameId(session.name_id, session.name_id_format, None, None),
        session_index=session.session_index,
        now=now(),
        signing_key=key,
    )


def fields_of(sent: Any) -> dict[str, str]:
    return dict(sent.fields) or dict(parse_qsl(urlsplit(sent.url).query))


PAIRS = [(name, binding) for name, shape in FLAVOURS.items() for binding in shape.slo_bindings]


@pytest.mark.parametrize(("flavour", "binding"), PAIRS)
def test_the_product_understands_what_the_provider_asks_and_answers(flavour: str, binding: str) -> None:
    """In each product's spelling, by each binding that it speaks."""
    idp = provider(flavour)
    sp, session = register(idp), signed_in(idp)
    trust = Trust(entity_id=idp.entity_id, certificates=(parse_certificate(idp.keys.certificate_pem),))

    def understood(sent: Any) -> Any:
        options = {"trust": trust, "slo_url": f"{entity('app')}/slo", "now": now()}
        if sent.fields:
            return logout.from_form(sent.fields, **options)
        return logout.from_query(urlsplit(sent.url).query.encode(), **options)

    asked = understood(ask(idp, sp, session, binding=binding, relay_state="r"))
    assert isinstance(asked, LogoutRequest)
    assert (asked.name_id.value, asked.session_indexes) == (session.name_id, (session.session_index,))
    assert (asked.name_id.format == session.name_id_format) is (flavour == "okta")
    answered = understood(answer(idp, sp, in_response_to="_1", binding=binding))
    assert isinstance(answered, LogoutResponse)
    assert (answered.in_response_to, answered.complete) == ("_1", True)


@pytest.mark.parametrize(("flavour", "binding"), PAIRS)
def test_the_provider_understands_what_the_product_asks_and_answers(flavour: str, binding: str) -> None:
    """pysaml2 reads it; the session that is named is forgotten, and no other."""
    idp = provider(flavour)
    sp, first, second = register(idp), signed_in(idp), signed_in(idp)
    other = signed_in(idp, person=1)
    asked = read(idp, fields_of(ours(idp, first, binding)), binding)
    assert end(idp, asked) == (STATUS_SUCCESS,)  # type: ignore[arg-type]
    assert list(idp.signed_in) == [second, other]
    request = LogoutRequest(
        id="_1", issue_instant=now(), not_on_or_after=now(), name_id=NameId("a", "b", None, None), session_indexes=(),
        relay_state=None,
    )  # fmt: skip
    sent = logout.logout_response(
        sp_entity_id=sp.entity_id,
        slo=Endpoint(BINDINGS[binding], idp.slo_url),
        request=request,
        now=now(),
        signing_key=KEY,
    )
    assert read(idp, fields_of(sent), binding) == Answered(sp, "_1", True)


@pytest.mark.parametrize(("flavour", "binding"), PAIRS)
def test_nobody_else_signs_her_out(flavour: str, binding: str) -> None:
    """Another key, no signature, or nothing that can be read."""
    idp = provider(flavour)
    register(idp)
    session = signed_in(idp)
    attacker = make_key_pair("attacker")
    forged = SigningKey(attacker.key, parse_certificate(attacker.certificate_pem))
    fields = fields_of(ours(idp, session, binding, forged))
    unsigned = {"SAMLRequest": fields["SAMLRequest"]}
    if binding == BINDING_HTTP_POST:
        root = etree.fromstring(b64decode(unsigned["SAMLRequest"]))
        root.remove(root.find("{http://www.w3.org/2000/09/xmldsig#}Signature"))  # type: ignore[arg-type]
        unsigned = {"SAMLRequest": b64encode(etree.tostring(root)).decode()}
    for bad in (fields, unsigned, {"SAMLRequest": "x"}, {"SAMLResponse": ""}, {}):
        with pytest.raises(Refused):
            read(idp, bad, binding)
    assert list(idp.signed_in) == [session]


def test_an_app_without_a_logout_address_is_said_to_be_one() -> None:
    """Not every service provider has one."""
    idp = provider("entra")
    config = SpConfig(entity_id=entity("bare"), acs_url=f"{entity('bare')}/acs")
    sp = idp.register_sp(sp_metadata(config).decode(), app="bare")
    with pytest.raises(Refused, match="SingleLogoutService"):
        ask(idp, sp, signed_in(idp, "bare"))


@pytest.fixture
def site() -> tuple[FlaskClient, Provider]:
    """The pages of one provider with two apps, where one person is signed in to both and another to one."""
    idp = provider("entra")
    for name in ("one", "two"):
        register(idp, name)
        signed_in(idp, name)
    signed_in(idp, "one", person=1)
    return create_site([idp]).test_client(), idp


def test_the_button_signs_her_out_of_one_app_after_the_other(site: tuple[FlaskClient, Provider]) -> None:
    """Each app's answer leads to the next; the last one to a page that says so."""
    client, idp = site
    person = idp.people[0].key
    home = html.fromstring(client.get("/").text)
    assert [button.get("value") for button in home.xpath("//form//button")] == sorted(
        [person, idp.people[1].key], key=str
    )
    step = client.post("/entra/logout", data={"person": person})
    for name in ("one", "two"):
        assert step.headers["Location"].startswith(f"{entity(name)}/slo?")
        came = dict(parse_qsl(urlsplit(step.headers["Location"]).query))
        asked = logout.from_query(
            urlsplit(step.headers["Location"]).query.encode(),
            trust=Trust(entity_id=idp.entity_id, certificates=(parse_certificate(idp.keys.certificate_pem),)),
            slo_url=f"{entity(name)}/slo",
            now=now(),
        )
        assert isinstance(asked, LogoutRequest)
        back = logout.logout_response(
            sp_entity_id=entity(name),
            slo=Endpoint(REDIRECT, idp.slo_url),
            request=asked,
            now=now(),
            signing_key=KEY,
        )
        assert fields_of(back)["RelayState"] == came["RelayState"] == person
        step = client.get(back.url.removeprefix("https://idp.test"))
    assert "is signed in through here any more" in step.text
    assert [each.person for each in idp.signed_in] == [idp.people[1].key]


def test_an_app_signs_her_out_and_hears_back(site: tuple[FlaskClient, Provider]) -> None:
    """Of that app alone, which the answer does not hide: another one still has her signed in."""
    client, idp = site
    sent = ours(idp, idp.signed_in[0], BINDING_HTTP_REDIRECT)
    step = client.get(sent.url.removeprefix("https://idp.test"))
    assert step.headers["Location"].startswith(f"{entity('one')}/slo?SAMLResponse=")
    answered = logout.from_query(
        urlsplit(step.headers["Location"]).query.encode(),
        trust=Trust(entity_id=idp.entity_id, certificates=(parse_certificate(idp.keys.certificate_pem),)),
        slo_url=f"{entity('one')}/slo",
        now=now(),
    )
    assert answered == LogoutResponse(
        in_response_to=sent.id, complete=False, status=(STATUS_SUCCESS, STATUS_PARTIAL_LOGOUT)
    )
    assert len(idp.signed_in) == 2


def test_an_unsigned_visit_gets_a_page(site: tuple[FlaskClient, Provider]) -> None:
    """And changes nothing."""
    client, idp = site
    assert client.get("/entra/slo?SAMLRequest=x").status_code == 400
    assert client.post("/entra/slo").status_code == 400
    assert len(idp.signed_in) == 3
