"""The guard: which kind of credential may use which permission, and the one transaction around a view."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import (
    bots,
    credentials,
    db,
    fetching,
    member_lifecycle,
    member_roles,
    own_roles,
    people,
    roles,
    sessions,
)
from idp_bridge.actors import Actor
from idp_bridge.models import Account, Credential, DirectoryUser, IdentityProvider, Member, ScimToken
from idp_bridge.roles import CredentialKind, Permission, kinds_of
from idp_bridge.simulator.saml_idp import Provider
from idp_bridge.web.scim import door
from tests.conftest import PASSWORD, World, add_provider
from tests.web.pages import csrf_of, sign_in


def _bot_key(world: World) -> str:
    with db.connection(), db.transaction():
        bot = bots.create(world.system, "ci", role_names=["developer"])
        token = credentials.issue(world.system, credentials.API_KEY, bot).token
    assert token is not None
    return token


def _by_key(app: Flask, key: str) -> tuple[int, str]:
    answer = app.test_client().get("/api/bot_users", headers={"Authorization": f"Bearer {key}"})
    return answer.status_code, answer.get_json().get("error_code", "")


def test_what_no_row_names_is_for_browser_sessions_only(
    app: Flask, client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever adds a permission and forgets the table has closed it to keys, and her session still has it."""
    keys = {"member": world.api_key, "bot": _bot_key(world)}
    assert {_by_key(app, key) for key in keys.values()} == {(200, "")}
    monkeypatch.delitem(roles.BESIDE_SESSIONS, Permission.BOTS_READ)
    assert kinds_of(Permission.BOTS_READ) == {CredentialKind.SESSION}
    assert {_by_key(app, key) for key in keys.values()} == {(403, "ERR_CREDENTIAL_KIND_NOT_ALLOWED")}
    sign_in(client)
    assert client.get("/api/bot_users").status_code == 200
    assert client.get("/accounts/acme/bot-users").status_code == 200


