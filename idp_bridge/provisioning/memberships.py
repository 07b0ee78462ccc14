"""Which users are in which groups of a directory. A group's members are written as differences and never loaded to
change a few of them; roles by groups are joined on reading, so a row here is all that a change of role takes."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import Select

from idp_bridge import groups
from idp_bridge.db import database
from idp_bridge.models import DirectoryGroup, DirectoryUser, GroupMember
from idp_bridge.provisioning import json_sql
from idp_bridge.provisioning.directory import Directory
from idp_bridge.statement import Statement, among, parameter
from scim.errors import InvalidValue
from scim.meta import location
from scim.patch import MemberDelta
from scim.schemas import GROUP_TYPE

Entry = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """The ids of the users who came and went: only those for whom something really changed."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


def groups_of(directory: Directory, user_ids: Sequence[str]) -> dict[str, list[Entry]]:
    """For each user who is in any, the ``groups`` attribute. One statement."""
    found: dict[str, list[Entry]] = {}
    for user_id, group_id, display_name in _GROUPS_OF.rows(ids=user_ids):
        group = {
            "value": group_id,
            "$ref": location(GROUP_TYPE, group_id, base=directory.base_url),
            "display": display_name,
            "type": "direct",
        }
        found.setdefault(user_id, []).append(group)
    return found


def members_of(directory: Directory, group_ids: Sequence[str]) -> dict[str, list[Entry]]:
    """For each group that has any, the ``members`` attribute, each member as sent. One statement."""
    found: dict[str, list[Entry]] = {}
    for group_id, user_id, sent in _MEMBERS_OF.rows(ids=group_ids):
        found.setdefault(group_id, []).append(sent or {"value": user_id})
    return found


def change(directory: Directory, group: DirectoryGroup, delta: MemberDelta) -> Change:
    """Bring the group's members in line with the delta. The caller holds the group's row.

    Raises InvalidValue naming ids that are no users of this directory, Conflict where the account would lose its last
    administrator.
    """
    named = delta.add.keys() | delta.remove
    present = _members(group) if delta.replace else _members_among(group, named)
    added = [user_id for user_id in delta.add if user_id not in present]
    removed = sorted(present - delta.add.keys() if delta.replace else present & delta.remove)
    _check_known(directory, added)
    _insert(group, [delta.add[user_id] for user_id in added])
    if removed and groups.gives_admin(group.id):
        with groups.keeping_an_administrator(directory.account):
            _delete(group, removed)
    else:
        _delete(group, removed)
    return Change(tuple(added), tuple(removed))


def touch_groups_of(user_id: str, now: datetime) -> None:
    """The groups that a user is in become new versions, since she is about to leave them all."""
    _TOUCH.run(user=user_id, now=now)


def leave_all(user_id: str) -> None:
    """Out of every group."""
    _LEAVE.run(user=user_id)


def _members(group: DirectoryGroup) -> set[str]:
    return {user_id for (user_id,) in _ALL.rows(group=group.id)}


def _members_among(group: DirectoryGroup, user_ids: Iterable[str]) -> set[str]:
    return {user_id for (user_id,) in _AMONG.rows(group=group.id, ids=user_ids)}


def _check_known(directory: Directory, user_ids: Sequence[str]) -> None:
    """All of them are live users of this directory, and stay so until the transaction ends."""
    if not user_ids:
        return
    known = {user_id for (user_id,) in _KNOWN.rows(directory=directory.id, ids=user_ids)}
    unknown = [user_id for user_id in user_ids if user_id not in known]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise InvalidValue(f"members: no user of this directory has the id {', '.join(unknown[:3])}{more}.")


def _insert(group: DirectoryGroup, members: Sequence[Entry]) -> None:
    if members:
        pairs = [(member["value"], member if len(member) > 1 else None) for member in members]
        _INSERT.run(group=group.id, pairs=json.dumps(pairs, ensure_ascii=False))


def _delete(group: DirectoryGroup, user_ids: Sequence[str]) -> None:
    if user_ids:
        _DELETE.run(group=group.id, ids=user_ids)


def _groups_of() -> Any:
    rows: Any = GroupMember.select(*_GROUPS_OF.columns).join(DirectoryGroup)
    return rows.where(among(GroupMember.user, "ids")).order_by(GroupMember.id)


def _members_of() -> Any:
    return GroupMember.select(*_MEMBERS_OF.columns).where(among(GroupMember.group, "ids")).order_by(GroupMember.id)


def _of_group(query: Any) -> Any:
    return query.where(GroupMember.group == parameter("group"))


def _known() -> Any:
    query: Any = DirectoryUser.select(DirectoryUser.id).where(
        DirectoryUser.identity_provider == parameter("directory"),
        DirectoryUser.deleted_at.is_null(),
        among(DirectoryUser.id, "ids"),
    )
    # A share lock: a DELETE of one of them waits for us, and we for it, but two groups do not wait for each other.
    return query.for_update("FOR SHARE") if database.for_update else query


def _insertion() -> Any:
    source, user_id, sent = json_sql.functions().pairs(parameter("pairs"))
    rows = Select([source], [parameter("group"), user_id, sent])
    return GroupMember.insert_from(rows, [GroupMember.group, GroupMember.user, GroupMember.sent]).on_conflict_ignore()


_GROUPS_OF = Statement((GroupMember.user, DirectoryGroup.id, DirectoryGroup.display_name), _groups_of)
_MEMBERS_OF = Statement((GroupMember.group, GroupMember.user, GroupMember.sent), _members_of)
_ALL = Statement((GroupMember.user,), lambda: _of_group(GroupMember.select(GroupMember.user)))
_AMONG = Statement(
    (GroupMember.user,),
    lambda: _of_group(GroupMember.select(GroupMember.user)).where(among(GroupMember.user, "ids")),
)
_KNOWN = Statement((DirectoryUser.id,), _known)
_INSERT = Statement((), _insertion)
_LEAVE = Statement((), lambda: GroupMember.delete().where(GroupMember.user == parameter("user")))
_TOUCH = Statement(
    (),
    lambda: DirectoryGroup.update(
        version=DirectoryGroup.version + 1, modified_at=parameter("now", DirectoryGroup.modified_at)
    ).where(DirectoryGroup.id.in_(GroupMember.select(GroupMember.group).where(GroupMember.user == parameter("user")))),
)
_DELETE = Statement((), lambda: _of_group(GroupMember.delete()).where(among(GroupMember.user, "ids")))
