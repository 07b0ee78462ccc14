"""Events are written with the change, by whom it was made, and without secrets."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from peewee import SqliteDatabase

from idp_bridge import bots, credentials, db, idps, invitations, member_lifecycle, member_roles, scim_tokens
from idp_bridge.events import Type, concerning, of_account, record
from idp_bridge.models import Event
from tests.conftest import World
from tests.domain import cast


def test_an_event_names_its_principal(acme: World) -> None:
    """Who, through what, from where: as it was then."""
    actor = replace(
        cast.acting(acme, acme.owner), source="dashboard", credential_id="ak_1", address="192.0.2.1", request_id="op_1"
    )
    with db.transaction():
        event_id = record(actor, Type.ACCOUNT_UPDATED, {"id": "acct_x", "name": "x"})
    event = Event.get_by_id(event_id)
    assert (event.principal_id, event.principal_type, event.principal_subject) == (
        acme.owner.id,
        "user",
        acme.owner.email,
    )
    assert (event.source, event.credential_id, event.address, event.request_id) == (
        "dashboard",
        "ak_1",
        "192.0.2.1",
        "op_1",
    )
    assert (event.account_id, event.type, event.object_id) == (acme.account.id, "account_updated.v0", "acct_x")
    assert event.object == {"id": "acct_x", "name": "x"}


def test_a_change_that_is_rolled_back_leaves_no_event(acme: World) -> None:
    """The event is in the transaction of what it tells."""
    before = len(cast.happened(acme))

    def fail() -> None:
        with db.transaction():
            bots.create(acme.system, "deployer")
            raise LookupError("after the event")

    with pytest.raises(LookupError):
        fail()
    assert len(cast.happened(acme)) == before
    assert bots.of_account(acme.account).count() == 0


def _credential(world: World) -> None:
    issued = credentials.issue(world.system, credentials.AUTHTOKEN, world.owner)
    credentials.change(world.system, issued.credential, description="x")
    credentials.delete(world.system, issued.credential)


def _bot(world: World) -> None:
    bot = bots.create(world.system, "deployer")
    bots.change(world.system, bot, active=False)
    bots.delete(world.system, bot)


def _member(world: World) -> None:
    member = member_lifecycle.create(world.system, email="m@acme.test", managed_by="local")
    member_lifecycle.suspend(world.system, member)
    member_lifecycle.unsuspend(world.system, member)
    member_roles.set_roles(world.system, member, ["viewer"])
    member_lifecycle.remove(world.system, member)


def _invitation(world: World) -> None:
    sent = invitations.create(world.system, "i@acme.test")
    invitations.cancel(world.system, sent.invitation)


def _token(world: World) -> None:
    assert world.provider is not None
    issued = scim_tokens.issue(world.system, world.provider)
    scim_tokens.revoke(world.system, issued.row)


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (_credential, ["tunnel_credential_created", "tunnel_credential_updated", "tunnel_credential_deleted"]),
        (_bot, ["bot_user_created", "bot_user_updated", "bot_user_deleted"]),
        (_member, ["user_created", "user_suspended", "user_reactivated", "user_updated", "user_deleted"]),
        (_invitation, ["invitation_created", "invitation_deleted"]),
        (_token, ["scim_token_created", "scim_token_deleted"]),
    ],
)
def test_each_change_is_told_once(sso: World, work: Callable[[World], None], told: list[str]) -> None:
    """One change, one event, in order."""
    before = {event.id for event in cast.happened(sso)}
    with db.transaction():
        work(sso)
    new = [event for event in cast.happened(sso) if event.id not in before]
    assert [event.type for event in new] == [f"{name}.v0" for name in told]
    assert len({event.object_id for event in new}) == 1


def test_no_event_holds_a_secret(sso: World) -> None:
    """Neither a token nor its digest nor a sealed key."""
    assert sso.provider is not None
    with db.transaction():
        secrets: list[Any] = [
            credentials.issue(sso.system, credentials.API_KEY, sso.owner).token,
            invitations.create(sso.system, "i@acme.test").token,
            scim_tokens.issue(sso.system, sso.provider).token,
        ]
        idps.change(sso.system, sso.provider, sign_authn_requests=True)
    written = json.dumps([event.object for event in cast.happened(sso)])
    assert not any(str(secret) in written for secret in secrets)
    assert "digest" not in written
    assert "sp_key" not in written


def test_types_are_an_object_and_a_past_verb() -> None:
    """Clients match on the form."""
    for kind in Type:
        subject, _, version = kind.value.partition(".")
        assert version == "v0"
        assert subject.endswith("ed") or subject.endswith(("begun", "sent", "expiring"))


@pytest.mark.parametrize(
    ("narrowed", "index"),
    [
        ({"type": "user_updated.v0", "object_id": "usr_1"}, "event_account_id_object_id_id"),
        ({"type": "user_updated.v0", "actor_id": "usr_1"}, "event_account_id_principal_id_id"),
        ({"type": "user_updated.v0", "actor_id": "idp_1"}, "event_account_id_type_id"),
        ({"actor_id": "idp_1", "object_id": "usr_1"}, "event_account_id_object_id_id"),
        ({"actor_id": "idp_1"}, "event_account_id_principal_id_id"),
        ({"type": "user_updated.v0", "source": "scim"}, "event_account_id_type_id"),
    ],
)
def test_events_are_narrowed_by_the_index_that_leads_to_the_fewest(
    acme: World, narrowed: dict[str, str], index: str
) -> None:
    """SQLite has no statistics of them, and a page of a rare thing must not read all events of a common type."""
    if not isinstance(db.database.obj, SqliteDatabase):
        pytest.skip("PostgreSQL knows its rows")
    query = of_account(acme.account, **narrowed).order_by(Event.id.desc()).limit(100)
    sql, parameters = query.sql()
    plan = db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
    assert index in str(plan)
    assert "TEMP B-TREE" not in str(plan)


def test_what_somebody_did_and_what_was_done_to_it_are_one_list(acme: World) -> None:
    """The newest first, each once, and no more than were asked for."""
    with db.transaction():
        bot = bots.create(acme.system, "deploy")
        actor = replace(acme.system, type="bot_user", id=bot.id)
        told = [record(actor, Type.ACCOUNT_UPDATED, {"id": bot.id if n % 2 else "acct_x"}) for n in range(5)]
        record(acme.system, Type.ACCOUNT_UPDATED, {"id": "acct_x"})
    assert [event.id for event in concerning(acme.account, bot.id, limit=4)] == told[:0:-1]
    assert len(concerning(acme.account, bot.id, limit=100)) == 6
