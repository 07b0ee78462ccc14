"""SCIM Users: a directory's record of a person (``du_``), and the member of the account behind it (``usr_``).

The record is what the directory sent. The member is what the account knows: her address, name, and whether she may
come in; those follow the record here, and members.py decides what follows from them. A deleted record stays as the
memory that lets the directory's next POST of the same person find the same member again.
"""

import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from peewee import SQL

from idp_bridge import (
    clock,
    db,
    events,
    ids,
    invitations,
    look_alikes,
    member_lifecycle,
    member_roles,
    members,
    seats,
    spans,
)
from idp_bridge.errors import Code, Conflict, Forbidden
from idp_bridge.events import Type
from idp_bridge.models import DirectoryUser, Invitation, Member
from idp_bridge.provisioning import disputes, emails, groups, memberships
from idp_bridge.provisioning.directory import Directory, moment, written
from idp_bridge.provisioning.records import Kind, Records, Resource, Written
from idp_bridge.provisioning.told import change_of
from idp_bridge.statement import Statement, Table, parameter
from idp_bridge.text import fold
from scim.errors import Uniqueness
from scim.mutability import replaced
from scim.patch import Operation, apply


@dataclass(frozen=True)
class Profile:
    """What an account knows of a member by her directory's record."""

    email: str
    name: str
    first_name: str
    last_name: str


def profile(resource: Resource) -> Profile:
    """The member's address and name. Address: the primary e-mail, else the work one, else the first, else the
    userName. Name: displayName, else name.formatted, else given and family name, else the userName."""
    name = resource.get("name", {})
    first, last = name.get("givenName", ""), name.get("familyName", "")
    return Profile(_address(resource), _shown_name(resource) or resource["userName"], first, last)


def _shown_name(resource: Resource) -> str:
    name = resource.get("name", {})
    full = f"{name.get('givenName', '')} {name.get('familyName', '')}".strip()
    return str(resource.get("displayName") or name.get("formatted") or full)


def _address(resource: Resource) -> str:
    entries = [entry for entry in resource.get("emails", ()) if entry.get("value")]
    primary = [entry for entry in entries if entry.get("primary")]
    work = [entry for entry in entries if str(entry.get("type")).lower() == "work"]
    chosen = primary or work or entries
    return str(chosen[0]["value"] if chosen else resource["userName"])


RECORDS = Records(
    attrgetter("user"),
    DirectoryUser,
    (
        DirectoryUser.id,
        DirectoryUser.identity_provider,
        DirectoryUser.member,
        DirectoryUser.user_name,
        DirectoryUser.user_name_key,
        DirectoryUser.external_id,
        DirectoryUser.active,
        DirectoryUser.resource,
        DirectoryUser.version,
        DirectoryUser.created_at,
        DirectoryUser.modified_at,
        DirectoryUser.deleted_at,
    ),
    lambda directory: (DirectoryUser.identity_provider == directory) & DirectoryUser.deleted_at.is_null(),
    "groups",
    memberships.groups_of_user,
    False,
    spans.find,
)


# --- creating ---------------------------------------------------------------------------------------------------


def create(directory: Directory, resource: Resource) -> Written:
    """POST: a new record, and behind it a former member come back, an adopted one, or a new one.

    Raises Uniqueness where the userName is taken, and then nothing has changed: Okta repeats a POST whose answer it
    missed. Raises what members.py says of seats and of members that another directory owns.
    """
    resource = {"active": True, **resource}
    text, key = _text(resource), fold(resource["userName"])
    member = _member_for(directory, resource, key)
    now = moment()
    row = DirectoryUser(
        id=ids.new("du"),
        identity_provider=directory.id,
        member=member.id,
        user_name=resource["userName"],
        user_name_key=key,
        external_id=resource.get("externalId"),
        active=resource["active"],
        resource=text,
        version=1,
        created_at=now,
        modified_at=now,
        named_at=now,
    )
    row.listed = None  # she is in no group yet
    with db.unique(DirectoryUser, lambda: _taken(row.user_name)):
        _TABLE.add(row)
    emails.write(row, emails.keys_of(resource, key))
    spans.add(directory.id, row.id)
    return Written(row, None, resource)


_TABLE = Table(DirectoryUser)


