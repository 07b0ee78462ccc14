"""Fixtures of the whole suite: a real database of each kind, a running application, an account with an administrator.

A test that takes ``app`` (or anything that hangs on it) runs once on SQLite and once on PostgreSQL.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from peewee import JOIN, fn

from idp_bridge import accounts, actors, credentials, db, idps, keyring, member_lifecycle, people, roles, scim_tokens
from idp_bridge.actors import Actor
from idp_bridge.config import Config
from idp_bridge.models import Account, IdentityProvider, Member, SeatCount
from tests import postgres as pg
from tests.saml import idp as signing_idp

SECRET_KEY = "a secret key of the test suite, 32 characters and more"
RATES = ("api_rate", "scim_rate", "login_rate", "invitation_rate")
UNLIMITED = dict.fromkeys(RATES, 1000000000)  # a fast test is no attack

# What a machine is busy with besides is no fault of an example.
settings.register_profile("idp-bridge", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("idp-bridge")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[pg.Server]:
    """A PostgreSQL of our own, with a migrated template database that tests copy."""
    if reason := pg.why_not():
        pytest.skip(reason)
    with pg.postgres() as server:
        url = server.create_database("template_idp_bridge")
        db.open_database(url)
        db.migrate()
        db.database.obj.close_all()
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    db.open_database(f"sqlite:///{path}")
    db.migrate()
    db.database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    db.database.close()
    return path.read_bytes()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, migrated database of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "idp-bridge.db"
        path.write_bytes(request.getfixturevalue("sqlite_template"))
        yield f"sqlite:///{path}"
        return
    server: pg.Server = request.getfixturevalue("postgres_server")
    url = server.create_database(template="template_idp_bridge")
    yield url
    server.drop_database(url.split("?")[0].rpartition("/")[2])


@pytest.fixture
def config(database_url: str) -> Config:
    """The settings of a test's application."""
    return Config(database_url=database_url, base_url="http://localhost", secret_key=SECRET_KEY, **UNLIMITED)


@pytest.fixture
def database(config: Config) -> Iterator[None]:
    """An open database with a connection for this thread, for tests of the domain."""
    real = db.open_database(config.database_url)
    keyring.unlock(config.secret_key)
    with db.connection():
        yield
        assert seat_counts() == counted_seats()
    _close(real)


def seat_counts() -> dict[str, int]:
    """How many seats are used, by account, as seats.py keeps it."""
    return dict(SeatCount.select(SeatCount.account, SeatCount.used).tuples())


def counted_seats() -> dict[str, int]:
    """The same by counting, which is what it must be at every commit."""
    used = fn.COUNT(Member.id).filter(Member.active)
    accounts = SeatCount.select(SeatCount.account, used).join(
        Member, JOIN.LEFT_OUTER, on=Member.account == SeatCount.account
    )
    return dict(accounts.group_by(SeatCount.account).tuples())


@pytest.fixture
def app(config: Config, built: dict[tuple[str, int], Flask]) -> Iterator[Flask]:
    """The application as it is served."""
    from idp_bridge.app import configure, create_app

    fixed = (config.base_url, config.trusted_proxies)
    if fixed in built:
        configure(built[fixed], config)
    else:
        built[fixed] = create_app(config)
        built[fixed].testing = False  # errors are answered, as in production
    yield built[fixed]
    _close(db.database.obj)


@pytest.fixture(scope="session")
def built() -> dict[tuple[str, int], Flask]:
    """The applications of this process: to make one, and to compile its templates, takes longer than most tests."""
    return {}


def _close(real: Any) -> None:
    if not real.is_closed():
        real.close()
    if hasattr(real, "close_all"):
        real.close_all()


@dataclass
class World:
    """An enterprise account with its administrator, and helpers to act in it."""

    account: Account
    owner: Member
    api_key: str
    provider: IdentityProvider | None = field(default=None)
    scim_token: str = ""

    @property
    def system(self) -> Actor:
        """The service itself, in this account."""
        return actors.system(self.account)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of an API request as the owner."""
        return {"Authorization": f"Bearer {self.api_key}"}


PASSWORD = "correct horse battery staple"


def make_account(slug: str, plan: str = "enterprise", *, seats: int | None = None) -> World:
    """An account whose administrator is owner@<slug>.test, with a password and an API key."""
    with db.transaction():
        account = accounts.create(name=slug.capitalize(), slug=slug, plan=plan, seats=seats)
        system = actors.system(account, source="cli")
        person = people.create(f"owner@{slug}.test")
        if person.password_hash is None:
            people.set_password(person, PASSWORD)
        owner = member_lifecycle.create(
            system,
            email=f"owner@{slug}.test",
            name="Olive Owner",
            managed_by="local",
            person=person,
            roles=[roles.ADMIN],
        )
        key = credentials.issue(system, credentials.API_KEY, owner).token
    assert key is not None
    return World(account=account, owner=owner, api_key=key)


def add_provider(world: World, certificate_pem: str, **options: Any) -> IdentityProvider:
    """An identity provider of the account, with a SCIM token; becomes the world's."""
    trust = idps.Trust(
        entity_id=options.pop("entity_id", "https://idp.example.test/metadata"),
        sso_url=options.pop("sso_url", "https://idp.example.test/sso"),
        certificates=[certificate_pem],
    )
    with db.transaction():
        world.provider = idps.create(world.system, name=options.pop("name", "Okta"), trust=trust, **options)
        world.scim_token = scim_tokens.issue(world.system, world.provider).token
    return world.provider


@pytest.fixture
def world(app: Flask) -> World:
    """The account acme on the enterprise plan."""
    with db.connection():
        return make_account("acme")


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser-like client with cookies, on the application."""
    return app.test_client()


@pytest.fixture(scope="session")
def idp_certificate() -> str:
    """The PEM certificate of a signing identity provider."""
    return signing_idp.idp().certificate.pem


@dataclass
class ScimClient:
    """A directory's client: sends under /scim/v2."""

    app: Flask
    token: str
    world: World

    def open(self, method: str, path: str, headers: dict[str, str] | None = None, data: bytes | None = None) -> Any:
        """One request; the caller sends its own Authorization."""
        return self.app.test_client().open(f"/scim/v2{path}", method=method, headers=headers or {}, data=data)


@pytest.fixture
def scim_client(app: Flask, world: World, idp_certificate: str) -> ScimClient:
    """A client of the directory of acme's provider."""
    with db.connection():
        add_provider(world, idp_certificate)
    return ScimClient(app, world.scim_token, world)
