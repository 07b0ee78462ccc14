"""What is taken away at one process is refused by the next request at another, whichever database they share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.effect import CHANGES, Round, Two, once, two

ROUNDS = 5


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Two]:
    """Two servers on a database of each kind."""
    with two(database_url, tmp_path) as served:
        yield served


def test_the_next_request_at_another_process_is_refused(both: Two) -> None:
    """Suspension, removal, the directory's word, a lost role, another mode, signing out: in every round of each."""
    changes: tuple[Callable[[Two], Round], ...] = CHANGES
    for _ in range(ROUNDS):
        for change in changes:
            once(both, change)
