"""Takes any good Response apart and yields what a stranger could make of it.

The stranger holds one good message and all public keys, but no private key of ours or of the identity provider.

- `FORGERIES`: whatever comes out of these must be refused.
- `VARIANTS`: nothing that is signed says something else. They are refused, or they say exactly what the good one says.

Both take a `Base`, from whatever provider: a shape of the test provider, a folder of `fixtures/saml/good`, or a message
that a real product sent.
"""

from collections.abc import Callable, Iterator, Mapping

from . import encryption, envelope, octets, signatures, wrapping
from .base import VICTIM, Attack, Base, container

__all__ = ["FORGERIES", "VARIANTS", "VICTIM", "Attack", "Base", "container", "forgeries", "variants"]

Family = Callable[[Base], Iterator[Attack]]

FORGERIES: Mapping[str, Family] = {
    "wrapping": wrapping.wrapping,
    "named wrappings": wrapping.named,
    "assertions anywhere": wrapping.anywhere,
    "stripping": signatures.stripping,
    "doubling": signatures.doubling,
    "identity": signatures.identity,
    "references": signatures.references,
    "algorithms": signatures.algorithms,
    "keys": signatures.keys,
    "digests": signatures.digests,
    "contents": envelope.contents,
    "envelope": envelope.envelope,
    "document types": octets.document_types,
    "encodings": octets.encodings,
    "comments": octets.comments,
    "names": octets.names,
    "not XML": octets.not_xml,
    "form field": octets.form_field,
    "sizes": octets.sizes,
    "ciphertexts": encryption.ciphertexts,
    "damaged ciphertexts": encryption.damaged,
    "hidden signatures": encryption.hidden,
}
VARIANTS: Mapping[str, Family] = {
    "spelling": octets.spelling,
    "declarations": octets.declarations,
    "fragments anywhere": wrapping.fragments,
    "envelope": envelope.harmless,
    "key info": signatures.key_info,
}


def forgeries(base: Base) -> Iterator[Attack]:
    """Every forgery of this one message, as (name, what arrives)."""
    yield from _all(base, FORGERIES)


def variants(base: Base) -> Iterator[Attack]:
    yield from _all(base, VARIANTS)


def _all(base: Base, families: Mapping[str, Family]) -> Iterator[Attack]:
    for family, make in families.items():
        yield from ((f"{family}: {name}", forged) for name, forged in base.others(make(base)))
