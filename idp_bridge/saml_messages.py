"""The XML of sign-in flows, kept for administrators: compressed, for a set time, without what the provider's row says
must not be kept. What a flow came to is in its own row (sign_in_flows.py) and stays longer."""

import base64
import binascii
import zlib
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from idp_bridge import clock
from idp_bridge.models import IdentityProvider, SamlMessage
from idp_bridge.saml.redaction import redacted
from idp_bridge.statement import Statement, parameter

KEPT_FOR = timedelta(days=30)
UNVERIFIED_BYTES = 64 * 1024  # of what anybody may have posted; an honest response is an eighth of that

Direction = Literal["request", "response"]

CUT, REDACTED, UNREADABLE = "cut", "redacted", "unreadable"


class Kept(NamedTuple):
    """A message as an administrator reads it. ``note``: ``cut``, ``redacted``, or ``unreadable`` where it was to be
    redacted and could not be read, so that nothing of it is kept."""

    xml: str
    note: str | None


def decoded(field: str) -> bytes:
    """The document in a form field; empty where it is not base64."""
    try:
        return base64.b64decode("".join(field.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def keep(
    provider: IdentityProvider, flow_id: str, direction: Direction, document: bytes, *, verified: bool = True
) -> None:
    """Write one message of a flow, in the caller's transaction; the last one of its direction stays."""
    if document:
        kept, note = _kept(provider, document, direction, verified=verified)
        _KEEP.write(
            "saml_message",
            {
                "provider": provider.id,
                "flow": flow_id,
                "direction": direction,
                "at": clock.now(),
                "xml": zlib.compress(kept, 1),
                "note": note,
            },
            inserts=True,
        )


def _keeping() -> Any:
    given = {
        SamlMessage.identity_provider: parameter("provider"),
        SamlMessage.flow_id: parameter("flow"),
        SamlMessage.direction: parameter("direction"),
        SamlMessage.at: parameter("at", SamlMessage.at),
        SamlMessage.xml: parameter("xml", SamlMessage.xml),
        SamlMessage.note: parameter("note"),
    }
    key = [SamlMessage.identity_provider, SamlMessage.flow_id, SamlMessage.direction]
    later = [SamlMessage.at, SamlMessage.xml, SamlMessage.note]
    return SamlMessage.insert(given).on_conflict(conflict_target=key, preserve=later)


_KEEP = Statement((), _keeping)


def _kept(
    provider: IdentityProvider, document: bytes, direction: Direction, *, verified: bool
) -> tuple[bytes, str | None]:
    if provider.redact_sign_in_flows and direction == "response":
        without = redacted(document)
        return (b"", UNREADABLE) if without is None else (without, REDACTED)
    if not verified and len(document) > UNVERIFIED_BYTES:
        return document[:UNVERIFIED_BYTES], CUT
    return document, None


def of_flow(provider: IdentityProvider, flow_id: str) -> dict[str, Kept]:
    """The messages of a flow that are still to be kept: direction -> message."""
    rows = SamlMessage.select().where(
        SamlMessage.identity_provider == provider,
        SamlMessage.flow_id == flow_id,
        SamlMessage.at > clock.now() - KEPT_FOR,
    )
    return {row.direction: Kept(zlib.decompress(row.xml).decode("utf-8", "replace"), row.note) for row in rows}
