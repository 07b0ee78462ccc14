"""Ids: typed, and in the order of creation."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine

from idp_bridge import clock, ids


def test_an_id_is_its_prefix_and_a_ulid() -> None:
    """26 characters of Crockford's base 32, which has no i, l, o and u."""
    assert re.fullmatch(r"bot_[0-7][0-9a-hjkmnp-tv-z]{25}", ids.new("bot"))


def test_ids_sort_by_creation_also_within_a_millisecond() -> None:
    """Lists are paged by id, so no two may come in the wrong order."""
    made = [ids.new("ev") for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_clock_that_steps_back_breaks_no_order() -> None:
    """NTP may set the clock back while the process runs."""
    with time_machine.travel("2027-01-01T00:00:10Z", tick=False):
        before = ids.new("ev")
    with time_machine.travel("2027-01-01T00:00:05Z", tick=False):
        assert ids.new("ev") > before


def test_a_clock_that_was_wrong_leaves_no_ids_of_the_future() -> None:
    """Lists of a day go by the time in an id: what is made after the clock was set right is of today."""
    with time_machine.travel("2199-01-01T00:00:00Z", tick=False):
        ids.new("ev")
    with time_machine.travel("2027-01-01T00:00:10Z", tick=False):
        assert ids.earliest("ev", clock.now()) <= ids.new("ev") < ids.earliest("ev", clock.now() + timedelta(seconds=1))


def test_threads_never_share_an_id() -> None:
    """The last id is guarded by a lock."""
    with ThreadPoolExecutor(8) as pool:
        made = [new for part in pool.map(lambda _: [ids.new("x") for _ in range(500)], range(8)) for new in part]
    assert len(set(made)) == 4000


def test_the_earliest_id_of_an_instant_parts_older_from_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made before that millisecond sorts before it, what is made in it or later does not."""
    monkeypatch.setattr(ids, "_last", 0)
    with time_machine.travel("2026-01-01T00:00:09.999Z", tick=False):
        older = ids.new("ev")
    with time_machine.travel("2026-01-01T00:00:10Z", tick=False):
        assert older < ids.earliest("ev", clock.now()) <= ids.new("ev")
