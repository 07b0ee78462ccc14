"""The three parties of a live sign-in: the service as it is served in production, a provider on pysaml2, a browser."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from idp_bridge import db, keyring
from idp_bridge.models import Session
from tests.conftest import SECRET_KEY, UNLIMITED, World, make_account
from tests.live.test_demo import Forms

ROOT = Path(__file__).parents[2]
TIMEOUT = 30


# --- a browser --------------------------------------------------------------------------------------------------


class Browser(requests.Session):
    """Keeps cookies as SameSite=Lax has it: a post that a page of another site begins brings none (RFC 6265bis 5.2),
    and the GET that a redirect makes of it does. Says with each post which page began it (Fetch 3.2). Follows the pages
    that a script would send on."""

    page = "about:blank"

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As ever, without the cookies where they may not go."""
        prepared = super().prepare_request(request)
        here, there = urlsplit(self.page), urlsplit(str(request.url))
        if request.method == "POST" and here.hostname is not None:
            prepared.headers["Origin"] = f"{here.scheme}://{here.netloc}"
            if here.hostname != there.hostname:
                prepared.headers.pop("Cookie", None)
        return prepared

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """As ever, and be on that page."""
        response = super().send(request, **{**options, "timeout": options.get("timeout") or TIMEOUT})
        self.page = response.url
        return response

    def follow(self, page: requests.Response, *, until: str | None = None) -> requests.Response:
        """Send on each SAML form, up to the page whose form has the field ``until``."""
        while found := saml_fields(page):
            if until in found:
                break
            page = Forms(page).submit(self, "SAMLRe(quest|sponse)")
        return page

    def sign_in(self, start: str) -> requests.Response:
        """From a link to where it ends."""
        return self.follow(self.get(start))


def saml_fields(page: requests.Response) -> dict[str, str]:
    """The fields of the page's SAML form; nothing where there is none."""
    forms = Forms(page).forms if page.headers.get("Content-Type", "").startswith("text/html") else []
    return next((fields for _, _, fields in forms if {"SAMLRequest", "SAMLResponse"} & set(fields)), {})


# --- the service ------------------------------------------------------------------------------------------------


@dataclass
class Service:
    """`idp-bridge serve` with two accounts."""

    database_url: str
    url: str
    worlds: dict[str, World]
    log: Path
    workers: int
    environment: dict[str, str]
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        """Serve; returns once it listens."""
        port = str(urlsplit(self.url).port)
        command = ["serve", "--port", port, "--workers", str(self.workers)]
        with self.log.open("a") as log:
            self.process = _run("idp_bridge.cli", command, log, self.environment)
        said = _first_line(self.process, self.log)
        assert f"{self.workers} processes" in said, said

    def stop(self) -> None:
        """End it; it must have met nothing that it did not expect."""
        assert self.process is not None
        _end(self.process)
        assert "Traceback" not in self.log.read_text(), self.log.read_text()

    def api(self, method: str, path: str, *, account: str = "acme", **body: Any) -> Any:
        """One call of the management API as an administrator; the JSON of its answer."""
        sent: dict[str, Any] = {"params": body} if method == "GET" else {"json": body}
        answer = requests.request(
            method, f"{self.url}/api{path}", headers=self.worlds[account].headers, timeout=TIMEOUT, **sent
        )
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def sessions(self, connection: "Connection") -> int:
        """How many sessions the connection has opened that still live."""
        with _database(self.database_url):
            return int(Session.select().where(Session.identity_provider == connection.id).count())


