"""Fixtures of the domain's tests: an account in an open database, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from idp_bridge import db, keyring, mail
from idp_bridge.config import Config
from idp_bridge.models import ALL
from tests import postgres as pg
from tests import smtp
from tests.conftest import World
from tests.domain import cast
from tests.smtp import Mailbox

#: What hangs on nothing; deleting these rows deletes all that there are.
ROOTS = [model for model in ALL if all(reference.null for reference in model._meta.refs)]


@pytest.fixture(scope="session")
def one_postgres_database(postgres_server: pg.Server) -> str:
    """The URL of the database that all of these tests use one after the other: copying one for each takes longer than
    most of them do."""
    return postgres_server.create_database(template="template_idp_bridge")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("one_postgres_database"))
    path = tmp_path / "idp-bridge.db"
    path.write_bytes(request.getfixturevalue("sqlite_template"))
    return f"sqlite:///{path}"


@pytest.fixture
def database(config: Config) -> Iterator[None]:
    """An open, empty database with a connection for this thread."""
    real = db.open_database(config.database_url)
    keyring.unlock(config.secret_key)
    with db.connection():
        for root in ROOTS:
            root.delete().execute()
        yield
    if not real.is_closed():
        real.close()
    if hasattr(real, "close_all"):
        real.close_all()


@pytest.fixture
def acme(database: None) -> World:
    """The account acme on the enterprise plan, with its administrator."""
    return cast.open_account("acme")


@pytest.fixture
def sso(acme: World) -> World:
    """acme with an identity provider through which people may join."""
    cast.connect(acme, join_policy="jit")
    return acme


@pytest.fixture
def mailbox(config: Config, database: None, tmp_path: Path) -> Iterator[Mailbox]:
    """A real SMTP server, by which mail goes in this test."""
    with smtp.serving(tmp_path) as box:
        mail.configure(replace(config, smtp_url=f"smtp://127.0.0.1:{box.port}"))
        yield box
    mail.configure(config)
