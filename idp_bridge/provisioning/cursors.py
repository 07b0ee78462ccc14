"""Cursors (RFC 9865): a position in a list, sealed, so that a client can neither read it nor make one.

Nothing is stored for a cursor. It is good for the query that it was given for, in its directory, for an hour; what may
be seen is decided anew with each page.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta

from idp_bridge import keyring
from idp_bridge.keyring import Purpose
from idp_bridge.provisioning.ordering import Position
from idp_bridge.provisioning.search import Search
from scim.errors import ExpiredCursor, InvalidCount, InvalidCursor
from scim.paging import INVALID_CURSOR
from scim.projection import Projection
from scim.schemas import CURSOR_SECONDS

LIFETIME = timedelta(seconds=CURSOR_SECONDS)


@dataclass(frozen=True)
class Query:
    """All that must stay the same from page to page (RFC 9865 §2)."""

    search: Search
    projection: Projection
    count: int

    def seal(self, position: Position | None) -> str | None:
        """The cursor that leads there, of unreserved characters only (RFC 3986 §2.3); None for nowhere."""
        if position is None:
            return None
        held = [self._digest(), self.count, position.key, position.id, position.back]
        return keyring.seal(json.dumps(held, ensure_ascii=False), Purpose.CURSORS)

    def unseal(self, text: str) -> Position:
        """Where a cursor leads. Raises InvalidCursor for one of another query, ExpiredCursor, InvalidCount."""
        try:
            digest, count, *position = json.loads(keyring.unseal(text, Purpose.CURSORS, within=LIFETIME))
        except keyring.WrongSecretKey as error:
            raise InvalidCursor(INVALID_CURSOR) from error
        except keyring.Expired:
            raise ExpiredCursor(
                f"This cursor is older than {CURSOR_SECONDS} seconds; begin again with an empty one."
            ) from None
        if digest != self._digest():
            raise InvalidCursor(INVALID_CURSOR)
        if count != self.count:
            raise InvalidCount(f"count must stay what it was for the first page: {count}, not {self.count}.")
        return Position(*position)

    def _digest(self) -> str:
        """Names are resolved by now, so that another spelling of the same query is the same."""
        search = self.search
        types = [listing.of_type(search.directory.catalogue).endpoint for listing in search.listings]
        asked = repr((search.directory.id, types, search.filter, search.sort, self.projection))
        return hashlib.sha256(asked.encode()).hexdigest()[:32]
