"""Members: who is in an account, and under which name and address.

What they may do is in member_roles.py; how they come, stop and go in member_lifecycle.py.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from idp_bridge import clock, events, look_alikes, people
from idp_bridge.actors import Actor
from idp_bridge.errors import NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, IdentityLink, IdentityProvider, Member
from idp_bridge.statement import Statement, Table, parameter
from idp_bridge.text import fold

_TABLE = Table(Member)

LONGEST_NAME = 255  # characters: events and pages repeat what a provider says somebody is called

LAST_CHARACTER = chr(0x10FFFF)  # sorts behind all others

RESTORABLE = timedelta(days=30)  # how long a directory's DELETE can be undone


class State(StrEnum):
    """What a list of members may be narrowed to."""

    ACTIVE = "active"
    SUSPENDED = "suspended"  # by hand or by her directory
    DEPROVISIONED = "deprovisioned"  # deleted by her directory, and still to be restored


def get(account: Account, member_id: str) -> Member:
    """The live member of this account. Raises NotFound."""
    member = Member.get_or_none(Member.id == member_id, Member.account == account, Member.removed_at.is_null())
    if member is None:
        raise NotFound(f"There is no member {member_id} in this account.")
    return member


def of_account(account: Account) -> Any:
    """The live members of the account, as a query."""
    return Member.select().where(Member.account == account, Member.removed_at.is_null())


def listed(account: Account, state: State | None) -> tuple[Any, list[Any]]:
    """The rows among which those in this state are, as a query that indexes answer in the order of ``name_key``; and
    the conditions that are left to ask of each."""
    found = Member.select().where(Member.account == account)
    if state is State.DEPROVISIONED:
        return found.where(~Member.active), [Member.removed_at > clock.now() - RESTORABLE]
    if state is State.SUSPENDED:
        return found.where(~Member.active), [Member.removed_at.is_null()]
    return found, [Member.active] if state is State.ACTIVE else [Member.removed_at.is_null()]


def search(account: Account, *, text: str = "", state: State | None = None) -> Any:
    """The members whose name or address begins so, as a query; the live ones unless ``state`` says otherwise."""
    if state is State.DEPROVISIONED:
        out = (Member.account == account) & ~Member.active
        found = Member.select().where(out, Member.removed_at > clock.now() - RESTORABLE)
    else:
        found = of_account(account)
    if state is State.ACTIVE:
        found = found.where(Member.active)
    elif state is State.SUSPENDED:
        found = found.where(~Member.active)
    return found.where(begins(Member.name_key, text) | begins(Member.email_key, text)) if text else found


def begins(column: Any, text: str) -> Any:
    """The condition that a ``*_key`` column begins so, in a form that its index answers on both databases."""
    return column.between(*beginning(text))


def beginning(text: str) -> tuple[str, str]:
    """From where to where the keys are that begin so."""
    key = fold(text)
    return key, key + LAST_CHARACTER


def deprovisioned(account: Account, member_id: str) -> Member:
    """A member whom her directory deleted not too long ago to undo it. Raises NotFound."""
    since = clock.now() - RESTORABLE
    member = Member.get_or_none(Member.id == member_id, Member.account == account, Member.removed_at > since)
    if member is None:
        raise NotFound(f"There is no member {member_id} whom a directory deleted in the last {RESTORABLE.days} days.")
    return member


def deleted_under(account: Account, email: str) -> list[Member]:
    """Whom her directory deleted while she had that address, or although she signs in with it herself, whatever the
    directory had come to call her; not too long ago to undo it."""
    hers = (Member.email_key == fold(email)) | Member.person.in_(people.with_address(email))
    return list(Member.select().where(Member.account == account, hers, Member.removed_at > clock.now() - RESTORABLE))


def remembered() -> Any:
    """The condition on a member to be one still, or to have been deleted by her directory not too long ago to undo it:
    who has shown who she is learns which of the two."""
    return Member.removed_at.is_null() | (Member.removed_at > clock.now() - RESTORABLE)


def with_address(account: Account, email: str) -> list[Member]:
    """Every live member of this account with that address."""
    return [member for (member,) in _WITH_ADDRESS.instances(account=account.id, email_key=fold(email))]


def passed_for(account: Account, email: str) -> list[Member]:
    """The live members whose address this one looks like without being it (look_alikes.py)."""
    shape = look_alikes.passes_for(email)
    return with_address(account, shape) if shape else []


def at_address(*columns: Any) -> Any:
    """The query behind it, of these columns; its parameters are ``account`` and ``email_key``."""
    return Member.select(*columns).where(
        Member.account == parameter("account"),
        Member.email_key == parameter("email_key"),
        Member.removed_at.is_null(),
    )


_WITH_ADDRESS = Statement(Member._meta.sorted_fields, at_address)


def listed_under(name: str, email: str) -> str:
    """Where lists have a member of that name and address, and searches find her."""
    return fold(name or email)


def update_profile(
    actor: Actor,
    member: Member,
    *,
    email: str,
    name: str,
    first_name: str,
    last_name: str,
    told: Mapping[str, Any] = MappingProxyType({}),
) -> bool:
    """The name and address that count in this account, from her directory or assertion; whether that is a change.
    Writes nothing else. ``told`` goes into the event."""
    names = {"name": name, "first_name": first_name, "last_name": last_name}
    new = {"email": email, "email_key": fold(email), **{field: said[:LONGEST_NAME] for field, said in names.items()}}
    changed = [field for field, value in new.items() if getattr(member, field) != value]
    if not changed:
        return False
    before = {field: getattr(member, field) for field in changed if field != "email_key"}
    for field in changed:
        setattr(member, field, new[field])
    member.name_key = listed_under(member.name, member.email)
    _TABLE.save(member, "name_key", *changed)
    names = {field: getattr(member, field) for field in before}
    events.record(actor, Type.USER_UPDATED, {**describe(member), **names, "before": before, **told})
    return True


def name_owner(member: Member) -> str | None:
    """Who says what she is called, where that is not for people to say: her directory, or the provider that she comes
    in by, whose next assertion would undo what anybody wrote here. Words for a person; None where nobody does."""
    if member.managed_by == "scim":
        return f"the directory of {member.identity_provider.name}" if member.identity_provider_id else "a directory"
    linked: Any = IdentityLink.select(IdentityLink.identity_provider).where(IdentityLink.member == member)
    hers = (IdentityProvider.id == member.identity_provider_id) | IdentityProvider.id.in_(linked)
    enabled: Any = IdentityProvider.select().where(IdentityProvider.enabled, hers)
    provider = enabled.order_by(IdentityProvider.name).first()
    return f"each sign-in by {provider.name}" if provider else None


def describe(member: Member) -> dict[str, Any]:
    """The member as events tell of her: no secret, no role."""
    return {
        "id": member.id,
        "email": member.email,
        "name": member.name,
        "active": member.active,
        "held": member.held,
        "managed_by": member.managed_by,
        "identity_provider_id": member.identity_provider_id,
    }
