"""Who gave a role; and one person has one living membership of an account.

Of those who have several by now, each but the oldest becomes a person of her own, who comes in through the account's
identity provider as ever.
"""

from typing import Any

from peewee import TextField

INDEX = "member_living_person"


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(
        migrator.add_column("member_role", "given_by_id", TextField(null=True)),
        migrator.add_column("member_role", "given_by", TextField(default="")),
    )
    # Her new person is named after her, so that both statements mean the same one.
    db.execute_sql(
        "INSERT INTO person (id, created_at) SELECT 'per_' || substr(member.id, 5), member.created_at FROM member"
        " WHERE member.removed_at IS NULL AND EXISTS (SELECT 1 FROM member AS older"
        " WHERE older.person_id = member.person_id AND older.account_id = member.account_id"
        " AND older.removed_at IS NULL AND older.id < member.id)"
    )
    db.execute_sql(
        "UPDATE member SET person_id = 'per_' || substr(member.id, 5)"
        " WHERE EXISTS (SELECT 1 FROM person WHERE person.id = 'per_' || substr(member.id, 5))"
    )
    db.execute_sql(f'CREATE UNIQUE INDEX "{INDEX}" ON "member" ("person_id", "account_id") WHERE removed_at IS NULL')


def down(migrator: Any, db: Any) -> None:
    db.execute_sql(f'DROP INDEX "{INDEX}"')
    for name in ("given_by", "given_by_id"):
        db.execute_sql(f"ALTER TABLE member_role DROP COLUMN {name}")
