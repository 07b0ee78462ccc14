"""A provider's metadata is read with care: one entity, by its name, and where a key is pinned only what it signed."""

import random
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from idp_bridge.saml import POST, REDIRECT, Endpoint, IdpMetadata, MetadataError, NotVouchedFor, read_idp_metadata

from . import idp
from .documents import MD, SSO, endpoint, entity, group, key, role, signed


def read(document: str | bytes, **kwargs: Any) -> IdpMetadata:
    return read_idp_metadata(document, now=idp.NOW, **kwargs)


def test_everything_that_a_connection_needs_is_read() -> None:
    """Redirect comes before POST, other bindings are left out, a certificate twice is one."""
    second = idp.attacker().certificate
    document = "<!-- written by hand -->" + entity(
        role(
            keys=key() + key(second.base64_der, "") + key() + key(use=' use="encryption"'),
            sso=endpoint(
                "SingleSignOnService", "urn:oasis:names:tc:SAML:2.0:bindings:SOAP", "https://idp.example.com/soap"
            )
            + endpoint("SingleSignOnService", POST, SSO + "/post")
            + endpoint("SingleSignOnService", REDIRECT, SSO),
            slo=endpoint("SingleLogoutService", POST, SSO + "/out", f' ResponseLocation="{SSO}/done"'),
            attributes=' WantAuthnRequestsSigned="true"',
            formats=f"<md:NameIDFormat> {idp.EMAIL} </md:NameIDFormat><md:NameIDFormat/>",
        ),
        attributes=' validUntil="2027-01-01T00:00:00Z"',
    )
    assert read(document) == IdpMetadata(
        entity_id=idp.IDP,
        sso=(Endpoint(REDIRECT, SSO), Endpoint(POST, SSO + "/post")),
        slo=(Endpoint(POST, SSO + "/out", SSO + "/done"),),
        certificates=(idp.idp().certificate, second),
        want_authn_requests_signed=True,
        name_id_formats=(idp.EMAIL,),
        valid_until=datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_small_metadata_is_enough() -> None:
    """One role, one URL, one key; octets or text, with a declaration or without."""
    plain = read(entity())
    assert (plain.slo, plain.want_authn_requests_signed, plain.valid_until) == ((), False, None)
    assert read(b'\n<?xml version="1.0" encoding="UTF-8"?>' + entity().encode()) == plain


def test_entity_is_chosen_by_name_in_a_group() -> None:
    """Service providers beside it do not count; two identity providers need a choice."""
    sp = f'<md:EntityDescriptor xmlns:md="{MD}" entityID="urn:sp"><md:SPSSODescriptor/></md:EntityDescriptor>'
    assert read(group(sp, entity())).entity_id == idp.IDP
    two = group(entity(), group(entity(entity_id="urn:other")))
    assert read(two, entity_id="urn:other").entity_id == "urn:other"
    with pytest.raises(MetadataError, match="several identity providers"):
        read(two)


EXPIRED = ' validUntil="2026-03-01T12:00:00Z"'


@pytest.mark.parametrize(
    ("document", "word"),
    [
        pytest.param("", "It is not XML at line", id="empty"),
        pytest.param("<html/>", "This is a web page, not metadata", id="a web page"),
        pytest.param("\ufeff<!doctype HTML><p>", "This is a web page", id="a web page that is no XML"),
        pytest.param('<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x" "y">', "a web page", id="a web page in XHTML"),
        pytest.param(" https://idp.example.com/metadata?a=b\n", "This is an address", id="an address"),
        pytest.param("{}", "It is not XML at line 1, column 1. Give the whole", id="JSON"),
        pytest.param("<!DOCTYPE x>" + entity(), r"a document type \(DOCTYPE\)", id="document type"),
        pytest.param(
            entity(attributes=' xmlns:x="relative"'),
            "namespace name that is no absolute URI: relative",
            id="relative namespace",
        ),
        pytest.param(
            " " + "<x>" * 60 + "</x>" * 60,
            "too large: 49 elements, 49 deep; 20000 elements, 48 deep at most",
            id="deep",
        ),
        pytest.param(
            entity() + " " * 10 + "<!--" + "x" * 1024 * 1024 + "-->", "too large: .* octets, 1048576 at most", id="long"
        ),
        pytest.param(b"\xff\xfe<\x00x\x00", "not written in UTF-8: it has something else at octet 0", id="UTF-16"),
        pytest.param(entity(entity_id=""), "entity ID is missing", id="no entity ID"),
        pytest.param(entity(entity_id="u" * 1025), "longer than 1024", id="long entity ID"),
        pytest.param(f"<x>{entity()}</x>", "not metadata: it begins with x, and", id="inside something else"),
        pytest.param(entity(role().replace("IDPSSO", "SPSSO")), "describes a service provider", id="of a service"),
        pytest.param(group(), "no identity provider: it has no IDPSSODescriptor", id="empty group"),
        pytest.param(f"<{'x' * 300}/>", f"begins with {'x' * 200}, and", id="long name"),
        pytest.param("https://idp.example.com/ of ours", "not XML", id="a sentence"),
        pytest.param(entity(""), "no identity provider: it has no IDPSSODescriptor", id="no role"),
        pytest.param(entity(role() + role()), "several identity providers", id="two roles"),
        pytest.param(entity(attributes=EXPIRED), "expired on 2026-03-01", id="expired entity"),
        pytest.param(entity(role(attributes=EXPIRED)), "expired", id="expired role"),
        pytest.param(group(entity(), attributes=EXPIRED), "expired", id="expired group"),
        pytest.param(
            entity(attributes=' validUntil="tomorrow"'),
            "validUntil that is no time: tomorrow; wanted is a time such as 2026",
            id="no time",
        ),
        pytest.param(entity(role(sso="")), "no sign-on URL", id="no URL"),
        pytest.param(
            entity(role(sso=endpoint("SingleSignOnService", "urn:x", SSO))), "no sign-on URL", id="no binding"
        ),
        pytest.param(
            entity(role(keys="".join(key(f"{n:04}") for n in range(21)))), "more than 20", id="many certificates"
        ),
        pytest.param(
            entity(role(sso=endpoint("SingleSignOnService", REDIRECT, SSO + "/" + "x" * 2048))), "2048", id="long URL"
        ),
        pytest.param(entity(role(keys="")), "no signing certificate", id="no key"),
        pytest.param(
            entity(role(keys=key(use=' use="encryption"'))), "no signing certificate", id="encryption key only"
        ),
        pytest.param(entity(role(keys="<md:KeyDescriptor/>")), "no signing certificate", id="empty key"),
        pytest.param(
            entity(role(keys=key(idp.pair("weak", "rsa1024").certificate.base64_der))), "2048 bits", id="weak key"
        ),
        pytest.param(entity(role(keys=key("AAAA"))), "not an X.509", id="broken key"),
    ],
)
def test_unusable_metadata_is_explained(document: str | bytes, word: str) -> None:
    """Refused when it is configured, with words, rather than at somebody's sign-in."""
    with pytest.raises(MetadataError, match=word):
        read(document)


def test_chain_behind_a_certificate_is_not_trusted() -> None:
    """Only the first certificate of an X509Data is the signer's; an authority must not sign assertions."""
    chain = f"<ds:X509Certificate>{idp.attacker().certificate.base64_der}</ds:X509Certificate></ds:X509Data>"
    document = entity(role(keys=key().replace("</ds:X509Data>", chain)))
    assert read(document).certificates == (idp.idp().certificate,)


def test_unknown_name_is_explained() -> None:
    """A name that is asked for and not there."""
    with pytest.raises(MetadataError, match="of that name"):
        read(entity(), entity_id="urn:other")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://idp.example.com/sso",
        "http://127.0.0.1.example.com/sso",
        "ftp://idp.example.com/",
        "//idp.example.com/sso",
        "https:///sso",
        "https://user@idp.example.com/",
        "https://idp.example.com:port/",
        "https://[::1/",
        "https://idp.example.com/a b",
        "https://idp.example.com/\u200b",
        "",
    ],
)
def test_browser_is_never_sent_to_a_strange_url(url: str) -> None:
    """Only https, or http on this very machine."""
    with pytest.raises(MetadataError, match="sign-on URL"):
        read(entity(role(sso=endpoint("SingleSignOnService", REDIRECT, url))))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/sso", "http://localhost/sso", "http://[::1]:9/sso", SSO + "?idpid=1"]
)
def test_loopback_may_be_plain(url: str) -> None:
    """For trying things out on one machine."""
    document = entity(role(sso=endpoint("SingleSignOnService", REDIRECT, url)))
    assert read(document).sso == (Endpoint(REDIRECT, url),)


