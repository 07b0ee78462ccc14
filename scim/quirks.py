"""Every deviation from the RFCs that is accepted from Okta, Entra ID and the rest: one function each.

What a client sends is turned into the clean form here and nowhere else; the other modules know only that form.
Each function names who sends it and where that is written down or seen. A new quirk is a new function here, its
call at the place where such values pass, and a fixture that shows it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from scim.attributes import Attribute
from scim.errors import InvalidSyntax, InvalidValue, NoTarget, excerpt

_BOOLEANS = {"true": True, "false": False}
_OPERATIONS = ("add", "remove", "replace")


def operation_name(op: object) -> str:
    """`Add`, `Replace`, `Remove`: Entra ID capitalises `op` unless its tenant URL carries aadOptscim062020.

    Microsoft Learn, "Known issues with SCIM 2.0 protocol compliance".
    """
    name = op.lower() if isinstance(op, str) else None
    if name not in _OPERATIONS:
        raise InvalidSyntax(f"`op` must be add, remove or replace, not {excerpt(op)}.")
    return name


def boolean(value: object) -> bool | None:
    """`"True"` and `"False"` for booleans, in bodies, in PATCH values and in filters; None: not a boolean.

    Entra ID without aadOptscim062020 (Microsoft Learn, "Known issues with SCIM 2.0 protocol compliance") and the
    Microsoft SCIM Validator, which filters by `roles[primary eq "True"]`.
    """
    if isinstance(value, bool):
        return value
    return _BOOLEANS.get(value.lower()) if isinstance(value, str) else None


def unassigned(value: object) -> bool:
    """`""` means no value, as null and `[]` do (RFC 7643 §2.5).

    Entra's gallery validation clears optional attributes with `""` (AzureAD/SCIMReferenceCode, SCIM validation test
    overview); scimgateway sends `""` for what is unset; JumpCloud sends `"emails": null`.
    """
    return not value and (value is None or value in ("", [], {}))


def as_list(value: object) -> list[Any]:
    """A single value where the attribute is multi-valued: `emails` as one object.

    OneLogin (15five/django-scim2, adapters); the Microsoft Postman collection adds and removes `members` like that.
    """
    return value if isinstance(value, list) else [value]


def as_object(attribute: Attribute, value: object) -> object:
    """`"<id>"` or `[{"value": "<id>"}]` where an object is due: the manager, and members as bare ids.

    Microsoft Learn, "Develop a SCIM endpoint": `manager` as id string and as array of one object. The Microsoft
    Postman collection: a member as bare string.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and attribute.sub_attribute("value"):
        return {"value": value}
    return value


def is_empty_reference(attribute: Attribute, value: Mapping[str, Any]) -> bool:
    """`{"value": ""}` takes the manager away: a reference to nobody is no reference.

    Entra ID and the Microsoft SCIM Validator ("replace manager with empty").
    """
    if not attribute.refers:
        return False
    return any(key.lower() == "value" and unassigned(item) for key, item in value.items())


def dotted_spelling(name: str, *, urn: str) -> str:
    """`urn.manager` for an extension's attribute `urn:manager`.

    Microsoft's inbound provisioning collection joins URN and name with a dot.
    """
    return f"{urn}.{name.removeprefix(f'{urn}:')}"


def short_spelling(name: str, *, urn: str) -> str:
    """Plain `manager` for an attribute of the enterprise extension, and of no other: an attribute that a customer adds
    must not change what a plain name means.

    Entra filters by `manager eq` and its documentation shows `department` and `manager` at the top level of a User
    ("Develop a SCIM endpoint").
    """
    return name.removeprefix(f"{urn}:")


def members_of(values: Mapping[str, Any], *, urn: str) -> Iterator[tuple[str, Any]]:
    """The members of a resource; those in an object under the URN of its core schema are its own, as if they were
    those of an extension.

    scimverify, the test suite of SCIM Playground (limosa-io/scimverify, src/users.js, "Creates a new user - Alternative
    2").
    """
    for name, value in values.items():
        if isinstance(value, dict) and name.lower() == urn.lower():
            yield from value.items()
        else:
            yield name, value


