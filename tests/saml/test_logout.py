"""LogoutRequest and LogoutResponse: what is accepted by either binding, and what each refusal is for."""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from lxml import etree

from idp_bridge.saml import POST, REDIRECT, Endpoint, MetadataError, logout, redirect, signature, verify
from idp_bridge.saml.errors import LOGOUT_REASONS, NotSaml, Reason, Rejected
from idp_bridge.saml.logout import LogoutRequest, LogoutResponse
from idp_bridge.saml.profile import UNSPECIFIED, NameId
from idp_bridge.saml.sending import Sent, SigningKey

from . import idp

OURS = "https://sp.example.com/saml/idp_1/slo"
THEIRS = Endpoint(REDIRECT, "https://idp.example.com/slo")
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
RESPONDER = "urn:oasis:names:tc:SAML:2.0:status:Responder"
PARTIAL = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
BINDINGS = ("redirect", "post")


def stamp(seconds: float) -> str:
    return (idp.NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


NAME_ID = f'<saml:NameID xmlns:saml="{idp.SAML}" Format="{idp.EMAIL}">ann@example.com</saml:NameID>'
INDEX = "<samlp:SessionIndex>_session1</samlp:SessionIndex>"


def request(body: str = NAME_ID + INDEX, *, root: str = "LogoutRequest", **attributes: str | None) -> etree._Element:
    """An unsigned message in the shape of the providers; an attribute that is None is left out."""
    values = {
        "ID": "_logout1",
        "Version": "2.0",
        "IssueInstant": stamp(0),
        "Destination": OURS,
        "issuer": idp.IDP,
        **attributes,
    }
    issuer = values.pop("issuer")
    names = " ".join(f'{name}="{value}"' for name, value in values.items() if value is not None)
    said = "" if issuer is None else f'<saml:Issuer xmlns:saml="{idp.SAML}">{issuer}</saml:Issuer>'
    return etree.fromstring(f'<samlp:{root} xmlns:samlp="{idp.SAMLP}" {names}>{said}{body}</samlp:{root}>')


def response(*codes: str, **attributes: str | None) -> etree._Element:
    inner = "".join(f'<samlp:StatusCode Value="{code}"/>' for code in codes[1:])
    status = f'<samlp:Status><samlp:StatusCode Value="{codes[0]}">{inner}</samlp:StatusCode></samlp:Status>'
    return request(status, root="LogoutResponse", **{"InResponseTo": "_ours", **attributes})


def name_of(root: etree._Element) -> str:
    return "SAMLRequest" if "Request" in root.tag else "SAMLResponse"


def query(root: etree._Element, *, by: idp.Pair | None = None, relay_state: str | None = None) -> bytes:
    """Signed over the query string, as a provider does."""
    key: Any = (by or idp.idp()).key
    name = name_of(root)
    return urlsplit(
        redirect.url_with(OURS, name, etree.tostring(root), relay_state=relay_state, key=key)
    ).query.encode()


def form(root: etree._Element, *, by: idp.Pair | None = None, relay_state: str | None = None) -> dict[str, str]:
    """Signed inside."""
    state = {} if relay_state is None else {"RelayState": relay_state}
    return {name_of(root): idp.post(idp.sign(root, by)), **state}


def read(binding: str, root: etree._Element, *, now: datetime = idp.NOW, **options: Any) -> Any:
    """What the door makes of this message, signed and sent by that binding."""
    trust = options.pop("trust", idp.trust())
    if binding == "redirect":
        return logout.from_query(query(root, **options), trust=trust, slo_url=OURS, now=now)
    return logout.from_form(form(root, **options), trust=trust, slo_url=OURS, now=now)


def refusal(binding: str, root: etree._Element, **options: Any) -> Reason:
    with pytest.raises(Rejected) as refused:
        read(binding, root, **options)
    return refused.value.reason


# --- requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
def test_request_says_whom_and_which_sessions(binding: str) -> None:
    """Every word of it, and until when its id is to be remembered."""
    body = NAME_ID.replace("Format", 'NameQualifier="q" SPNameQualifier="s" Format') + INDEX + INDEX.replace("1", "2")
    assert read(binding, request(body), relay_state="r") == LogoutRequest(
        id="_logout1",
        issue_instant=idp.NOW,
        not_on_or_after=idp.NOW + timedelta(minutes=7),
        name_id=NameId("ann@example.com", idp.EMAIL, "q", "s"),
        session_indexes=("_session1", "_session2"),
        relay_state="r",
    )


@pytest.mark.parametrize("binding", BINDINGS)
def test_request_without_format_and_index(binding: str) -> None:
    """Entra's: no Format is the unspecified one (Core 2.2.2), no index is every session (Core 3.7.1)."""
    bare = f'<NameID xmlns="{idp.SAML}">ann@example.com</NameID>'
    message = read(binding, request(bare))
    assert (message.name_id, message.session_indexes) == (NameId("ann@example.com", UNSPECIFIED, None, None), ())


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(
    ("root", "reason"),
    [
        (request(issuer="https://other.example.com"), Reason.ISSUER_MISMATCH),
        (request(issuer=f" {idp.IDP}"), Reason.ISSUER_MISMATCH),
        (request(Destination="https://sp.example.com/saml/idp_2/slo"), Reason.DESTINATION_MISMATCH),
        (request(Destination=f"{OURS}/"), Reason.DESTINATION_MISMATCH),
        (request(Destination=None), Reason.DESTINATION_MISMATCH),
        (request(Version="1.1"), Reason.VERSION_UNSUPPORTED),
        (request(IssueInstant=None), Reason.TIME_MALFORMED),
        (request(IssueInstant="2026-03-01"), Reason.TIME_MALFORMED),
        (request(NotOnOrAfter="never"), Reason.TIME_MALFORMED),
        (request(NotOnOrAfter=stamp(-121)), Reason.EXPIRED),
        (request(IssueInstant=stamp(-420)), Reason.EXPIRED),
        (request(IssueInstant=stamp(121)), Reason.NOT_YET_VALID),
        (request(""), Reason.NAME_ID_MISSING),
        (request(NAME_ID + NAME_ID), Reason.NAME_ID_MISSING),
        (request(f'<BaseID xmlns="{idp.SAML}"/>'), Reason.NAME_ID_MISSING),
        (request(f'<EncryptedID xmlns="{idp.SAML}"/>'), Reason.ENCRYPTED_ID),
        (request(NAME_ID + f'<EncryptedID xmlns="{idp.SAML}"/>'), Reason.ENCRYPTED_ID),
        (request(NAME_ID.replace("ann@", "<b/>ann@")), Reason.STRUCTURE),
        (request(NAME_ID.replace("ann@", "\u738b" * 400)), Reason.NAME_ID_MALFORMED),
        (request(NAME_ID.replace("Format", f'NameQualifier="{"q" * 1025}" Format')), Reason.NAME_ID_MALFORMED),
        (request(NAME_ID.replace("ann@", "<!-- -->ann@")), Reason.XML_COMMENT),
        (request(NAME_ID + '<samlp:SessionIndex ID="_logout1"/>'), Reason.ID_DUPLICATE),
        (request(root="LogoutRequestType"), Reason.NOT_A_LOGOUT_MESSAGE),
        (request(root="AuthnRequest"), Reason.NOT_A_LOGOUT_MESSAGE),
    ],
)
def test_a_signed_request_that_says_something_else_is_refused(
    binding: str, root: etree._Element, reason: Reason
) -> None:
    """A good signature is not enough: from this provider, for us, now, about one person."""
    assert refusal(binding, root) is reason


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_missing_issuer_and_an_empty_id_are_refused(binding: str) -> None:
    """Both by either binding; over POST the signature needs the id as well."""
    root = request()
    root[0].tag = f"{{{idp.SAML}}}Emitter"
    key: Any = idp.idp().key
    bare = urlsplit(redirect.url_with(OURS, "SAMLRequest", etree.tostring(root), key=key)).query.encode()
    with pytest.raises(Rejected) as refused:
        logout.from_query(bare, trust=idp.trust(), slo_url=OURS, now=idp.NOW)
    assert refused.value.reason is Reason.STRUCTURE
    assert refusal(binding, request(ID="")) is Reason.ID_INVALID


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("seconds", [-419, 120])
def test_clocks_may_differ_by_two_minutes(binding: str, seconds: int) -> None:
    """Five minutes from IssueInstant, and the usual tolerance on either side."""
    assert read(binding, request(IssueInstant=stamp(seconds), NotOnOrAfter=stamp(-119)))


@pytest.mark.parametrize("binding", BINDINGS)
def test_the_attackers_signature_is_refused(binding: str) -> None:
    """A key that is not pinned; its certificate in KeyInfo helps nothing."""
    assert refusal(binding, request(), by=idp.attacker()) is Reason.SIGNATURE_INVALID


def test_an_unsigned_request_is_refused() -> None:
    """By either binding: else any link could sign people out."""
    plain = urlsplit(redirect.url_with(OURS, "SAMLRequest", etree.tostring(request()))).query.encode()
    with pytest.raises(Rejected) as refused:
        logout.from_query(plain, trust=idp.trust(), slo_url=OURS, now=idp.NOW)
    assert refused.value.reason is Reason.SIGNATURE_MISSING
    with pytest.raises(Rejected) as refused:
        logout.from_form({"SAMLRequest": idp.post(request())}, trust=idp.trust(), slo_url=OURS, now=idp.NOW)
    assert refused.value.reason is Reason.SIGNATURE_MISSING


def test_a_signature_inside_does_not_do_for_a_query_string() -> None:
    """Nor is it welcome beside the right one: nobody is to wonder which of them counts (Bindings 3.4.4.1)."""
    inside = idp.sign(request())
    plain = urlsplit(redirect.url_with(OURS, "SAMLRequest", etree.tostring(inside))).query.encode()
    with pytest.raises(Rejected) as refused:
        logout.from_query(plain, trust=idp.trust(), slo_url=OURS, now=idp.NOW)
    assert refused.value.reason is Reason.SIGNATURE_MISSING
    assert refusal("redirect", inside) is Reason.SIGNATURE_PLACEMENT


def test_a_signature_elsewhere_does_not_do_for_a_form() -> None:
    """On a child, or around something that is not the root."""
    inner = idp.sign(request(ID="_inner"))
    outer = request(etree.tostring(inner, encoding="unicode"))
    with pytest.raises(Rejected) as refused:
        logout.from_form({"SAMLRequest": idp.post(outer)}, trust=idp.trust(), slo_url=OURS, now=idp.NOW)
    assert refused.value.reason is Reason.SIGNATURE_PLACEMENT


def change_name(root: etree._Element) -> None:
    root.find(f"{{{idp.SAML}}}NameID").text = "eve@example.com"  # type: ignore[union-attr]


def change_index(root: etree._Element) -> None:
    root.remove(root[-1])


def change_id(root: etree._Element) -> None:
    root.set("ID", "_another")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_name, Reason.DIGEST_MISMATCH),
        (change_index, Reason.DIGEST_MISMATCH),
        (change_id, Reason.SIGNATURE_REFERENCE),
    ],
)
def test_a_form_changed_after_signing_is_refused(change: Callable[[etree._Element], None], reason: Reason) -> None:
    """Another person, every session instead of one, another message."""
    root = idp.sign(request())
    change(root)
    with pytest.raises(Rejected) as refused:
        logout.from_form({"SAMLRequest": idp.post(root)}, trust=idp.trust(), slo_url=OURS, now=idp.NOW)
    assert refused.value.reason is reason


