"""A running service with an account worth looking at, and a real browser on it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from idp_bridge import (
    bots,
    clock,
    credentials,
    db,
    groups,
    ids,
    invitations,
    keyring,
    member_lifecycle,
    member_roles,
    own_roles,
    webhook_delivery,
    webhooks,
)
from idp_bridge.models import DirectoryGroup, DirectoryUser, GroupMember, Member, ScimRequest
from idp_bridge.provisioning import request_log
from idp_bridge.provisioning.request_log import Answered, Sent
from idp_bridge.text import fold
from tests.conftest import PASSWORD, add_provider, make_account

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
START_SECONDS = 30

PEOPLE = (
    ("Ana Almeida", "ana@acme.test", "scim"),
    ("Bo Lindqvist", "bo@acme.test", "scim"),
    ("Chidi Okafor", "chidi@acme.test", "jit"),
    ("Dalia Haddad", "dalia@acme.test", "scim"),
    ("Emre Yıldız", "emre@acme.test", "invite"),
    ("Fumiko Sato", "fumiko@acme.test", "scim"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is a browser test; without a browser it is skipped, with the same line."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium is installed: apt-get install chromium"))


@dataclass(frozen=True)
class Site:
    """Where the service runs, who can sign in, and the ids of what has a page of its own."""

    url: str
    email: str
    password: str
    ids: dict[str, str]


@pytest.fixture(scope="session")
def site(sqlite_template: bytes, idp_certificate: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service as it is served in production, on a database of its own."""
    path = tmp_path_factory.mktemp("browser") / "idp-bridge.db"
    path.write_bytes(sqlite_template)
    secret = "a secret key of the browser tests, 32 characters and more"
    db.open_database(f"sqlite:///{path}")
    keyring.unlock(secret)
    with db.connection():
        made = fill(idp_certificate)
        webhook_delivery.deliver(clock.now())  # into our own network, where nothing is sent: the log has a refusal
    db.database.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "IDP_BRIDGE_DATABASE_URL": f"sqlite:///{path}",
        "IDP_BRIDGE_SECRET_KEY": secret,
        "IDP_BRIDGE_BASE_URL": url,
        "IDP_BRIDGE_LOGIN_RATE": "1000000",  # the tests sign in faster than people do
    }
    command = [sys.executable, "-m", "idp_bridge.cli", "serve", "--port", str(port), "--workers", "1"]
    log = path.with_name("serve.log")
    with (
        log.open("wb") as written,
        subprocess.Popen(command, env=environment, stdout=written, stderr=written) as server,
    ):
        try:
            _wait_until_ready(url, server, log)
            yield Site(url, "owner@acme.test", made.pop("password"), made)
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait_until_ready(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if server.poll() is not None:
            break
        try:
            if requests.get(f"{url}/readyz", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise RuntimeError(f"the service did not start:\n{log.read_text()}")


def fill(certificate_pem: str) -> dict[str, str]:
    """An account with something on every page; the ids that its pages need."""
    world = make_account("acme", seats=12)
    make_account("globex")
    provider = add_provider(world, certificate_pem, description="Acme Okta", join_policy="jit", domains=["acme.test"])
    with db.transaction():
        system = world.system
        joined = {}
        for name, email, way in PEOPLE:
            theirs = None if way == "invite" else provider
            joined[name] = member_lifecycle.create(
                system, email=email, name=name, managed_by=way, identity_provider=theirs, roles=["developer"]
            )
        member_lifecycle.suspend(system, joined["Fumiko Sato"])
        group = _push_group(provider, "Platform", [joined["Ana Almeida"], joined["Bo Lindqvist"]])
        _push_group(provider, "Finance", [joined["Dalia Haddad"]])
        groups.map_role(system, provider, role="viewer", group_id=group.id)
        role = own_roles.create(
            system, "release manager", description="Ships", permissions=["bots:read", "events:read"]
        )
        member_roles.set_roles(system, joined["Bo Lindqvist"], ["developer", "viewer", role.name])
        groups.map_role(system, provider, role="billing", group_display_name="Finance")
        groups.map_role(system, provider, role="team_manager", group_display_name="Leads")
        invitations.create(system, "gil@acme.test")
        hook, _ = webhooks.create(system, "https://127.0.0.1/acme/hooks/idp-bridge", description="Our SIEM")
        webhooks.test(system, hook)
        bot = bots.create(system, "ci", description="Builds and deploys")
        changed, failed = _push_over_scim(provider)
        credentials.issue(system, credentials.API_KEY, bot, description="pipeline")
        credentials.issue(system, credentials.AUTHTOKEN, world.owner, description="laptop")
        Member.update(last_login_at=clock.now()).where(Member.id == joined["Ana Almeida"].id).execute()
    mapping = groups.mappings(world.account).first()
    return {
        "password": PASSWORD,
        "provider": provider.id,
        "member": joined["Ana Almeida"].id,
        "group": group.id,
        "bot": bot.id,
        "mapping": mapping.id,
        "role": role.id,
        "webhook": hook.id,
        "changed": changed,
        "failed": failed,
    }


def _push_over_scim(provider: Any) -> tuple[str, str]:
    """A change and two refusals in the request log; the ids of the change and of the last refusal."""
    sent = Sent(
        directory_id=provider.id,
        token_id="tok_1",
        timestamp=clock.now(),
        method="PATCH",
        path="/Users/du_1",
        query=b"",
        body=b'{"Operations":[{"op":"replace","path":"active","value":false}]}',
        is_json=True,
        resource_id="du_1",
        address="192.0.2.1",
        user_agent="Okta SCIM Client 1.0.0",
        request_id="op_1",
    )
    change: dict[str, Any] = {"before": {"active": True}, "after": {"active": False}, "name": "fumiko@acme.test"}
    request_log.record(sent, Answered(200, b'{"id":"du_1","active":false}', 1830), **change)
    for _ in range(2):
        request_log.record(
            sent, Answered(404, b'{"detail":"User du_1 was not found in this directory."}', 640), skipped=7
        )
    rows = list(request_log.of_directory(provider).order_by(ScimRequest.id))
    return rows[0].id, rows[-1].id


def _push_group(provider: Any, name: str, who: list[Member]) -> DirectoryGroup:
    moment = clock.now()
    group = DirectoryGroup.create(
        id=ids.new("grp"),
        identity_provider=provider,
        display_name=name,
        display_name_key=fold(name),
        resource={"displayName": name},
        created_at=moment,
        modified_at=moment,
    )
    for member in who:
        user = DirectoryUser.create(
            id=ids.new("du"),
            identity_provider=provider,
            member=member,
            user_name=member.email,
            user_name_key=fold(member.email),
            resource={"userName": member.email},
            created_at=moment,
            modified_at=moment,
        )
        GroupMember.create(group=group, user=user)
    return group


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's Chromium, quiet: no updates, no calls home."""
    return {
        **browser_type_launch_args,
        "executable_path": CHROMIUM,
        "args": ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    }


@pytest.fixture(scope="session")
def base_url(site: Site) -> str:
    """The plugin's own fixture of this name warns under pytest 9."""
    return site.url
