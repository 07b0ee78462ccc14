"""Credentials: of one owner for ever, alive while the owner is active."""

from datetime import timedelta

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from idp_bridge import bots, clock, credentials, db, member_lifecycle
from idp_bridge.credentials import API_KEY, AUTHTOKEN, KINDS, SSH_PUBLIC_KEY, Kind
from idp_bridge.errors import Code, Conflict, DomainError, Forbidden, Invalid, NotFound
from idp_bridge.models import BotUser, Credential, IdentityLink, Member, Person
from tests.conftest import World
from tests.domain import cast


def _line(key: object) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()  # type: ignore[attr-defined,no-any-return]


def _key() -> str:
    return _line(ed25519.Ed25519PrivateKey.generate())


def _issue(world: World, kind: Kind, owner: Member | BotUser, **options: object) -> credentials.Issued:
    if kind is SSH_PUBLIC_KEY:
        options = {"public_key": _key(), **options}
    with db.transaction():
        return credentials.issue(world.system, kind, owner, **options)  # type: ignore[arg-type]


def _works(issued: credentials.Issued, kind: Kind = API_KEY) -> bool:
    assert issued.token is not None
    return credentials.find(kind, issued.token) is not None


@pytest.mark.parametrize("kind", [AUTHTOKEN, API_KEY])
def test_a_secret_is_found_under_its_own_kind_only(acme: World, kind: Kind) -> None:
    """With its account and owner at hand; the stored digest opens nothing."""
    issued = _issue(acme, kind, acme.owner, acl=["bind:a.test"], description="d")
    assert issued.token is not None
    found = credentials.find(kind, issued.token)
    assert found == issued.credential
    assert found is not None
    assert (found.account, credentials.owner_of(found), found.acl) == (acme.account, acme.owner, ["bind:a.test"])
    other = API_KEY if kind is AUTHTOKEN else AUTHTOKEN
    assert credentials.find(other, issued.token) is None
    assert credentials.find(kind, issued.credential.token_digest) is None
    assert credentials.find(kind, issued.token + "x") is None


def test_finding_one_takes_one_statement(acme: World) -> None:
    """Every API request does it."""
    issued = _issue(acme, API_KEY, acme.owner)
    statements: list[str] = []
    run = db.database.obj.execute_sql
    db.database.obj.execute_sql = lambda sql, *a, **k: (statements.append(sql), run(sql, *a, **k))[1]
    try:
        found = credentials.find(API_KEY, issued.token or "")
        assert found is not None
        assert credentials.owner_of(found).active
        assert found.account.slug == "acme"
    finally:
        del db.database.obj.execute_sql
    assert len(statements) == 1


def test_suspending_an_owner_stops_every_credential_and_reviving_brings_back_exactly_those(acme: World) -> None:
    """One deleted meanwhile stays dead; one issued meanwhile cannot be."""
    member = cast.join(acme, "a@acme.test")
    kept, deleted = _issue(acme, API_KEY, member), _issue(acme, API_KEY, member)
    with db.transaction():
        member_lifecycle.suspend(acme.system, member)
    assert not _works(kept)
    with pytest.raises(Conflict) as caught:
        _issue(acme, API_KEY, member)
    assert caught.value.code is Code.OWNER_INACTIVE
    with db.transaction():
        credentials.delete(acme.system, deleted.credential)
        member_lifecycle.unsuspend(acme.system, member)
    assert _works(kept)
    assert not _works(deleted)


def test_a_bots_credentials_stop_and_come_back_with_it(acme: World) -> None:
    """Deactivating keeps them, deleting erases them."""
    with db.transaction():
        bot = bots.create(acme.system, "deployer")
    issued = _issue(acme, AUTHTOKEN, bot)
    works = []
    for active in (True, False, True):
        with db.transaction():
            bots.change(acme.system, bot, active=active)
        works.append(_works(issued, AUTHTOKEN))
    assert works == [True, False, True]
    with db.transaction():
        bots.delete(acme.system, bot)
    assert not _works(issued, AUTHTOKEN)
    assert Credential.select().count() == 0


def test_a_leavers_credentials_die_with_the_directorys_delete_and_return_with_her(sso: World) -> None:
    """By hand she is removed with all she owned."""
    member = cast.provisioned(sso, "a@acme.test")
    issued = _issue(sso, API_KEY, member)
    with db.transaction():
        member_lifecycle.deprovision(sso.system, member)
    assert not _works(issued)
    with db.transaction():
        assert sso.provider is not None
        member_lifecycle.revive(sso.system, member, sso.provider)
    assert _works(issued)