@pytest.mark.parametrize("binding", BINDINGS)
def test_weak_signatures_only_where_the_switch_allows_them(binding: str) -> None:
    """A key of 1024 bits."""
    small = idp.pair("small", "rsa1024")
    pinned = {"certificates": (small.certificate,)}
    assert refusal(binding, request(), by=small, trust=idp.trust(**pinned)) is Reason.SIGNATURE_WEAK
    assert read(binding, request(), by=small, trust=idp.trust(**pinned, allow_weak_signatures=True))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, Reason.NOT_A_LOGOUT_MESSAGE),
        ({"SAMLRequest": "", "SAMLResponse": ""}, Reason.NOT_A_LOGOUT_MESSAGE),
        ({"SAMLRequest": "*"}, Reason.NOT_BASE64),
        ({"SAMLRequest": "ä"}, Reason.NOT_BASE64),
        ({"SAMLRequest": idp.post(b"<a")}, Reason.NOT_XML),
        ({"SAMLRequest": idp.post(idp.good())}, Reason.NOT_A_LOGOUT_MESSAGE),
        ({"SAMLResponse": idp.post(idp.sign(request()))}, Reason.NOT_A_LOGOUT_MESSAGE),
        ({"SAMLRequest": idp.post(b"<" * 72 * 1024)}, Reason.NOT_XML),
        ({"SAMLRequest": "a" * (96 * 1024 + 1)}, Reason.MESSAGE_TOO_LARGE),
        ({"SAMLRequest": idp.post(b"<!DOCTYPE a><a/>")}, Reason.XML_DOCTYPE),
    ],
)
def test_what_is_no_logout_message_is_refused(fields: dict[str, str], reason: Reason) -> None:
    """By POST; the query string's own refusals are in test_redirect."""
    with pytest.raises(Rejected) as refused:
        logout.from_form(fields, trust=idp.trust(), slo_url=OURS, now=idp.NOW)
    assert refused.value.reason is reason
    assert isinstance(refused.value, NotSaml) is (reason is not Reason.XML_DOCTYPE)


