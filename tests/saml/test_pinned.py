"""Pinned keys: every method on the list verifies, and only with the right kind of key, which must be strong."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15

from idp_bridge.saml import Certificate, Reason, Rejected, pinned

from . import idp

OCTETS = b"octets to be signed"
STRONG = sorted(pinned.METHODS - pinned.WEAK_METHODS)
RSA_SHA256, ECDSA_SHA256 = f"{idp.MORE}rsa-sha256", f"{idp.MORE}ecdsa-sha256"
PSS_SHA512 = "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1"
SMALL = idp.pair("small", "rsa1024")
RSA, EC = idp.idp(), idp.pair("ec", "ec")
DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def value(method: str, pair: idp.Pair, octets: bytes = OCTETS) -> bytes:
    """A signature by this pair, made by `cryptography` with what the method's name says."""
    digest = next(found for name, found in DIGESTS.items() if name in method)
    key: Any = pair.key
    if "ecdsa" in method:
        r, s = idp.decode_dss_signature(key.sign(octets, ec.ECDSA(digest)))
        return r.to_bytes(32) + s.to_bytes(32)
    scheme = PSS(MGF1(digest), digest.digest_size) if "MGF1" in method else PKCS1v15()
    return bytes(key.sign(octets, scheme, digest))


def signer(signature: bytes, method: str, *pairs: idp.Pair | Certificate, **kwargs: Any) -> Certificate:
    certificates = [pair if isinstance(pair, Certificate) else pair.certificate for pair in pairs]
    return pinned.signer(OCTETS, signature, method=method, certificates=certificates, **kwargs)


def refused(act: Callable[[], Any]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        act()
    return caught.value


def pair_for(method: str) -> idp.Pair:
    return EC if "ecdsa" in method else RSA


def test_the_list_is_closed() -> None:
    """RSA, RSA-PSS and ECDSA with SHA-256 to SHA-512, and RSA with SHA-1 behind a switch. Nothing else has a row."""
    assert len(STRONG) == 9
    assert {f"{idp.DS}rsa-sha1"} == pinned.WEAK_METHODS
    assert {method.rpartition("#")[2].partition("-")[0] for method in pinned.METHODS} == {
        "rsa", "ecdsa", "sha256", "sha384", "sha512"
    }  # fmt: skip


@pytest.mark.parametrize("method", STRONG)
def test_each_method_finds_the_signer(method: str) -> None:
    """The certificate whose key it was, wherever it stands among the others."""
    pair, other = pair_for(method), idp.attacker()
    assert signer(value(method, pair), method, other, pair) == pair.certificate
    assert signer(value(method, pair), method, pair, other) == pair.certificate


@pytest.mark.parametrize("method", STRONG)
def test_one_octet_more_is_another_message(method: str) -> None:
    """The signature covers exactly these octets; the refusal names the keys that were tried, and nothing else."""
    pair = pair_for(method)
    failure = refused(lambda: signer(value(method, pair, OCTETS + b"."), method, pair, idp.attacker()))
    tried = ", ".join(item.certificate.fingerprint_sha256[:16] for item in (pair, idp.attacker()))
    told = {"got": "by none of the pinned keys", "want": "by a pinned key", "tried": tried}
    assert (failure.reason, failure.facts) == (Reason.SIGNATURE_INVALID, told)


@pytest.mark.parametrize("method", STRONG)
def test_no_method_turns_to_another(method: str) -> None:
    """What was made by one method holds under no other name."""
    made = value(method, pair_for(method))
    for other in STRONG:
        if other != method:
            assert refused(lambda other=other: signer(made, other, RSA, EC)).reason is Reason.SIGNATURE_INVALID  # type: ignore[misc]


@pytest.mark.parametrize(("method", "pair"), [(RSA_SHA256, EC), (ECDSA_SHA256, RSA), (f"{idp.DS}rsa-sha1", EC)])
def test_a_key_of_the_other_kind_verifies_nothing(method: str, pair: idp.Pair) -> None:
    """A message does not choose what kind of key a certificate has."""
    made = value(method, pair_for(method))
    assert refused(lambda: signer(made, method, pair, allow_weak=True)).reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("method", [f"{idp.MORE}hmac-sha256", f"{idp.DS}dsa-sha1", f"{idp.MORE}rsa-md5", "", "urn:x"])
@pytest.mark.parametrize("allow_weak", [False, True])
def test_what_is_not_on_the_list_is_refused_before_any_key(method: str, allow_weak: bool) -> None:
    """Whatever the switch says."""
    failure = refused(lambda: signer(b"x", method, allow_weak=allow_weak))
    assert failure.reason is Reason.SIGNATURE_ALGORITHM
    want = "RSA or ECDSA with SHA-256, SHA-384 or SHA-512"
    assert failure.facts == {"element": "SignatureMethod", "got": method, "want": want}


def test_sha1_is_behind_the_switch() -> None:
    """Refused for a reason of its own, and before any key is looked at."""
    (method,) = pinned.WEAK_METHODS
    failure = refused(lambda: signer(value(method, RSA), method))
    assert (failure.reason, failure.facts["got"]) == (Reason.SIGNATURE_WEAK, method)
    assert signer(value(method, RSA), method, RSA, allow_weak=True) == RSA.certificate


def test_small_rsa_key_is_behind_the_switch() -> None:
    """That the small key did sign is told, so that an administrator knows what to change."""
    made = value(RSA_SHA256, SMALL)
    failure = refused(lambda: signer(made, RSA_SHA256, RSA, SMALL))
    assert failure.reason is Reason.SIGNATURE_WEAK
    assert failure.facts == {
        "certificate": SMALL.certificate.fingerprint_sha256[:16],
        "got": "RSA, 1024 bits",
        "want": "RSA, 2048 bits or more",
    }
    assert signer(made, RSA_SHA256, RSA, SMALL, allow_weak=True) == SMALL.certificate


def test_method_too_large_for_a_key_is_no_signature() -> None:
    """PSS with SHA-512 does not fit into 1024 bits: refused like any other, and no crash."""
    failure = refused(lambda: signer(b"\x01" * 128, PSS_SHA512, SMALL, allow_weak=True))
    assert failure.reason is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 255, 256, 257, 10_000])
