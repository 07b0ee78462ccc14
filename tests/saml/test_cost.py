"""No message costs much, however it was made: neither time nor memory, and nothing outside of the process."""

import json
import subprocess
import sys
from functools import cache

import pytest

from .costing import Row
from .hostile import messages

#: In costs of a good message of 8 KB, which takes about half a millisecond: fifty milliseconds is the mark.
MOST_TIMES = 100
MOST_MEBIBYTES = 50.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="each message is measured in a forked process")


@cache
def rows() -> tuple[Row, ...]:
    """All of them in one run, in a process that holds nothing else."""
    done = subprocess.run([sys.executable, "-m", "tests.saml.costing"], capture_output=True, text=True, check=True)
    return tuple(Row(*json.loads(line)) for line in done.stdout.splitlines())


def test_every_hostile_message_was_measured() -> None:
    """A run over nothing would pass too, and so would a floor that was refused."""
    floor, *measured = rows()
    assert floor.answer == "ann@example.com"
    assert [row.name for row in measured] == [hostile.name for hostile in messages()]


def test_no_message_takes_long() -> None:
    """CPU time of one process, beside that of a good message in the same run."""
    floor, *measured = rows()
    assert [
        (row.name, row.seconds / floor.seconds) for row in measured if row.seconds > MOST_TIMES * floor.seconds
    ] == []


def test_no_message_takes_much_memory() -> None:
    """The peak of resident memory above where it was, libraries included."""
    assert [(row.name, row.mebibytes) for row in rows() if row.mebibytes > MOST_MEBIBYTES] == []


def test_the_door_touches_nothing_but_its_arguments() -> None:
    """No file, no temporary file, no child process, no socket: every one of them would be an audit event of Python."""
    assert [(row.name, row.touched) for row in rows() if row.touched] == []