def test_nothing_is_inflated_before_the_signature_holds() -> None:
    """Neither a bomb nor nonsense: the refusal is for the signature."""
    for message in ("*", "YQ==", base64.b64encode(b"\x00" * 99).decode()):
        unsigned = urlencode({"SAMLRequest": message, "SigAlg": f"{idp.MORE}rsa-sha256", "Signature": "YQ=="})
        with pytest.raises(Rejected) as refused:
            logout.from_query(unsigned.encode(), trust=idp.trust(), slo_url=OURS, now=idp.NOW)
        assert refused.value.reason is Reason.SIGNATURE_INVALID


# --- responses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(
    ("codes", "complete"),
    [
        ((SUCCESS,), True),
        ((SUCCESS, PARTIAL), False),
        ((RESPONDER, PARTIAL), False),
        ((RESPONDER,), False),
        (("urn:oasis:names:tc:SAML:2.0:status:Requester", "urn:x"), False),
    ],
)
def test_response_says_how_far_it_went(binding: str, codes: tuple[str, ...], complete: bool) -> None:
    """Core 3.7.3.2: PartialLogout is no Success, wherever it stands."""
    said = LogoutResponse(in_response_to="_ours", complete=complete, status=codes)
    assert read(binding, response(*codes)) == said


def test_a_response_to_nothing_names_nothing() -> None:
    """Its sender had no request to name, or could not read ours."""
    assert read("post", response(SUCCESS, InResponseTo=None)).in_response_to == ""


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(
    ("root", "reason"),
    [
        (response(SUCCESS, issuer="https://other.example.com"), Reason.ISSUER_MISMATCH),
        (response(SUCCESS, Destination=idp.ACS), Reason.DESTINATION_MISMATCH),
        (response(SUCCESS, IssueInstant=stamp(-421)), Reason.EXPIRED),
        (request("", root="LogoutResponse"), Reason.STRUCTURE),
        (request("<samlp:Status/>", root="LogoutResponse"), Reason.STRUCTURE),
    ],
)
def test_a_signed_response_that_says_something_else_is_refused(
    binding: str, root: etree._Element, reason: Reason
) -> None:
    """The same rules as for requests, and a status."""
    assert refusal(binding, root) is reason


