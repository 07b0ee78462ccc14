"""The decoy: it goes through every rule up to the key, and never further."""

import pytest

from idp_bridge.saml import Certificate, Reason, Rejected, signature, xml
from idp_bridge.saml.decoy import decoy

from . import idp

PINNED = [
    pytest.param((idp.idp().certificate,), id="RSA"),
    pytest.param((idp.pair("ec", "ec").certificate,), id="elliptic"),
    pytest.param((idp.pair("large", "rsa3072").certificate,), id="larger RSA"),
    pytest.param((idp.attacker().certificate, idp.idp().certificate), id="two"),
]


@pytest.mark.parametrize("certificates", PINNED)
def test_decoy_fails_at_the_key_and_nowhere_before(certificates: tuple[Certificate, ...]) -> None:
    """Well formed, of the right method, and signed by nobody."""
    root = xml.parse(decoy(certificates, size=5000))
    signature.check_ids(root)
    signature.check_placement(root, root)
    with pytest.raises(Rejected) as caught:
        signature.verified(root, certificates=certificates, now=idp.NOW)
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_decoy_without_a_certificate_is_refused_as_well() -> None:
    """A connection without certificates accepts nothing, decoys included."""
    with pytest.raises(Rejected) as caught:
        signature.verified(xml.parse(decoy((), size=0)), certificates=(), now=idp.NOW)
    assert caught.value.reason is Reason.CERTIFICATE_UNUSABLE


@pytest.mark.parametrize("size", [0, 100, 1_500, 8_000, 150_000])
def test_decoy_is_about_as_large_as_what_it_stands_for(size: int) -> None:
    """So that parsing and canonicalising it costs about the same."""
    octets = decoy((idp.idp().certificate,), size=size)
    assert abs(len(octets) - max(size, 1_400)) < 500
    assert xml.parse(octets).get("ID") == "_decoy"