def test_the_two_kinds_of_api_key_are_told_apart(app: Flask, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the refusal names the kinds that would do."""
    monkeypatch.setitem(roles.BESIDE_SESSIONS, Permission.BOTS_READ, frozenset({CredentialKind.USER_API_KEY}))
    assert _by_key(app, world.api_key) == (200, "")
    answer = app.test_client().get("/api/bot_users", headers={"Authorization": f"Bearer {_bot_key(world)}"})
    assert answer.status_code == 403
    assert answer.get_json()["msg"] == (
        "Your roles allow bots:read, but not with an API key of a bot user: "
        "use a browser session or an API key of a member."
    )


def test_a_missing_role_is_told_before_the_wrong_kind(
    app: Flask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another credential would not help her."""
    key = _bot_key(world)
    monkeypatch.delitem(roles.BESIDE_SESSIONS, Permission.IDPS_READ)
    answer = app.test_client().get("/api/identity_providers", headers={"Authorization": f"Bearer {key}"})
    assert answer.get_json()["error_code"] == "ERR_FORBIDDEN"


def test_an_operator_key_may_two_things(app: Flask) -> None:
    """To ask about credentials and to report usage, by the table."""
    may = {permission for permission in Permission if CredentialKind.OPERATOR_KEY in kinds_of(permission)}
    assert may == {Permission.INTROSPECT, Permission.USAGE_WRITE}


def test_every_permission_of_today_is_decided() -> None:
    """The contract promises each to API keys; none is left to the default by oversight."""
    assert set(roles.BESIDE_SESSIONS) == set(Permission)
    keys = {CredentialKind.USER_API_KEY, CredentialKind.BOT_API_KEY}
    assert all(keys <= kinds_of(permission) for permission in Permission)


def test_two_who_waited_for_each_other_in_a_circle_both_succeed(
    app: Flask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL undoes one of them, which is begun anew with its caller; neither learns of it."""
    with db.connection(), db.transaction():
        pair = [member_lifecycle.create(world.system, email=f"{name}@acme.test", managed_by="local") for name in "ab"]
    met, begun = Barrier(2, timeout=20), Counter[str]()
    set_roles = member_roles.set_roles

    def crossing(actor: Actor, member: Member, names: list[str]) -> None:
        begun[member.id] += 1
        member_lifecycle.hold(member.id)
        if begun[member.id] == 1 and db.database.for_update:  # SQLite's writers come one after the other
            met.wait()
        member_lifecycle.hold(next(other.id for other in pair if other.id != member.id))
        set_roles(actor, member, names)

    monkeypatch.setattr(member_roles, "set_roles", crossing)

    def patch(member: Member) -> int:
        headers = {"Authorization": f"Bearer {world.api_key}"}
        body = {"roles": ["viewer"]}
        return app.test_client().patch(f"/api/users/{member.id}", json=body, headers=headers).status_code

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(patch, pair)) == [200, 200]
    # Whoever was undone may be back before the other has woken up, and in front of her: then both were.
    assert sorted(begun.values()) == ([1, 2] if db.database.for_update else [1, 1])


class Held(BytesIO):
    """A body whose sender waits before its end until something has happened."""

    def __init__(self, body: bytes, meanwhile: Callable[[], object]) -> None:
        super().__init__(body)
        self._meanwhile = meanwhile

    def readinto(self, buffer: Any) -> int:  # by which werkzeug reads
        self._meanwhile()
        return super().readinto(buffer)


def _sent_slowly(app: Flask, meanwhile: Callable[[], object], path: str, method: str, token: str, body: object) -> int:
    sent = json.dumps(body).encode()
    return (
        app.test_client()
        .open(
            path,
            method=method,
            headers={"Authorization": f"Bearer {token}", "Content-Length": str(len(sent))},
            content_type="application/json",
            input_stream=Held(sent, meanwhile),
        )
        .status_code
    )


def test_a_request_that_is_held_open_does_not_act_for_who_she_was(app: Flask, world: World) -> None:
    """She is who she is when all of it has come: suspended meanwhile, she does not lift that with it."""
    with db.connection(), db.transaction():
        other = member_lifecycle.create(world.system, email="b@acme.test", managed_by="local", roles=["admin"])
        key = credentials.issue(world.system, credentials.API_KEY, other).token
    assert key is not None
    url = f"/api/users/{other.id}"

    def suspend() -> None:
        headers = {"Authorization": f"Bearer {world.api_key}"}
        assert app.test_client().patch(url, json={"active": False}, headers=headers).status_code == 200

    assert _sent_slowly(app, suspend, url, "PATCH", key, {"active": True}) == 401
    with db.connection():
        assert not Member.get_by_id(other.id).active


def test_a_request_that_is_held_open_does_not_act_by_what_her_own_role_allowed(app: Flask, world: World) -> None:
    """Narrowed before all of it has come, the role gives nothing any more: neither the right to act nor to grant."""
    with db.connection(), db.transaction():
        held = [Permission.MEMBERS_WRITE, Permission.BILLING_WRITE, Permission.CREDENTIALS_OWN]
        role = own_roles.create(world.system, "keeper", permissions=held)
        keeper = member_lifecycle.create(world.system, email="b@acme.test", managed_by="local", roles=["keeper"])
        other = member_lifecycle.create(world.system, email="c@acme.test", managed_by="local", roles=["viewer"])
        key = credentials.issue(world.system, credentials.API_KEY, keeper).token
    assert key is not None

    def narrowed_to(*permissions: Permission) -> Callable[[], None]:
        def narrow() -> None:
            headers = {"Authorization": f"Bearer {world.api_key}"}
            answer = app.test_client().patch(
                f"/api/roles/{role.id}", json={"permissions": permissions}, headers=headers
            )
            assert answer.status_code == 200

        return narrow

    for left in ([Permission.MEMBERS_WRITE], [Permission.BILLING_WRITE]):
        body, url = {"roles": ["billing"]}, f"/api/users/{other.id}"
        assert _sent_slowly(app, narrowed_to(*left), url, "PATCH", key, body) == 403
        narrowed_to(*held)()
    with db.connection():
        assert member_roles.roles_of(world.account, Member.get_by_id(other.id)) == ("viewer",)


def test_a_push_that_is_held_open_ends_with_its_token(
    app: Flask, world: World, idp_certificate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here strangers are turned away before their body is read, so whoever takes long over it is asked again."""
    with db.connection():
        add_provider(world, idp_certificate)
    monkeypatch.setattr(door, "LONG", 0.0)

    def delete() -> None:
        with db.connection(), db.transaction():
            ScimToken.delete().execute()

    status = _sent_slowly(app, delete, "/scim/v2/Users", "POST", world.scim_token, {"userName": "late@acme.test"})
    assert status == 401
    with db.connection():
        assert not Member.select().where(Member.email == "late@acme.test").exists()


# --- what others wrote while a transaction was waited for -------------------------------------------------------


@pytest.fixture
def late(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """What somebody else does, and commits, between the caller's being let in and the beginning of her transaction: as
    where it waits for SQLite's one write lock."""
    waiting: list[Callable[[], object]] = []
    begin = db.transaction

    def by_another() -> None:
        with db.connection(), begin():
            waiting.pop()()

    @contextmanager
    def transaction() -> Iterator[None]:
        if waiting:
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(by_another).result()
        with begin():
            yield

    monkeypatch.setattr(db, "transaction", transaction)
    yield waiting
    assert not waiting, "it happened"


@dataclass(frozen=True)
class Eve:
    """An administrator who will not be one for long, and her key."""

    world: World
    member: Member
    key: str

    def suspended(self) -> None:
        member_lifecycle.suspend(self.world.system, self.member)

    def demoted(self) -> None:
        member_roles.set_roles(self.world.system, self.member, ["viewer"])

    def keyless(self) -> None:
        Credential.delete().where(Credential.member == self.member).execute()

    def signed_out(self) -> None:
        sessions.end_all(self.member)


@pytest.fixture
def eve(app: Flask, world: World) -> Eve:
    """Who may sign in with a password too."""
    with db.connection(), db.transaction():
        person = people.create("eve@acme.test")
        people.set_password(person, PASSWORD)
        member = member_lifecycle.create(
            world.system, email="eve@acme.test", managed_by="local", person=person, roles=["admin"]
        )
        key = credentials.issue(world.system, credentials.API_KEY, member).token
    assert key is not None
    return Eve(world, member, key)


@pytest.mark.parametrize(("what", "status"), [("suspended", 401), ("demoted", 403), ("keyless", 401)])
def test_whoever_waits_for_her_transaction_acts_as_what_she_is_in_it(
    app: Flask, world: World, eve: Eve, late: list[Callable[[], object]], what: str, status: int
) -> None:
    """Nothing is written by somebody after her dismissal was committed: no key of a bot user that outlives her."""
    with db.connection(), db.transaction():
        bot = bots.create(world.system, "ci")
    late.append(getattr(eve, what))
    answer = app.test_client().post(
        "/api/api_keys", json={"owner_id": bot.id}, headers={"Authorization": f"Bearer {eve.key}"}
    )
    assert answer.status_code == status
    with db.connection():
        assert not Credential.select().where(Credential.bot_user == bot).exists()


@pytest.mark.parametrize(("what", "status"), [("suspended", 401), ("demoted", 403), ("signed_out", 401)])
def test_a_session_that_ended_meanwhile_writes_nothing(
    client: FlaskClient, eve: Eve, late: list[Callable[[], object]], what: str, status: int
) -> None:
    """By a page: she is sent to sign in, or told that she may not."""
    sign_in(client, "eve@acme.test")
    csrf = csrf_of(client, "/accounts/acme/settings")
    late.append(getattr(eve, what))
    answer = client.post("/accounts/acme/settings/name", data={"name": "Evil", "csrf_token": csrf})
    assert answer.status_code == status
    with db.connection():
        assert Account.get_by_id(eve.world.account.id).name != "Evil"


def test_a_request_that_nobody_came_before_asks_once(app: Flask, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite, which says whether anybody has written; PostgreSQL asks again, and holds what it has read."""
    asked = Counter[str]()
    find = credentials.find

    def counted(kind: credentials.Kind, token: str) -> Credential | None:
        asked[kind.name] += 1
        return find(kind, token)

    monkeypatch.setattr(credentials, "find", counted)
    headers = {"Authorization": f"Bearer {world.api_key}"}
    assert app.test_client().post("/api/bot_users", json={"name": "ci"}, headers=headers).status_code == 201
    assert asked["api_key"] == (2 if db.database.for_update else 1)
    assert app.test_client().get("/api/bot_users", headers=headers).status_code == 200
    assert asked["api_key"] == (3 if db.database.for_update else 2)


def test_who_is_suspended_while_she_writes_has_written_before(
    app: Flask, eve: Eve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has begun to write is not undone, and the suspension is not answered before it has ended."""
    done: list[str] = []
    create = bots.create
    with ThreadPoolExecutor(1) as elsewhere:

        def suspend() -> None:
            with db.connection(), db.transaction():
                eve.suspended()
                done.append("suspended")

        def slowly(*args: Any, **values: Any) -> Any:
            after = elsewhere.submit(suspend)
            with pytest.raises(TimeoutError):
                after.result(timeout=0.2)
            made = create(*args, **values)
            done.append("made")
            return made

        monkeypatch.setattr(bots, "create", slowly)
        headers = {"Authorization": f"Bearer {eve.key}"}
        assert app.test_client().post("/api/bot_users", json={"name": "ci"}, headers=headers).status_code == 201
    assert done == ["made", "suspended"]


def test_a_suspended_administrator_connects_nothing_that_was_being_fetched(
    app: Flask, eve: Eve, simulated: dict[str, Provider], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose server it is she chooses, and how long it takes: she is looked at again before anything is written."""

    def slow(url: str, **options: Any) -> str:
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(suspend).result()
        return simulated["okta"].metadata_xml

    def suspend() -> None:
        with db.connection(), db.transaction():
            eve.suspended()

    monkeypatch.setattr(fetching, "fetch", slow)
    body = {"name": "Hers", "metadata_url": "https://slow.example.com/metadata"}
    headers = {"Authorization": f"Bearer {eve.key}"}
    assert app.test_client().post("/api/identity_providers", json=body, headers=headers).status_code == 401
    with db.connection():
        assert not IdentityProvider.select().exists()


def test_a_push_that_waited_ends_with_its_token(
    app: Flask, world: World, idp_certificate: str, late: list[Callable[[], object]]
) -> None:
    """Revoked before its transaction began, it writes nothing."""
    with db.connection():
        add_provider(world, idp_certificate)
    late.append(lambda: ScimToken.delete().execute())
    assert _pushed(app, world) == 401
    with db.connection():
        assert not DirectoryUser.select().exists()


def test_a_push_that_waited_goes_by_what_its_provider_may_say_now(
    app: Flask, world: World, idp_certificate: str, late: list[Callable[[], object]]
) -> None:
    """It is not trusted with administrators any more, and takes none over."""
    with db.connection():
        add_provider(world, idp_certificate)
    late.append(lambda: IdentityProvider.update(trusted_with_administrators=False).execute())
    assert _pushed(app, world, "owner@acme.test") == 403
    assert _pushed(app, world) == 201


def _pushed(app: Flask, world: World, user_name: str = "late@acme.test") -> int:
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": user_name}
    headers = {"Authorization": f"Bearer {world.scim_token}", "Content-Type": "application/scim+json"}
    return app.test_client().post("/scim/v2/Users", json=body, headers=headers).status_code