# --- ours -------------------------------------------------------------------------------------------------------


def signing_key() -> SigningKey:
    pair = idp.sp_keys()
    return SigningKey(pair.key, pair.certificate)  # type: ignore[arg-type]


def sent_request(slo: Endpoint, **options: Any) -> Sent:
    values = {"name_id": NameId("ann@example.com", idp.EMAIL, "q", "s"), "session_index": "_session1", **options}
    return logout.logout_request(sp_entity_id=idp.SP, slo=slo, now=idp.NOW, signing_key=signing_key(), **values)


def content(sent: Sent, name: str) -> etree._Element:
    """The message that was sent, once its signature is seen to hold under the published certificate."""
    ours = (idp.sp_keys().certificate,)
    if sent.method == "POST":
        root = etree.fromstring(base64.b64decode(sent.fields[name]))
        return signature.verified(root, certificates=ours, now=idp.NOW).element
    came = redirect.read(urlsplit(sent.url).query.encode())
    assert (came.name, redirect.signed_by(came, certificates=ours)) == (name, ours[0])
    return etree.fromstring(redirect.inflate(came.message))


@pytest.mark.parametrize("binding", [REDIRECT, POST])
def test_our_request_names_her_as_the_assertion_did(binding: str) -> None:
    """Profiles 4.4.4.1: NameID with all its attributes, SessionIndex, a lifetime, a signature."""
    sent = sent_request(Endpoint(binding, THEIRS.url))
    root = content(sent, "SAMLRequest")
    assert dict(root.attrib) == {
        "ID": sent.id,
        "Version": "2.0",
        "IssueInstant": stamp(0),
        "NotOnOrAfter": stamp(300),
        "Destination": THEIRS.url,
        "Reason": "urn:oasis:names:tc:SAML:2.0:logout:user",
    }
    assert root.findtext(f"{{{idp.SAML}}}Issuer") == idp.SP
    name_id = root.find(f"{{{idp.SAML}}}NameID")
    assert name_id is not None
    assert name_id.text == "ann@example.com"
    assert dict(name_id.attrib) == {"Format": idp.EMAIL, "NameQualifier": "q", "SPNameQualifier": "s"}
    assert root.findtext(f"{{{idp.SAMLP}}}SessionIndex") == "_session1"
    assert "RelayState" not in (sent.fields or sent.url)


