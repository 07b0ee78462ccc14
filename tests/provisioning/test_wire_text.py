"""The spliced text of a record and the form made of dicts are one answer; the tag says what is shown."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idp_bridge import db
from idp_bridge.errors import Conflict
from idp_bridge.provisioning import groups, users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.records import Records
from idp_bridge.provisioning.wire_text import list_text
from scim.errors import ScimError, Uniqueness
from scim.meta import etag, meta_block
from scim.paging import Page, list_response
from scim.patch import parse_patch
from scim.projection import Projection
from scim.resource import parse, render
from scim.schemas import ENTERPRISE_URN, GROUP_TYPE, USER_TYPE

FIXTURES = Path(__file__).parents[2] / "fixtures" / "scim"

#: What a naive splice would stumble over: URNs, quotes and brackets inside of values.
AWKWARD: list[dict[str, Any]] = [
    {"userName": f'"{ENTERPRISE_URN}":{{"a":1}}'},
    {"userName": "b", "displayName": ENTERPRISE_URN, "title": f'\\"{ENTERPRISE_URN}\\":'},
    {"userName": "c", ENTERPRISE_URN: {"department": '","groups":[]', "manager": {"value": "}"}}},
    {"userName": "d", "name": {"formatted": "Ünï\u2028 \U0001f600 \t"}, "emails": [{"value": "d@x.test"}]},
]


def _sent_by_providers() -> Iterator[dict[str, Any]]:
    """Every user in the fixtures that is not one to be refused."""

    def inside(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, list):
            for entry in value:
                yield from inside(entry)
        elif isinstance(value, dict):
            if "userName" in value and "schemas" in value:
                with suppress(ScimError):
                    yield parse(USER_TYPE, value)
            for entry in value.values():
                yield from inside(entry)

    for path in sorted(FIXTURES.glob("*/*.json")):
        yield from inside(json.loads(path.read_text()))


def _made_of_dicts(records: Records, directory: Directory, row: Any, listed: list[Any] | None, tag: str) -> Any:
    resource_type = records.of_type(directory.catalogue)
    times = {"created": row.created_at, "last_modified": row.modified_at}
    meta = {**meta_block(resource_type, row.id, **times, version=row.version, base=directory.base_url), "version": tag}
    resource = {**row.resource, records.lists: listed} if listed else row.resource
    return render(resource_type, resource, id=row.id, meta=meta)


def _create(directory: Directory, body: dict[str, Any]) -> Any:
    with db.transaction():
        return users.create(directory, parse(USER_TYPE, body)).row


def _check(records: Records, directory: Directory, id: str, listed: list[Any] | None = None) -> str:
    """All three ways to a wire form agree: by id, in a list, and of dicts; the tag."""
    row = records.get(directory, id)
    one = records.show(directory, id, Projection())
    (listing,) = records.shown(directory, [row], Projection())
    expected = _made_of_dicts(records, directory, row, listed, one.etag)
    assert json.loads(one.text) == json.loads(listing.text) == expected
    assert list(json.loads(one.text)) == list(expected)
    assert one.etag == listing.etag
    return one.etag


def test_users_that_providers_send_are_spliced_as_rendered(directory: Directory) -> None:
    """On the database's own text, whatever it makes of what was stored."""
    seen: set[str] = set()
    for body in [*AWKWARD, *_sent_by_providers()]:
        with suppress(Uniqueness, Conflict):  # one of them again, or her address
            _check(users.RECORDS, directory, _create(directory, body).id)
            seen.add(body["userName"])
    assert len(seen) > 10


_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
_EXTENSION = st.fixed_dictionaries({}, optional=dict.fromkeys(("department", "division"), _TEXT))
_BODIES = st.fixed_dictionaries(
    {},
    optional={
        "displayName": _TEXT,
        "title": st.sampled_from([f'"{ENTERPRISE_URN}":', '"}', "\\", '","meta":{}']),
        "emails": st.lists(st.fixed_dictionaries({"value": _TEXT}), max_size=2),
        ENTERPRISE_URN: _EXTENSION,
    },
)


