"""What a run stands on: fresh databases, an account with its directory and tokens, both servers."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from idp_bridge import db, idps, keyring, operator_keys, scim_tokens
from idp_bridge.simulator.saml_idp import Provider
from idp_bridge.simulator.serve import default_providers
from tests import postgres
from tests.bench import introspection, servers
from tests.bench.client import Connection, encode
from tests.bench.floor import Record
from tests.bench.servers import SECRET_KEY, Server
from tests.conftest import make_account

CHUNK = 500
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def person(number: int) -> dict[str, Any]:
    """A user as Okta and Entra send one: about 600 bytes."""
    address, given, family = f"user{number:07d}@bench.test", f"Given{number}", f"Family{number}"
    return {
        "schemas": [USER, ENTERPRISE],
        "userName": address,
        "externalId": external_id(number),
        "name": {"givenName": given, "familyName": family, "formatted": f"{given} {family}"},
        "displayName": f"{given} {family}",
        "title": "Engineer",
        "emails": [{"value": address, "type": "work", "primary": True}],
        "active": True,
        ENTERPRISE: {"department": "Research", "employeeNumber": str(number)},
    }


def external_id(number: int) -> str:
    """Of the person of that number."""
    return f"00u{number:017d}"


def record_id(number: int) -> str:
    """The floor's id of the row of that number, as long as one of ours."""
    return f"du_{number:026d}"


@dataclass
class Stage:
    """A directory at the product, and as many rows at the floor. ``numbers`` of the people -> their SCIM ids."""

    product: Server
    floor: Server
    provider_id: str
    scim_token: str
    api_key: str
    operator_key: str
    shown: list[str]
    okta: Provider
    size: int
    users: dict[int, str] = field(default_factory=dict)

    def scim(self, method: str, path: str, body: Any = None) -> bytes:
        """A request under /scim/v2."""
        headers = {"Authorization": f"Bearer {self.scim_token}", "Content-Type": "application/scim+json"}
        return encode(method, f"/scim/v2{path}", headers=headers, body=body)

    def api(self, path: str) -> bytes:
        """A GET under /api with the administrator's key."""
        return encode("GET", f"/api{path}", headers={"Authorization": f"Bearer {self.api_key}"})

    def record(self, method: str, number: int | None = None, body: Any = None) -> bytes:
        """A request to the floor."""
        path = "/records" if number is None else f"/records/{record_id(number)}"
        return encode(method, path, headers={"Content-Type": "application/json"}, body=body)

    def read_users(self) -> None:
        """Learn the ids of all users."""
        with Connection(self.product.port) as connection:
            for start in range(1, self.size + 1, CHUNK):
                page = f"/Users?startIndex={start}&count={CHUNK}&attributes=externalId"
                for resource in connection.send(self.scim("GET", page)).json()["Resources"]:
                    self.users[int(resource["externalId"][3:])] = resource["id"]


@contextmanager
def stage(*, on_postgres: bool, size: int, workers: int) -> Iterator[Stage]:
    """Both servers up, the floor's table filled, the directory still empty."""
    with ExitStack() as stack:
        if on_postgres:
            server = stack.enter_context(postgres.postgres(durable=True))
            ours, theirs = server.create_database(), server.create_database()
        else:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="idp-bridge-bench-")))
            ours, theirs = f"sqlite:///{home}/product.db", f"sqlite:///{home}/floor.db"
        _fill_floor(theirs, size)
        okta = default_providers("http://127.0.0.1:1")["okta"]
        provider_id, scim_token, api_key, operator_key, shown = _open_account(ours, okta)
        product = stack.enter_context(servers.product(ours, workers=workers))
        floor = stack.enter_context(servers.floor(theirs, workers=workers))
        yield Stage(
            product=product,
            floor=floor,
            provider_id=provider_id,
            scim_token=scim_token,
            api_key=api_key,
            operator_key=operator_key,
            shown=shown,
            okta=okta,
            size=size,
        )


def _open_account(url: str, okta: Provider) -> tuple[str, str, str, str, list[str]]:
    """The id of its provider, a SCIM token of that, an administrator's API key, an operator key, and authtokens."""
    with _opened(url):
        db.migrate()
        keyring.unlock(SECRET_KEY)
        world = make_account("bench")
        with db.transaction():
            trust = idps.read_metadata(okta.metadata_xml)
            provider = idps.create(world.system, name="Okta", trust=trust, join_policy="jit")
            token = scim_tokens.issue(world.system, provider).token
            operator_key = operator_keys.issue("edge").token
        shown = introspection.fill(world, introspection.SIZES[0])
    return provider.id, token, world.api_key, operator_key, shown


def _fill_floor(url: str, size: int) -> None:
    """As many rows as the directory will have, with documents of the size of its answers."""
    with _opened(url):
        Record.create_table()
        meta = {"resourceType": "User", "created": "2026-03-01T12:00:00.000Z", "version": 'W/"1"', "location": "x" * 70}
        for start in range(0, size, CHUNK):
            numbers = range(start, min(start + CHUNK, size))
            rows = [{"id": record_id(n), "active": True, "document": {**person(n), "meta": meta}} for n in numbers]
            with db.transaction():
                Record.insert_many(rows).execute()


@contextmanager
def _opened(url: str) -> Iterator[None]:
    """The database open in this process for a moment: the servers have it to themselves afterwards."""
    real = db.open_database(url)
    with db.connection():
        yield
    if not real.is_closed():
        real.close()
    if hasattr(real, "close_all"):
        real.close_all()
