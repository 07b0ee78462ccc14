"""What a change of role mappings would do to whom: the change itself is made, looked at and rolled back, so that the
preview and the change can never disagree."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from idp_bridge import db, member_roles
from idp_bridge.actors import Actor
from idp_bridge.errors import DomainError
from idp_bridge.models import DirectoryUser, GroupMember, Member


@dataclass(frozen=True)
class Effect:
    """One member whose roles would be others."""

    member: Member
    gains: tuple[str, ...]
    loses: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """Whose roles would change, and why the change would be refused, if it would."""

    effects: tuple[Effect, ...]
    unchanged: int
    refusal: DomainError | None


class _RollBack(Exception):
    """No error: it only ends the transaction."""


def of_group(group_id: str | None) -> list[Member]:
    """The members whom a directory's group reaches; none before the group is pushed."""
    if group_id is None:
        return []
    users = DirectoryUser.select(DirectoryUser.member).join(GroupMember)
    reached = users.where(GroupMember.group == group_id, DirectoryUser.deleted_at.is_null())
    return list(Member.select().where(Member.id.in_(reached)).order_by(Member.name, Member.email))


def preview(actor: Actor, affected: Sequence[Member], change: Callable[[], object]) -> Preview:
    """Make the change, see what the roles of ``affected`` become, undo it. Outside any transaction."""
    before = _roles(actor, affected)
    after, refusal = before, None
    try:
        with suppress(_RollBack), db.transaction():
            change()
            after = _roles(actor, affected)
            raise _RollBack
    except DomainError as error:
        refusal = error
    effects = tuple(
        Effect(member, _sorted(after[member.id] - before[member.id]), _sorted(before[member.id] - after[member.id]))
        for member in affected
        if after[member.id] != before[member.id]
    )
    return Preview(effects, len(affected) - len(effects), refusal)


def _roles(actor: Actor, affected: Sequence[Member]) -> dict[str, set[str]]:
    held = member_roles.role_sources(actor.account, affected)
    return {member_id: {source.role for source in sources} for member_id, sources in held.items()}


def _sorted(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