def is_ignored(name: str) -> bool:
    """`password` is passed over unread: Okta sends one with every POST, and with PATCH when it syncs passwords.

    Okta developer documentation, "SCIM 2.0 protocol reference": the value is random and means nothing.
    """
    return name.rpartition(":")[2].lower() == "password"


def is_ignored_in_object(attribute: Attribute) -> bool:
    """Read-only attributes in a body or in a PATCH without `path` are passed over instead of refused.

    Okta renames a group with `{"value": {"id": …, "displayName": …}}` and sends `groups` and `meta` back with PUT;
    authentik (providers/scim/clients) puts `id` and `schemas` into the value.
    """
    return attribute.mutability == "readOnly"


def message_members(message: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The members of a protocol message by their RFC names, whatever case they came in.

    .NET clients of Microsoft's reference code serialise `Op`, `Path`, `Value`.
    """
    known = {name.lower(): name for name in names}
    return {known[key.lower()]: item for key, item in message.items() if key.lower() in known}


def is_strict_reader(user_agent: str, accept: str) -> bool:
    """scim2-client 0.7 and 0.8, with which canaille 0.3 provisions: httpx with its own headers and no others.

    It refuses a ServiceProviderConfig that has the `pagination` of RFC 9865, which is younger, and canaille
    (scim/client, scim/casting) gives every user a `password`, which it cannot where /Schemas has none. Either ends the
    provisioning before its first change.
    """
    return user_agent.startswith("python-httpx/") and accept in ("", "*/*")


def for_strict_reader(document: Mapping[str, Any], *, user_urn: str) -> dict[str, Any]:
    """A discovery document, or a list of them, as canaille's scim2-client can read it: without `pagination`, and with
    the `password` that is passed over when it comes."""
    known = {name: value for name, value in document.items() if name != "pagination"}
    if known.get("id") == user_urn:
        known["attributes"] = [*known["attributes"], _PASSWORD.as_dict()]
    if "Resources" in known:
        known["Resources"] = [for_strict_reader(one, user_urn=user_urn) for one in known["Resources"]]
    return known


_PASSWORD = Attribute(
    "password", "string", mutability="writeOnly", returned="never", description="Passed over: users sign in elsewhere."
)


def bare_operations(data: object) -> object:
    """An array of operations where a PatchOp is due, in the `data` of a bulk request.

    The example of RFC 7644 §3.7.3 writes a PATCH like that, with the brackets of a PatchOp around it left over.
    """
    return {"Operations": data} if isinstance(data, list) else data


def entry_to_create(attribute: Attribute, equalities: dict[str, Any] | None, *, op: str) -> dict[str, Any]:
    """`emails[type eq "work"].value` where there is no such entry: it is created from what the filter demands.

    Entra ID and the Microsoft SCIM Validator, with add and with replace, by `type` and `primary`. Whatever else a
    replace does not find is noTarget, as RFC 7644 §3.5.2.3 says: a type that the schema does not know, too.
    `equalities` is None where the filter does not say what an entry must look like.
    """
    if equalities is None:
        raise NoTarget("The filter matches no value, and only `eq` joined by `and` can create one.")
    if op == "replace" and not all(_names_a_kind(attribute, name, value) for name, value in equalities.items()):
        raise NoTarget(f"The filter matches no value of {attribute.name} to replace.")
    return dict(equalities)


def _names_a_kind(attribute: Attribute, name: str, value: object) -> bool:
    """`primary`, or a `type` of the schema's: what Entra ID selects values by."""
    sub = attribute.sub_attribute(name)
    return name == "primary" or (
        sub is not None and name == "type" and (not sub.canonical_values or str(value).lower() in sub.canonical_values)
    )


def removed_values(value: object) -> list[Any]:
    """`remove` with a plain path and a `value`: remove just those.

    Entra ID without aadOptscim062020, JumpCloud, authentik and scimgateway remove members like that. A value that
    is there but empty is refused: reading it as "remove all" would empty the group.
    """
    if unassigned(value):
        raise InvalidValue("`value` names nothing to remove; leave it out to remove everything.")
    return as_list(value)
