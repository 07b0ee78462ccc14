"""People: who can sign in by themselves, with an address and a password.

A person may be a member of several accounts. That two memberships belong to one person is shown by her password and by
nothing else: not by an address, which anybody can be invited under, and not by a link, which whoever invited her holds
too. So nobody comes into another account by inviting its owner, and nobody can take an address from her. What an
identity provider says of somebody never comes here.
"""

from datetime import timedelta

from idp_bridge import clock, ids, passwords, tokens
from idp_bridge.errors import Gone
from idp_bridge.models import Account, OneTimeLink, Person
from idp_bridge.text import fold

PASSWORD_SETUP = "password_setup"  # noqa: S105 - a purpose, not a password
BREAK_GLASS = "break_glass"
LIFETIME = {PASSWORD_SETUP: timedelta(days=7), BREAK_GLASS: timedelta(minutes=15)}


def with_address(email: str) -> list[Person]:
    """Everybody who signs in with this address, the first comer first."""
    return list(Person.select().where(Person.email_key == fold(email)).order_by(Person.id))


def create(email: str, *, vouched: bool = False) -> Person:
    """Somebody new, without a password."""
    return Person.create(id=ids.new("per"), email=email, email_key=fold(email), vouched=vouched, created_at=clock.now())


def for_owner(email: str) -> Person:
    """The person for whom the operator makes an account: one whom the operator made an owner before and who has set
    her password since, else somebody new."""
    for person in with_address(email):
        if person.vouched and person.password_hash is not None:
            return person
    return create(email, vouched=True)


def set_password(person: Person, password: str) -> None:
    """Raises Invalid for a password that is too short or too long."""
    person.password_hash = passwords.hash_password(password)
    person.save(only=[Person.password_hash])


def with_password(email: str, password: str) -> list[Person]:
    """Whose address and password these are; as slow for an unknown address as for a wrong password."""
    candidates = with_address(email)
    if not candidates:
        passwords.verify(None, password)
    return [person for person in candidates if passwords.verify(person.password_hash, password)]


def has_password(person: Person, password: str) -> bool:
    """Whether this is her password."""
    return passwords.verify(person.password_hash, password)


def one_time_link(person: Person, account: Account, purpose: str) -> str:
    """The secret of a link that lets this person do one thing once, within its lifetime."""
    token = tokens.new(tokens.Kind.ONE_TIME_LINK)
    OneTimeLink.create(
        digest=tokens.digest(token),
        purpose=purpose,
        person=person,
        account=account,
        expires_at=clock.now() + LIFETIME[purpose],
    )
    return token


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
