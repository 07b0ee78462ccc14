"""Schema extensions: what an account's own attributes mean to its records, on both databases."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from idp_bridge import db, extension_rules, schema_extensions
from idp_bridge.errors import Code, Conflict, Invalid, NotFound
from idp_bridge.models import Account, DirectoryGroup, DirectoryUser, Event, SchemaExtension
from idp_bridge.provisioning import groups, users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.records import Kind
from scim import errors
from scim.attributes import Attribute
from scim.filter import matches, parse_filter
from scim.paging import Page
from scim.schemas import STANDARD

URN = "urn:acme:scim:2.0:User"
OWN = (
    Attribute("code"),
    Attribute("exact", case_exact=True),
    Attribute("badge", "integer"),
    Attribute("rate", "decimal"),
    Attribute("since", "dateTime"),
    Attribute("remote", "boolean"),
    Attribute("cert", "binary", case_exact=True),
    Attribute("page", "reference", case_exact=True, reference_types=("external",)),
    Attribute("tags", multi_valued=True),
    Attribute("floors", "integer", multi_valued=True),
    Attribute("leaves", "dateTime", multi_valued=True),
    Attribute("car", "complex", sub_attributes=(Attribute("plate"), Attribute("doors", "integer"))),
    Attribute(
        "desks", "complex", multi_valued=True, sub_attributes=(Attribute("value"), Attribute("height", "decimal"))
    ),
)
PEOPLE: list[dict[str, Any]] = [
    {
        "code": "Alpha",
        "exact": "Alpha",
        "badge": 9,
        "rate": 0.1,
        "since": "2020-01-01T00:00:00+02:00",
        "remote": True,
        "cert": "QUJD",
        "page": "https://x.test/A",
        "tags": ["Red", "green"],
        "floors": [1, 20],
        "leaves": ["2021-06-01T00:00:00Z", "2021-07-01T12:00:00.5-05:00"],
        "car": {"plate": "HH-1", "doors": 4},
        "desks": [{"value": "a", "height": 10.5}, {"value": "b", "height": 9}],
    },
    {"code": "alpha", "badge": 10, "rate": 10, "since": "2019-12-31T22:00:00", "remote": False, "tags": ["blue"]},
    {"badge": -3, "rate": -2.5, "since": "2019-12-31T22:00:00.000001Z", "floors": [3], "car": {"doors": 10}},
    {"badge": 2**63 - 1, "rate": 1e15, "desks": [{"value": "c"}]},
    {},
]
FILTERS = [
    f"{URN}:{term}"
    for term in (
        'code eq "ALPHA"',
        'code ne "alpha"',
        "code pr",
        'exact eq "alpha"',
        'exact eq "Alpha"',
        "badge eq 9",
        "badge ne 9",
        "badge gt 9",
        "badge ge 9",
        "badge lt 10",
        "badge le -3",
        "badge eq null",
        "badge eq 9.0",
        "badge gt 1e30",
        "badge lt 99999999999999999999999999",
        f"badge eq {2**63 - 1}",
        "rate eq 0.1",
        "rate gt 9.99",
        "rate lt 0",
        "rate ge 1e15",
        'since eq "2019-12-31T22:00:00Z"',
        'since eq "2020-01-01T03:00:00+05:00"',
        'since gt "2019-12-31T22:00:00Z"',
        'since le "2019-12-31T22:00:00.000001"',
        'since ne "2019-12-31T22:00:00Z"',
        "remote eq true",
        'remote eq "False"',
        "remote ne true",
        'cert eq "QUJD"',
        'cert eq "qujd"',
        'page co "/a"',
        'page ew "/A"',
        'tags eq "RED"',
        'tags sw "gr"',
        'tags ne "blue"',
        "tags pr",
        "floors eq 20",
        "floors gt 2",
        "floors ne 3",
        'leaves lt "2021-06-01T00:00:01Z"',
        'leaves eq "2021-07-01T17:00:00.5Z"',
        'car.plate eq "hh-1"',
        "car.doors gt 4",
        "car[doors gt 3 and plate pr]",
        "car pr",
        'desks[value eq "b" and height lt 10]',
        'desks[value eq "b" and height gt 10]',
        "desks.height ge 10.5",
        'desks eq "C"',
    )
] + [f"{URN} pr", f'schemas eq "{URN}"', f"{URN}[badge gt 0 and remote eq true]"]


def extend(directory: Directory, *attributes: Attribute, urn: str = URN, kind: str = "User") -> SchemaExtension:
    """A new extension of the directory's account."""
    with db.transaction():
        return schema_extensions.create(
            directory.actor, urn=urn, name="Acme", resource_type=kind, attributes=attributes or OWN
        )