# --- several in one document ------------------------------------------------------------------------------------


def test_a_refusal_names_what_is_there_and_not_thousands() -> None:
    """An administrator sees which names there are; a federation does not fill her screen."""
    many = group(*(entity(entity_id=f"urn:idp:{n}") for n in range(30)))
    for chosen in (None, "urn:other"):
        with pytest.raises(MetadataError) as caught:
            read(many, entity_id=chosen)
        assert "urn:idp:0, urn:idp:1," in caught.value.detail
        assert "and 20 more" in caught.value.detail
        assert "urn:idp:10" not in caught.value.detail
    with pytest.raises(MetadataError) as caught:
        read(group(entity(entity_id="u" * 1000), entity(entity_id="urn:b")))
    assert len(caught.value.detail) < 500


def test_one_name_twice_is_no_choice() -> None:
    """Else the first document in it would win, and its keys."""
    with pytest.raises(MetadataError, match="several"):
        read(group(entity(), entity(role(keys=key(idp.attacker().certificate.base64_der)))), entity_id=idp.IDP)


def test_a_weak_key_is_let_in_by_its_switch_only() -> None:
    """RSA under 2048 bits; without the switch the refusal says how much is needed."""
    weak = idp.pair("weak", "rsa1024").certificate
    document = entity(role(keys=key(weak.base64_der)))
    assert read(document, allow_weak=True).certificates == (weak,)
    with pytest.raises(MetadataError, match="2048"):
        read(document)


