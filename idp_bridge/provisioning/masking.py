"""What of a SCIM request may be kept: no password, secret or token, wherever in it they stand. Pure.

A name is secret when it contains one of ``WORDS``, in any case: an attribute, an extension's attribute by its URN, the
path of a PATCH operation, a parameter of the query. What stands under such a name is replaced whole; of a path or a
filter that speaks of one, the literals. In what is not JSON nothing can be told apart, so it is not kept.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

WORDS = ("password", "passwd", "secret", "token")
MASK = "(masked)"
LARGEST_READ_AGAIN = 1024 * 1024

_NAMING = frozenset({"path", "name", "key", "type"})  # whose value says what the `value` beside it is
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"?')

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def document(body: bytes, *, is_json: bool) -> str | None:
    """A body or an answer as text, masked; None where it is empty. ``is_json`` says that it has been read as such.

    Most hold no secret and are kept letter by letter: then nothing is parsed, as long as no escape can hide a name.
    """
    if not body:
        return None
    if not is_json or body.lstrip()[:1] != b"{":
        return f"(no JSON object, {len(body)} bytes: not kept)"
    written = body.decode()
    if not _speaks_of_secrets(written) and "\\u" not in written:
        return written
    if len(body) > LARGEST_READ_AGAIN:
        return f"({len(body)} bytes, too many to look for secrets in: not kept)"
    try:
        return _encode(value(json.loads(written)))
    except RecursionError:
        return f"(nested too deeply, {len(body)} bytes: not kept)"


def text(held: Any) -> str:
    """A JSON value as text, masked."""
    written = _encode(held)
    return _encode(value(held)) if _speaks_of_secrets(written) else written


def value(held: Any) -> Any:
    """A JSON value without what is secret in it."""
    if isinstance(held, dict):
        secret = any(_speaks_of_secrets(entry) for name, entry in held.items() if name.lower() in _NAMING)
        return {name: _entry(name, entry, secret=secret) for name, entry in held.items()}
    if isinstance(held, list):
        return [value(entry) for entry in held]
    return held


def query(sent: bytes) -> str:
    """The query of an address, decoded for people to read: filters stay, since they are what one looks for."""
    decoded = unquote_plus(sent.decode("latin-1"), errors="replace")
    if not _speaks_of_secrets(decoded):
        return decoded
    pairs = parse_qsl(sent.decode("latin-1"), keep_blank_values=True, errors="replace")
    return "&".join(f"{name}={_entry(name, entry, secret=False)}" for name, entry in pairs)


def _entry(name: str, held: Any, *, secret: bool) -> Any:
    if (_speaks_of_secrets(name) or (secret and name.lower() == "value")) and held is not None:
        return MASK
    if isinstance(held, str):
        return _LITERAL.sub(f'"{MASK}"', held) if _speaks_of_secrets(held) else held
    return value(held)


def _speaks_of_secrets(held: Any) -> bool:
    if not isinstance(held, str):
        return False
    lowered = held.lower()
    return any(word in lowered for word in WORDS)
