"""The time. Every instant in the product is an aware UTC datetime; text forms are RFC 3339 with ``Z``."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant, UTC, microseconds."""
    return datetime.now(UTC)


def rfc3339(instant: datetime) -> str:
    """``2026-11-24T09:30:00.123456Z``: fixed width, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse(text: str) -> datetime:
    """An RFC 3339 instant as aware UTC.

    Raises ValueError for anything else, a time without an offset included.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None or "T" not in text.upper():
        raise ValueError(f"{text!r} is not an RFC 3339 time with an offset")
    return instant.astimezone(UTC)
