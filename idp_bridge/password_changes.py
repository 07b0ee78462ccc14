"""Another password for somebody: forgotten, changed, or a first one. What each way may do, and what it ends.

Whoever asks for a new one is answered by mail alone. The form writes down that somebody asked, and nothing else, so
that its answer is the same in words and time whoever is meant; a job looks who it is. The mailed link is shown to
nobody else and proves the address; what that is good for is docs/decisions/0011. An administrator's link goes to
somebody who has no password: a link that another person holds never replaces one (docs/decisions/0004).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from idp_bridge import (
    clock,
    db,
    events,
    ids,
    mail,
    member_roles,
    notices,
    passwords,
    people,
    plans,
    seats,
    sign_in_mode,
    tokens,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, Gone, Invalid
from idp_bridge.events import Type
from idp_bridge.letters import Letter
from idp_bridge.models import Account, IdentityProvider, Member, OneTimeLink, PasswordReset, Person, Session
from idp_bridge.notices import Notice
from idp_bridge.roles import Permission
from idp_bridge.text import fold

LIFETIME = timedelta(hours=1)
MOST_MAILS = 3  # to one address within LIFETIME, however often somebody asks

RESET = Letter(
    "Choose a new password",
    ("Somebody, you we hope, asked for a new password for {email}.", "The link works once, within an hour."),
    "Choose a new password",
    ("If it was not you, leave this mail alone: nothing has changed.",),
)
CHANGED = Letter(
    "Your password was changed",
    ("The password with which {email} signs in to {accounts} was changed. Every other session is ended.",),
    "It was not me: choose a new password",
    ("If it was you, there is nothing to do.",),
)

ActorOf = Callable[[Member], Actor]


# --- forgotten --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """Somebody whose password the reader of a mailbox may set. ``single_sign_on``: hers are all entered by it alone."""

    person: Person
    memberships: tuple[Member, ...]
    single_sign_on: bool

    @property
    def email(self) -> str:
        """The address as it is kept: where her mail goes."""
        return str(self.person.email or self.memberships[0].email)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that one sign-in of hers reaches."""
        return tuple(member.account for member in self.memberships)


def ask(email: str) -> None:
    """Write down that somebody asked; ``answer`` does the rest."""
    moment = clock.now()
    PasswordReset.create(
        id=ids.new("pwr"), email=email, email_key=fold(email), asked_at=moment, expires_at=moment + LIFETIME
    )
    db.after_commit(mail.arrived.set)


def answer(now: datetime) -> None:
    """Mail a link to each address that was asked for and is somebody's here. A background job."""
    asked = PasswordReset.select().where(PasswordReset.answered_at.is_null(), PasswordReset.expires_at > now)
    for row in list(asked.order_by(PasswordReset.id)):
        with db.transaction():
            if _is_ours(row, now):
                _answer(row, now)
    if PasswordReset.select().where(PasswordReset.expires_at <= now).exists():
        with db.transaction():
            PasswordReset.delete().where(PasswordReset.expires_at <= now).execute()


def _is_ours(row: PasswordReset, now: datetime) -> bool:
    unanswered = (PasswordReset.id == row.id) & PasswordReset.answered_at.is_null()
    return bool(PasswordReset.update(answered_at=now).where(unanswered).execute())


def _answer(row: PasswordReset, now: datetime) -> None:
    """To each address that is kept here, never to another spelling of it that somebody typed: two of them may be two
    mailboxes, although they are one name to whoever compares them. The one that was typed comes first."""
    spellings = {_spelling(one.email): one.email for one in reversed(_called(row.email))}
    mailed = PasswordReset.select().where(
        PasswordReset.email_key == row.email_key, PasswordReset.digest.is_null(False), PasswordReset.expires_at > now
    )
    counts = Counter(_spelling(one.email) for one in mailed)
    typed_first = sorted(spellings, key=lambda spelling: (spelling != _spelling(row.email), spelling))
    for number, spelling in enumerate(typed_first[:MOST_MAILS]):
        if counts[spelling] < MOST_MAILS:
            _mail(row if number == 0 else _beside(row, now), spellings[spelling])


def _beside(row: PasswordReset, now: datetime) -> PasswordReset:
    """One more answer to the same question."""
    copied = {"email": row.email, "email_key": row.email_key, "asked_at": row.asked_at, "expires_at": row.expires_at}
    return PasswordReset.create(id=ids.new("pwr"), answered_at=now, **copied)


def _mail(row: PasswordReset, kept: str) -> None:
    token = tokens.new(tokens.Kind.ONE_TIME_LINK)
    PasswordReset.update(digest=tokens.digest(token), email=kept).where(PasswordReset.id == row.id).execute()
    mail.post(
        "password_reset",
        kept,
        RESET,
        path=f"/login/reset/{token}",
        facts={"email": kept},
        about=row.id,
        expires_at=row.expires_at,
    )