def _member_for(directory: Directory, resource: Resource, key: str) -> Member:
    """The member who is to stand behind a new record: who has her address now, else who left this directory. Raises
    Uniqueness where a record has the name."""
    known = profile(resource)
    # Who signs in for the first time at this moment is found here, or finds the record there: never two members.
    seats.lock(directory.account)
    traces = _traces(directory, resource.get("externalId"), key, known.email)
    if "record" in traces:
        raise _taken(resource["userName"])
    member = invitation = None
    if traces:
        member = _adoptable(directory, resource, known.email) or _leaver(directory, resource.get("externalId"), key)
    if "invited" in traces and (member is None or member.removed_at is not None):
        invitation = _invitation(directory, known.email)
    if member is None:
        if not known.email.isascii():
            disputes.note_look_alike(directory, resource["userName"], known.email)
        joined = member_lifecycle.create(
            directory.actor,
            **vars(known),
            managed_by="scim",
            identity_provider=directory.identity_provider,
            roles=() if invitation else directory.identity_provider.default_roles,
            role_source="default",
            active=resource["active"],
        )
        if invitation:
            invitations.hold_promised(directory.actor, invitation, joined)
        return joined
    _check_touch(directory, member)
    if fold(member.email) != fold(known.email):
        _check_speaks_for(directory, known.email)
    if member.removed_at is None:
        member_lifecycle.adopt(directory.actor, member, directory.identity_provider)
    else:
        member_lifecycle.revive(directory.actor, member, directory.identity_provider, active=resource["active"])
    if invitation:
        invitations.hold_promised(directory.actor, invitation, member)
    members.update_profile(directory.actor, member, **_taken_over(known, member, resource))
    member_lifecycle.set_directory_active(directory.actor, member, resource["active"])
    return member


def _traces(directory: Directory, external_id: str | None, key: str, email: str) -> set[str]:
    """What there is of somebody who comes: a ``record`` of her name, one that has ``left``, a ``member`` with her
    address, or that it is ``invited``. Nearly all who come are new, which one statement tells."""
    asked = {"directory": directory.id, "external_id": external_id, "key": key}
    found = _TRACES.rows(account=directory.account.id, email_key=fold(email), now=clock.now(), **asked)
    return {trace for (trace,) in found}


def _leaver(directory: Directory, external_id: str | None, key: str) -> Member | None:
    """The member behind a record that this directory deleted: by externalId before userName, the latest first.

    An externalId is the same person's whenever it comes. A userName may have been given to somebody else: whose
    externalId is another, she is not, nor whose DELETE is too long ago to be undone."""
    since = clock.now() - members.RESTORABLE
    left = [
        (_is_same(external_id, former_id), deleted_at, member_id)
        for member_id, former_id, deleted_at in _LEFT.rows(directory=directory.id, key=key, external_id=external_id)
        if _is_same(external_id, former_id) or (None in (external_id, former_id) and deleted_at > since)
    ]
    for _, _, member_id in sorted(left, reverse=True):
        if _record_of(member_id) is None:
            return member_lifecycle.hold(member_id)
    return None


def _is_same(external_id: str | None, former_id: str | None) -> bool:
    return external_id is not None and external_id == former_id


_LEFT_COLUMNS = (DirectoryUser.member, DirectoryUser.external_id, DirectoryUser.deleted_at)


def _left(same: Any, *columns: Any) -> Any:
    return DirectoryUser.select(*columns).where(
        DirectoryUser.identity_provider == parameter("directory"),
        same,
        DirectoryUser.deleted_at.is_null(False),
        DirectoryUser.member.is_null(False),
    )


def _by_either(*columns: Any) -> Any:
    """A union, because with OR no database here would use an index for either."""
    by_external_id = _left(DirectoryUser.external_id == parameter("external_id"), *columns)
    return by_external_id.union_all(_left(DirectoryUser.user_name_key == parameter("key"), *columns))


def _all_traces() -> Any:
    record = DirectoryUser.select(SQL("'record'")).where(
        DirectoryUser.identity_provider == parameter("directory"),
        DirectoryUser.user_name_key == parameter("key"),
        DirectoryUser.deleted_at.is_null(),
    )
    member = members.at_address(SQL("'member'"))
    invited = Invitation.select(SQL("'invited'")).where(
        Invitation.account == parameter("account"),
        Invitation.email_key == parameter("email_key"),
        Invitation.accepted_at.is_null(),
        Invitation.expires_at > parameter("now", Invitation.expires_at),
    )
    return record.union_all(member).union_all(invited).union_all(_by_either(SQL("'left'")))


def _invitation(directory: Directory, email: str) -> Invitation | None:
    """The invitation to whoever comes by her directory now, used up: its roles are hers, and the seat that it reserved.
    None where the directory may not speak for that address, or nobody vouches for it any more."""
    trusted = directory.identity_provider.trusted_with_administrators
    return invitations.take_up(directory.actor, email, admin=trusted) if _may_speak_for(directory, email) else None


def _check_touch(directory: Directory, member: Member) -> None:
    """Only administrators touch administrators: not through a directory that none of them has confirmed either. Raises
    Forbidden."""
    trusted = directory.identity_provider.trusted_with_administrators
    if not trusted and member_roles.is_administrator(directory.account, member):
        raise Forbidden(
            f"{member.email} is an administrator, and no administrator has confirmed the identity provider "
            f"{directory.identity_provider.name} yet: one can, at its options.",
            code=Code.ADMINISTRATORS_ONLY,
        )


