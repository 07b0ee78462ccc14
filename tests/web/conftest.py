"""Fixtures of the pages and of the SAML tests: a signed-in browser, and connections to simulated providers, whose keys
are made once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, mail
from idp_bridge.config import Config
from idp_bridge.models import IdentityProvider
from idp_bridge.simulator.saml_idp import Provider
from idp_bridge.simulator.serve import default_providers
from tests import smtp
from tests.conftest import World, add_provider
from tests.smtp import Mailbox
from tests.web.connections import Connection, connect
from tests.web.pages import sign_in


@pytest.fixture
def signed_in(client: FlaskClient, world: World) -> FlaskClient:
    """A browser in which acme's owner is signed in."""
    sign_in(client)
    return client


@pytest.fixture
def provider(world: World, idp_certificate: str) -> IdentityProvider:
    """Okta."""
    with db.connection():
        return add_provider(world, idp_certificate)


@pytest.fixture(scope="session")
def simulated() -> dict[str, Provider]:
    """The simulated providers; their keys are made once."""
    return default_providers("http://127.0.0.1:1")


@pytest.fixture(params=["okta", "entra"])
def connection(request: pytest.FixtureRequest, app: Flask, world: World, simulated: dict[str, Provider]) -> Connection:
    """A just-in-time connection to each simulated provider."""
    return connect(app, world, simulated[request.param])


@pytest.fixture
def okta(app: Flask, world: World, simulated: dict[str, Provider]) -> Connection:
    """A just-in-time connection to the simulated Okta."""
    return connect(app, world, simulated["okta"])


@pytest.fixture
def mailbox(config: Config, app: Flask, tmp_path: Path) -> Iterator[Mailbox]:
    """A real SMTP server, by which the application sends mail in this test."""
    with smtp.serving(tmp_path) as box:
        mail.configure(replace(config, smtp_url=f"smtp://127.0.0.1:{box.port}"))
        yield box
    mail.configure(config)
