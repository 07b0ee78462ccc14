"""The SAML door: random honest messages, all that a stranger makes of them, and what two other verifiers say."""

from collections.abc import Iterator
from itertools import count, islice
from random import Random

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from idp_bridge.saml import Rejected, verify
from tests.fuzz.exploring import Disagreement
from tests.saml import idp
from tests.saml.attacks import Base, forgeries, variants
from tests.saml.attacks.base import xml
from tests.saml.comparing import complaint_about_forgery, complaint_about_honesty
from tests.saml.honest import message
from tests.saml.mutating import mutated
from tests.saml.others import Said, said

#: So many of all that can be made of one message are tried on it: there are many messages.
PER_MESSAGE = 100


def forged(*, number: int, seed: int) -> None:
    """Forgeries of honest messages of any form are refused; their spellings say what the honest one said."""
    left = number
    for base in _bases(seed):
        honest = _ours(base.octets, base)
        if honest is None:
            raise Disagreement(f"the honest message {base.name} is refused")
        everything = [*((True, *made) for made in forgeries(base)), *((False, *made) for made in variants(base))]
        for is_forged, name, forgery in Random(base.name).sample(everything, min(PER_MESSAGE, left)):
            answer = _ours(forgery, base)
            if answer is not None and (is_forged or answer != honest):
                raise Disagreement(f"message {base.name}, {name}: accepted as {answer}")
        left -= PER_MESSAGE
        if left <= 0:
            return


def mixed(*, number: int, seed: int) -> None:
    """Messages cut up and put together anew, with parts of a stranger's: refused, or what the honest one said."""
    for base in islice(_bases(seed), number // PER_MESSAGE):
        honest = _ours(base.octets, base)
        parts = [base.octets, xml(idp.sign(base.evil_response(), idp.attacker()))]
        random = Random(base.name)
        for _ in range(PER_MESSAGE):
            made = mutated(base.octets, parts, random)
            answer = _ours(made, base)
            if answer not in (None, honest):
                raise Disagreement(f"message {base.name}: accepted as {answer}\n{made!r}")


def beside(*, number: int, seed: int) -> None:
    """Honest messages, and a few forgeries of each, to all three verifiers."""
    for n in range(number // 4):
        made = message(Random(f"{seed}:{n}"))
        if complaint := complaint_about_honesty(made.document, made.by):
            raise Disagreement(f"message {seed}:{n}: {complaint}\n{made.said}")
    for base in islice(_bases(seed), number // 100):
        everything = [*forgeries(base), *variants(base)]
        for name, forgery in Random(base.name).sample(everything, 50):
            if complaint := complaint_about_forgery(forgery, base.certificate):
                raise Disagreement(f"message {base.name}, {name}: {complaint}")


def _bases(seed: int) -> Iterator[Base]:
    key = idp.sp_keys().key.public_key()
    assert isinstance(key, RSAPublicKey)
    for n in count():
        made = message(Random(f"{seed}:{n}"))
        yield Base(f"{seed}:{n}", made.document, made.by.certificate, key)


def _ours(forgery: bytes | str, base: Base) -> Said | None:
    field = forgery if isinstance(forgery, str) else idp.post(forgery)
    trust = idp.trust(certificates=(base.certificate,), allow_idp_initiated=True)
    try:
        return said(verify(field, trust=trust, sp=idp.service_provider(), now=idp.NOW))
    except Rejected:
        return None