def reread(directory: Directory) -> Directory:
    """The directory as the next request opens it."""
    account = Account.get_by_id(directory.account.id)
    return replace(directory, account=account, catalogue=schema_extensions.catalogue(account))


def push(directory: Directory, name: str, own: dict[str, Any], kind: Kind = users.KIND, urn: str = URN) -> Any:
    """The row of a record with values of the extension."""
    key = "userName" if kind is users.KIND else "displayName"
    with db.transaction():
        return kind.creation(directory, {key: name, **({urn: own} if own else {})})().row


def stored(row: Any) -> Any:
    """What a record holds now of the extension; None where it holds nothing."""
    return type(row).get_by_id(row.id).resource.get(URN)


@pytest.fixture
def extended(directory: Directory) -> Directory:
    """A directory whose account has every type of attribute, and people with all kinds of values."""
    extend(directory)
    opened = reread(directory)
    for number, own in enumerate(PEOPLE):
        push(opened, f"person-{number}", own)
    return opened


# --- filters ----------------------------------------------------------------------------------------------------


def _found(directory: Directory, text: str) -> list[str]:
    filter_ = parse_filter(text, directory.catalogue.user)
    return [row.user_name for row in users.RECORDS.find(directory, filter_, Page(1, 1000))[0]]


def _expected(directory: Directory, text: str) -> list[str]:
    filter_ = parse_filter(text, directory.catalogue.user)
    rows, _ = users.RECORDS.find(directory, None, Page(1, 1000))
    schemas = [[STANDARD.user.schema.id, *([URN] if URN in row.resource else [])] for row in rows]
    shown = [{**row.resource, "schemas": named} for row, named in zip(rows, schemas, strict=True)]
    return [resource["userName"] for resource in shown if matches(filter_, resource)]


def test_each_filter_by_own_attributes_finds_what_matches(extended: Directory) -> None:
    """Numbers compare as numbers, dateTimes as instants, strings by their case rule, lists by each value."""
    for text in FILTERS:
        assert _found(extended, text) == _expected(extended, text), text
    assert _found(extended, f"{URN}:badge gt 9") == ["person-1", "person-3"]
    assert _found(extended, f'{URN}:since eq "2019-12-31T22:00:00Z"') == ["person-0", "person-1"]
    assert _found(extended, f'{URN}:tags eq "RED"') == ["person-0"]


def test_combined_filters_by_own_attributes_find_what_matches(extended: Directory) -> None:
    """A hundred combinations by and, or and not."""
    dice = random.Random(7643)
    for _ in range(100):
        terms = [f"({dice.choice(FILTERS)})" for _ in range(3)]
        text = f" {dice.choice(('and', 'or'))} ".join(f"not {t}" if dice.random() < 0.4 else t for t in terms)
        assert _found(extended, text) == _expected(extended, text), text


@pytest.mark.parametrize("text", [f'{URN}:badge co "9"', f"{URN}:remote gt true", f"{URN}:nosuch pr", "badge gt 9"])
def test_a_filter_that_does_not_fit_is_refused(extended: Directory, text: str) -> None:
    """Never a wider result; and an own attribute is nobody without its URN."""
    with pytest.raises(errors.InvalidFilter):
        _found(extended, text)


def test_every_value_is_kept_as_it_was_sent(extended: Directory) -> None:
    """Whatever its type: providers compare for equality."""
    rows, _ = users.RECORDS.find(extended, None, Page(1, 1000))
    assert [row.resource.get(URN, {}) for row in rows] == PEOPLE


# --- catalogues -------------------------------------------------------------------------------------------------


def test_an_account_without_extensions_asks_for_none(directory: Directory, statements: Callable[[], Any]) -> None:
    """The version comes with the token; 0 is the standard, without a statement."""
    with statements() as sent:
        assert schema_extensions.catalogue(directory.account) is STANDARD
    assert sent == []


