"""Many who change the members of one account at once over HTTP pass no limit and leave an administrator."""

from pathlib import Path

from idp_bridge import db
from tests.live.parties import serving
from tests.live.walk import prepare, walk

SECONDS = 4


def test_many_who_change_members_at_once_break_nothing(database_url: str, tmp_path: Path) -> None:
    """By two keys and a directory, on two processes: no failure of ours, no seat too many, always an administrator."""
    with serving(database_url, tmp_path, workers=2) as service:
        account = prepare(service)
        walk(account, seconds=SECONDS, seed=1)
        db.disconnect()
    assert account.wrong == []
    assert {status // 100 for _, status in account.answers} >= {2, 4}, "something was done, and something refused"
