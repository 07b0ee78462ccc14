"""What many sign-ins leave behind in a serving process: `python -m tests.live.soak --sign-ins 5000`.

Every one of them is SP-initiated and distinct: a request of its own, an assertion of its own. A worker must hold no
more memory after the last than after the first hundreds, start no program, and write no temporary file. With
`--strangers` nobody signs in: each message is one that is refused, of 160 KiB, in which no name was ever seen before.
Reads /proc, so it needs Linux.
"""

import argparse
import base64
import re
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from lxml import etree

from tests.bench.client import Connection, encode
from tests.live.parties import Service, new_sqlite, serving
from tests.saml import idp

CLIENTS = 4
FIRST = 300  # until then every thread has its connections and its caches

_SHAPE = idp.Shape("soak", sign_response=False)
_TEMPLATE = etree.tostring(idp.unsigned(_SHAPE)).decode()
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True)
class Reading:
    """The worker after so many sign-ins."""

    sign_ins: int
    resident_kib: int
    anonymous_kib: int
    """Without files that are mapped, such as the database."""
    children_faults: int
    """Page faults of the processes that it started and that have ended: 0 where there was none."""
    temporary_changed_ns: int
    """When a file was last made or removed in its temporary folder."""


@contextmanager
def soaking(database_url: str, directory: Path) -> Iterator["Soak"]:
    """A service of one worker on a migrated database, with a temporary folder of its own."""
    temporary = directory / "tmp"
    temporary.mkdir()
    with serving(database_url, directory, workers=1, environment={"TMPDIR": str(temporary)}) as service:
        yield Soak(service, temporary)


class Soak:
    """Signs one person in, again and again, at a service of one worker."""

    def __init__(self, service: Service, temporary: Path) -> None:
        self._service, self._temporary = service, temporary
        self._connection = service.api(
            "POST",
            "/identity_providers",
            name="Soak",
            join_policy="jit",
            entity_id=idp.IDP,
            sso_url="https://idp.example.com/sso",
            certificates=[idp.idp().certificate.pem],
        )
        self._path = f"/saml/{self._connection['id']}"

    def readings(self, marks: Sequence[int], *, same_site: bool = False) -> Iterator[Reading]:
        """A reading at each number of sign-ins. Where provider and service share a site, the post brings the cookie and
        the session is opened at once; where not, a redirect fetches it."""
        with ThreadPoolExecutor(CLIENTS) as clients:
            for before, mark in pairwise((0, *marks)):
                shares = [(mark - before - client + CLIENTS - 1) // CLIENTS for client in range(CLIENTS)]
                list(clients.map(lambda share: self._share(share, same_site=same_site), shares))
                yield self._read(mark)

    def strangers(self, marks: Sequence[int]) -> Iterator[Reading]:
        """A reading at each number of messages that are refused, by all addresses of a connection in turn."""
        with self._connected() as connection:
            for before, mark in pairwise((0, *marks)):
                for _ in range(before, mark):
                    self._intrude(connection)
                yield self._read(mark)

    def _intrude(self, connection: Connection) -> None:
        """To the ACS, and as much as it takes to its /slo."""
        for path, name, pieces in (("acs", "SAMLResponse", 2_200), ("slo", "SAMLRequest", 900)):
            document = _unheard_of(pieces)
            body = urlencode({name: base64.b64encode(document)}).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = connection.send(encode("POST", f"{self._path}/{path}", headers=headers, body=body))
            if answer.status != 400:
                raise RuntimeError(answer.body.decode())

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        port = urlsplit(self._service.url).port
        assert port is not None
        with Connection(port) as connection:
            yield connection

    def _share(self, sign_ins: int, *, same_site: bool) -> None:
        """One client's, on a connection of its own, with a browser of its own each time."""
        with self._connected() as connection:
            for _ in range(sign_ins):
                self._sign_in(connection, same_site=same_site)

    def _sign_in(self, connection: Connection, *, same_site: bool) -> None:
        begun = connection.send(encode("GET", f"{self._path}/start"))
        cookie = {"Cookie": begun.header("Set-Cookie")[0].partition(";")[0]}
        sent = parse_qs(urlsplit(begun.header("Location")[0]).query)
        form = {"SAMLResponse": self._answer(sent["SAMLRequest"][0]), "RelayState": sent["RelayState"][0]}
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(cookie if same_site else {})}
        entered = connection.send(encode("POST", f"{self._path}/acs", headers=headers, body=urlencode(form).encode()))
        if not same_site:
            link = urljoin(self._path, entered.header("Location")[0])
            entered = connection.send(encode("GET", link, headers=cookie))
        if not any(value.startswith("idp_bridge_session=") for value in entered.header("Set-Cookie")):
            raise RuntimeError(entered.body.decode())

    def _answer(self, request: str) -> str:
        """A good Response to that AuthnRequest, of this moment."""
        asked = etree.fromstring(zlib.decompress(base64.b64decode(request), -zlib.MAX_WBITS))
        later = datetime.now(UTC) - idp.NOW
        text = _INSTANT.sub(lambda found: _moved(found[0], later), _TEMPLATE)
        for placeholder, value in (
            (idp.ACS, self._connection["acs_url"]),
            (idp.SP, self._connection["sp_entity_id"]),
            (idp.REQUEST, str(asked.get("ID"))),
            ("_assertion1", f"_{uuid.uuid4().hex}"),
        ):
            text = text.replace(placeholder, value)
        return idp.post(idp.finish(etree.fromstring(text), _SHAPE))

    def _read(self, sign_ins: int) -> Reading:
        server = self._service.process
        assert server is not None
        (worker,) = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{worker}/status").read_text().splitlines() if ":" in line
        )
        # proc(5): the eleventh field, the ninth after the name in brackets.
        faults = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[8]
        return Reading(
            sign_ins,
            int(status["VmRSS"].split()[0]),
            int(status["RssAnon"].split()[0]),
            int(faults),
            self._temporary.stat().st_mtime_ns,
        )


def _unheard_of(pieces: int) -> bytes:
    """Names of elements, attributes, prefixes and namespaces that no other document has."""
    own = uuid.uuid4().hex[:12]
    rows = (f'<e{own}{i:04} a{own}{i:04}="" xmlns:p{own}{i:04}="urn:{own}{i:04}"/>' for i in range(pieces))
    return f"<r>{''.join(rows)}</r>".encode()


def _moved(instant: str, later: timedelta) -> str:
    return (datetime.fromisoformat(instant) + later).strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    """Print a reading after the first hundreds and at each fifth of the way."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sign-ins", type=int, default=5000)
    arguments.add_argument("--strangers", action="store_true", help="messages of fresh names instead of sign-ins")
    arguments.add_argument("--database-url", help="an empty, migrated one; by default a new SQLite file")
    given = arguments.parse_args()
    marks = [FIRST, *(mark for fifth in range(1, 6) if (mark := given.sign_ins * fifth // 5) > FIRST)]
    with tempfile.TemporaryDirectory() as name:
        url = given.database_url or new_sqlite(Path(name))
        began = time.monotonic()
        with soaking(url, Path(name)) as soak:
            print("sign-ins  seconds  resident KiB  anonymous KiB  faults of children  temporary folder changed")
            first = None
            for reading in soak.strangers(marks) if given.strangers else soak.readings(marks):
                first = first or reading
                changed = "no" if reading.temporary_changed_ns == first.temporary_changed_ns else "yes"
                print(
                    f"{reading.sign_ins:8}  {time.monotonic() - began:7.1f}  {reading.resident_kib:12}"
                    f"  {reading.anonymous_kib:13}  {reading.children_faults:18}  {changed:>24}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
