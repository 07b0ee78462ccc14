"""Schema extensions: attributes of an account's own, which its directories may push beside the standard ones (RFC 7643
§3.3). They are data, and each change of them counts from the next request of a directory, on every process.

What is changed here must fit what is stored: an attribute that records hold a value of neither goes nor becomes of
another type, unless its values are taken away in the same transaction (``force``).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from peewee import fn

from idp_bridge import clock, db, events, extension_rules, ids
from idp_bridge.actors import Actor
from idp_bridge.errors import Conflict, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, DirectoryGroup, DirectoryUser, IdentityProvider, SchemaExtension
from idp_bridge.provisioning import json_sql
from idp_bridge.provisioning.directory import moment
from idp_bridge.text import fold
from scim.attributes import Attribute, Schema
from scim.schemas import STANDARD, Catalogue

#: How many an account may have: each is looked through with every record that is shown.
LARGEST = 10

#: How many directories' catalogues a process keeps; a version makes an old one useless, and time drives it out.
REMEMBERED = 512

# A place in an extension: an attribute, or a sub-attribute of one.
_Place = tuple[Attribute, Attribute | None]


def of_account(account: Account) -> Any:
    """The account's extensions, as a query."""
    return SchemaExtension.select().where(SchemaExtension.account == account)


def get(account: Account, extension_id: str) -> SchemaExtension:
    """The extension of this account. Raises NotFound."""
    row = of_account(account).where(SchemaExtension.id == extension_id).get_or_none()
    if row is None:
        raise NotFound(f"There is no schema extension {extension_id} in this account.")
    return row


def schema(row: SchemaExtension) -> Schema:
    """The extension as a SCIM schema."""
    attributes = tuple(Attribute.from_dict(document) for document in row.attributes)
    return Schema(row.urn, row.name, row.description, attributes)


def catalogue(account: Account) -> Catalogue:
    """The resource types of the account's directories. Asks the database only where the account has, or once had,
    extensions of its own, and then once for each version of them."""
    return _loaded(account.id, account.extensions_version) if account.extensions_version else STANDARD


@lru_cache(maxsize=REMEMBERED)
def _loaded(account_id: str, version: int) -> Catalogue:
    rows = SchemaExtension.select().where(SchemaExtension.account == account_id).order_by(SchemaExtension.id)
    kinds: dict[str, list[Schema]] = {"User": [], "Group": []}
    for row in rows:
        kinds[row.resource_type].append(schema(row))
    return STANDARD.extended(user=kinds["User"], group=kinds["Group"])


# --- changing ---------------------------------------------------------------------------------------------------


def create(
    actor: Actor, *, urn: str, name: str, resource_type: str, attributes: Sequence[Attribute], description: str = ""
) -> SchemaExtension:
    """A new extension. Raises Invalid naming each wrong field, Conflict where the URN is taken or could be mistaken
    for another's attribute, or where there are LARGEST already."""
    extension_rules.check_urn(urn)
    extension_rules.check_attributes(attributes)
    _hold(actor.account)
    others = list(of_account(actor.account))
    if len(others) >= LARGEST:
        raise Conflict(f"An account has at most {LARGEST} schema extensions; delete one, or add to one.")
    extension_rules.check_distinct(urn, [other.urn for other in others])
    now = clock.now()
    row = SchemaExtension.create(
        id=ids.new("ext"),
        account=actor.account,
        urn=urn,
        urn_key=fold(urn),
        name=name,
        description=description,
        resource_type=resource_type,
        attributes=_documents(attributes),
        created_at=now,
        changed_at=now,
    )
    _renew(actor.account)
    events.record(actor, Type.SCHEMA_EXTENSION_CREATED, describe(row))
    return row


def change(actor: Actor, row: SchemaExtension, *, force: bool = False, **fields: Any) -> None:
    """Set name, description or attributes, which are all that there are then. Raises Invalid; Conflict with the number
    of records that hold a value of what would go or become of another type, unless ``force`` takes it away."""
    if "attributes" in fields:
        extension_rules.check_attributes(fields["attributes"])
        fields["attributes"] = _documents(fields["attributes"])
    _hold(actor.account, row)
    changed = {name: value for name, value in fields.items() if getattr(row, name) != value}
    if not changed:
        return
    before, old = {name: getattr(row, name) for name in changed}, schema(row)
    for name, value in {**changed, "changed_at": clock.now()}.items():
        setattr(row, name, value)
    row.save(only=[*(getattr(SchemaExtension, name) for name in changed), SchemaExtension.changed_at])
    taken = _let_go(row, _lost(old, schema(row)), force=force)
    _renew(actor.account)
    told = {"before": before, **({"values_removed_from": taken} if taken else {})}
    events.record(actor, Type.SCHEMA_EXTENSION_UPDATED, {**describe(row), **told})


def delete(actor: Actor, row: SchemaExtension, *, force: bool = False) -> None:
    """The extension is gone. Raises Conflict with the number of records that hold values of it, unless ``force``
    takes them away."""
    _hold(actor.account, row)
    taken = _let_go(row, [(attribute, None) for attribute in schema(row).attributes], force=force)
    row.delete_instance()
    _renew(actor.account)
    told = {"values_removed_from": taken} if taken else {}
    events.record(actor, Type.SCHEMA_EXTENSION_DELETED, {**describe(row), **told})