def test_an_expired_credential_is_not_found(acme: World) -> None:
    """And one that is born expired is refused."""
    issued = _issue(acme, API_KEY, acme.owner, expires_at=clock.now() + timedelta(hours=1))
    assert _works(issued)
    with time_machine.travel(clock.now() + timedelta(hours=1, seconds=1)):
        assert not _works(issued)
    with pytest.raises(Invalid, match="past"):
        _issue(acme, API_KEY, acme.owner, expires_at=clock.now())


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_only_an_administrator_names_another_owner_or_sees_anothers(acme: World, kind: Kind) -> None:
    """A developer has and sees her own."""
    developer, colleague = cast.join(acme, "d@acme.test"), cast.join(acme, "c@acme.test")
    theirs = _issue(acme, kind, colleague).credential
    mine = _issue(acme, kind, developer).credential
    actor, administrator = cast.acting(acme, developer), cast.acting(acme, acme.owner)
    with pytest.raises(Forbidden) as caught, db.transaction():
        credentials.issue(actor, kind, colleague, public_key=_key())
    assert caught.value.code is Code.ADMINISTRATORS_ONLY
    assert list(credentials.of_kind(actor, kind)) == [mine]
    with pytest.raises(NotFound):
        credentials.get(actor, kind, theirs.id)
    assert set(credentials.of_kind(administrator, kind)) == {mine, theirs}
    assert credentials.get(administrator, kind, theirs.id) == theirs


def test_no_account_sees_anothers_credentials(acme: World) -> None:
    """Not its administrator either."""
    other = cast.open_account("other")
    issued = _issue(other, API_KEY, other.owner)
    with pytest.raises(NotFound):
        credentials.get(cast.acting(acme, acme.owner), API_KEY, issued.credential.id)


def test_an_owner_of_another_account_gets_nothing_here(acme: World) -> None:
    """A credential belongs to the account of its owner."""
    other = cast.open_account("other")
    with pytest.raises(DomainError), db.transaction():
        credentials.issue(acme.system, API_KEY, other.owner)


def test_a_public_key_is_registered_once_over_the_whole_service(acme: World) -> None:
    """Whatever its comment; free again once it is deleted."""
    other, line = cast.open_account("other"), _key()
    first = _issue(acme, SSH_PUBLIC_KEY, acme.owner, public_key=line + " ann@laptop").credential
    assert first.public_key == line
    for world in (acme, other):
        with pytest.raises(Conflict) as caught:
            _issue(world, SSH_PUBLIC_KEY, world.owner, public_key=f"  {line} other\n")
        assert caught.value.code is Code.KEY_TAKEN
    with db.transaction():
        credentials.delete(acme.system, first)
    assert _issue(other, SSH_PUBLIC_KEY, other.owner, public_key=line).token is None


@pytest.mark.parametrize("acl", [["a.test"], ["bind:"], ["bind:a b"], ["bind:a", "connect:b"], ["bind:a"] * 101])
def test_an_acl_is_of_entries_that_bind(acme: World, acl: list[str]) -> None:
    """Whoever makes it, and at a change as at the beginning."""
    row = _issue(acme, AUTHTOKEN, acme.owner, acl=["bind:*.a.test"]).credential
    with pytest.raises(Invalid) as caught:
        _issue(acme, AUTHTOKEN, acme.owner, acl=acl)
    assert list(caught.value.fields) == ["acl"]
    with pytest.raises(Invalid), db.transaction():
        credentials.change(acme.system, row, acl=acl)
    assert cast.again(row).acl == ["bind:*.a.test"]


def test_the_last_way_in_is_known(sso: World) -> None:
    """The only administrator's only API key, where nothing else lets her in."""
    Credential.delete().execute()
    Person.update(password_hash="x").execute()
    key = _issue(sso, API_KEY, sso.owner).credential
    assert not credentials.is_last_way_in(cast.again(key)), "she has a password"
    Person.update(password_hash=None).execute()
    assert credentials.is_last_way_in(cast.again(key)), "there is a provider, but she has never come in by it"
    assert sso.provider is not None
    with db.transaction():
        IdentityLink.create(
            identity_provider=sso.provider, name_id="o", name_id_format="", member=sso.owner, created_at=clock.now()
        )
    assert not credentials.is_last_way_in(cast.again(key)), "she has come in by the provider"
    type(sso.provider).update(enabled=False).execute()
    assert credentials.is_last_way_in(cast.again(key))
    short = _issue(sso, API_KEY, sso.owner, expires_at=clock.now() + timedelta(hours=1)).credential
    assert not credentials.is_last_way_in(cast.again(key)), "another key"
    with time_machine.travel(clock.now() + timedelta(hours=2)):
        assert credentials.is_last_way_in(cast.again(key)), "which has expired"
    with db.transaction():
        credentials.delete(sso.system, short)
    Person.update(password_hash="x").execute()
    type(sso.account).update(sso_mode="enforced").execute()
    assert credentials.is_last_way_in(cast.again(key)), "her password lets nobody in under enforcement"
    type(sso.account).update(sso_mode="mixed").execute()
    Person.update(password_hash=None).execute()
    authtoken = _issue(sso, AUTHTOKEN, sso.owner).credential
    assert not credentials.is_last_way_in(authtoken)
    second = _issue(sso, API_KEY, sso.owner).credential
    assert not credentials.is_last_way_in(key)
    with db.transaction():
        credentials.delete(sso.system, second)
    other = cast.join(sso, "two@acme.test", "admin")
    assert not credentials.is_last_way_in(cast.again(key)), "another administrator"
    with db.transaction():
        member_lifecycle.suspend(sso.system, other)
    assert credentials.is_last_way_in(cast.again(key))
