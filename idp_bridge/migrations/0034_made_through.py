"""A credential knows by which provider's word it was made: it is an administrator's while that is trusted with them.

Of those that are there nobody has noted it, and they stay what they are.
"""

from typing import Any

from peewee import TextField


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.add_column("credential", "made_through", TextField(null=True)))


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE credential DROP COLUMN made_through")
