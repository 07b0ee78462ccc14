"""Times: aware, UTC, and sortable as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_bridge import clock


def test_now_is_aware_utc() -> None:
    """Nothing naive is ever stored."""
    assert clock.now().utcoffset() == timedelta(0)


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_text_comes_back_as_the_same_instant(instant: datetime) -> None:
    """To the microsecond."""
    assert clock.parse(clock.rfc3339(instant)) == instant


@given(st.lists(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)), min_size=2))  # noqa: DTZ001
def test_text_order_is_time_order(instants: list[datetime]) -> None:
    """SQLite compares the texts."""
    assert sorted(map(clock.rfc3339, instants)) == [clock.rfc3339(instant) for instant in sorted(instants)]


def test_an_offset_is_converted() -> None:
    """Every text ends in Z."""
    there = datetime(2026, 11, 24, 12, 30, tzinfo=timezone(timedelta(hours=3)))
    assert clock.rfc3339(there) == "2026-11-24T09:30:00.000000Z"


@pytest.mark.parametrize("text", ["2026-11-24", "2026-11-24T09:30:00", "2026-11-24 09:30:00+00:00", "soon", ""])
def test_anything_but_rfc_3339_is_refused(text: str) -> None:
    """A time without an offset could mean any hour."""
    with pytest.raises(ValueError, match=r"RFC 3339|isoformat"):
        clock.parse(text)
