"""Lookups among many: what identity providers ask for is found by an index, on both databases, and no filter that is
narrowed by one loses a match."""

import json
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from peewee import Select, Value

from idp_bridge import db, member_lifecycle, sign_in
from idp_bridge.models import DirectoryEmail, DirectoryUser, GroupMember, Member
from idp_bridge.provisioning import groups, json_sql, query, users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.records import Records
from idp_bridge.sign_in import Identity
from idp_bridge.text import fold as name_key
from scim.attributes import fold
from scim.filter import parse_filter
from scim.paging import Page
from scim.patch import parse_patch
from scim.schemas import STANDARD, USER_TYPE
from tests.provisioning import crowd

NUMBER = 3000

LATER = "2040-01-01T00:00:00Z"
USERS = [
    'userName eq "u7@x.test"',
    'externalId eq "e7"',
    'id eq "{user}"',
    'emails eq "u7@x.test"',
    'emails.value eq "WORK7@x.test"',
    'emails[value eq "home7@x.test"]',
    'emails[type eq "work"].value eq "work7@x.test"',
    'emails[type eq "work" and value eq "nobody@x.test"]',
    'emails[value eq "work7@x.test" or value eq "work8@x.test"]',
    'emails[type eq "work"].value eq "work7@x.test" and active eq true',
    'active eq true and emails.value eq "work7@x.test" and displayName pr',
    'userName eq "u7@x.test" and active eq true',
    'externalId eq null and emails.value eq "work7@x.test"',
    'userName eq "u7@x.test" or externalId eq "e8"',
    'userName eq "u7@x.test" or emails.value eq "work9@x.test" or id eq "{user}"',
    '(userName eq "u7@x.test" or emails.value eq "work9@x.test") and active eq true',
    'groups.value eq "{group}"',
    'groups[value eq "{group}"]',
    'groups.value eq "{group}" and userName eq "u7@x.test"',
    f'meta.lastModified gt "{LATER}"',
    f'meta.lastModified ge "{LATER}"',
    f'meta.lastModified gt "{LATER}" and active eq true',
]
GROUPS = [
    'displayName eq "G7"',
    'externalId eq "e7"',
    'id eq "{group}"',
    'members eq "{user}"',
    'members.value eq "{user}"',
    'members[value eq "{user}"]',
    'id eq "{group}" and members eq "{user}"',
    'id eq "{group}" and members[value eq "{user}"]',
    'displayName eq "g7" or externalId eq "e8"',
    f'meta.lastModified gt "{LATER}"',
]


def _steps(sql: str, parameters: Any) -> Iterator[str]:
    """What of a statement's plan reads more than the few rows that are looked for."""
    if db.database.for_update:
        ((plan,),) = db.database.execute_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters)
        nodes = [json.loads(plan)[0]["Plan"]]
        while nodes:
            node = nodes.pop()
            nodes += node.get("Plans", ())
            seen = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
            if seen > 100:
                yield f"{node['Node Type']}: {seen} rows"
        return
    for *_, step in db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", parameters):
        # A virtual table is the entries of one document; a provider's id alone leads to all of its directory.
        # What is found already, the groups of one user, is put together.
        scan = step.startswith("SCAN") and "VIRTUAL" not in step and step != "SCAN found"
        if scan or step.endswith("(identity_provider_id=?)"):
            yield step


def _reads_much(directory: Directory, records: Records, text: str, page: Page) -> list[str]:
    """The steps of a list that read much."""
    with _queries() as sent:
        records.find(directory, parse_filter(text, records.of_type(STANDARD)), page)
    return [step for sql, parameters in sent for step in _steps(sql, parameters)]


@contextmanager
def _queries() -> Iterator[list[tuple[str, Any]]]:
    """The statements sent meanwhile, with their parameters."""
    sent: list[tuple[str, Any]] = []

    def hook(event: Any) -> None:
        sent.append((event.sql, event.params))

    db.database.obj.query_hooks.append(hook)
    try:
        yield sent
    finally:
        db.database.obj.query_hooks.remove(hook)


def test_lookup_uses_an_index(directory: Directory) -> None:
    """Neither the first page of what is looked up nor a later one reads the directory, found or not; and the test would
    notice if it did."""
    user = crowd.fill(directory, NUMBER)[5]
    names = {"user": user, "group": GroupMember.get(GroupMember.user == user).group_id}
    for records, texts in ((users.RECORDS, USERS), (groups.RECORDS, GROUPS)):
        for text in texts:
            for page in (Page(), Page(3, 10)):
                assert _reads_much(directory, records, text.format(**names), page) == [], text
    for text in ('displayName eq "User 7"', 'emails.value co "work7"', 'not (userName eq "u7@x.test")'):
        assert _reads_much(directory, users.RECORDS, text, Page()), text


@pytest.mark.parametrize("analyzed", [True, False], ids=["with statistics", "without"])
def test_a_sign_in_finds_who_it_is_by_indexes(directory: Directory, analyzed: bool) -> None:
    """By externalId, link, userName and addresses; also before PostgreSQL knows how large the directory is."""
    crowd.fill(directory, NUMBER, analyzed=analyzed)
    identity = Identity(name_id="work7@x.test", name_id_format="", email="home8@x.test")
    with _queries() as sent:
        sign_in.identify(directory.account, directory.identity_provider, identity)
    assert len(sent) > 3, "every search was asked"
    assert [step for sql, parameters in sent for step in _steps(sql, parameters)] == []


