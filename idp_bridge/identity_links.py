"""What an identity provider calls a member: its NameID, set at her first sign-in and followed ever after.

An address may be given to somebody else one day, or be one that people edit at the provider. So whoever comes with a
member's address, and with another NameID than the one that the same provider knows her by, is not taken for her
(sign_in.py). An administrator who knows better forgets the link; of all, where the provider has begun to name everybody
otherwise.
"""

from typing import Any

from idp_bridge import clock, events, grants, member_roles, members
from idp_bridge.actors import Actor
from idp_bridge.db import column
from idp_bridge.events import Type
from idp_bridge.models import IdentityLink, IdentityProvider, Member
from idp_bridge.text import fold


def of_member(member: Member) -> Any:
    """Her links, as a query, each with its ``identity_provider``."""
    return (
        IdentityLink.select(IdentityLink, IdentityProvider).join(IdentityProvider).where(IdentityLink.member == member)
    )


def known_otherwise(provider: IdentityProvider, member: Member, *, name_id: str) -> bool:
    """Whether this provider has called her by something else. The same name in another case or under another Format is
    hers: providers let people choose how it is labelled."""
    links = IdentityLink.select(IdentityLink.name_id).where(
        IdentityLink.member == member, IdentityLink.identity_provider == provider
    )
    names = {fold(name) for name in column(links)}
    return bool(names) and fold(name_id) not in names


def remember(provider: IdentityProvider, member: Member, *, name_id: str, name_id_format: str) -> None:
    """From now on this NameID means her."""
    IdentityLink.insert(
        identity_provider=provider,
        name_id_format=name_id_format,
        name_id=name_id,
        member=member,
        created_at=clock.now(),
    ).on_conflict(
        conflict_target=[IdentityLink.identity_provider, IdentityLink.name_id_format, IdentityLink.name_id],
        preserve=[IdentityLink.member, IdentityLink.created_at],
    ).execute()


def forget(actor: Actor, member: Member) -> None:
    """The next sign-in that gives her address says anew what she is called. For whoever was made again at the provider,
    or is named otherwise there now. Raises Forbidden."""
    member_roles.check_touch(actor, member)
    forgotten = [_described(link) for link in of_member(member)]
    if forgotten:
        IdentityLink.delete().where(IdentityLink.member == member).execute()
        told = {**members.describe(member), "links": [], "before": {"links": forgotten}}
        events.record(actor, Type.USER_UPDATED, told)


def forget_all(actor: Actor, provider: IdentityProvider) -> int:
    """What this provider calls anybody, for when it names everybody otherwise from now on; how many that were. Raises
    Forbidden: whoever could be taken for an administrator next is decided by one."""
    grants.check_decides(actor, provider)
    forgotten: int = IdentityLink.delete().where(IdentityLink.identity_provider == provider).execute()
    if forgotten:
        events.record(
            actor,
            Type.IDENTITY_PROVIDER_UPDATED,
            {"id": provider.id, "name": provider.name, "links": 0, "before": {"links": forgotten}},
        )
    return forgotten


def _described(link: IdentityLink) -> dict[str, str]:
    return {
        "identity_provider_id": link.identity_provider_id,
        "name_id": link.name_id,
        "name_id_format": link.name_id_format,
    }