def test_our_request_leaves_out_what_the_assertion_left_out() -> None:
    """No empty qualifier, no empty index."""
    root = content(
        sent_request(THEIRS, name_id=NameId("ann", PERSISTENT, None, None), session_index=None), "SAMLRequest"
    )
    assert [etree.QName(child).localname for child in root] == ["Issuer", "NameID"]
    assert dict(root[1].attrib) == {"Format": PERSISTENT}


@pytest.mark.parametrize("binding", [REDIRECT, POST])
@pytest.mark.parametrize("response_url", [None, "https://idp.example.com/slo/answer"])
@pytest.mark.parametrize("relay_state", [None, "their state"])
def test_our_response_answers_where_the_provider_wants_it(
    binding: str, response_url: str | None, relay_state: str | None
) -> None:
    """To its ResponseLocation where there is one (Metadata 2.2.2), with its RelayState (Bindings 3.4.3)."""
    asked = read("redirect", request(), relay_state=relay_state)
    endpoint = Endpoint(binding, THEIRS.url, response_url)
    sent = logout.logout_response(
        sp_entity_id=idp.SP, slo=endpoint, request=asked, now=idp.NOW, signing_key=signing_key()
    )
    root = content(sent, "SAMLResponse")
    assert sent.url.startswith(response_url or THEIRS.url)
    assert (root.get("InResponseTo"), root.get("Destination")) == ("_logout1", response_url or THEIRS.url)
    assert root.find(f".//{{{idp.SAMLP}}}StatusCode").get("Value") == SUCCESS  # type: ignore[union-attr]
    said = (
        sent.fields.get("RelayState")
        if sent.method == "POST"
        else redirect.read(urlsplit(sent.url).query.encode()).relay_state
    )
    assert said == relay_state


def test_strange_destination_is_refused() -> None:
    """Even where a configuration was written past the checks."""
    with pytest.raises(MetadataError):
        sent_request(Endpoint(REDIRECT, "javascript:alert(1)"))


def test_reasons_of_logout_only_are_listed() -> None:
    """What the door for sign-ins never says; each is raised above, in test_redirect, or by the routes."""
    assert {reason.value for reason in LOGOUT_REASONS} == {
        "not_a_logout_message",
        "query_malformed",
        "not_deflated",
        "encrypted_id",
        "logout_unknown",
    }


def test_an_assertion_says_when_it_was_issued() -> None:
    """A LogoutRequest may overtake it."""
    verified = verify(idp.post(idp.good()), trust=idp.trust(), sp=idp.service_provider(), now=idp.NOW)
    assert verified.issue_instant == idp.NOW