def test_a_catalogue_is_read_once_for_each_version(directory: Directory, statements: Callable[[], Any]) -> None:
    """A change makes a new version, which is right from the next request on; the old one is not asked for again."""
    row = extend(directory, Attribute("code"))
    first = reread(directory)
    with statements() as sent:
        assert schema_extensions.catalogue(first.account) is first.catalogue
    assert sent == []
    with db.transaction():
        schema_extensions.change(directory.actor, row, attributes=[*OWN])
    second = reread(directory)
    assert second.account.extensions_version == first.account.extensions_version + 1
    assert first.catalogue.user.resolve(f"{URN}:badge") is None
    assert second.catalogue.user.resolve(f"{URN}:badge") is not None


def test_a_change_that_is_undone_leaves_no_version_behind(directory: Directory) -> None:
    """The version is part of the transaction."""
    with db.transaction(), suppress(Conflict), db.savepoint():
        schema_extensions.create(
            directory.actor, urn=URN, name="Acme", resource_type="User", attributes=[Attribute("code")]
        )
        raise Conflict("The rest of the transaction fails.")
    assert reread(directory).account.extensions_version == 0
    assert list(schema_extensions.of_account(directory.account)) == []


def test_extensions_are_their_accounts_alone(directory: Directory, second: Directory, foreign: Directory) -> None:
    """Every directory of the account has them, no other account's does, not even by their id."""
    row = extend(directory, Attribute("code"))
    assert reread(second).catalogue.user.resolve(f"{URN}:code") is not None
    assert reread(foreign).catalogue is STANDARD
    assert schema_extensions.get(directory.account, row.id).urn == URN
    with pytest.raises(NotFound):
        schema_extensions.get(foreign.account, row.id)
    extend(foreign, Attribute("code"))


def test_a_write_that_was_read_by_an_older_catalogue_is_refused(directory: Directory) -> None:
    """Or it would leave values of what is not there any more."""
    row = extend(directory, Attribute("code"))
    opened = reread(directory)
    change = users.KIND.creation(opened, {"userName": "ann", URN: {"code": "x"}})
    with db.transaction():
        schema_extensions.delete(directory.actor, row)
    with pytest.raises(errors.Conflict, match="send this again"), db.transaction():
        change()
    assert DirectoryUser.select().count() == 0


def test_a_deletion_waits_for_the_writes_that_go_before_it(directory: Directory) -> None:
    """Whoever writes holds the schema: what she writes is counted, or she is refused, and never overlooked."""
    row = extend(directory, Attribute("code"))
    opened = reread(directory)
    refusals: list[Exception] = []

    def deleting() -> None:
        with db.connection():
            try:
                with db.transaction():
                    schema_extensions.delete(directory.actor, row)
            except Conflict as refusal:
                refusals.append(refusal)

    with db.transaction():
        users.KIND.creation(opened, {"userName": "ann", URN: {"code": "x"}})()
        thread = Thread(target=deleting)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join()
    assert "1 user holds values of code" in str(refusals[0])
    assert SchemaExtension.select().count() == 1


# --- changing ---------------------------------------------------------------------------------------------------


def test_what_no_record_holds_may_change_in_any_way(extended: Directory) -> None:
    """Words, further attributes and characteristics always; a type where there is no value."""
    (row,) = schema_extensions.of_account(extended.account)
    attributes = [Attribute.from_dict(document) for document in row.attributes]
    spare = Attribute("spare")
    with db.transaction():
        schema_extensions.change(extended.actor, row, name="New", description="Words", attributes=[*attributes, spare])
        schema_extensions.change(extended.actor, row, attributes=[*attributes, Attribute("spare", "integer")])
        described = [Attribute("code", returned="request", canonical_values=("a",), description="x"), *attributes[1:]]
        schema_extensions.change(extended.actor, row, attributes=described)
    row = schema_extensions.get(extended.account, row.id)
    assert (row.name, row.description, row.attributes[0]["returned"]) == ("New", "Words", "request")
    assert stored(DirectoryUser.get(DirectoryUser.user_name == "person-0")) == PEOPLE[0]