def test_random_users_are_spliced_as_rendered(directory: Directory) -> None:
    """A change of one record, again and again, stored and answered."""
    id = _create(directory, {"userName": "anybody"}).id

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(_BODIES)
    def check(body: dict[str, Any]) -> None:
        with db.transaction():
            row = users.replace(directory, id, parse(USER_TYPE, {"userName": "anybody", **body})).row
        (fresh,) = users.RECORDS.shown(directory, [row], Projection())
        assert json.loads(fresh.text) == json.loads(users.RECORDS.show(directory, id, Projection()).text)
        _check(users.RECORDS, directory, id)

    check()


def test_a_list_is_spliced_in_the_order_it_was_made(directory: Directory) -> None:
    """Members as they were sent, groups with what a client may need of them."""
    people = [_create(directory, {"userName": name}).id for name in "abc"]
    sent = [{"value": people[2], "display": 'C "c"', "type": "User"}, {"value": people[0]}]
    with db.transaction():
        made = [
            groups.create(directory, parse(GROUP_TYPE, {"displayName": name, "members": sent})).row.id
            for name in ('say "é"', "second")
        ]
    _check(groups.RECORDS, directory, made[0], sent)
    shown = [
        {"value": id, "$ref": f"{directory.base_url}/Groups/{id}", "display": name, "type": "direct"}
        for id, name in zip(made, ['say "é"', "second"], strict=True)
    ]
    _check(users.RECORDS, directory, people[0], shown)
    _check(users.RECORDS, directory, people[1])


@pytest.mark.parametrize("asked", [{"excluded": ("groups",)}, {"attributes": ("title",)}, {"excluded": ("title",)}])
def test_the_tag_counts_the_groups_only_where_they_are_shown(directory: Directory, asked: dict[str, Any]) -> None:
    """And ``meta.version`` repeats the tag, in a projection too."""
    row = _create(directory, {"userName": "a", "title": "x"})
    with db.transaction():
        groups.create(directory, parse(GROUP_TYPE, {"displayName": "g", "members": [{"value": row.id}]}))
    whole = users.RECORDS.show(directory, row.id, Projection())
    part = users.RECORDS.show(directory, row.id, Projection(**asked))
    showing = asked == {"excluded": ("title",)}
    assert part.etag == (whole.etag if showing else etag(1))
    assert whole.etag.startswith('W/"1-')
    assert json.loads(part.text).get("meta", {}).get("version", part.etag) == part.etag


def test_the_tag_changes_with_the_groups_shown(directory: Directory) -> None:
    """Joining, a group's new name and leaving are each another representation of the same version of the user."""
    user = _create(directory, {"userName": "a"})
    tags = [_tag(directory, user.id)]
    with db.transaction():
        group = groups.create(directory, parse(GROUP_TYPE, {"displayName": "g", "members": [{"value": user.id}]})).row
    tags.append(_tag(directory, user.id))
    for change in (
        {"op": "replace", "path": "displayName", "value": "h"},
        {"op": "remove", "path": f'members[value eq "{user.id}"]'},
    ):
        operations = parse_patch({"schemas": [], "Operations": [change]}, GROUP_TYPE)
        with db.transaction():
            groups.patch(directory, group.id, operations)
        tags.append(_tag(directory, user.id))
    assert len(set(tags[:3])) == 3
    assert tags[3] == tags[0] == etag(1)


def _tag(directory: Directory, id: str) -> str:
    return users.RECORDS.show(directory, id, Projection()).etag


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_list_response_holds_the_texts(number: int) -> None:
    """As ``scim.paging`` makes it of dicts."""
    resources = [{"id": str(n), "Resources": []} for n in range(number)]
    page = Page(2, 3)
    made = list_text([db.encode(resource) for resource in resources], total=9, page=page)
    assert json.loads(made) == list_response(resources, total=9, page=page)
    assert list(json.loads(made)) == list(list_response(resources, total=9, page=page))
