"""The record of one verification: every check that was made, in order, with what came and what was wanted.

It is for the administrators of the connection, and never for whoever brought the message. It holds short texts out of
the message's settings (issuer, audience, addresses, times, algorithms): neither the document nor who somebody is.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import ParamSpec, TypeVar

from idp_bridge.saml.errors import NOTHING, Check, Rejected, fact

P = ParamSpec("P")
T = TypeVar("T")

#: What `verify` asks, in its order; a message meets the ones that concern it.
CHECKS: Mapping[str, str] = MappingProxyType(
    {
        "message": "Base64, of 256 KiB at most",
        "xml": "Plain XML in UTF-8, without document type, comments or anything that two readers see differently",
        "response": "A Response of SAML 2.0",
        "structure": "One Response with one assertion, every ID once, signatures only where they belong",
        "response_signature": "The Response's signature, by a key pinned here",
        "status": "The identity provider says that it succeeded",
        "encryption": "Encrypted, where the connection demands it",
        "decryption": "Encrypted to a key of ours, around a signed assertion",
        "assertion_signature": "The assertion's signature, by a key pinned here",
        "assertion_id": "An ID by which it is known when it comes again",
        "version": "SAML 2.0",
        "issued": "It says when it was issued",
        "issuer": "Issued by the identity provider of this connection",
        "destination": "Sent to our ACS URL",
        "conditions": "Conditions, each of a kind that is known",
        "validity": "Within the time of the conditions",
        "audience": "Meant for our entity ID",
        "name_id": "A lasting NameID",
        "confirmation": "A bearer confirmation for our ACS URL and this request, in time",
        "solicited": "Asked for here, unless the connection lets people start at the identity provider",
        "authentication": "Somebody signed in, and the session is not over",
        "attributes": "Every attribute has a name",
    }
)


class Checks:
    """Ask the rules one after another through `ask`; what was asked so far is in `made`."""

    def __init__(self) -> None:
        self._made: list[Check] = []

    @property
    def made(self) -> tuple[Check, ...]:
        return tuple(self._made)

    def ask(self, name: str, rule: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Apply one rule, which returns what it found or raises `Rejected`; either way the check is recorded."""
        try:
            found = rule(*args, **kwargs)
        except Rejected as refusal:
            self._made.append(Check(name, False, _came(refusal.facts), refusal.facts.get("want", "")))
            refusal.checks = self.made
            raise
        self._made.append(Check(name, True, _told(found), _told(kwargs.get("want"))))
        return found


def _came(facts: Mapping[str, str]) -> str:
    """What came, and all else that is known of it; `want` stands in a field of its own."""
    others = ", ".join(f"{name}: {value}" for name, value in facts.items() if name not in ("got", "want"))
    came = facts.get("got") or NOTHING
    return fact(f"{came} ({others})" if others else came)


def _told(found: object) -> str:
    """Texts and times as they are; of anything larger only what it says of itself under `told`."""
    return fact(found if isinstance(found, str | datetime) else getattr(found, "told", ""))
