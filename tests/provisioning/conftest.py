"""Fixtures for the domain of provisioning: a directory on a real database of each kind, and a count of statements."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from idp_bridge import actors, db
from idp_bridge.models import IdentityProvider
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.records import Records
from scim.projection import Projection
from tests.conftest import World, add_provider, make_account


def directory_of(world: World, provider: IdentityProvider) -> Directory:
    """The directory of a provider, as a token of it would open it."""
    actor = actors.Actor(
        account=world.account, type="identity_provider", subject=provider.name, source="scim", id=provider.id
    )
    return Directory(provider, world.account, actor, "http://localhost/scim/v2")


def rendered(records: Records, directory: Directory, rows: Sequence[Any], **asked: Any) -> list[dict[str, Any]]:
    """The wire forms of rows, read; ``asked`` is a Projection's."""
    return [json.loads(shown.text) for shown in records.shown(directory, rows, Projection(**asked))]


@pytest.fixture
def acme(database: None, idp_certificate: str) -> World:
    """An enterprise account with one identity provider."""
    world = make_account("acme")
    add_provider(world, idp_certificate)
    return world


@pytest.fixture
def directory(acme: World) -> Directory:
    """Its directory."""
    assert acme.provider is not None
    return directory_of(acme, acme.provider)


@pytest.fixture
def second(acme: World, directory: Directory, idp_certificate: str) -> Directory:
    """Another directory of the same account."""
    provider = add_provider(acme, idp_certificate, name="Entra", entity_id="https://second.example.test")
    return directory_of(acme, provider)


@pytest.fixture
def foreign(directory: Directory, idp_certificate: str) -> Directory:
    """A directory of another account."""
    world = make_account("other")
    return directory_of(world, add_provider(world, idp_certificate))


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch, database: None) -> Callable[[], Any]:
    """``with statements() as sent``: the SQL that goes to the database meanwhile."""

    @contextmanager
    def recording() -> Iterator[list[str]]:
        sent: list[str] = []
        real = db.database.obj.execute_sql

        def execute(sql: str, params: Any = None) -> Any:
            sent.append(sql)
            return real(sql, params)

        with monkeypatch.context() as patched:
            patched.setattr(db.database.obj, "execute_sql", execute)
            yield sent

    return recording
