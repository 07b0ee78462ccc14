"""What a thousand sign-ins, or strangers, leave behind in a serving process: nothing."""

from pathlib import Path

import pytest

from tests.live.soak import soaking

GROWTH = 1.05  # SQLite's page caches fill up with the file; a leak of 4 KiB a sign-in shows


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc, which is Linux's")
def test_memory_is_flat_over_many_sign_ins(sqlite_template: bytes, tmp_path: Path) -> None:
    """A worker holds as much after 1,500 sign-ins as after 300; it has started no program and written no temporary
    file. `python -m tests.live.soak` goes on to 5,000."""
    path = tmp_path / "idp-bridge.db"
    path.write_bytes(sqlite_template)
    with soaking(f"sqlite:///{path}", tmp_path) as soak:
        first, last = soak.readings([300, 1500], same_site=True)
    assert last.resident_kib < first.resident_kib * GROWTH
    assert (first.children_faults, last.children_faults) == (0, 0)
    assert last.temporary_changed_ns == first.temporary_changed_ns


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc, which is Linux's")
def test_memory_is_flat_under_messages_of_fresh_names(sqlite_template: bytes, tmp_path: Path) -> None:
    """A parser's dictionary of names must not outlive its message: kept, each pair of these would take 700 KiB."""
    path = tmp_path / "idp-bridge.db"
    path.write_bytes(sqlite_template)
    with soaking(f"sqlite:///{path}", tmp_path) as soak:
        first, last = soak.strangers([60, 240])
    assert last.resident_kib - first.resident_kib < 20 * 1024  # what is kept of them fills up SQLite's page caches