def _may_speak_for(directory: Directory, email: str) -> bool:
    domains = directory.identity_provider.domains
    return not domains or fold(email.rpartition("@")[2]) in domains


_LEFT = Statement(_LEFT_COLUMNS, lambda: _by_either(*_LEFT_COLUMNS))
_TRACES = Statement((SQL(""),), _all_traces)


def _taken_over(known: Profile, member: Member, resource: Resource) -> dict[str, Any]:
    """Her record's word stands above what was known of her; where it says nothing of a name, that stays."""
    said = {name: value for name, value in vars(known).items() if value}
    if member.name and not _shown_name(resource):
        del said["name"]
    return {**{name: getattr(member, name) for name in vars(known)}, **said}


def _adoptable(directory: Directory, resource: Resource, email: str) -> Member | None:
    """Who is a member already under this address and stands behind no other record of this directory; None where
    nobody is. Raises Conflict where the directory may not speak for that address, Disputed where several could be
    meant or another directory manages her, until an administrator has decided.

    A directory may give one address to several records (RFC 7643 §4.1.2 does not make ``emails`` unique). They are
    several members then, who are told apart by externalId, userName or an earlier sign-in, and never by the address.
    """
    found = [] if look_alikes.is_disguised(email) else _strangers(directory, email)
    if not found:
        return None
    if len(found) > 1:
        found = [disputes.meant(directory, found, resource["userName"], email)]
    if not _may_speak_for(directory, email):
        raise Conflict(
            f"{email} is a member of this account already, and this identity provider may only take over members "
            f"of {', '.join(directory.identity_provider.domains)}. An administrator can add the domain to the identity "
            "provider."
        )
    member = member_lifecycle.hold(found[0].id)
    if member.managed_by == "scim" and member.identity_provider_id != directory.id:
        disputes.take_over(directory, member, resource["userName"], email)
    return member


def _strangers(directory: Directory, email: str) -> list[Member]:
    """The members with that address who stand behind no live record of this directory."""
    own = DirectoryUser.select(DirectoryUser.member).where(
        DirectoryUser.identity_provider == directory.id, DirectoryUser.deleted_at.is_null()
    )
    found = members.with_address(directory.account, email)
    if not found:
        return []
    backed = set(db.column(own.where(DirectoryUser.member.in_([member.id for member in found]))))
    return [member for member in found if member.id not in backed]


def _record_of(member_id: str) -> DirectoryUser | None:
    """The live record that stands behind a member, in whatever directory."""
    found = _BEHIND.first(member=member_id)
    return found[0] if found else None


_BEHIND: Statement = Statement(
    (DirectoryUser.id, DirectoryUser.identity_provider, DirectoryUser.user_name),
    lambda: DirectoryUser.select(*_BEHIND.columns).where(
        DirectoryUser.member == parameter("member"), DirectoryUser.deleted_at.is_null()
    ),
)


# --- changing ---------------------------------------------------------------------------------------------------


def replace(directory: Directory, user_id: str, resource: Resource, *, if_match: str | None = None) -> Written:
    """PUT: the record becomes this. ``active`` stays as it was where it is left out: to say nothing about it must
    neither lock somebody out nor let somebody in."""
    row = RECORDS.locked(directory, user_id, if_match)
    sent = {"active": row.active, **resource}
    return _update(directory, row, replaced(directory.catalogue.user, row.resource, sent))


def patch(
    directory: Directory, user_id: str, operations: Iterable[Operation], *, if_match: str | None = None
) -> Written:
    """PATCH: all operations or none. ``active`` taken away is no longer shown, and she stays as she was."""
    row = RECORDS.locked(directory, user_id, if_match)
    resource, _ = apply(row.resource, operations, directory.catalogue.user)
    return _update(directory, row, resource)


def delete(directory: Directory, user_id: str, *, if_match: str | None = None) -> Written:
    """DELETE: gone for the directory (404, the userName free again) and out of the account and of every group; her
    member is kept for undoing. Raises Conflict for the last administrator."""
    # Groups, then the user, then the account inside deprovision: a change of a group takes its locks in this order.
    # Again for those that took her in meanwhile: what becomes a new version must be what she leaves.
    memberships.hold_groups_of(directory, user_id)
    row = RECORDS.locked(directory, user_id, if_match)
    memberships.hold_groups_of(directory, user_id)
    now = moment()
    left = memberships.touch_groups_of(row.id, now)
    record = {"record": {"id": row.id, "before": {"userName": row.user_name}, "after": None}}
    member = member_lifecycle.hold(row.member_id) if row.member_id is not None else None
    if member is not None:
        _check_touch(directory, member)
    if member is not None and member.removed_at is None:
        member_lifecycle.deprovision(directory.actor, member, told=record)
    else:  # nobody stands behind it any more
        events.record(directory.actor, Type.USER_UPDATED, {"id": row.member_id or row.id, **record})
    for group in left:
        events.record(directory.actor, Type.GROUP_UPDATED, groups.without(group, row.id))
    memberships.leave_all(row.id)
    _TABLE.update(row.id, deleted_at=now)
    spans.subtract(directory.id, row.id)
    return Written(row, row.resource, None)


