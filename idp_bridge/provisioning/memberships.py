"""Which users are in which groups of a directory. A group's members are written as differences and never loaded to
change a few of them; roles by groups are joined on reading, so a row here is all that a change of role takes."""

import json
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import SQL, Select, fn

from idp_bridge import groups
from idp_bridge.db import database, locked
from idp_bridge.models import DirectoryGroup, DirectoryUser, GroupMember
from idp_bridge.provisioning import json_sql
from idp_bridge.provisioning.directory import Directory
from idp_bridge.statement import Statement, among, parameter
from scim.errors import InvalidValue
from scim.patch import MemberDelta
from scim.resource import nested_group

Entry = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """The ids of the users who came and went: only those for whom something really changed."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


def groups_of_user() -> Any:
    """The ``groups`` attribute of a user in a SELECT of users, as the text of a JSON array."""
    json = json_sql.functions()
    reference = parameter("groups").concat(DirectoryGroup.id)
    group = {"value": DirectoryGroup.id, "$ref": reference, "display": DirectoryGroup.display_name, "type": "direct"}
    rows: Any = GroupMember.select(json.object(group).alias("listed")).join(DirectoryGroup)
    return json.array(rows.where(GroupMember.user == DirectoryUser.id).order_by(GroupMember.id), "listed")


def members_of_group() -> Any:
    """The ``members`` attribute of a group in a SELECT of groups, each member as sent, as the text of a JSON array."""
    json = json_sql.functions()
    member = fn.COALESCE(json.document(GroupMember.sent), json.object({"value": GroupMember.user}))
    rows = GroupMember.select(member.alias("listed")).where(GroupMember.group == DirectoryGroup.id)
    return json.array(rows.order_by(GroupMember.id), "listed")


def change(directory: Directory, group: DirectoryGroup, delta: MemberDelta) -> Change:
    """Bring the group's members in line with the delta. The caller holds the group's row.

    Raises InvalidValue naming ids that are no users of this directory, Conflict where the account would lose its last
    administrator.
    """
    named = delta.add.keys() | delta.remove
    if delta.add and not delta.replace:
        users, present = _users(directory, group, named)
    else:
        present = _members(group) if delta.replace else _members_among(group, named)
        users, _ = _users(directory, group, delta.add.keys() - present)
    added = [user_id for user_id in delta.add if user_id not in present]
    removed = sorted(present - delta.add.keys() if delta.replace else present & delta.remove)
    _check_known(added, users)
    _insert(group, [delta.add[user_id] for user_id in added])
    if removed and groups.gives_admin(group.id):
        with groups.keeping_an_administrator(directory.account):
            _delete(group, removed)
    else:
        _delete(group, removed)
    return Change(tuple(added), tuple(removed))


def hold_groups_of(directory: Directory, user_id: str) -> None:
    """Nobody else's to change until the transaction ends: the groups that a user is in. Before her record is locked,
    because a change of a group takes the group first and then its users."""
    if database.for_update:
        _HOLD.rows(directory=directory.id, user=user_id)


def touch_groups_of(user_id: str, now: datetime) -> list[DirectoryGroup]:
    """The groups that a user is in become new versions, since she is about to leave them all; which they are."""
    return [group for (group,) in _TOUCH.instances(user=user_id, now=now)]


def members_of(group: DirectoryGroup) -> tuple[str, ...]:
    """The ids of all its users."""
    return tuple(sorted(_members(group)))


def leave_all(user_id: str) -> None:
    """Out of every group."""
    _LEAVE.run(user=user_id)


def _members(group: DirectoryGroup) -> set[str]:
    return {user_id for (user_id,) in _ALL.rows(group=group.id)}


def _members_among(group: DirectoryGroup, user_ids: Iterable[str]) -> set[str]:
    return {user_id for (user_id,) in _AMONG.rows(group=group.id, ids=user_ids)}


def _users(directory: Directory, group: DirectoryGroup, ids: Iterable[str]) -> tuple[set[str], set[str]]:
    """Which ids are live users of this directory, and stay so until the transaction ends, and which of them are members
    already."""
    asked = list(ids)
    found = _USERS.rows(directory=directory.id, group=group.id, ids=asked) if asked else []
    live = [(user_id, is_member) for user_id, deleted_at, is_member in found if deleted_at is None]
    return {user_id for user_id, _ in live}, {user_id for user_id, is_member in live if is_member}


def _check_known(user_ids: Sequence[str], known: Set[str]) -> None:
    unknown = [user_id for user_id in user_ids if user_id not in known]
    if groups_among := [id for id in unknown if id.startswith("grp_")]:
        raise nested_group(groups_among[0])
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise InvalidValue(
            f"members: no user of this directory has the id {', '.join(map(_shown, unknown[:3]))}{more}."
        )


def _shown(id: str) -> str:
    return id if len(id) <= 64 else f"{id[:64]}…"


def _insert(group: DirectoryGroup, members: Sequence[Entry]) -> None:
    if members:
        pairs = [(member["value"], member if len(member) > 1 else None) for member in members]
        _INSERT.run(group=group.id, pairs=json.dumps(pairs, ensure_ascii=False))


def _delete(group: DirectoryGroup, user_ids: Sequence[str]) -> None:
    if user_ids:
        _DELETE.run(group=group.id, ids=user_ids)


def _of_group(query: Any) -> Any:
    return query.where(GroupMember.group == parameter("group"))


def _users_among() -> Any:
    is_member = GroupMember.select(SQL("1")).where(
        GroupMember.group == parameter("group"), GroupMember.user == DirectoryUser.id
    )
    # Whether one is deleted is read and not asked: see Records._found. And the directory is compared in a form that no
    # index has: SQLite would rather read all of it than look for a few ids.
    of_directory = DirectoryUser.identity_provider.concat(SQL("''"))
    query: Any = DirectoryUser.select(DirectoryUser.id, DirectoryUser.deleted_at, fn.EXISTS(is_member)).where(
        of_directory == parameter("directory"), among(DirectoryUser.id, "ids")
    )
    # A share lock: a DELETE of one of them waits for us, and we for it, but two groups do not wait for each other.
    return query.for_update("FOR SHARE") if database.for_update else query


def _insertion() -> Any:
    source, user_id, sent = json_sql.functions().pairs(parameter("pairs"))
    rows = Select([source], [parameter("group"), user_id, sent])
    return GroupMember.insert_from(rows, [GroupMember.group, GroupMember.user, GroupMember.sent]).on_conflict_ignore()


_ALL = Statement((GroupMember.user,), lambda: _of_group(GroupMember.select(GroupMember.user)))
_AMONG = Statement(
    (GroupMember.user,),
    lambda: _of_group(GroupMember.select(GroupMember.user)).where(among(GroupMember.user, "ids")),
)
_USERS = Statement((DirectoryUser.id, DirectoryUser.deleted_at, SQL("")), _users_among)
_INSERT = Statement((), _insertion)
_LEAVE = Statement((), lambda: GroupMember.delete().where(GroupMember.user == parameter("user")))
_HOLD = Statement(
    (DirectoryGroup.id,),
    lambda: locked(
        DirectoryGroup.select(DirectoryGroup.id)
        .where(
            DirectoryGroup.identity_provider == parameter("directory"),
            DirectoryGroup.id.in_(GroupMember.select(GroupMember.group).where(GroupMember.user == parameter("user"))),
        )
        .order_by(DirectoryGroup.id)
    ),
)
_TOUCH: Statement = Statement(
    (
        DirectoryGroup.id,
        DirectoryGroup.identity_provider,
        DirectoryGroup.display_name,
        DirectoryGroup.external_id,
    ),
    lambda: (
        DirectoryGroup.update(
            version=DirectoryGroup.version + 1, modified_at=parameter("now", DirectoryGroup.modified_at)
        )
        .where(
            DirectoryGroup.id.in_(GroupMember.select(GroupMember.group).where(GroupMember.user == parameter("user")))
        )
        .returning(*_TOUCH.columns)
    ),
)
_DELETE = Statement((), lambda: _of_group(GroupMember.delete()).where(among(GroupMember.user, "ids")))