def describe(row: SchemaExtension) -> dict[str, Any]:
    """The extension as events show it."""
    names = ("id", "urn", "name", "description", "resource_type", "attributes")
    return {name: getattr(row, name) for name in names}


def _documents(attributes: Sequence[Attribute]) -> list[dict[str, Any]]:
    return [_document(attribute) for attribute in attributes]


def _document(attribute: Attribute) -> dict[str, Any]:
    """As /Schemas shows it; binaries and references are case exact (RFC 7643 §2.3.6, §2.3.7)."""
    document = attribute.as_dict() | {"caseExact": attribute.case_exact or attribute.type in ("binary", "reference")}
    if attribute.sub_attributes:
        document["subAttributes"] = _documents(attribute.sub_attributes)
    return document


def _hold(account: Account, row: SchemaExtension | None = None) -> None:
    """Alone with the account's extensions until the transaction ends, ``row`` being as it is now: we wait for the
    writes of directories that go by them, and those to come wait for us. Raises NotFound where it is gone."""
    held = Account.select(Account.id).where(Account.id == account.id)
    list(held.for_update() if db.database.for_update else held)
    if row is not None:
        row.__data__.update(get(account, row.id).__data__)


def _renew(account: Account) -> None:
    """Another version of the account's catalogue."""
    Account.update(extensions_version=Account.extensions_version + 1).where(Account.id == account.id).execute()


# --- values in records ------------------------------------------------------------------------------------------


def _lost(before: Schema, after: Schema) -> list[_Place]:
    """What is no longer there, or no longer what it was: its values would not fit."""
    return [place for attribute in before.attributes for place in _lost_of(attribute, after.attributes)]


def _lost_of(attribute: Attribute, kept: Sequence[Attribute]) -> Iterator[_Place]:
    now = _same(attribute, kept)
    if now is None:
        yield attribute, None
        return
    for sub in attribute.sub_attributes:
        if _same(sub, now.sub_attributes) is None:
            yield attribute, sub


def _same(attribute: Attribute, among: Sequence[Attribute]) -> Attribute | None:
    """The one under whose name, to the letter, such values lie."""
    shape = (attribute.name, attribute.type, attribute.multi_valued)
    return next((other for other in among if (other.name, other.type, other.multi_valued) == shape), None)


def _let_go(row: SchemaExtension, places: Sequence[_Place], *, force: bool) -> int:
    """Take the values of all these attributes out of every record, deleted ones too; how many held any."""
    if not places:
        return 0
    records = _Records(row)
    number = records.holding(places)
    if number and not force:
        names = ", ".join(f"{attribute.name}.{sub.name}" if sub else attribute.name for attribute, sub in places[:5])
        more = f" and {len(places) - 5} more attributes" if len(places) > 5 else ""
        holders = f"{row.resource_type.lower()}{'s hold' if number > 1 else ' holds'}"
        raise Conflict(
            f"{number} {holders} values of {names}{more}. Let the identity provider clear them first, or repeat this "
            "with ?force=true, which takes them away."
        )
    records.clear(places)
    return number


class _Records:
    """The records of an account that an extension speaks of, and the values in them."""

    def __init__(self, row: SchemaExtension) -> None:
        self.urn = row.urn
        self.model: Any = DirectoryUser if row.resource_type == "User" else DirectoryGroup
        providers = IdentityProvider.select(IdentityProvider.id).where(IdentityProvider.account == row.account_id)
        self.mine = self.model.identity_provider.in_(providers)
        self.sql = json_sql.functions()

    def holding(self, places: Sequence[_Place]) -> int:
        """How many live ones hold a value at one of the places."""
        held = self.model.select(fn.COUNT(self.model.id)).where(self.mine, self._any(places))
        if self.model is DirectoryUser:
            held = held.where(DirectoryUser.deleted_at.is_null())
        number: int = held.scalar()
        return number

    def clear(self, places: Sequence[_Place]) -> None:
        """Without the values of these attributes, where a part of one goes all of it; what is shown is another version
        then."""
        self._clear([(attribute, sub) for attribute, sub in places if sub is None])
        for attribute, sub in places:
            if sub is not None:
                self._clear([(attribute, sub)])
        empty = self.sql.text(self.model.resource, (self.urn,)) == "{}"
        bare = self.sql.without(self.model.resource, [(self.urn,)])
        self.model.update(resource=bare).where(self.mine, empty).execute()

    def _clear(self, places: Sequence[_Place]) -> None:
        if places:
            rest = self.sql.without(self.model.resource, [(self.urn, attribute.name) for attribute, _ in places])
            changed = {"resource": rest, "version": self.model.version + 1, "modified_at": moment()}
            self.model.update(**changed).where(self.mine, self._any(places)).execute()

    def _any(self, places: Sequence[_Place]) -> Any:
        return json_sql.joined([self._held(attribute, sub) for attribute, sub in places], "OR")

    def _held(self, attribute: Attribute, sub: Attribute | None) -> Any:
        keys, document = (self.urn, attribute.name), self.model.resource
        if sub is None:
            return self.sql.text(document, keys).is_null(False)
        if not attribute.multi_valued:
            return self.sql.text(document, (*keys, sub.name)).is_null(False)
        return self.sql.any_entry(document, keys, self.sql.text(json_sql.ENTRY, (sub.name,)).is_null(False))