@pytest.mark.parametrize("method", STRONG)
def test_values_of_any_length_are_refused_alike(method: str, length: int) -> None:
    """Too short, too long, or of the right length and wrong."""
    for octet in (b"\x00", b"\x01", b"\xff"):
        failure = refused(lambda octet=octet: signer(octet * length, method, RSA, EC))  # type: ignore[misc]
        assert failure.reason is Reason.SIGNATURE_INVALID


def test_ecdsa_in_both_encodings() -> None:
    """Raw, as XML Signature says, and DER, as Java signs query strings: one pair of numbers."""
    key: Any = EC.key
    assert signer(key.sign(OCTETS, ec.ECDSA(hashes.SHA256())), ECDSA_SHA256, EC) == EC.certificate


def test_no_key_that_could_have_signed() -> None:
    """No certificate at all, or only kinds that verify nothing here: a reason of its own."""
    for pairs in ((), (idp.ed25519_certificate(),), (replace(RSA.certificate, key_bits=1023),)):
        failure = refused(lambda pairs=pairs: signer(b"x", RSA_SHA256, *pairs, allow_weak=True))  # type: ignore[misc]
        told = {"got": f"{len(pairs)} pinned, none usable", "want": "RSA from 2048 bits or ECDSA from 256 bits"}
        assert (failure.reason, failure.facts) == (Reason.CERTIFICATE_UNUSABLE, told)


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (RSA.certificate.not_before - SECOND, ("certificate_not_yet_valid",)),
        (RSA.certificate.not_before, ()),
        (RSA.certificate.not_after, ()),
        (RSA.certificate.not_after + SECOND, ("certificate_expired",)),
    ],
)
def test_dates_warn_to_the_second(now: Any, expected: tuple[str, ...]) -> None:
    """Both ends of the validity belong to it (RFC 5280 section 4.1.2.5)."""
    assert pinned.warnings(RSA.certificate, now=now, sha1=False) == expected


def test_weaknesses_warn() -> None:
    """Each under its own name, in one order; every name has its sentence."""
    told = pinned.warnings(SMALL.certificate, now=SMALL.certificate.not_after + SECOND, sha1=True)
    assert told == ("sha1_signature", "weak_rsa_key", "certificate_expired")
    assert {*told, "certificate_not_yet_valid"} == set(pinned.WARNINGS)
    assert all(sentence.endswith(".") for sentence in pinned.WARNINGS.values())


@pytest.mark.parametrize(
    ("certificates", "expected"),
    [
        ((RSA.certificate, EC.certificate), (RSA_SHA256, 256)),
        ((EC.certificate, RSA.certificate), (ECDSA_SHA256, 64)),
        ((SMALL.certificate,), (RSA_SHA256, 128)),
        ((idp.ed25519_certificate(),), (RSA_SHA256, 256)),
        ((), (RSA_SHA256, 256)),
    ],
)
def test_form_of_a_signature(certificates: tuple[Certificate, ...], expected: tuple[str, int]) -> None:
    """What a decoy has to look like: the usual method of the first key, and its length."""
    assert pinned.form(certificates) == expected
