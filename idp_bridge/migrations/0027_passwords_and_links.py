"""A final sigma is equal to itself only (text.fold), and a link to set a password says who made it.

No index is broken on the way up: the former form of a key is one of the new form, so two that were different still are.
"""

import json
import unicodedata
from typing import Any

from peewee import TextField

FINAL, OTHER = "\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"
LONGEST = 320  # characters of the key of a directory's address

#: Table, key, and the text of which it is the folded form.
KEYS = (
    ("person", "email_key", "email"),
    ("member", "email_key", "email"),
    ("invitation", "email_key", "email"),
    ("password_reset", "email_key", "email"),
    ("role", "name_key", "name"),
    ("bot_user", "name_key", "name"),
    ("schema_extension", "urn_key", "urn"),
    ("directory_user", "user_name_key", "user_name"),
    ("directory_group", "display_name_key", "display_name"),
    ("role_mapping", "group_key", "group_display_name"),
)


def up(migrator: Any, db: Any) -> None:
    for table, key, text in KEYS:
        for row_id, value in _with_final_sigma(db, table, text):
            _set(db, table, key, row_id, _folded(value))
    _find_by_address(db)
    migrator.migrate(migrator.add_column("one_time_link", "made_by_id", TextField(null=True)))


def down(migrator: Any, db: Any) -> None:
    """A key whose former form another row has now stays as it is: nothing finds that row until it is written again."""
    db.execute_sql("ALTER TABLE one_time_link DROP COLUMN made_by_id")
    for table, key, _ in KEYS:
        for row_id, value in _with_final_sigma(db, table, key):
            former = value.replace(FINAL, OTHER)
            query = f"SELECT 1 FROM {table} WHERE {key} = {db.param}"  # noqa: S608 - names of ours
            if not _is_exact(value) and not db.execute_sql(query, (former,)).fetchall():
                _set(db, table, key, row_id, former)


def _with_final_sigma(db: Any, table: str, column: str, *more: str) -> list[tuple[Any, ...]]:
    columns = ", ".join(("id", column, *more))
    query = f"SELECT {columns} FROM {table} WHERE {column} LIKE {db.param}"  # noqa: S608 - names of ours
    found: list[tuple[Any, ...]] = db.execute_sql(query, (f"%{FINAL}%",)).fetchall()
    return found


def _set(db: Any, table: str, key: str, row_id: str, value: str) -> None:
    query = f"UPDATE {table} SET {key} = {db.param} WHERE id = {db.param}"  # noqa: S608 - names of ours
    db.execute_sql(query, (value, row_id))


def _folded(text: str) -> str:
    composed = unicodedata.normalize("NFC", text)
    if _is_exact(text):
        return text
    return unicodedata.normalize("NFC", FINAL.join(part.casefold() for part in composed.split(FINAL)))


def _is_exact(text: str) -> bool:
    """Whether a letter of it folds to ASCII: such a text is its own key."""
    return any(not c.isascii() and unicodedata.normalize("NFC", c).casefold().isascii() for c in text)


def _find_by_address(db: Any) -> None:
    """An address that is the userName, too, had no row of its own: the index of userNames led to it by the former
    key. Addresses are looked for by that one still (scim.attributes.fold)."""
    marks = ", ".join([db.param] * 3)
    insert = f"INSERT INTO directory_email (identity_provider_id, value_key, user_id) VALUES ({marks})"  # noqa: S608 - names of ours
    more = ("identity_provider_id", "user_name_key", "resource")
    for user_id, _, directory, user_name_key, resource in _with_final_sigma(db, "directory_user", "user_name", *more):
        document = json.loads(resource) if isinstance(resource, str) else resource
        keys = {_coarse(entry["value"])[:LONGEST] for entry in document.get("emails", ()) if entry.get("value")}
        for key in sorted(keys - {user_name_key}):
            db.execute_sql(f"{insert} ON CONFLICT DO NOTHING", (directory, key, user_id))


def _coarse(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