# --- nothing is lost --------------------------------------------------------------------------------------------

# Spellings that some folding takes for one another, and letters that only look alike.
LOCALS = ["k", "K", "\u212a", "s", "\u017f", "ss", "\u00df", "\u1e9e", "i", "I", "\u0130", "I\u0307", "\u0131"]
LOCALS += ["\u00e9", "e\u0301", "\u00c9", "\u03c3", "\u03c2", "\u03a3", "\u00b5", "\u03bc", "\ufb01", "fi", "\u1fb3"]
ADDRESSES = [f"{local}@x.test" for local in LOCALS] + ["x" * 1900 + "@x.test", "x" * 1900 + "@X.test", "x" * 1899]


def _narrowed_and_not(directory: Directory, text: str) -> tuple[list[str], list[str]]:
    filter_ = parse_filter(text, USER_TYPE)
    rows, _ = users.RECORDS.find(directory, filter_, Page(1, 1000))
    everybody = DirectoryUser.select(DirectoryUser.id).where(users.RECORDS.live(directory.id))
    matching = everybody.where(query.condition(filter_, USER_TYPE)).order_by(DirectoryUser.id)
    return [row.id for row in rows], db.column(matching)


def test_narrowing_loses_nobody(directory: Directory) -> None:
    """Whoever matches by the condition on her document is found, however her address or userName is spelled."""
    with db.transaction():
        for n, address in enumerate(ADDRESSES):
            users.create(
                directory, {"userName": f"u{n}", "emails": [{"value": address, "type": "work"}, {"type": "x"}]}
            )
        for address in {name_key(local): local for local in LOCALS}.values():
            users.create(directory, {"userName": f"n-{address}", "emails": [{"value": f"n-{address}"}]})
    for address in [*ADDRESSES, *(f"n-{local}" for local in LOCALS)]:
        for text in (
            'emails.value eq "{}"',
            'emails[type eq "work"].value eq "{}"',
            'emails eq "{}" or userName eq "{}"',
        ):
            if len(address) < 1500:
                narrowed, matching = _narrowed_and_not(directory, text.format(address, address))
                assert narrowed == matching, (text, address)


def test_lookup_follows_each_change_of_an_address(directory: Directory) -> None:
    """Added, spelled otherwise, taken by a userName, given up by it, removed; gone with the user, and back with her."""
    asked = 'emails.value eq "ann@x.test"'

    def changed(*operations: dict[str, Any]) -> bool:
        with db.transaction():
            users.patch(directory, ann.id, parse_patch({"Operations": list(operations)}, USER_TYPE))
        narrowed, matching = _narrowed_and_not(directory, asked)
        assert narrowed == matching
        return narrowed == [ann.id]

    with db.transaction():
        ann = users.create(directory, {"userName": "ann"}).row
    work, home = {"value": "Ann@x.test", "type": "work"}, {"value": "ann@x.test", "type": "home"}
    assert changed({"op": "add", "path": "emails", "value": [work]})
    assert changed({"op": "add", "path": "emails", "value": [home]})
    assert changed({"op": "remove", "path": 'emails[type eq "work"]'})
    assert changed({"op": "replace", "path": "userName", "value": "ANN@x.test"})
    assert DirectoryEmail.select().count() == 0, "the index of userNames leads to her"
    assert changed({"op": "replace", "path": "userName", "value": "ann"})
    assert not changed({"op": "replace", "path": "emails", "value": [{"value": "bo@x.test"}]})
    assert changed({"op": "replace", "path": "emails", "value": [home]})
    with db.transaction():
        users.delete(directory, ann.id)
    assert _narrowed_and_not(directory, asked) == ([], [])
    with db.transaction():
        member_lifecycle.restore(directory.actor, Member.get_by_id(ann.member_id))
    assert _narrowed_and_not(directory, asked) == ([ann.id], [ann.id])


def test_an_address_of_two_users_finds_both(directory: Directory, second: Directory) -> None:
    """``emails`` is not unique (RFC 7643 §4.1.2); another directory's users are never found."""
    with db.transaction():
        found = [
            users.create(directory, {"userName": name, "emails": [{"value": "shared@x.test"}]}).row.id
            for name in ("shared@x.test", "other")
        ]
        users.create(second, {"userName": "third", "active": False, "emails": [{"value": "third@x.test"}]})
    assert _narrowed_and_not(directory, 'emails eq "SHARED@x.test"') == (found, found)
    assert _narrowed_and_not(directory, 'emails eq "third@x.test"') == ([], [])


def test_no_comparison_is_coarser_than_a_key(database: None) -> None:
    """What a database takes for equal has one key, letter by letter: else a lookup could lose it."""
    letters = [chr(code) for code in range(1, 0x110000) if unicodedata.category(chr(code)) not in ("Cs", "Cn")]
    odd = [letter for letter in letters if fold(letter) != letter or letter.lower() != letter]
    sql = json_sql.functions()
    source, letter = sql.texts(Value(json.dumps(odd), converter=False))
    pairs = Select([source], [letter, sql.folded(letter)]).bind(db.database.obj).tuples()
    assert len(odd) > 2000
    assert [given for given, folded in pairs if fold(folded) != fold(given)] == []