def choices(email: str) -> list[Choice]:
    """Whose password the reader of this mailbox may set, each apart: those who sign in with the address; and those of
    whom only a provider has spoken, in an account that calls them by it, and whom no directory manages, which could
    call them by a mailbox of its own. The address is theirs as it is spelt, but for the case of ASCII letters: what
    else folds to one key may be another's mailbox."""
    return [one for one in _called(email) if _spelling(one.email) == _spelling(email)]


def _spelling(email: str) -> str:
    """The address without regard to the case of ASCII letters, and to nothing else."""
    return email.encode().lower().decode()


def _called(email: str) -> list[Choice]:
    """Who has an address of the same key."""
    known = ((person, people.memberships(person)) for person in people.with_address(email))
    found = [Choice(person, tuple(hers), _by_sso_alone(hers)) for person, hers in known if hers]
    called_so = (Member.email_key == fold(email)) & Member.active & Member.removed_at.is_null()
    nobodys = Person.email_key.is_null() & Person.password_hash.is_null()
    members = Member.select(Member, Account, Person).join(Account).switch(Member).join(Person).where(called_so, nobodys)
    theirs = [Choice(one.person, (one,), _by_sso_alone([one])) for one in members.order_by(Member.id)]
    return found + [one for one in theirs if one.single_sign_on or not _is_managed(one.memberships[0])]


def _is_managed(member: Member) -> bool:
    """Whether a directory says what she is called, which it does also while its provider is switched off."""
    return member.managed_by == "scim" and plans.has(member.account, plans.Feature.SCIM)


def _by_sso_alone(memberships: Iterable[Member]) -> bool:
    return all(provider_of(member) is not None or _enforced(member.account) for member in memberships)


def _enforced(account: Account) -> bool:
    return sign_in_mode.of(account) == sign_in_mode.ENFORCED


def provider_of(member: Member) -> IdentityProvider | None:
    """The provider through which she signs in and needs no password; None where she has one, or it is off."""
    if member.identity_provider_id is None or member.person.password_hash is not None:
        return None
    if not plans.has(member.account, plans.Feature.SSO):
        return None
    return IdentityProvider.get_or_none(IdentityProvider.id == member.identity_provider_id, IdentityProvider.enabled)


def peek_reset(token: str) -> PasswordReset:
    """The live reset behind a mailed link. Raises Gone."""
    found = PasswordReset.get_or_none(
        PasswordReset.digest == tokens.digest(token),
        PasswordReset.used_at.is_null(),
        PasswordReset.expires_at > clock.now(),
    )
    if found is None:
        raise Gone("This link has been used or has expired. Ask for a new one.")
    return found


def reset(token: str, person_id: str | None, password: str, *, actor_of: ActorOf) -> Person:
    """Use the link up, and set the password of one of its choices; ``person_id`` None where there is one only. Raises
    Gone, Invalid."""
    found = peek_reset(token)
    open_to = [one for one in choices(found.email) if not one.single_sign_on]
    wanted = [one for one in open_to if person_id in (None, one.person.id)]
    if len(wanted) != 1:
        raise Invalid("Choose for which accounts the password is.", fields={"person": ["choose one"]})
    chosen = wanted[0]
    unused = (PasswordReset.id == found.id) & PasswordReset.used_at.is_null()
    if not PasswordReset.update(used_at=clock.now()).where(unused).execute():
        raise Gone("This link has been used or has expired. Ask for a new one.")
    people.hold_all(chosen.person)
    if chosen.person.email_key is None:
        people.give_address(chosen.person, chosen.memberships[0].email)
    _set(chosen.person, password, chosen.memberships, how="forgotten", actor_of=actor_of)
    return chosen.person


# --- changed ----------------------------------------------------------------------------------------------------


def change(person: Person, present: str, password: str, *, keep: Session, actor_of: ActorOf) -> None:
    """Somebody who gives her present password takes another one; every session but this one ends. Raises Invalid."""
    verified = person.password_hash if passwords.verify(person.password_hash, present) else None
    people.hold_all(person)
    if verified is None or person.password_hash != verified:  # another one meanwhile
        raise Invalid("This is not your present password.", fields={"present": ["wrong"]})
    _set(person, password, people.memberships(person), how="changed", actor_of=actor_of, keep=keep)


