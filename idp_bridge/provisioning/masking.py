"""What of a SCIM request may be kept: no password, secret or token, wherever in it they stand. Pure.

A name is secret when it contains one of ``WORDS``, in any case, or is that of an attribute which the directory never
returns (``Masking.of``): as an attribute, an extension's attribute by its URN, the path of a PATCH operation, a
parameter of the query. What stands under such a name is replaced whole; of a path, a filter or an error that speaks of
one, the literals. In what is not JSON nothing can be told apart, so it is not kept.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from scim.schemas import STANDARD, Catalogue

WORDS = ("password", "passwd", "secret", "token")
MASK = "(masked)"
LARGEST_READ_AGAIN = 1024 * 1024

_NAMING = frozenset({"path", "name", "key", "type"})  # whose value says what the `value` beside it is
_LITERAL = re.compile(r"""(["'])(?:(?!\1)[^\\]|\\.)*\1?""")

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Masking:
    """What is secret in one directory: what everywhere is, and its own ``names``, a pattern of them in lower case."""

    names: re.Pattern[str] | None = None

    @classmethod
    def of(cls, catalogue: Catalogue) -> "Masking":
        """That of a directory with these attributes (RFC 7643 §7, ``returned``)."""
        return PLAIN if catalogue is STANDARD else cls(_pattern(_never_returned(catalogue)))

    def document(self, body: bytes, *, is_json: bool) -> str | None:
        """A body or an answer as text, masked; None where it is empty. ``is_json`` says that it has been read as such.

        Most hold no secret and are kept letter by letter: then nothing is parsed, as long as no escape can hide a name.
        """
        if not body:
            return None
        if not is_json or body.lstrip()[:1] != b"{":
            return f"(no JSON object, {len(body)} bytes: not kept)"
        written = body.decode()
        if not self._speaks_of_secrets(written) and "\\u" not in written:
            return written
        if len(body) > LARGEST_READ_AGAIN:
            return f"({len(body)} bytes, too many to look for secrets in: not kept)"
        try:
            return _encode(self.value(json.loads(written)))
        except RecursionError:
            return f"(nested too deeply, {len(body)} bytes: not kept)"

    def text(self, held: Any) -> str:
        """A JSON value as text, masked."""
        written = _encode(held)
        return _encode(self.value(held)) if self._speaks_of_secrets(written) else written

    def value(self, held: Any) -> Any:
        """A JSON value without what is secret in it."""
        if isinstance(held, dict):
            secret = any(self._speaks_of_secrets(entry) for name, entry in held.items() if name.lower() in _NAMING)
            return {name: self._entry(name, entry, secret=secret) for name, entry in held.items()}
        if isinstance(held, list):
            return [self.value(entry) for entry in held]
        return held

    def query(self, sent: bytes) -> str:
        """The query of an address, decoded for people to read: filters stay, since they are what one looks for."""
        decoded = unquote_plus(sent.decode("latin-1"), errors="replace")
        if not self._speaks_of_secrets(decoded):
            return decoded
        pairs = parse_qsl(sent.decode("latin-1"), keep_blank_values=True, errors="replace")
        return "&".join(f"{name}={self._entry(name, entry, secret=False)}" for name, entry in pairs)

    def words(self, text: str) -> str:
        """What was said to a client, without what it quotes where it speaks of a secret."""
        return _LITERAL.sub(f'"{MASK}"', text) if self._speaks_of_secrets(text) else text

    def _entry(self, name: str, held: Any, *, secret: bool) -> Any:
        if (self._speaks_of_secrets(name) or (secret and name.lower() == "value")) and held is not None:
            return MASK
        return self.words(held) if isinstance(held, str) else self.value(held)

    def _speaks_of_secrets(self, held: Any) -> bool:
        if not isinstance(held, str):
            return False
        lowered = held.lower()
        return any(word in lowered for word in WORDS) or bool(self.names and self.names.search(lowered))


PLAIN = Masking()


def _never_returned(catalogue: Catalogue) -> set[str]:
    hidden = (path for resource_type in catalogue.resource_types for path in resource_type.hidden)
    return {path.leaf.name.lower() for path in hidden if path.leaf.returned == "never"}


def _pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """As a whole name, since one of its own may be as short as `pin`, which many words hold."""
    joined = "|".join(map(re.escape, sorted(names)))
    return re.compile(rf"(?<![\w$-])(?:{joined})(?![\w$-])") if joined else None
