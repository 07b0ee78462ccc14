"""Another password: what a mailed link, a present password and an administrator's link may do, and what they end."""

import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine

from idp_bridge import (
    clock,
    db,
    idps,
    mail,
    member_lifecycle,
    member_roles,
    password_changes,
    people,
    sessions,
    sign_in,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, Gone, Invalid
from idp_bridge.models import Account, IdentityProvider, Member, PasswordReset, Person, Session
from tests.conftest import PASSWORD, World
from tests.domain import cast
from tests.smtp import Mailbox

NEW = "tulip river forty two lamps"


def acting(member: Member) -> Actor:
    return Actor(account=member.account, type="user", subject=member.email, source="dashboard", id=member.id)


def asked(email: str) -> None:
    """Somebody asked, and the jobs ran."""
    with db.transaction():
        password_changes.ask(email)
    password_changes.answer(clock.now())
    mail.deliver(clock.now())


def token_for(mailbox: Mailbox, email: str) -> str:
    asked(email)
    return mailbox.link_to(email).rpartition("/")[2]


def reset(token: str, person: Person | None = None, password: str = NEW) -> Person:
    with db.transaction():
        return password_changes.reset(token, person.id if person else None, password, actor_of=acting)


def with_password(member: Member, password: str = PASSWORD) -> Person:
    with db.transaction():
        people.set_password(member.person, password)
    return member.person


def signed_in(member: Member, method: str = "password") -> str:
    with db.transaction():
        return sessions.open_session(member, method=method).token


# --- forgotten --------------------------------------------------------------------------------------------------


def test_a_forgotten_password_is_set_by_the_mailed_link(acme: World, mailbox: Mailbox) -> None:
    """Once; every session of hers ends, an event and a mail say so."""
    person = with_password(acme.owner)
    token, open_one = token_for(mailbox, "owner@acme.test"), signed_in(acme.owner)
    assert reset(token) == person
    assert people.with_password("owner@acme.test", NEW) == [person]
    assert people.with_password("owner@acme.test", PASSWORD) == []
    assert sessions.memberships(open_one) == []
    with pytest.raises(Gone):
        reset(token)
    event = cast.happened(acme, "password_changed.v0")[-1]
    assert (event.object["id"], event.object["how"]) == (acme.owner.id, "forgotten")
    mail.deliver(clock.now())
    assert mailbox.to("owner@acme.test")[-1]["Subject"] == "Your password was changed"


def test_an_unknown_address_is_written_down_alike_and_mailed_nothing(acme: World, mailbox: Mailbox) -> None:
    """The rows are of one form, whoever is meant; a look-alike is somebody else."""
    for email in ("nobody@acme.test", "owner@ac\N{LATIN SMALL LETTER LONG S}me.test", "owner@acme.test"):
        asked(email)
    assert mailbox.recipients == [["owner@acme.test"]]
    assert PasswordReset.select().where(PasswordReset.answered_at.is_null()).count() == 0


def test_it_is_mailed_to_the_address_that_is_kept(acme: World, mailbox: Mailbox) -> None:
    """Not to the spelling that was typed."""
    asked("OWNER@Acme.test")
    assert mailbox.recipients == [["owner@acme.test"]]


def test_the_link_ends_after_an_hour(acme: World, mailbox: Mailbox) -> None:
    """And what was asked is forgotten then."""
    token = token_for(mailbox, "owner@acme.test")
    with time_machine.travel(clock.now() + password_changes.LIFETIME + timedelta(seconds=1)):
        with pytest.raises(Gone):
            reset(token)
        password_changes.answer(clock.now())
    assert PasswordReset.select().count() == 0


def test_nobody_fills_a_mailbox_by_asking(acme: World, mailbox: Mailbox) -> None:
    """Three mails an hour, however often somebody asks, from wherever."""
    for _ in range(6):
        asked("owner@acme.test")
    assert len(mailbox.to("owner@acme.test")) == password_changes.MOST_MAILS


def test_those_with_one_address_stay_apart(acme: World, mailbox: Mailbox) -> None:
    """Whoever reads the mailbox chooses one; the others keep their passwords and their sessions."""
    beta = cast.open_account("beta")
    hers, planted = with_password(acme.owner), with_password(beta.owner, "a stranger's own words")
    Person.update(email="owner@acme.test", email_key="owner@acme.test").where(Person.id == planted.id).execute()
    token, stays = token_for(mailbox, "owner@acme.test"), signed_in(beta.owner)
    with pytest.raises(Invalid):
        reset(token)
    with pytest.raises(Invalid):
        reset(token, people.create("somebody@else.test"))
    assert reset(token, hers) == hers
    assert people.with_password("owner@acme.test", NEW) == [hers]
    assert people.with_password("owner@acme.test", "a stranger's own words") == [planted]
    assert len(sessions.memberships(stays)) == 1


def test_a_link_kills_those_that_were_mailed_or_made_before(acme: World, mailbox: Mailbox) -> None:
    """Whoever has an old mail, or the link of an administrator, has nothing any more."""
    first, second = token_for(mailbox, "owner@acme.test"), token_for(mailbox, "owner@acme.test")
    with db.transaction():
        made = people.one_time_link(acme.owner.person, acme.account, people.PASSWORD_SETUP)
    reset(second)
    with pytest.raises(Gone):
        reset(first)
    with pytest.raises(Gone):
        people.peek(made, people.PASSWORD_SETUP)


def test_a_directory_does_not_rename_its_way_into_other_accounts(sso: World, mailbox: Mailbox) -> None:
    """The address that an account calls her by is nothing to a person who signs in by her own."""
    with_password(sso.owner)
    Member.update(email="evil@acme.test", email_key="evil@acme.test").where(Member.id == sso.owner.id).execute()
    asked("evil@acme.test")
    assert mailbox.messages == []


def test_who_joined_by_a_provider_that_is_off_gets_a_password(sso: World, mailbox: Mailbox) -> None:
    """While it is on she signs in by it, and the page says where; then the address becomes her own."""
    member = cast.join(sso, "jit@acme.test", managed_by="jit", identity_provider=sso.provider)
    token = token_for(mailbox, "jit@acme.test")
    assert [one.single_sign_on for one in password_changes.choices("jit@acme.test")] == [True]
    with pytest.raises(Invalid):
        reset(token)
    IdentityProvider.update(enabled=False).execute()
    person = reset(token)
    assert (person.id, person.email) == (member.person_id, "jit@acme.test")
    assert people.with_password("jit@acme.test", NEW) == [person]


def test_another_password_kills_what_was_mailed(acme: World, mailbox: Mailbox) -> None:
    """Whoever reads her mail, and made her change it, does not set it once more; to her address alone."""
    person = with_password(acme.owner)
    other = cast.join(acme, "other@acme.test", person=people.create("other@acme.test"))
    token, others = token_for(mailbox, acme.owner.email), token_for(mailbox, other.email)
    keep = sessions.memberships(signed_in(acme.owner))[0].session
    with db.transaction():
        password_changes.change(person, PASSWORD, NEW, keep=keep, actor_of=acting)
    with pytest.raises(Gone):
        password_changes.peek_reset(token)
    password_changes.peek_reset(others)


def test_a_directory_gives_nobody_a_first_password_by_mail(sso: World, mailbox: Mailbox) -> None:
    """It goes on while its provider is off, and could call her by a mailbox of its own. Hers is an administrator's
    link; when the directory is gone, or the plan has none, nobody else says what she is called."""
    member = cast.provisioned(sso, "ann@acme.test")
    IdentityProvider.update(enabled=False).execute()
    asked("ann@acme.test")
    assert mailbox.messages == []
    assert password_changes.choices("ann@acme.test") == []
    assert password_changes.may_setup(sso.account, cast.again(member))
    Account.update(plan="pro").where(Account.id == sso.account.id).execute()
    assert [one.single_sign_on for one in password_changes.choices("ann@acme.test")] == [False]
    Account.update(plan="enterprise").where(Account.id == sso.account.id).execute()
    with db.transaction():
        idps.delete(sso.system, cast.again(sso.provider))
    assert reset(token_for(mailbox, "ann@acme.test")).id == member.person_id


@pytest.mark.parametrize("why", ["enforced", "suspended"])
def test_who_could_not_enter_by_a_password_gets_none(sso: World, mailbox: Mailbox, why: str) -> None:
    """Whom only a provider speaks of, in an account that takes no passwords, or that she is suspended in."""
    cast.join(sso, "jit@acme.test", managed_by="jit", active=why != "suspended")
    if why == "enforced":
        Account.update(sso_mode="enforced").where(Account.id == sso.account.id).execute()
    assert [one.single_sign_on for one in password_changes.choices("jit@acme.test")] == [True] * (why == "enforced")


@pytest.mark.parametrize("password", ["short", "password1234", "owner@acme.test 1", "acme acme acme", "qwertyuiopasdf"])
def test_a_poor_password_is_refused_and_the_link_stays(acme: World, mailbox: Mailbox, password: str) -> None:
    """Too short, among the first that anybody tries, or nothing beside her address and the account's name."""
    token = token_for(mailbox, "owner@acme.test")
    with pytest.raises(Invalid) as caught:
        reset(token, password=password)
    assert "password" in caught.value.fields
    reset(token)


# --- changed ----------------------------------------------------------------------------------------------------


def test_a_password_is_changed_with_the_present_one(acme: World, mailbox: Mailbox) -> None:
    """This session stays, the others end."""
    person = with_password(acme.owner)
    here, elsewhere = signed_in(acme.owner), signed_in(acme.owner)
    keep = sessions.memberships(here)[0].session
    with pytest.raises(Invalid), db.transaction():
        password_changes.change(person, "not the present one", NEW, keep=keep, actor_of=acting)
    with db.transaction():
        password_changes.change(person, PASSWORD, NEW, keep=keep, actor_of=acting)
    assert people.with_password("owner@acme.test", NEW) == [person]
    assert (len(sessions.memberships(here)), sessions.memberships(elsewhere)) == (1, [])
    assert Session.select().count() == 1
    assert cast.happened(acme, "password_changed.v0")[-1].object["how"] == "changed"


# --- a first one, from an administrator -------------------------------------------------------------------------


def link_for(world: World, member: Member, by: Member | None = None) -> str:
    with db.transaction():
        return password_changes.setup_link(cast.acting(world, by or world.owner), cast.again(member))


def test_an_administrator_makes_a_link_for_who_has_no_password(acme: World) -> None:
    """The former one dies; an event tells who made it."""
    member = cast.join(acme, "new@acme.test", person=people.create("new@acme.test"))
    first, second = link_for(acme, member), link_for(acme, member)
    with pytest.raises(Gone):
        people.peek(first, people.PASSWORD_SETUP)
    assert people.peek(second, people.PASSWORD_SETUP).person == member.person
    event = cast.happened(acme, "password_link_created.v0")[-1]
    assert (event.object["id"], event.principal_id) == (member.id, acme.owner.id)


def test_nobody_else_makes_one(acme: World) -> None:
    """A team manager would come in as whoever he makes it for."""
    manager, member = cast.join(acme, "m@acme.test", "team_manager"), cast.join(acme, "new@acme.test")
    with pytest.raises(Forbidden) as caught:
        link_for(acme, member, by=manager)
    assert caught.value.code is Code.ADMINISTRATORS_ONLY


@pytest.mark.parametrize("why", ["password", "provider", "enforced", "suspended", "elsewhere"])
def test_none_is_made_for_who_has_another_way_in(sso: World, why: str) -> None:
    """Least of all for somebody with a password: an administrator takes nobody over."""
    by_provider = {"identity_provider": sso.provider} if why == "provider" else {}
    member = cast.join(sso, "new@acme.test", **by_provider)
    if why == "password":
        with_password(member)
    if why == "enforced":
        Account.update(sso_mode="enforced").where(Account.id == sso.account.id).execute()
        sso.account = cast.again(sso.account)
    if why == "suspended":
        with db.transaction():
            member_lifecycle.suspend(sso.system, member)
    if why == "elsewhere":
        cast.join(cast.open_account("beta"), "new@beta.test", person=member.person)
    with pytest.raises(Conflict):
        link_for(sso, member)
    assert not password_changes.may_setup(sso.account, cast.again(member))


def test_after_the_provider_is_gone_a_link_can_be_made(sso: World) -> None:
    """Leaving single sign-on shuts nobody out."""
    member = cast.join(sso, "jit@acme.test", managed_by="jit", identity_provider=sso.provider)
    assert sso.provider is not None
    with db.transaction():
        idps.delete(sso.system, sso.provider)
    assert link_for(sso, member).startswith("ibln_")


# --- who is no administrator any more ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["suspended", "demoted", "removed"])
def test_a_link_is_worth_what_its_maker_may_do_when_it_is_used(acme: World, how: str) -> None:
    """Else whoever was dismissed comes in as somebody who was promoted since; the operator's link is nobody's."""
    maker, member = cast.join(acme, "boss@acme.test", "admin"), cast.join(acme, "new@acme.test", "viewer")
    token = link_for(acme, member, by=maker)
    with db.transaction():
        operators = people.one_time_link(member.person, acme.account, people.PASSWORD_SETUP)
    assert password_changes.peek_setup(token).made_by_id == maker.id
    with db.transaction():
        if how == "demoted":
            member_roles.set_roles(acme.system, cast.again(maker), ["viewer"])
        else:
            {"suspended": member_lifecycle.suspend, "removed": member_lifecycle.remove}[how](
                acme.system, cast.again(maker)
            )
    for use in (password_changes.peek_setup, password_changes.use_setup):
        with pytest.raises(Gone), db.transaction():
            use(token)
    with db.transaction():
        assert password_changes.use_setup(operators).person == member.person


def test_no_key_makes_a_link_and_the_administrators_are_told(acme: World, mailbox: Mailbox) -> None:
    """It signs its holder in as somebody else."""
    member = cast.join(acme, "new@acme.test")
    with pytest.raises(Forbidden) as caught:
        password_changes.setup_link(replace(cast.acting(acme, acme.owner), credential_id="ak_1"), cast.again(member))
    assert caught.value.code is Code.CREDENTIAL_KIND_NOT_ALLOWED
    link_for(acme, member)
    mail.deliver(clock.now())
    assert "A link to set a password was made" in mailbox.to("owner@acme.test")[-1]["Subject"]


# --- two spellings of one key -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evil", "victim"), [("É@acme.test", "é@acme.test"), ("e\N{COMBINING ACUTE ACCENT}@acme.test", "é@acme.test")]
)
def test_each_mailbox_has_a_link_to_those_alone_who_have_its_spelling(
    acme: World, mailbox: Mailbox, evil: str, victim: str
) -> None:
    """Two addresses that are one name to us may be two mailboxes; the case of ASCII letters makes no other one."""
    beta = cast.open_account("beta")
    mine, hers = (
        cast.join(world, email, person=people.create(email)) for world, email in ((acme, evil), (beta, victim))
    )
    for member in (mine, hers):
        with_password(member)
    asked(evil.replace("acme", "ACME"))
    paths = {email: mailbox.link_to(email).rpartition("/")[2] for email in (evil, victim)}
    with pytest.raises(Invalid):
        reset(paths[evil], hers.person)
    assert reset(paths[evil]) == mine.person
    assert reset(paths[victim]) == hers.person  # the other's use of his has not killed it
    assert [len(password_changes.choices(email)) for email in (evil, victim)] == [1, 1]


