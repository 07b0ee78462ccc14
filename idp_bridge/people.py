"""People: who can sign in by themselves, with an address and a password.

A person may be a member of several accounts. That two memberships belong to one person is shown by her password and by
nothing else: not by an address, which anybody can be invited under, and not by a link, which whoever invited her, or
asked for an account in her name, holds too. So nobody comes into another account by inviting its owner, nobody waits in
an account for its owner to come, and nobody can take an address from her. What an identity provider says of somebody
never comes here (docs/decisions/0004).
"""

from collections.abc import Iterable
from datetime import timedelta

from peewee import fn

from idp_bridge import clock, db, ids, passwords, tokens
from idp_bridge.errors import Code, Conflict, Gone
from idp_bridge.models import Account, Member, OneTimeLink, Person
from idp_bridge.text import fold

PASSWORD_SETUP = "password_setup"  # noqa: S105 - a purpose, not a password
BREAK_GLASS = "break_glass"
LIFETIME = {PASSWORD_SETUP: timedelta(days=7), BREAK_GLASS: timedelta(minutes=15)}


def with_address(email: str) -> list[Person]:
    """Everybody who signs in with this address, the first comer first."""
    return list(Person.select().where(Person.email_key == fold(email)).order_by(Person.id))


def create(email: str) -> Person:
    """Somebody new, without a password."""
    return Person.create(id=ids.new("per"), email=email, email_key=fold(email), created_at=clock.now())


def set_password(person: Person, password: str, *, about: Iterable[str] = ()) -> None:
    """Her password, which says nothing of her address or of the names in ``about``. Raises Invalid as
    ``passwords.check`` does."""
    passwords.check(password, about=[*([person.email] if person.email else []), *about])
    with_one = (Person.email_key == person.email_key) & Person.password_hash.is_null(False)
    first = Person.select().where(with_one).order_by(Person.id).first()
    person.password_hash = passwords.hash_password(
        password, salt=passwords.salt_of(first.password_hash) if first else None
    )
    person.save(only=[Person.password_hash])


def with_password(email: str, password: str) -> list[Person]:
    """Whose address and password these are, the first comer first; as slow for an unknown address, and for one at which
    there are many, as for a wrong password."""
    candidates = with_address(email)
    right = passwords.which([person.password_hash for person in candidates], password)
    return [person for person, hers in zip(candidates, right, strict=True) if hers]


def give_address(person: Person, email: str) -> None:
    """Somebody whom only a provider has spoken of signs in by herself from now on, with this address."""
    person.email, person.email_key = email, fold(email)
    person.save(only=[Person.email, Person.email_key])


def memberships(person: Person) -> list[Member]:
    """Her living memberships, each with its account."""
    hers = (Member.person == person) & Member.removed_at.is_null()
    return list(Member.select(Member, Account).join(Account).where(hers).order_by(Member.id))


def is_member(person: Person, account: Account) -> bool:
    """Whether she is in the account, under whatever address."""
    hers = (Member.person == person) & (Member.account == account) & Member.removed_at.is_null()
    return bool(Member.select().where(hers).exists())


def hold(person_id: str) -> None:
    """Nobody else gives her a membership, or takes her last one and her with it, until the transaction ends. Taken
    before the account's own locks. Raises Gone where she has just been."""
    if not list(db.locked(Person.select(Person.id).where(Person.id == person_id))):
        raise Gone("Your last membership has just been ended. Send the form again to join as somebody new.")


def hold_all(person: Person) -> None:
    """``hold``, and her memberships first: nobody is just signing in to one of them. ``person`` is what she is now.
    Raises Gone."""
    list(db.locked(Member.select(Member.id).where(Member.person == person).order_by(Member.id)))
    hold(person.id)
    person.__data__.update(Person.get_by_id(person.id).__data__)


def forget_unless_member(person_id: str) -> None:
    """Whoever has no membership left is nobody here; of somebody held, so that no membership comes meanwhile."""
    left = Member.select().where(Member.person == person_id)
    Person.delete().where(Person.id == person_id, ~fn.EXISTS(left)).execute()


def hand_over(member: Member, person: Person) -> None:
    """The membership of somebody without a password is this person's, who has shown hers. Raises Conflict where she is
    in that account already, Gone where she is nobody any more."""
    hold(person.id)
    if is_member(person, member.account):
        raise _already_member()
    former, member.person = member.person_id, person
    with db.unique(Member, _already_member):
        member.save(only=[Member.person])
    hold(former)
    forget_unless_member(former)


def _already_member() -> Conflict:
    return Conflict("You are a member of this account already: sign in.", code=Code.ALREADY_MEMBER)


def one_time_link(person: Person, account: Account, purpose: str, *, made_by_id: str | None = None) -> str:
    """The secret of a link that lets this person do one thing once, within its lifetime. ``made_by_id`` None: the
    operator."""
    token = tokens.new(tokens.Kind.ONE_TIME_LINK)
    OneTimeLink.create(
        digest=tokens.digest(token),
        purpose=purpose,
        person=person,
        account=account,
        made_by_id=made_by_id,
        expires_at=clock.now() + LIFETIME[purpose],
    )
    return token


def kill_links(person: Person, purpose: str) -> None:
    """What was made for her before opens nothing any more."""
    live = (OneTimeLink.person == person) & (OneTimeLink.purpose == purpose) & OneTimeLink.used_at.is_null()
    OneTimeLink.update(used_at=clock.now()).where(live).execute()


def peek(token: str, purpose: str) -> OneTimeLink:
    """The live link, not used up. Raises Gone."""
    link = OneTimeLink.get_or_none(
        OneTimeLink.digest == tokens.digest(token),
        OneTimeLink.purpose == purpose,
        OneTimeLink.used_at.is_null(),
        OneTimeLink.expires_at > clock.now(),
    )
    if link is None:
        raise Gone("This link has been used or has expired. Ask for a new one.")
    return link


def use(token: str, purpose: str) -> OneTimeLink:
    """Use the link up. Of several at once, one succeeds. Raises Gone."""
    link = peek(token, purpose)
    unused = (OneTimeLink.digest == link.digest) & OneTimeLink.used_at.is_null()
    if not OneTimeLink.update(used_at=clock.now()).where(unused).execute():
        raise Gone("This link has been used or has expired. Ask for a new one.")
    return link