LOST = [
    ("code", lambda own: [a for a in own if a.name != "code"], "2 users hold values of code"),
    ("car", lambda own: [a for a in own if a.name != "car"], "2 users hold values of car"),
    ("cert", lambda own: [Attribute("cert", "integer") if a.name == "cert" else a for a in own], "1 user holds values"),
    ("code", lambda own: [Attribute("Code") if a.name == "code" else a for a in own], "values of code"),
    ("tags", lambda own: [Attribute("tags") if a.name == "tags" else a for a in own], "2 users hold values of tags"),
    (
        "car",
        lambda own: [_with_sub(a, Attribute("doors")) if a.name == "car" else a for a in own],
        r"2 users hold values of car\.doors",
    ),
    (
        "desks",
        lambda own: [_with_sub(a, Attribute("value")) if a.name == "desks" else a for a in own],
        r"1 user holds values of desks\.height",
    ),
]


def _with_sub(attribute: Attribute, sub: Attribute) -> Attribute:
    kept = tuple(other for other in attribute.sub_attributes if other.name not in (sub.name, "height"))
    return Attribute(attribute.name, "complex", multi_valued=attribute.multi_valued, sub_attributes=(*kept, sub))


@pytest.mark.parametrize(("name", "changed", "words"), LOST, ids=[str(n) for n in range(len(LOST))])
def test_an_attribute_that_records_hold_stays_unless_forced(
    extended: Directory, name: str, changed: Callable[[Any], list[Attribute]], words: str
) -> None:
    """409 with the number, and nothing changed; by force its values go, and those records are new versions."""
    (row,) = schema_extensions.of_account(extended.account)
    before = {user.id: (user.resource, user.version) for user in DirectoryUser.select()}
    with pytest.raises(Conflict, match=words), db.transaction():
        schema_extensions.change(extended.actor, row, attributes=changed(OWN))
    assert {user.id: (user.resource, user.version) for user in DirectoryUser.select()} == before
    row = schema_extensions.get(extended.account, row.id)
    with db.transaction():
        schema_extensions.change(extended.actor, row, attributes=changed(OWN), force=True)
    for user in DirectoryUser.select():
        resource, version = before[user.id]
        held = name in resource.get(URN, {}) and (name != "desks" or user.user_name == "person-0")
        rest = {key: value for key, value in resource.get(URN, {}).items() if not (key == name and held)}
        assert (user.resource.get(URN, {}), user.version) == (rest, version + held), user.user_name
    assert _found(reread(extended), f"{URN}:badge gt 9") == ["person-1", "person-3"]


def test_a_change_sees_what_another_has_changed_before(directory: Directory) -> None:
    """Two administrators read the same extension: who is second cannot take away what she never saw."""
    first, second = extend(directory, Attribute("code")), SchemaExtension.get()
    with db.transaction():
        schema_extensions.change(directory.actor, first, attributes=[Attribute("code"), Attribute("late")])
    push(reread(directory), "ann", {"late": "x"})
    with pytest.raises(Conflict, match="1 user holds values of late"), db.transaction():
        schema_extensions.change(directory.actor, second, attributes=[Attribute("code")])
    with db.transaction():
        schema_extensions.delete(directory.actor, SchemaExtension.get(), force=True)
    with pytest.raises(NotFound), db.transaction():
        schema_extensions.change(directory.actor, second, name="Gone")


def test_binaries_and_references_are_case_exact(directory: Directory) -> None:
    """RFC 7643 §2.3.6 and §2.3.7, whether it is said or not, and to say so is no change."""
    loose = [Attribute("cert", "binary"), Attribute("page", "reference", reference_types=("uri",)), Attribute("code")]
    row = extend(directory, *loose)
    assert [document["caseExact"] for document in row.attributes] == [True, True, False]
    version = reread(directory).account.extensions_version
    with db.transaction():
        schema_extensions.change(directory.actor, row, attributes=loose)
    assert reread(directory).account.extensions_version == version


def test_an_extension_in_use_is_deleted_by_force_alone(extended: Directory) -> None:
    """With every value, those of deleted records too, so that nothing comes back with an undone deletion."""
    (row,) = schema_extensions.of_account(extended.account)
    with db.transaction():
        users.delete(extended, DirectoryUser.get(DirectoryUser.user_name == "person-1").id)
    with pytest.raises(Conflict, match="3 users hold values of code"), db.transaction():
        schema_extensions.delete(extended.actor, row)
    assert SchemaExtension.select().count() == 1
    with db.transaction():
        schema_extensions.delete(extended.actor, row, force=True)
    assert [user.resource for user in DirectoryUser.select() if URN in user.resource] == []
    event = Event.select().order_by(Event.id.desc()).get()
    assert (event.type, event.object["values_removed_from"]) == ("schema_extension_deleted.v0", 3)
    assert reread(extended).catalogue.user.resolve(URN) is None