# --- at one moment ----------------------------------------------------------------------------------------------


def test_a_password_that_was_replaced_meanwhile_opens_and_changes_nothing(acme: World) -> None:
    """It was found right before, outside the transaction, since that is slow."""
    with_password(acme.owner)
    verified = sign_in.by_password("owner@acme.test", PASSWORD)
    keep = sessions.memberships(signed_in(acme.owner))[0].session
    stale, person = cast.again(acme.owner.person), cast.again(acme.owner.person)
    with db.transaction():
        password_changes.change(person, PASSWORD, NEW, keep=keep, actor_of=acting)
    with pytest.raises(Forbidden, match="changed at this moment"), db.transaction():
        sessions.open_session(verified, method="password", password_hash=verified.person.password_hash)
    with pytest.raises(Invalid), db.transaction():
        password_changes.change(stale, PASSWORD, "another four words here", keep=keep, actor_of=acting)
    assert people.with_password("owner@acme.test", NEW) == [person]
    assert Session.select().count() == 1


@pytest.mark.parametrize("first", ["sign-in", "change"])
def test_no_session_by_the_former_password_outlives_the_change(acme: World, first: str) -> None:
    """Whichever of two transactions that are open at once is the first to write, the other waits and sees it."""
    with_password(acme.owner)
    keep = sessions.memberships(signed_in(acme.owner))[0].session
    verified = sign_in.by_password("owner@acme.test", PASSWORD)
    begun, person = threading.Event(), cast.again(acme.owner.person)

    def change() -> None:
        password_changes.change(person, PASSWORD, NEW, keep=keep, actor_of=acting)

    def enter() -> None:
        sessions.open_session(verified, method="password", password_hash=verified.person.password_hash)

    works = {"sign-in": enter, "change": change}
    second = next(work for name, work in works.items() if name != first)

    def after() -> None:
        begun.wait(10)
        with suppress(Forbidden), db.connection(), db.transaction():
            second()

    thread = threading.Thread(target=after)
    thread.start()
    with db.transaction():
        works[first]()
        begun.set()
        thread.join(0.2)
    thread.join(20)
    assert [row.digest for row in Session.select()] == [keep.digest]