def _set(
    person: Person,
    password: str,
    memberships: Iterable[Member],
    *,
    how: str,
    actor_of: ActorOf,
    keep: Session | None = None,
) -> None:
    """Of somebody who is held with her memberships: whoever is just signing in by the former password is seen. Whatever
    was mailed or made for her is of before."""
    hers = list(memberships)
    people.set_password(person, password, about=names(hers))
    people.kill_links(person, people.PASSWORD_SETUP)
    _kill_mailed(person)
    opened = Session.person == person
    Session.delete().where(opened if keep is None else opened & (Session.digest != keep.digest)).execute()
    told(hers, how=how, actor_of=actor_of)
    accounts = [member.account.name for member in hers]
    mail.post(
        "password_changed",
        person.email or "",
        CHANGED,
        path="/login/forgot",
        facts={"email": person.email, "accounts": accounts},
        about=person.id,
    )


def _kill_mailed(person: Person) -> None:
    """The links that were mailed to her address as it is spelt."""
    live = (PasswordReset.email_key == person.email_key) & PasswordReset.used_at.is_null()
    mailed = PasswordReset.select().where(live, PasswordReset.digest.is_null(False))
    hers = [row.id for row in mailed if _spelling(row.email) == _spelling(person.email or "")]
    PasswordReset.update(used_at=clock.now()).where(PasswordReset.id.in_(hers)).execute()


def names(memberships: Iterable[Member]) -> list[str]:
    """What a password of hers must not hold: the names of the accounts that it opens."""
    return [name for member in memberships for name in (member.account.name, member.account.slug)]


def told(memberships: Iterable[Member], *, how: str, actor_of: ActorOf) -> None:
    """An event in each account that the password opens. ``how``: forgotten, changed or link."""
    for member in memberships:
        events.record(actor_of(member), Type.PASSWORD_CHANGED, {"id": member.id, "email": member.email, "how": how})


# --- a first one, from an administrator -------------------------------------------------------------------------


def setup_link(actor: Actor, member: Member) -> str:
    """The secret of a link by which a member without a password sets her first one. The former one is dead. Raises
    Forbidden for who is no administrator in a browser, Conflict where she has a password or another way in.

    It is worth what its maker may do when it is used, as an invitation is. The other administrators are told."""
    if actor.credential_id is not None:
        raise Forbidden(
            "A link to set a password is made in a browser session only, by no API key.",
            code=Code.CREDENTIAL_KIND_NOT_ALLOWED,
        )
    if not actor.administrator:
        raise Forbidden("Only an administrator makes a link to set a password.", code=Code.ADMINISTRATORS_ONLY)
    if refusal := _no_setup(actor.account, member):
        raise Conflict(refusal)
    people.hold(member.person_id)
    people.kill_links(member.person, people.PASSWORD_SETUP)
    events.record(actor, Type.PASSWORD_LINK_CREATED, {"id": member.id, "email": member.email})
    notices.to_administrators(actor.account, Notice.PASSWORD_LINK_CREATED, member=member.email, by=actor.subject)
    return people.one_time_link(member.person, actor.account, people.PASSWORD_SETUP, made_by_id=actor.id)


def peek_setup(token: str) -> OneTimeLink:
    """The live link, which somebody still vouches for. Raises Gone."""
    link = people.peek(token, people.PASSWORD_SETUP)
    _check_vouched_for(link)
    return link


def use_setup(token: str) -> OneTimeLink:
    """Use the link up, and hold whom it is for. A suspension or demotion of its maker takes the same lock. Raises
    Gone."""
    link = people.use(token, people.PASSWORD_SETUP)
    people.hold_all(link.person)
    seats.lock(link.account)
    _check_vouched_for(link)
    return link


def _check_vouched_for(link: OneTimeLink) -> None:
    """Its maker is an administrator still, who may touch whoever she is now; what the operator made is exempt. Else
    whoever was dismissed would come in as somebody who has been promoted since."""
    if link.made_by_id is None:
        return
    maker = member_roles.acting_now(link.account, link.made_by_id)
    if maker is None or not (maker.administrator and maker.may(Permission.MEMBERS_WRITE)):
        raise Gone("Whoever made this link is no administrator of this account any more. Ask for a new one.")


def may_setup(account: Account, member: Member) -> bool:
    """Whether an administrator may make such a link for her now."""
    return _no_setup(account, member) is None


def _no_setup(account: Account, member: Member) -> str | None:
    member.account = account
    if member.removed_at is not None or not member.active:
        return "She is suspended: lift that first."
    if member.person.password_hash is not None:
        return "She has a password already. Only she replaces it: by 'Forgot your password?' on the sign-in page."
    if _enforced(account):
        return "This account takes single sign-on only: a password would open nothing."
    if provider := provider_of(member):
        return f"She signs in through {provider.name}."
    others = Member.select().where(Member.person == member.person_id, Member.account != account)
    return "She is a member of another account as well." if others.exists() else None