def test_what_stays_of_a_record_is_not_taken_with_the_rest(directory: Directory) -> None:
    """One change that loses an attribute of some and a part of one of others; and a hundred attributes at once."""
    car = Attribute("car", "complex", sub_attributes=(Attribute("plate"), Attribute("doors", "integer")))
    many = [Attribute(f"a{number}") for number in range(98)]
    row = extend(directory, Attribute("code"), car, *many)
    opened = reread(directory)
    ann = push(opened, "ann", {"code": "x", "car": {"plate": "P"}, "a97": "y"})
    bob = push(opened, "bob", {"car": {"plate": "P", "doors": 4}})
    lesser = Attribute("car", "complex", sub_attributes=(Attribute("plate"),))
    with db.transaction():
        schema_extensions.change(directory.actor, row, attributes=[lesser, *many], force=True)
    assert (stored(ann), stored(bob)) == ({"car": {"plate": "P"}, "a97": "y"}, None)
    with db.transaction():
        schema_extensions.delete(directory.actor, row, force=True)
    assert stored(ann) is None


def test_values_of_other_accounts_and_types_are_not_touched(directory: Directory, foreign: Directory) -> None:
    """The same URN elsewhere is another extension."""
    row = extend(directory, Attribute("code"), kind="Group")
    extend(foreign, Attribute("code"))
    group = push(reread(directory), "Crew", {"code": "x"}, groups.KIND)
    theirs = push(reread(foreign), "ann", {"code": "y"})
    with pytest.raises(Conflict, match="1 group holds values of code"), db.transaction():
        schema_extensions.delete(directory.actor, row)
    with db.transaction():
        schema_extensions.delete(directory.actor, row, force=True)
    assert (stored(group), stored(theirs)) == (None, {"code": "y"})
    assert DirectoryGroup.get_by_id(group.id).version == 2


def test_what_changes_nothing_is_no_change(directory: Directory) -> None:
    """No version, no event."""
    row = extend(directory, Attribute("code"))
    version = reread(directory).account.extensions_version
    with db.transaction():
        schema_extensions.change(directory.actor, row, name="Acme", attributes=[Attribute("code")])
    assert reread(directory).account.extensions_version == version
    assert Event.select().where(Event.type == "schema_extension_updated.v0").count() == 0


def test_changes_are_events_with_what_was_before(directory: Directory) -> None:
    """And by whom."""
    row = extend(directory, Attribute("code"))
    with db.transaction():
        schema_extensions.change(directory.actor, row, name="New")
        schema_extensions.delete(directory.actor, row)
    told = [event for event in Event.select().order_by(Event.id) if event.type.startswith("schema_extension")]
    assert [event.type.split("_")[2] for event in told] == ["created.v0", "updated.v0", "deleted.v0"]
    assert (told[1].object["before"], told[1].object["name"]) == ({"name": "Acme"}, "New")
    assert {event.object_id for event in told} == {row.id}


# --- rules ------------------------------------------------------------------------------------------------------


def test_an_account_has_ten_extensions_at_most(directory: Directory) -> None:
    """The eleventh is 409."""
    for number in range(schema_extensions.LARGEST):
        extend(directory, Attribute("code"), urn=f"urn:acme:ext{number}")
    with pytest.raises(Conflict, match="at most 10"):
        extend(directory, Attribute("code"), urn="urn:acme:more")


@pytest.mark.parametrize(
    ("urn", "code"),
    [
        (URN, Code.NAME_TAKEN),
        (URN.upper().replace("URN", "urn", 1), Code.NAME_TAKEN),
        (f"{URN}:more", Code.CONFLICT),
        (URN.removesuffix(":User"), Code.CONFLICT),
    ],
)
def test_a_urn_that_could_be_mistaken_for_another_is_refused(directory: Directory, urn: str, code: Code) -> None:
    """Case does not tell them apart, and none begins with another and a colon, where an attribute's name follows."""
    extend(directory, Attribute("code"))
    with pytest.raises(Conflict) as refusal:
        extend(directory, Attribute("code"), urn=urn)
    assert (refusal.value.code, list(refusal.value.fields)) == (code, ["urn"])
    extend(directory, Attribute("code"), urn=f"{URN}2")