def _update(directory: Directory, row: DirectoryUser, resource: Resource) -> Written:
    """Write what changed, in one statement, and let the member follow. No change, no write, no new version."""
    before, was_active = row.resource, row.active
    changed = sorted(name for name in before.keys() | resource.keys() if before.get(name) != resource.get(name))
    change = Written(row, _part(before, changed), _part(resource, changed))
    if not changed:
        return change
    addresses, former_name = emails.keys_of(before, row.user_name_key), row.user_name_key
    row.resource = _text(resource)
    row.user_name, row.user_name_key = resource["userName"], fold(resource["userName"])
    row.external_id, row.active = resource.get("externalId"), resource.get("active", was_active)
    row.version, row.modified_at = row.version + 1, moment()
    now_hers, columns = emails.keys_of(resource, row.user_name_key), _columns_of(changed)
    if {row.user_name_key, *now_hers} - {former_name, *addresses}:
        row.named_at = row.modified_at
        columns.append("named_at")
    old, new = profile(before), profile(resource)
    told = {"record": {"id": row.id, **change_of(directory, change)}}
    follows = row.member_id is not None and (old != new or was_active != row.active)
    if not follows or not _follow(directory, row, old=old, new=new, told=told):
        events.record(directory.actor, Type.USER_UPDATED, {"id": row.member_id or row.id, **told})
    with db.unique(DirectoryUser, lambda: _taken(row.user_name)) if "userName" in changed else nullcontext():
        _TABLE.save(row, "resource", "version", "modified_at", *columns)
    emails.write(row, now_hers, addresses)
    return change


def _text(resource: Resource) -> str:
    return written(
        resource, userName=resource["userName"], externalId=resource.get("externalId"), emails=_address(resource)
    )


def _part(resource: Resource, names: Iterable[str]) -> Resource:
    return {name: resource[name] for name in names if name in resource}


def _columns_of(names: Iterable[str]) -> list[str]:
    """The columns beside the document that hold one of these attributes: an index is written anew for every column
    that an UPDATE names, changed or not."""
    return [column for name in names for column in _COLUMNS.get(name, ())]


_COLUMNS = {"userName": ("user_name", "user_name_key"), "externalId": ("external_id",), "active": ("active",)}


def _follow(directory: Directory, row: DirectoryUser, *, old: Profile, new: Profile, told: Mapping[str, Any]) -> bool:
    """What the account knows of the member follows her record; whether that changed, which an event tells then, with
    ``told``."""
    member = member_lifecycle.hold(str(row.member_id))
    _check_touch(directory, member)
    if fold(old.email) != fold(new.email):
        _check_speaks_for(directory, new.email)
        _refuse_shared_address(directory, member, new.email)
    # What it does not change may be what her sign-in says, where the record says nothing of it.
    changed = {name: value for name, value in vars(new).items() if value != getattr(old, name)}
    now = {name: changed.get(name, getattr(member, name)) for name in vars(new)}
    renamed = members.update_profile(directory.actor, member, **now, told=told)
    told = {} if renamed else told
    return member_lifecycle.set_directory_active(directory.actor, member, row.active, told=told) or renamed


def _check_speaks_for(directory: Directory, email: str) -> None:
    """A directory gives its member no address outside of the provider's domains, where such are set: she is who reads
    the mail that goes there, which is nobody where a userName stands for it. Raises Conflict."""
    if "@" in email and not _may_speak_for(directory, email):
        raise Conflict(
            f"This identity provider may only speak for addresses of {', '.join(directory.identity_provider.domains)}, "
            f"and {email} is none. Send her an address of these; or have an administrator of the account add the "
            "domain to the identity provider's, and send this again."
        )


def _refuse_shared_address(directory: Directory, member: Member, email: str) -> None:
    """A directory cannot give its member the address of somebody it does not speak for: that one's sign-in would
    become ambiguous."""
    if any(other.id != member.id for other in _strangers(directory, email)):
        raise Uniqueness(f"The address {email} belongs to another member of this account already.")


def _taken(user_name: str) -> Uniqueness:
    return Uniqueness(f"A user with the userName {user_name!r} exists in this directory already.")


KIND = Kind(RECORDS, sys.modules[__name__])
