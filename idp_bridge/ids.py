"""Ids: a typed prefix and a ULID (https://github.com/ulid/spec), in lower case.

48 bits of milliseconds and 80 random bits in Crockford's base 32: the ids of one kind sort by creation, also within a
millisecond of one process. An id names a thing and proves nothing; secrets are made in tokens.py.
"""

import secrets
import threading
import time
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
STEP_BACK = 10_000  # milliseconds that a clock may go back and ids stay in order
_lock = threading.Lock()
_last = 0


def new(prefix: str) -> str:
    """A fresh id, for example ``new("bot")`` -> ``bot_01jd...`` (26 characters after the prefix)."""
    global _last
    candidate = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    with _lock:
        # Within one millisecond the last id plus one keeps the order (the spec's monotonic form), and so it does while
        # a clock is a little behind itself. One that was set back is right now: ids tell the time.
        _last = _last + 1 if 0 <= (_last >> 80) - (candidate >> 80) <= STEP_BACK else candidate
        value = _last
    return f"{prefix}_{_base32(value)}"


def earliest(prefix: str, instant: datetime) -> str:
    """The least id that this instant can have: what is older sorts before it."""
    return f"{prefix}_{_base32(int(instant.timestamp() * 1000) << 80)}"


def _base32(value: int) -> str:
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])
