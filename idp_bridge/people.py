"""People: who can sign in by themselves, with an address they have proven and a password.

A person may be a member of several accounts. What an identity provider says of somebody never comes here.
"""

from datetime import timedelta

from idp_bridge import clock, ids, passwords, tokens
from idp_bridge.errors import Gone
from idp_bridge.models import Account, OneTimeLink, Person
from idp_bridge.text import fold

PASSWORD_SETUP = "password_setup"  # noqa: S105 - a purpose, not a password
BREAK_GLASS = "break_glass"
LIFETIME = {PASSWORD_SETUP: timedelta(days=7), BREAK_GLASS: timedelta(minutes=15)}


def with_proven_address(email: str) -> Person | None:
    """The person who has proven this address, on any account."""
    return Person.get_or_none(Person.email_key == fold(email))


def find_or_create(email: str) -> Person:
    """The person who has proven this address; a new one where nobody has. For callers who hold the proof."""
    return with_proven_address(email) or Person.create(
        id=ids.new("per"), email=email, email_key=fold(email), created_at=clock.now()
    )


def set_password(person: Person, password: str) -> None:
    """Raises Invalid for a password that is too short or too long."""
    person.password_hash = passwords.hash_password(password)
    person.save(only=[Person.password_hash])


def with_password(email: str, password: str) -> Person | None:
    """The person whose address and password these are; as slow for an unknown address as for a wrong password."""
    person = with_proven_address(email)
    right = passwords.verify(person.password_hash if person else None, password)
    return person if right else None


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
