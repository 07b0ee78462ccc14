"""What one message costs at the door: `python -m tests.saml.costing` writes it as JSON, one row a line.

Each message has a process of its own, forked from a warm one: so its peak of memory is its own, and a crash of a
library would be one row. An audit hook in it sees every file, process and socket that Python is asked for.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from idp_bridge.saml import Rejected, verify
from tests.saml import idp
from tests.saml.hostile import Hostile, messages

ROUNDS = 3
FORBIDDEN = ("open", "subprocess.", "os.", "tempfile.", "socket.", "ctypes.dlopen", "shutil.", "pty.")


class Row(NamedTuple):
    name: str
    octets: int
    seconds: float
    """CPU, the least of a few rounds."""
    mebibytes: float
    """How far the peak of resident memory went above where it was."""
    answer: str
    touched: list[str]
    """Files, processes and sockets that were asked for."""


def rows() -> Iterator[Row]:
    """The floor first: a good message of some 8 KB."""
    good = etree_of_eight_kilobytes()
    for hostile in (Hostile("good, 8 KB", good), *messages()):
        yield _apart(lambda hostile=hostile: measured(hostile))  # type: ignore[misc]


def etree_of_eight_kilobytes() -> bytes:
    groups = {**idp.ATTRIBUTES, "groups": tuple(f"Group {number}" for number in range(24))}
    return idp.etree.tostring(idp.good(idp.OKTA, attributes=groups))


def measured(hostile: Hostile) -> Row:
    field = idp.post(hostile.octets) if hostile.field is None else hostile.field
    spare = [idp.pair(f"spare{number}").certificate for number in range(2)] * 10
    certificates = (*spare[: hostile.certificates - 1], idp.idp().certificate)
    touched: list[str] = []
    watching = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event.startswith(FORBIDDEN):
            touched.append(f"{event} {arguments!r:.80}")

    sys.addaudithook(watch)
    trust, sp = idp.trust(certificates=certificates), idp.service_provider()
    before, best, answer = peak(), float("inf"), ""
    for _ in range(ROUNDS):
        watching = True
        begin = time.process_time()
        try:
            answer = verify(field, trust=trust, sp=sp, now=idp.NOW).name_id
        except Rejected as refusal:
            answer = refusal.reason.value
        best = min(best, time.process_time() - begin)
        watching = False
    return Row(hostile.name, len(field), best, peak() - before, answer, touched)


def peak() -> float:
    """Linux counts in kibibytes, macOS in octets."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _apart(work: Callable[[], Row]) -> Row:
    """In a forked process, whose answer comes through a pipe."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.close(reader)
        with os.fdopen(writer, "w") as pipe:
            json.dump(work(), pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return Row(*json.loads(told))


def main() -> None:
    for made in ("spare0", "spare1"):
        idp.pair(made)
    verify(idp.post(etree_of_eight_kilobytes()), trust=idp.trust(), sp=idp.service_provider(), now=idp.NOW)
    for row in rows():
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
