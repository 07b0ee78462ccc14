"""Where a sign-in was begun from, and an index of those without an answer, so that one client's are counted apart.

What waits for a browser is sealed from now on. What waits now is forgotten: whoever is on her way back starts again.
"""

from typing import Any

from peewee import TextField

INDEX = "sign_in_flow_unanswered"


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.add_column("sign_in_flow", "site", TextField(default="")))
    db.execute_sql("UPDATE sign_in_flow SET waiting = NULL WHERE waiting IS NOT NULL")
    db.execute_sql(
        f'CREATE INDEX "{INDEX}" ON "sign_in_flow" ("identity_provider_id", "site", "id")'
        " WHERE answered_at IS NULL AND finished_at IS NULL"
    )


def down(migrator: Any, db: Any) -> None:
    db.execute_sql(f'DROP INDEX "{INDEX}"')
    db.execute_sql("UPDATE sign_in_flow SET waiting = NULL WHERE waiting IS NOT NULL")
    db.execute_sql("ALTER TABLE sign_in_flow DROP COLUMN site")
