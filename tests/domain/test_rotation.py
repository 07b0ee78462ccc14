"""The secret key is changed without a gap: at no moment is anything unreadable, and afterwards the former one is
worth nothing."""

from datetime import timedelta

import pytest

from idp_bridge import clock, db, event_chain, event_sealing, keyring, rotation, sp_keys, webhooks
from idp_bridge.keyring import Purpose, WrongSecretKey
from idp_bridge.models import Account, EventSeal, Mail, ServiceProviderKey
from tests.conftest import SECRET_KEY, World, add_provider, make_account

NEW = "another secret key of the test suite, 32 and more"


@pytest.fixture
def world(database: None, idp_certificate: str) -> World:
    """Something sealed in each place, and a chain of events."""
    made = make_account("acme")
    provider = add_provider(made, idp_certificate)
    moment = clock.now()
    with db.transaction():
        sp_keys.prepare(made.system, provider)
        webhook, _ = webhooks.create(made.system, "https://example.com/hook")
        webhooks.rotate(made.system, webhook)
        Mail.insert(
            id="mail_1",
            account=made.account,
            kind="test",
            recipient="a@acme.test",
            sealed=keyring.seal("letter", Purpose.MAIL),
            due_at=moment,
            expires_at=moment + timedelta(days=1),
            created_at=moment,
        ).execute()
    event_sealing.seal(clock.now())
    return made


def sealed() -> list[tuple[str, Purpose]]:
    """Everything that is sealed."""
    return [
        (text, purpose)
        for column, purpose in rotation.SEALED
        for text in db.column(column.model.select(column).where(column.is_null(False)))
    ]


def holds(account: Account) -> bool:
    """Whether the chain is proven."""
    with db.snapshot():
        return event_chain.verify(account).broken is None


def test_all_that_is_sealed_is_read_before_during_and_after(world: World) -> None:
    """Old processes with the new key beside theirs, new ones with the old beside theirs; then the old one is gone."""
    before = [keyring.unseal(*one) for one in sealed()]
    assert len(before) >= 4
    keyring.unlock(SECRET_KEY, NEW)
    assert holds(world.account)
    keyring.unlock(NEW, SECRET_KEY)
    assert [keyring.unseal(*one) for one in sealed()] == before
    assert holds(world.account)
    done = rotation.rotate()
    assert done.lost == []
    assert sum(done.changed.values()) == len(before) + EventSeal.select().count()
    assert [keyring.unseal(*one) for one in sealed()] == before
    assert holds(world.account)
    keyring.unlock(SECRET_KEY)
    with pytest.raises(WrongSecretKey):
        keyring.unseal(*sealed()[0])
    assert not holds(world.account)
    keyring.unlock(NEW)
    assert [keyring.unseal(*one) for one in sealed()] == before
    assert holds(world.account)


def test_done_twice_it_changes_nothing(world: World) -> None:
    """Whoever was interrupted begins again."""
    keyring.unlock(NEW, SECRET_KEY)
    rotation.rotate()
    rows = sealed()
    assert set(rotation.rotate().changed.values()) == {0}
    assert sealed() == rows


def test_more_than_a_batch_is_sealed_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row at a time here."""
    monkeypatch.setattr(rotation, "BATCH", 1)
    with db.transaction():
        for _ in range(2):
            webhooks.create(world.system, "https://example.com/hook")
    event_sealing.seal(clock.now())
    keyring.unlock(NEW, SECRET_KEY)
    done = rotation.rotate()
    assert (done.changed["webhook.secret"], done.changed["event_seal.mac"]) == (3, 2)
    keyring.unlock(NEW)
    assert holds(world.account)


def test_what_neither_key_opens_is_named_and_left(world: World) -> None:
    """A row of a third key, and a link that was remade: neither is made to look right."""
    with db.transaction():
        ServiceProviderKey.update(private_key="nothing of ours").execute()
    keyring.unlock("a third key of the test suite, with 32 and more")
    with db.transaction():
        webhook, _ = webhooks.create(world.system, "https://example.com/hook")
    event_sealing.seal(clock.now())
    keyring.unlock(NEW, SECRET_KEY)
    done = rotation.rotate()
    keys = list(ServiceProviderKey.select())
    assert set(done.lost) == {
        *(f"service_provider_key {key.id}" for key in keys),
        f"webhook {webhook.id}",
        f"event_seal {world.account.id} 2",
    }
    assert {key.private_key for key in keys} == {"nothing of ours"}
    keyring.unlock(NEW)
    assert not holds(world.account)


def test_every_place_where_something_is_sealed_is_known() -> None:
    """What is stored for longer than an hour has a row in the table; the rest is over by then."""
    short_lived = {Purpose.CURSORS, Purpose.SIGN_INS, Purpose.EVENT_SEALS}
    assert {purpose for _, purpose in rotation.SEALED} == set(Purpose) - short_lived


def test_the_guards_of_the_chain_are_back(world: World) -> None:
    """Rows of it are changed by this alone."""
    keyring.unlock(NEW, SECRET_KEY)
    rotation.rotate()
    with pytest.raises(Exception, match="never"), db.transaction():
        EventSeal.update(mac="").execute()