@contextmanager
def serving(
    database_url: str, directory: Path, *, workers: int = 2, environment: dict[str, str] | None = None
) -> Iterator[Service]:
    """A service on a migrated database, with the accounts acme and globex."""
    with _database(database_url):
        worlds = {slug: make_account(slug) for slug in ("acme", "globex")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    settings = {"DATABASE_URL": database_url, "SECRET_KEY": SECRET_KEY, "BASE_URL": url}
    settings |= {name.upper(): str(rate) for name, rate in UNLIMITED.items()}
    named = {f"IDP_BRIDGE_{name}": value for name, value in settings.items()}
    service = Service(database_url, url, worlds, directory / "serve.log", workers, {**named, **(environment or {})})
    try:
        service.start()
        yield service
    finally:
        service.stop()


def new_sqlite(directory: Path) -> str:
    """The URL of a new, migrated file; for what runs outside the suite."""
    url = f"sqlite:///{directory / 'idp-bridge.db'}"
    with _database(url):
        db.migrate()
    return url


@contextmanager
def _database(url: str) -> Iterator[None]:
    db.open_database(url)
    keyring.unlock(SECRET_KEY)
    try:
        with db.connection():
            yield
    finally:
        db.disconnect()


# --- a provider -------------------------------------------------------------------------------------------------


@dataclass
class Provider:
    """The provider's process, by its URL, and who sits there."""

    url: str
    person: str = ""

    def reset(self, person: str) -> None:
        """All settings as at first, and this person."""
        self.person = person
        requests.put(f"{self.url}/settings", json={"person": person}, timeout=TIMEOUT).raise_for_status()

    def set(self, **settings: Any) -> None:
        """Change what is named: see pysaml2_idp.Settings."""
        requests.patch(f"{self.url}/settings", json=settings, timeout=TIMEOUT).raise_for_status()

    def metadata(self) -> str:
        """As it publishes it now."""
        answer = requests.get(f"{self.url}/metadata", timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.text

    def sessions(self) -> list[str]:
        """Who is signed in there."""
        answer = requests.get(f"{self.url}/sessions", timeout=TIMEOUT)
        answer.raise_for_status()
        return list(answer.json())

    def certificates(self, *keys: str) -> list[str]:
        """The PEM texts of these of its signing keys."""
        answer = requests.get(f"{self.url}/certificates", timeout=TIMEOUT)
        answer.raise_for_status()
        return [answer.json()[key] for key in keys]


@contextmanager
def provider(directory: Path) -> Iterator[Provider]:
    """A provider of its own process."""
    directory.mkdir()
    log = directory / "provider.log"
    with log.open("w") as written:
        process = _run("tests.live.pysaml2_idp", ["--directory", str(directory)], written, {})
    try:
        yield Provider(_first_line(process, log))
    finally:
        _end(process)
    assert "Traceback" not in log.read_text(), log.read_text()


# --- a connection -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Connection:
    """An account of the service and a provider that know each other by their metadata."""

    service: Service
    provider: Provider
    account: str
    row: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """The connection's."""
        return str(self.row["id"])

    @property
    def start_url(self) -> str:
        """Where an SP-initiated sign-in begins."""
        return str(self.row["start_url"])

    @property
    def tile_url(self) -> str:
        """Where an IdP-initiated one does."""
        return f"{self.provider.url}/start?sp={self.row['sp_entity_id']}"

    @property
    def logout_url(self) -> str:
        """Where the person signs out at the provider."""
        return f"{self.provider.url}/logout?sp={self.row['sp_entity_id']}"

    def change(self, **fields: Any) -> None:
        """Change it at the service; the provider reads our metadata anew."""
        self.service.api("PATCH", f"/identity_providers/{self.id}", account=self.account, **fields)
        self.introduce()

    def sp_metadata(self) -> bytes:
        """Ours, as we publish it now."""
        answer = requests.get(self.row["sp_metadata_url"], timeout=TIMEOUT)
        answer.raise_for_status()
        return answer.content

    def introduce(self) -> None:
        """Let the provider fetch our metadata."""
        told = {"metadata_url": self.row["sp_metadata_url"]}
        requests.post(f"{self.provider.url}/service_providers", json=told, timeout=TIMEOUT).raise_for_status()

    def refusal(self, page: requests.Response) -> str:
        """The reason of a refused sign-in, found by the reference on its page."""
        assert page.status_code == 403, page.text
        (event,) = [
            event
            for event in self.service.api("GET", "/events", account=self.account, type="sign_in_refused.v0")["events"]
            if event["event_id"] in page.text
        ]
        return str(event["object"]["reason"])


def connect(service: Service, known: Provider, *, account: str = "acme", **fields: Any) -> Connection:
    """A connection from the provider's metadata, or from ``fields`` alone where they name certificates; anybody whom
    the provider names joins."""
    trust = {} if "certificates" in fields else {"metadata_xml": known.metadata()}
    body = {"name": "pysaml2", "join_policy": "jit", **trust, **fields}
    row = service.api("POST", "/identity_providers", account=account, **body)
    connection = Connection(service, known, account, row)
    connection.introduce()
    return connection


# --- processes --------------------------------------------------------------------------------------------------


def _run(module: str, arguments: Sequence[str], log: Any, environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )


def _first_line(process: "subprocess.Popen[str]", log: Path) -> str:
    """What a server says once it listens; it says nothing where it could not start."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, log.read_text()
    return line


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
