"""The third answer to a filter: that of the database, where the resource lies as requests have put it there."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from idp_bridge import db
from idp_bridge.provisioning import groups, users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.records import Kind
from scim.errors import ScimError
from scim.filter import matches, parse_filter
from scim.meta import meta_block
from scim.paging import Page
from scim.resource import parse, render
from tests.fuzz import agreement, known
from tests.fuzz.exploring import Case
from tests.fuzz.resources import CATALOGUE, MEMBERS


class _Undone(Exception):
    """Ends the transaction of a case, and all that was in it."""


@dataclass(frozen=True)
class Stored:
    """A check: a resource is found by a filter if it matches it, and only then; also after it has been another one.

    `ids` are what stands for texts of the case between quotes.
    """

    kind: Kind
    directory: Directory
    before: Mapping[str, Any]
    ids: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, case: Case) -> str | None:
        """The complaint about a case, which is gone from the database afterwards."""
        complaint = None
        with suppress(_Undone), db.transaction():
            complaint = self._complaint(case)
            raise _Undone
        return complaint

    def _complaint(self, case: Case) -> str | None:
        kind = self.kind.type(self.directory)
        try:
            tree = parse_filter(self._told(case.question), kind)
        except ScimError:
            return None
        row = self.kind.store.create(self.directory, dict(self.before)).row
        row = self.kind.store.replace(self.directory, row.id, parse(kind, self._named(case.body))).row
        meta = meta_block(
            kind, row.id, created=row.created_at, last_modified=row.modified_at, version=row.version, base=""
        )
        lists = {"members": self._named(case.body).get("members", [])} if self.kind is groups.KIND else {}
        resource = render(kind, {**row.resource, **parse(kind, {**row.resource, **lists})}, id=row.id, meta=meta)

        def found(filter_: Any) -> bool:
            return bool(self.kind.records.find(self.directory, filter_, Page())[1])

        if found(tree) == matches(tree, resource):
            return None
        return agreement.aside(known.DATABASE, tree, resource, found)

    def _told(self, text: str) -> str:
        for name, id in self.ids.items():
            text = text.replace(f'"{name}"', f'"{id}"')
        return text

    def _named(self, body: dict[str, Any]) -> dict[str, Any]:
        members = [{**member, "value": self.ids.get(member.get("value"))} for member in body.get("members", ())]
        return {**body, "members": members} if members else body


def of_users(directory: Directory) -> Stored:
    """The check over users, with an attribute of every type."""
    before = {"userName": "before", "externalId": "a", "title": "a", "emails": [{"value": "a", "type": "work"}]}
    return Stored(users.KIND, replace(directory, catalogue=CATALOGUE), before)


def of_groups(directory: Directory) -> Stored:
    """The check over groups, whose members are rows of another table."""
    with db.transaction():
        people = (*MEMBERS, "former")
        ids = {name: users.create(directory, {"userName": f"member {n}"}).row.id for n, name in enumerate(people)}
    before = {"displayName": "before", "members": [{"value": ids.pop("former"), "display": "a"}]}
    return Stored(groups.KIND, directory, before, ids)
