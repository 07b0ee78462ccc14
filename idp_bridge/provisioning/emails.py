"""Who has an e-mail address: rows by which it is looked up, beside the documents in which it stands.

Nearly every directory has the address as the userName, too; then the index of userNames leads to it and no row is
written. A key is at least as coarse as the comparison of a filter (RFC 7643 §2.4 compares without regard to case), so
what is found here holds all who have the address, and the condition on their documents decides. A deleted user keeps
her rows: they are joined with the users who live.
"""

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from peewee import Select

from idp_bridge.models import DirectoryEmail, DirectoryUser
from idp_bridge.provisioning import json_sql
from idp_bridge.statement import Statement, among, parameter
from scim.attributes import fold

#: Beyond this many characters addresses are not told apart here: an index takes no more than 2,700 bytes.
LONGEST = 320


def key(address: str) -> str:
    """The form in which an address is looked for."""
    return fold(address)[:LONGEST]


def keys_of(resource: Mapping[str, Any], user_name_key: str) -> set[str]:
    """The keys of the addresses by which the index of userNames does not find her."""
    addresses = {key(entry["value"]) for entry in resource.get("emails", ()) if entry.get("value")}
    return addresses - {user_name_key}


def write(row: DirectoryUser, after: AbstractSet[str], before: AbstractSet[str] = frozenset()) -> None:
    """Bring the rows of a user in line with what ``keys_of`` says now, and said before."""
    if gone := before - after:
        _DELETE.run(user=row.id, keys=gone)
    if new := after - before:
        _INSERT.run(directory=row.identity_provider_id, user=row.id, keys=json.dumps(sorted(new)))


def holding(directory: str, addresses: Sequence[str]) -> list[Any]:
    """Queries of the ids of the users in a directory who may have one of the addresses."""
    keys = [key(address) for address in addresses]
    named = DirectoryUser.select(DirectoryUser.id).where(
        DirectoryUser.identity_provider == directory,
        DirectoryUser.user_name_key.in_(keys),
        DirectoryUser.deleted_at.is_null(),
    )
    listed = DirectoryEmail.select(DirectoryEmail.user).where(
        DirectoryEmail.identity_provider == directory, DirectoryEmail.value_key.in_(keys)
    )
    return [named, listed]


def _insertion() -> Any:
    source, value = json_sql.functions().texts(parameter("keys"))
    rows = Select([source], [parameter("directory"), value, parameter("user")])
    return DirectoryEmail.insert_from(
        rows, [DirectoryEmail.identity_provider, DirectoryEmail.value_key, DirectoryEmail.user]
    )


_INSERT = Statement((), _insertion)
_DELETE = Statement(
    (),
    lambda: DirectoryEmail.delete().where(
        DirectoryEmail.user == parameter("user"), among(DirectoryEmail.value_key, "keys")
    ),
)
