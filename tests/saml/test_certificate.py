"""Certificates as administrators paste them."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idp_bridge.saml import MetadataError, parse_certificate

from . import idp

PEM = idp.idp().certificate.pem
BARE = idp.idp().certificate.base64_der
PRIVATE = idp.idp().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(PEM, id="PEM"),
        pytest.param(f"\n  {PEM}  \r\n", id="PEM with space around"),
        pytest.param(PEM.replace("\n", "\r\n"), id="PEM with CR LF"),
        pytest.param(BARE, id="bare base64"),
        pytest.param("\n".join(BARE[n : n + 40] for n in range(0, len(BARE), 40)), id="base64 in lines"),
    ],
)
def test_both_usual_forms_are_the_same_certificate(text: str) -> None:
    """PEM or bare base64, however it is broken into lines."""
    assert parse_certificate(text) == idp.idp().certificate


def test_certificate_tells_what_an_administrator_wants_to_see() -> None:
    """Fingerprint, dates, subject and key."""
    certificate = idp.idp().certificate
    assert len(certificate.fingerprint_sha256) == 64
    assert certificate.fingerprint_sha256 == certificate.fingerprint_sha256.lower()
    assert certificate.not_before < idp.NOW < certificate.not_after
    assert certificate.not_after.tzinfo is not None
    assert (certificate.subject, certificate.key_type, certificate.key_bits) == ("CN=idp.example.com", "rsa", 2048)


@pytest.mark.parametrize(
    ("key_type", "key_bits", "usable", "weak"),
    [
        ("rsa", 1023, False, False),
        ("rsa", 1024, False, True),
        ("rsa", 2047, False, True),
        ("rsa", 2048, True, False),
        ("ec", 255, False, False),
        ("ec", 256, True, False),
        ("other", 4096, False, False),
    ],
)
def test_strength_of_a_key(key_type: str, key_bits: int, usable: bool, weak: bool) -> None:
    """RSA from 2048 bits and curves from 256 are usable; RSA from 1024 is weak; anything else is neither."""
    certificate = replace(idp.idp().certificate, key_type=key_type, key_bits=key_bits)
    assert (certificate.usable, certificate.weak) == (usable, weak)


@pytest.mark.parametrize(("kind", "expected"), [("rsa1024", ("rsa", 1024)), ("ec", ("ec", 256))])
def test_kind_of_a_key_is_read(kind: str, expected: tuple[str, int]) -> None:
    """From the certificate itself; and the key is there to verify with."""
    pair = idp.pair("strength", kind)
    assert (pair.certificate.key_type, pair.certificate.key_bits) == expected
    assert pair.certificate.public_key == pair.key.public_key()
    assert "key=" not in repr(pair.certificate)


def test_other_key_types_are_shown_and_not_used() -> None:
    """An Ed25519 certificate parses, but no XML signature method here goes with it."""
    certificate = idp.ed25519_certificate()
    assert (certificate.key_type, certificate.usable) == ("other", False)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param("", "not an X.509", id="nothing"),
        pytest.param("hello, world", "neither PEM nor base64", id="words"),
        pytest.param("\u00e4", "neither PEM nor base64", id="beyond ASCII"),
        pytest.param("AAAA", "not an X.509", id="other base64"),
        pytest.param(PEM.replace("\nM", "\n!M", 1), "neither PEM nor base64", id="a stray character"),
        pytest.param(PEM + PEM, "exactly one", id="two"),
        pytest.param(PEM.replace("-----END CERTIFICATE-----", ""), "exactly one", id="cut off"),
        pytest.param(PRIVATE, "private key", id="private key"),
    ],
)
def test_what_is_no_certificate_is_explained(text: str, word: str) -> None:
    """The detail says what was pasted, in words."""
    with pytest.raises(MetadataError, match=word) as caught:
        parse_certificate(text)
    assert str(caught.value) == caught.value.detail