# --- what a pinned key vouches for ------------------------------------------------------------------------------


PINNED = (idp.idp().certificate,)


def test_signed_metadata_is_read_from_what_was_signed() -> None:
    """The whole document or the one entity in it, signed by any of the pinned keys."""
    one = signed(entity(attributes=' ID="_1"'))
    assert read(one, vouched_by=PINNED).entity_id == idp.IDP
    assert read(one, vouched_by=(idp.attacker().certificate, *PINNED)).entity_id == idp.IDP
    whole = signed(group(entity(), entity(entity_id="urn:b"), attributes=' ID="_2"'))
    assert read(whole, vouched_by=PINNED, entity_id="urn:b").entity_id == "urn:b"
    assert read(group(one, entity(entity_id="urn:b")), vouched_by=PINNED, entity_id=idp.IDP).entity_id == idp.IDP


ID = ' ID="_1"'
OTHER_KEY = role(keys=key(idp.attacker().certificate.base64_der))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(entity(attributes=ID), id="unsigned"),
        pytest.param(signed(entity(attributes=ID), idp.attacker()), id="another key"),
        pytest.param(signed(entity(attributes=ID)).replace(SSO, SSO + "/elsewhere"), id="changed"),
        pytest.param(
            signed(entity(attributes=ID)).replace(
                idp.idp().certificate.base64_der, idp.attacker().certificate.base64_der
            ),
            id="key exchanged",
        ),
        pytest.param(
            group(signed(entity(entity_id="urn:b", attributes=ID)), entity(OTHER_KEY)),
            id="its neighbour is signed",
        ),
        pytest.param(
            entity(OTHER_KEY + f"<md:Extensions>{signed(entity(attributes=ID))}</md:Extensions>"), id="wrapped"
        ),
        pytest.param(
            signed(entity(attributes=ID)).replace('URI="#_1"', 'URI=""'), id="reference to the whole document"
        ),
    ],
)
def test_what_no_pinned_key_signed_is_not_vouched_for(document: str) -> None:
    """Also where some signature in the document holds: it must be that of what is read."""
    with pytest.raises(NotVouchedFor):
        read(document, vouched_by=PINNED, entity_id=idp.IDP)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (entity(attributes=ID), "The metadata is not signed"),
        (signed(entity(attributes=ID), idp.attacker()), "metadata. Another key signed it."),
        (signed(entity(attributes=ID)).replace(SSO, SSO + "/elsewhere"), "It was changed after it was signed."),
        (
            signed(entity(attributes=ID)).replace('URI="#_1"', 'URI=""'),
            "It has an empty URI, the whole document instead of #_1.",
        ),
        (signed(entity(attributes=ID)).replace(' URI="#_1"', ""), "It has no URI instead of #_1."),
        (
            signed(entity(attributes=ID)).replace('URI="#_1"', f'URI="#{"x" * 250}"'),
            f"It has #{'x' * 199} instead of #_1.",
        ),
        (
            re.sub(r"(<ds:Transform) Algorithm=.[^'\"]*.", r"\1", signed(entity(attributes=ID)), count=1),
            "It has nothing instead of http://www.w3.org/2000/09/xmldsig#enveloped-signature.",
        ),
    ],
    ids=["unsigned", "another key", "changed", "whole document", "no reference", "long", "no transform"],
)
def test_what_is_not_vouched_for_is_told_in_words(document: str, words: str) -> None:
    """An administrator reads what is wrong with it, not what the reason is called."""
    with pytest.raises(NotVouchedFor) as caught:
        read(document, vouched_by=PINNED, entity_id=idp.IDP)
    assert words in caught.value.detail


