"""A SAML connection of ours and the simulated provider at its other end, driven as a browser drives them."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, flow_history, idps, sign_in_flows
from idp_bridge.models import Event, SignInFlow
from idp_bridge.simulator.saml_idp import Provider, sign_response
from tests.conftest import World

REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
BASE = "http://localhost"
SESSION_COOKIE = "idp_bridge_session"


@dataclass
class Connection:
    """A connection of ours and the simulated provider at its other end."""

    world: World
    row: Any
    provider: Provider
    app: Flask = field(repr=False)

    @property
    def path(self) -> str:
        return f"/saml/{self.row.id}"

    def world_client(self) -> FlaskClient:
        """A client for the API."""
        return self.app.test_client()

    def change(self, **options: Any) -> None:
        """Set the connection's options."""
        with db.connection(), db.transaction():
            idps.change(self.world.system, self.row, **options)

    def start(self, browser: FlaskClient, next_path: str = "") -> str:
        """Begin in this browser; the id of the request that the provider gets."""
        return self.asked(browser.get(f"{self.path}/start", query_string={"next": next_path} if next_path else {}))

    def asked(self, answer: Any) -> str:
        """The id of the request with which this answer sends a browser to the provider."""
        assert answer.status_code == 303
        fields = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
        return self.provider.parse_request(fields, REDIRECT).request_id

    def response(self, in_response_to: str | None, person: int = 0, **changes: Any) -> str:
        """The signed answer of the provider for one of its people."""
        urls = idps.urls(self.row.id, BASE)
        return sign_response(
            self.provider,
            self.provider.people[person],
            acs_url=changes.pop("acs_url", urls["acs_url"]),
            audience=changes.pop("audience", urls["sp_entity_id"]),
            in_response_to=in_response_to,
            **changes,
        )

    def post(self, browser: FlaskClient, response: str, **fields: str) -> Any:
        """What the provider's page makes the browser post."""
        return browser.post(f"{self.path}/acs", data={"SAMLResponse": response, **fields})

    def sign_in(self, browser: FlaskClient, person: int = 0, **changes: Any) -> Any:
        """The whole way, in one browser."""
        return self.post(browser, self.response(self.start(browser), person, **changes))


def connect(app: Flask, world: World, provider: Provider, **options: Any) -> Connection:
    """A connection of the world's account to that provider."""
    with db.connection(), db.transaction():
        trust = idps.read_metadata(provider.metadata_xml)
        row = idps.create(world.system, name=provider.name, trust=trust, **{"join_policy": "jit", **options})
        provider.register_sp(idps.sp_metadata(row, BASE).decode())
    return Connection(world, row, provider, app)


def session_of(browser: FlaskClient) -> str | None:
    """The browser's session cookie."""
    cookie = browser.get_cookie(SESSION_COOKIE)
    return cookie.value if cookie else None


def events_of(world: World, type: str) -> list[Event]:
    """The events of a type, oldest first."""
    with db.connection():
        return list(Event.select().where(Event.account == world.account, Event.type == type).order_by(Event.id))


def reference(answer: Any) -> str:
    """The event id that a refusal's page shows."""
    text = answer.get_data(as_text=True)
    return text[text.index("ev_") :][:29]


def flows_of(connection: Connection) -> list[SignInFlow]:
    """The connection's flows, oldest first."""
    with db.connection():
        return list(flow_history.of_provider(connection.row).order_by(SignInFlow.id))


def failed_checks(flow: SignInFlow) -> list[str]:
    """The names of the checks that failed."""
    return [check.name for check in sign_in_flows.checks(flow.checks) if not check.passed]
