"""Seats are a number beside the members instead of a count of them; two indexes hold only what is looked up by them."""

from typing import Any

from peewee import BooleanField, ForeignKeyField, IntegerField, Model, TextField


def up(migrator: Any, db: Any) -> None:
    class Account(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "account"

    class Member(Model):
        id = TextField(primary_key=True)
        account = ForeignKeyField(Account, on_delete="CASCADE", index=False)
        active = BooleanField(default=True)

        class Meta:
            database = db
            table_name = "member"

    class Person(Model):
        id = TextField(primary_key=True)
        email_key = TextField(null=True)

        class Meta:
            database = db
            table_name = "person"

    class SeatCount(Model):
        account = ForeignKeyField(Account, on_delete="CASCADE", primary_key=True)
        used = IntegerField(default=0)

        class Meta:
            database = db
            table_name = "seat_count"

    db.create_tables([SeatCount])
    db.execute_sql(_FILL)
    migrator.migrate(
        migrator.drop_index("member", "member_account_id_active"), migrator.drop_index("person", "person_email_key")
    )
    db.execute(Member.index(Member.account, Member.id, where=Member.active, name="member_active"))
    db.execute(Person.index(Person.email_key, where=Person.email_key.is_null(False), name="person_own_email"))


_FILL = """
INSERT INTO seat_count (account_id, used)
SELECT id, (SELECT COUNT(*) FROM member WHERE member.account_id = account.id AND member.active) FROM account
"""


def down(migrator: Any, db: Any) -> None:
    migrator.migrate(
        migrator.drop_index("member", "member_active"),
        migrator.drop_index("person", "person_own_email"),
        migrator.add_index("member", ("account_id", "active")),
        migrator.add_index("person", ("email_key",)),
        migrator.drop_table("seat_count"),
    )
