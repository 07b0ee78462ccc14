"""SCIM Groups of a directory (``grp_``). What a group means for roles is in idp_bridge/groups.py; here it is kept as
the directory pushes it."""

import sys
from collections.abc import Iterable
from contextlib import nullcontext
from operator import attrgetter
from typing import Any

from idp_bridge import db, events, groups, ids
from idp_bridge.events import Type
from idp_bridge.models import DirectoryGroup
from idp_bridge.provisioning import memberships
from idp_bridge.provisioning.directory import Directory, moment, written
from idp_bridge.provisioning.memberships import Change
from idp_bridge.provisioning.records import Kind, Records, Resource, Written
from idp_bridge.provisioning.told import change_of
from idp_bridge.statement import Table
from idp_bridge.text import fold
from scim.errors import Uniqueness
from scim.mutability import replaced
from scim.patch import MemberDelta, Operation, apply, member_changes

RECORDS = Records(
    attrgetter("group"),
    DirectoryGroup,
    (
        DirectoryGroup.id,
        DirectoryGroup.identity_provider,
        DirectoryGroup.display_name,
        DirectoryGroup.display_name_key,
        DirectoryGroup.external_id,
        DirectoryGroup.resource,
        DirectoryGroup.version,
        DirectoryGroup.created_at,
        DirectoryGroup.modified_at,
    ),
    lambda directory: DirectoryGroup.identity_provider == directory,
    "members",
    memberships.members_of_group,
    True,
)


def create(directory: Directory, resource: Resource) -> Written:
    """POST: a new group with its members; role mappings that waited for its name take hold.

    Raises Uniqueness where the displayName is taken, InvalidValue for an unknown member.
    """
    resource, delta = _without_members(resource)
    text, now = _text(resource), moment()
    row = DirectoryGroup(
        id=ids.new("grp"),
        identity_provider=directory.id,
        display_name=resource["displayName"],
        display_name_key=fold(resource["displayName"]),
        external_id=resource.get("externalId"),
        resource=text,
        version=1,
        created_at=now,
        modified_at=now,
    )
    with db.unique(DirectoryGroup, lambda: _taken(row.display_name)):
        _TABLE.add(row)
    changed = memberships.change(directory, row, delta)
    groups.bind_mappings(directory.actor, directory.id, row)
    events.record(directory.actor, Type.GROUP_CREATED, {**_described(row), **_told(changed)})
    return Written(row, None, {**resource, "members": list(delta.add.values())})


def replace(directory: Directory, group_id: str, resource: Resource, *, if_match: str | None = None) -> Written:
    """PUT: the group becomes this, and its members exactly those."""
    resource, delta = _without_members(resource)
    row = RECORDS.locked(directory, group_id, if_match)
    return _update(directory, row, replaced(directory.catalogue.group, row.resource, resource), delta)


def patch(
    directory: Directory, group_id: str, operations: Iterable[Operation], *, if_match: str | None = None
) -> Written:
    """PATCH: all operations or none."""
    delta, others = member_changes(operations)
    row = RECORDS.locked(directory, group_id, if_match)
    resource, _ = apply(row.resource, others, directory.catalogue.group)
    return _update(directory, row, resource, delta)


def delete(directory: Directory, group_id: str, *, if_match: str | None = None) -> Written:
    """DELETE: the group is gone, and the roles that came by it. Mappings of it wait under its name again."""
    row = RECORDS.locked(directory, group_id, if_match)
    members = memberships.members_of(row)
    guarded = groups.gives_admin(row.id)
    with groups.keeping_an_administrator(directory.account) if guarded else nullcontext():
        groups.release_mappings(directory.actor, row)
        row.delete_instance()
    events.record(directory.actor, Type.GROUP_DELETED, {**_described(row), **_told(Change(removed=members))})
    return Written(row, row.resource, None)


def _without_members(resource: Resource) -> tuple[Resource, MemberDelta]:
    members = {member["value"]: member for member in resource.get("members", ())}
    rest = {name: value for name, value in resource.items() if name != "members"}
    return rest, MemberDelta(replace=True, add=members)


def _update(directory: Directory, row: DirectoryGroup, resource: Resource, delta: MemberDelta) -> Written:
    """Write what changed. No change, no write, no new version."""
    changed = memberships.change(directory, row, delta) if delta else Change()
    change = _compared(row, resource, changed)
    if resource == row.resource and not changed:
        return change
    row.version, row.modified_at = row.version + 1, moment()
    _write(directory, row, resource)
    told = {**_described(row), **_told(changed)}
    if attributes := change_of(directory, change, without="members"):
        told |= {"record": {"id": row.id, **attributes}, "before": _named(attributes["before"])}
    events.record(directory.actor, Type.GROUP_UPDATED, told)
    return change


def _compared(row: DirectoryGroup, resource: Resource, changed: Change) -> Written:
    """What differs; of the members those who went and those who came, and never all of them."""
    names = {name for name in row.resource.keys() | resource.keys() if row.resource.get(name) != resource.get(name)}
    before = {name: row.resource[name] for name in names if name in row.resource}
    after = {name: resource[name] for name in names if name in resource}
    if changed.removed:
        before["members"] = list(changed.removed)
    if changed.added:
        after["members"] = list(changed.added)
    return Written(row, before, after)


def _write(directory: Directory, row: DirectoryGroup, resource: Resource) -> None:
    """UPDATE the row."""
    if resource == row.resource:
        _TABLE.save(row, "version", "modified_at")
        return
    text = _text(resource)
    renamed = resource["displayName"] != row.display_name
    former_name = row.display_name
    row.resource, row.external_id = text, resource.get("externalId")
    row.display_name, row.display_name_key = resource["displayName"], fold(resource["displayName"])
    with db.unique(DirectoryGroup, lambda: _taken(row.display_name)):
        _TABLE.save(row, "resource", "external_id", "version", "modified_at", *(_NAMES if renamed else ()))
    if renamed:
        groups.bind_mappings(directory.actor, directory.id, row, former_name=former_name)


def _text(resource: Resource) -> str:
    return written(resource, displayName=resource["displayName"], externalId=resource.get("externalId"))


_TABLE = Table(DirectoryGroup)
_NAMES = ("display_name", "display_name_key")


def _taken(display_name: str) -> Uniqueness:
    return Uniqueness(f"A group with the displayName {display_name!r} exists in this directory already.")


def _described(row: DirectoryGroup) -> dict[str, Any]:
    provider_id = row.identity_provider_id
    return {
        "id": row.id,
        "display_name": row.display_name,
        "external_id": row.external_id,
        "identity_provider_id": provider_id,
    }


def without(row: DirectoryGroup, user_id: str) -> dict[str, Any]:
    """What an event tells of a group that a user has left with her record."""
    return {**_described(row), **_told(Change(removed=(user_id,)))}


def _named(before: Resource) -> dict[str, Any]:
    """The attributes that an event's object has too, under its names for them."""
    return {name: before.get(attribute) for attribute, name in _IN_EVENTS.items() if attribute in before}


_IN_EVENTS = {"displayName": "display_name", "externalId": "external_id"}


def _told(changed: Change) -> dict[str, Any]:
    return {
        "added": list(changed.added[: events.NAMED]),
        "added_count": len(changed.added),
        "removed": list(changed.removed[: events.NAMED]),
        "removed_count": len(changed.removed),
    }


KIND = Kind(RECORDS, sys.modules[__name__])
