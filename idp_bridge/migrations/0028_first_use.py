"""What an account sees of a session is what was used in it; and who proved a provider, and since when it is enforced.

Of a session that reached an account without being the one signed in to, nobody knows whether it was used there: its
next use there counts as the first. A proof of before is nobody's, and the next sign-in of an administrator is one.
"""

from typing import Any

from peewee import TextField

from idp_bridge.db import InstantField

ADDED: dict[str, dict[str, Any]] = {
    "account": {"enforced_at": InstantField(null=True)},
    "identity_provider": {"proven_by": TextField(null=True)},
    "session_reach": {
        "used_at": InstantField(null=True),
        "seen_at": InstantField(null=True),
        "address": TextField(null=True),
        "user_agent": TextField(default=""),
    },
}

_SIGNED_IN_TO = """
FROM session JOIN member ON member.person_id = session.person_id AND member.account_id = session.account_id
JOIN session_reach ON session_reach.session_id = session.digest AND session_reach.member_id = member.id
"""
_TO_REACH = "UPDATE session_reach SET used_at = {p}, seen_at = {p}, address = {p}, user_agent = {p} WHERE id = {p}"
_TO_SESSION = "UPDATE session SET address = {p}, user_agent = {p} WHERE digest = {p}"


def up(migrator: Any, db: Any) -> None:
    _add(migrator, ADDED)
    came = "session.created_at, session.seen_at, session.address, session.user_agent, session_reach.id"
    _move(db, came, _TO_REACH)
    for name in ("address", "user_agent"):
        db.execute_sql(f"ALTER TABLE session DROP COLUMN {name}")


def down(migrator: Any, db: Any) -> None:
    _add(migrator, {"session": {"address": TextField(null=True), "user_agent": TextField(default="")}})
    _move(db, "session_reach.address, session_reach.user_agent, session.digest", _TO_SESSION)
    for table, columns in ADDED.items():
        for name in reversed(columns):
            db.execute_sql(f"ALTER TABLE {table} DROP COLUMN {name}")


def _add(migrator: Any, added: dict[str, dict[str, Any]]) -> None:
    for table, columns in added.items():
        migrator.migrate(*(migrator.add_column(table, name, field) for name, field in columns.items()))


def _move(db: Any, columns: str, update: str) -> None:
    """Row by row: SQLite's UPDATE FROM is younger than the versions that we run on."""
    for row in db.execute_sql(f"SELECT {columns} {_SIGNED_IN_TO}").fetchall():
        db.execute_sql(update.format(p=db.param), row)