@pytest.mark.parametrize(
    "urn",
    [
        "acme",
        "urn:acme",
        "urn:a:x",
        "urn:-a:x",
        "urn:acme:",
        "urn:acme:x:",
        "urn:acme:x y",
        'urn:acme:x"',
        "urn:acme:x[y]",
        f"urn:acme:{'x' * 247}",
        STANDARD.user.schema.id,
        STANDARD.user.extensions[0].id,
        f"{STANDARD.user.extensions[0].id}:more",
        "URN:IETF:params:scim:schemas:core:3.0:User",
        "urn:ietf:params:scim:api:messages:2.0:Own",
    ],
)
def test_what_is_no_urn_of_ones_own_is_refused(urn: str) -> None:
    """Nothing that a filter could not spell, and nothing of the standard's."""
    with pytest.raises(Invalid) as refusal:
        extension_rules.check_urn(urn)
    assert list(refusal.value.fields) == ["urn"]


ENTRA = "urn:ietf:params:scim:schemas:extension:acme:2.0:User"


@pytest.mark.parametrize("urn", ["urn:acme:x", "URN:Acme-Inc:1", ENTRA])
def test_urns_of_ones_own_are_taken(urn: str) -> None:
    """The last is the form that Microsoft Entra ID has for them (Microsoft Learn, "Customize user provisioning
    attribute mappings")."""
    extension_rules.check_urn(urn)


SUB = (Attribute("x"),)
MANY = Attribute("y", multi_valued=True)


@pytest.mark.parametrize(
    ("attribute", "field"),
    [
        (Attribute("1st"), "name"),
        (Attribute("a.b"), "name"),
        (Attribute("$ref"), "name"),
        (Attribute(""), "name"),
        (Attribute("ID"), "name"),
        (Attribute("password"), "name"),
        (Attribute("eq"), "name"),
        (Attribute("x", required=True), "required"),
        (Attribute("x", uniqueness="server"), "uniqueness"),
        (Attribute("x", mutability="readOnly"), "mutability"),
        (Attribute("x", mutability="writeOnly"), "returned"),
        (Attribute("x", "complex"), "sub_attributes"),
        (Attribute("x", sub_attributes=SUB), "sub_attributes"),
        (Attribute("x", "reference"), "reference_types"),
        (Attribute("x", reference_types=("User",)), "reference_types"),
        (Attribute("x", "reference", reference_types=("Car",)), "reference_types"),
        (Attribute("x", "integer", canonical_values=("1",)), "canonical_values"),
        (Attribute("x", "complex", sub_attributes=(MANY,)), "sub_attributes.0.multi_valued"),
        (Attribute("x", "complex", sub_attributes=(Attribute("primary"),)), "sub_attributes.0.type"),
        (Attribute("x", "complex", sub_attributes=(Attribute("y", required=True),)), "sub_attributes.0.required"),
        (Attribute("x", "complex", sub_attributes=(*SUB, Attribute("X"))), "sub_attributes.1.name"),
        (
            Attribute("x", "complex", sub_attributes=(Attribute("y", "complex", sub_attributes=SUB),)),
            "sub_attributes.0.type",
        ),
        (Attribute("Fine"), "name"),
    ],
)
def test_an_attribute_that_could_not_be_kept_is_refused(attribute: Attribute, field: str) -> None:
    """Each wrong field is named where the API has it."""
    with pytest.raises(Invalid) as refusal:
        extension_rules.check_attributes([Attribute("fine"), attribute])
    assert list(refusal.value.fields) == [f"attributes.1.{field}"]


def test_an_extension_has_one_to_a_hundred_attributes() -> None:
    """None says nothing, and each is looked at with every record."""
    for number in (0, 101):
        with pytest.raises(Invalid) as refusal:
            extension_rules.check_attributes([Attribute(f"a{n}") for n in range(number)])
        assert list(refusal.value.fields) == ["attributes"]
    extension_rules.check_attributes(OWN)
    extension_rules.check_attributes([Attribute(f"a{n}") for n in range(100)])