def test_nothing_unsigned_is_added_to_what_was_signed() -> None:
    """A key slipped in beside the signed role, under the signed entity, breaks the digest."""
    slipped = signed(entity(attributes=ID)).replace("</md:EntityDescriptor>", f"{OTHER_KEY}</md:EntityDescriptor>")
    with pytest.raises(MetadataError):
        read(slipped, vouched_by=PINNED)


def test_signed_metadata_expires_too() -> None:
    """An old document under a good key would bring old keys back."""
    with pytest.raises(MetadataError, match="expired"):
        read(signed(entity(attributes=ID + EXPIRED)), vouched_by=PINNED)
    outer = group(signed(entity(attributes=ID)), attributes=EXPIRED)
    with pytest.raises(MetadataError, match="expired"):
        read(outer, vouched_by=PINNED)


# --- anything else ----------------------------------------------------------------------------------------------

PIECES = (
    *("<md:Extensions><x/></md:Extensions>", "<md:SingleSignOnService/>", "<md:KeyDescriptor/>", "<md:NameIDFormat/>"),
    *("<md:IDPSSODescriptor/>", "<md:EntityDescriptor/>", "<!-- c -->", "<?pi?>", "<![CDATA[x]]>", "&amp;", "&#0;"),
    *(' entityID=""', ' ID="_1"', "\u212a", "\u0296", "\ud800", "xmlns:", "true", "9"),
)


def changed(document: str, choice: random.Random) -> str:
    """A piece cut out, put in, or brought from elsewhere in the document; up to three times."""
    for _ in range(choice.randint(1, 3)):
        start, other = choice.randrange(len(document)), choice.randrange(len(document))
        cut = start + choice.choice((0, 0, 1, 20))
        document = document[:start] + choice.choice((*PIECES, "", document[other : other + 50])) + document[cut:]
    return document


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_document_is_read_or_refused_in_words(seed: int) -> None:
    """Nothing else comes out, whatever an administrator uploads; and under a pinned key only what it signed."""
    choice = random.Random(seed)
    bases = (entity(attributes=ID), signed(entity(attributes=ID)), group(entity(), entity(entity_id="urn:b")))
    outcomes, words = Counter[str](), []
    for _ in range(500):
        document, vouched_by = changed(choice.choice(bases), choice), choice.choice(((), PINNED))
        try:
            found = read(document, entity_id=idp.IDP, vouched_by=vouched_by)
        except MetadataError as error:
            words.append(error.detail)
        else:
            outcomes["vouched for" if vouched_by else "read"] += 1
            assert not vouched_by or (found.sso, found.certificates) == ((Endpoint(REDIRECT, SSO),), PINNED)
    assert set(outcomes) == {"vouched for", "read"}
    assert words
    assert all(0 < len(detail) < 4000 for detail in words)
