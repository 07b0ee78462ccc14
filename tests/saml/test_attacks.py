"""No forged message gets in, whatever the honest message was that it was made from."""

from collections.abc import Iterator
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from idp_bridge.saml import Assertion, Reason, Rejected, verify

from . import idp
from .attacks import FORGERIES, VARIANTS, VICTIM, Attack, Base, container
from .attacks.encryption import damaged
from .mutating import mutated

SHAPES = {shape.name: shape for shape in (*idp.SHAPES, *idp.PROVIDERS)}
#: An IdP-initiated sign-in is allowed, so that a forgery that names no request is refused for something better.
TRUST = {"allow_idp_initiated": True}


def answer(message: str | bytes | etree._Element) -> Assertion:
    field = message if isinstance(message, str) else idp.post(message)
    return verify(field, trust=idp.trust(**TRUST), sp=idp.service_provider(), now=idp.NOW)


@cache
def base(name: str) -> Base:
    return Base.of(SHAPES[name])


@cache
def said(name: str) -> Assertion:
    return answer(base(name).document)


def accepted(made: Iterator[Attack]) -> Iterator[tuple[str, Assertion]]:
    for name, message in made:
        try:
            yield name, answer(message)
        except Rejected:
            continue


@pytest.mark.parametrize("family", FORGERIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_forged_messages_are_refused(shape: str, family: str) -> None:
    """The untouched message is accepted; every message made from it is refused with a reason, never with a crash."""
    assert said(shape).name_id != VICTIM
    made = base(shape).others(FORGERIES[family](base(shape)))
    assert [name for name, _ in accepted(made)] == []


@pytest.mark.parametrize("family", VARIANTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_outside_of_what_was_signed_changes_what_is_read(shape: str, family: str) -> None:
    """Spelt otherwise, or with more around what is signed: refused, or exactly what the provider said."""
    made = base(shape).others(VARIANTS[family](base(shape)))
    assert [name for name, result in accepted(made) if result != said(shape)] == []


def test_every_family_attacks_every_kind_of_message() -> None:
    """A family that yields nothing passes too. Only what is in a ciphertext is missing where there is none."""
    empty = {
        (family, name)
        for family, make in {**FORGERIES, **VARIANTS}.items()
        for name in ("okta", "google", "adfs")
        if next(base(name).others(make(base(name))), None) is None
    }
    of_the_signed = ("wrapping", "doubling", "digests", "identity", "references", "algorithms", "contents", "key info")
    assert empty == {
        ("damaged ciphertexts", "okta"),
        ("damaged ciphertexts", "google"),
        ("hidden signatures", "google"),
        *((family, "adfs") for family in of_the_signed),
    }


@pytest.mark.parametrize("shape", ["adfs", "encrypted_cbc"])
def test_a_damaged_ciphertext_gets_one_answer(shape: str) -> None:
    """Wherever it is damaged: what a stranger could learn from a second answer decrypts the message for him."""
    answers = set()
    for _, message in damaged(base(shape)):
        with pytest.raises(Rejected) as caught:
            answer(message)
        answers.add((type(caught.value), caught.value.reason, str(caught.value), caught.value.text))
    assert {reason for _, reason, _, _ in answers} == {Reason.DECRYPTION_FAILED}
    assert len(answers) == 1


@settings(max_examples=800, deadline=None)
@given(name=st.sampled_from(sorted(SHAPES)), random=st.randoms(use_true_random=False))
def test_no_surgery_changes_what_is_read(name: str, random: Random) -> None:
    """Cut from a good message and from one by a stranger, put together anyhow: refused, or exactly what was signed."""
    try:
        result = answer(mutated(base(name).octets, [base(name).octets, evil(name)], random))
    except Rejected:
        return
    assert result == said(name)


@cache
def evil(name: str) -> bytes:
    """The victim's, well signed by a stranger."""
    response = base(name).evil_response()
    idp.swap(container(response), idp.sign(container(response), idp.attacker()))
    return etree.tostring(idp.sign(response, idp.attacker()))
