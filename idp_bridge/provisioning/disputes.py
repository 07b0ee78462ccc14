"""Whom a record stands for, where the address alone does not say it: the request is refused with 409, and the question
waits for an administrator (identity_conflicts.py), whose answer holds for the directory's next request."""

from collections.abc import Sequence

from idp_bridge import events, identity_conflicts, member_roles, members
from idp_bridge.errors import Code
from idp_bridge.events import Type
from idp_bridge.identity_conflicts import Case, Disputed, Kind
from idp_bridge.models import DirectoryUser, Member
from idp_bridge.provisioning.directory import Directory


def meant(directory: Directory, found: Sequence[Member], user_name: str, email: str) -> Member:
    """Which of several members with the address she is, as an administrator has said. Raises Disputed."""
    case = Case(Kind.AMBIGUOUS, email, user_name=user_name, candidates=_ids(found))
    decided = identity_conflicts.decided(directory.identity_provider, case)
    for member in found:
        if member.id == decided:
            return member
    raise Disputed(
        f"{len(found)} members of this account have the address {email}. The case waits for an administrator of the "
        "account, who says which of them is meant; send this again then.",
        case,
    )


def take_over(directory: Directory, member: Member, user_name: str, email: str) -> None:
    """She is this directory's from now on, where an administrator has said so; the records that other directories have
    of her stand for nobody any more, and give her no role. The caller holds her row. Raises Disputed."""
    case = Case(Kind.SECOND_DIRECTORY, email, user_name=user_name, candidates=(member.id,))
    if identity_conflicts.decided(directory.identity_provider, case) != member.id:
        raise Disputed(
            f"{email} is managed by another directory of this account. The case waits for an administrator of the "
            "account, who lets this directory take her over, or not; send this again then. Or remove her there first.",
            case,
            code=Code.MANAGED_BY_DIRECTORY,
        )
    before = {"identity_provider_id": member.identity_provider_id, "roles": _roles(directory, member)}
    with member_roles.keeping_an_administrator(directory.account):
        DirectoryUser.update(member=None).where(
            DirectoryUser.member == member, DirectoryUser.identity_provider != directory.id
        ).execute()
    member.identity_provider = directory.identity_provider
    told = {**members.describe(member), "roles": _roles(directory, member), "before": before}
    events.record(directory.actor, Type.USER_UPDATED, told)


def _roles(directory: Directory, member: Member) -> list[str]:
    return list(member_roles.roles_of(directory.account, member))


def note_look_alike(directory: Directory, user_name: str, email: str) -> None:
    """A directory says who its people are, so she becomes a member all the same, and a new one. Whose address hers
    passes for, an administrator should know."""
    passed_for = members.passed_for(directory.account, email)
    if passed_for:
        case = Case(Kind.LOOK_ALIKE, email, user_name=user_name, candidates=_ids(passed_for))
        identity_conflicts.note(directory.actor, directory.identity_provider, case)


def _ids(found: Sequence[Member]) -> tuple[str, ...]:
    return tuple(sorted(member.id for member in found))
