"""What a session reaches are rows, which count while their epoch is the membership's; clocks are compared no more."""

from typing import Any

from peewee import ForeignKeyField, IntegerField, Model, TextField

from idp_bridge import clock, ids
from idp_bridge.db import InstantField

#: What is carried over of a session, up and down.
KEPT = (
    *("digest", "person_id", "account_id", "identity_provider_id", "method", "session_index", "name_id", "created_at"),
    *("seen_at", "expires_at", "name_id_format", "name_qualifier", "sp_name_qualifier"),
)

_REACHED = """
SELECT session.digest, member.id, 0 FROM session
JOIN member ON member.person_id = session.person_id JOIN account ON account.id = member.account_id
WHERE member.active AND member.sessions_after < session.created_at
AND (session.reach_id IS NULL OR session.reach_id = member.account_id)
AND (session.method <> 'password' OR (account.sso_mode = 'mixed' AND
    (account.password_sessions_after IS NULL OR account.password_sessions_after < session.created_at)))
"""

#: Sessions and the memberships of their people that they do not reach.
_NOT_REACHED = """
SELECT session.digest, member.account_id = session.account_id FROM session
JOIN member ON member.person_id = session.person_id JOIN account ON account.id = member.account_id
WHERE member.active AND NOT EXISTS (SELECT 1 FROM session_reach WHERE session_id = digest AND member_id = member.id
AND epoch = member.session_epoch + CASE WHEN method = 'password' THEN account.password_epoch ELSE 0 END)
"""


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(
        migrator.add_column("account", "password_epoch", IntegerField(default=0)),
        migrator.add_column("member", "session_epoch", IntegerField(default=0)),
    )
    reached = db.execute_sql(_REACHED).fetchall()
    session, reach = _models(db, reach=False)
    _make_again(db, session)
    db.create_tables([reach])
    for digest, member_id, epoch in reached:
        reach.insert(id=ids.new("sess"), session=digest, member=member_id, epoch=epoch).execute()
    for column in ("member.sessions_after", "account.password_sessions_after"):
        db.execute_sql("ALTER TABLE {} DROP COLUMN {}".format(*column.split(".")))


def down(migrator: Any, db: Any) -> None:
    """What the epochs have ended, nothing says any more: a session that does not reach all that it could reach then
    reaches its own account alone, and goes where that is ended."""
    left = [(digest, bool(own)) for digest, own in db.execute_sql(_NOT_REACHED).fetchall()]
    session, reach = _models(db, reach=True)
    db.drop_tables([reach])
    _make_again(db, session)
    session.delete().where(session.digest.in_([digest for digest, own in left if own])).execute()
    narrow = (session.method != "password") | session.digest.in_([digest for digest, _ in left])
    session.update(reach=session.account).where(narrow).execute()
    migrator.migrate(
        migrator.add_column("account", "password_sessions_after", InstantField(null=True)),
        migrator.add_column("member", "sessions_after", InstantField(default=clock.parse("2000-01-01T00:00:00Z"))),
    )
    for column in ("member.session_epoch", "account.password_epoch"):
        db.execute_sql("ALTER TABLE {} DROP COLUMN {}".format(*column.split(".")))


def _make_again(db: Any, session: Any) -> None:
    """SQLite drops no column that is a foreign key; nothing refers to this table now."""
    rows = db.execute_sql(f"SELECT {', '.join(KEPT)} FROM session").fetchall()  # noqa: S608 - this file's own names
    db.execute_sql("DROP TABLE session")
    db.create_tables([session])
    for row in rows:
        session.insert({session._meta.columns[name]: value for name, value in zip(KEPT, row, strict=True)}).execute()


def _models(db: Any, *, reach: bool) -> tuple[Any, Any]:
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Account(Table):
        id = TextField(primary_key=True)

    class Person(Table):
        id = TextField(primary_key=True)

    class IdentityProvider(Table):
        id = TextField(primary_key=True)

    class Member(Table):
        id = TextField(primary_key=True)

    class Session(Table):
        digest = TextField(primary_key=True)
        person = ForeignKeyField(Person, on_delete="CASCADE")
        account = ForeignKeyField(Account, on_delete="CASCADE")
        identity_provider = ForeignKeyField(IdentityProvider, null=True, on_delete="CASCADE", index=False)
        method = TextField()
        session_index = TextField(null=True)
        name_id = TextField(null=True)
        created_at = InstantField()
        seen_at = InstantField()
        expires_at = InstantField()
        name_id_format = TextField(null=True)
        name_qualifier = TextField(null=True)
        sp_name_qualifier = TextField(null=True)

        class Meta:
            indexes = ((("identity_provider", "name_id"), False),)

    if reach:
        Session._meta.add_field("reach", ForeignKeyField(Account, null=True, on_delete="CASCADE", backref="+"))
    else:
        Session._meta.add_field("address", TextField(null=True))
        Session._meta.add_field("user_agent", TextField(default=""))

    class SessionReach(Table):
        id = TextField(primary_key=True)
        session = ForeignKeyField(Session, on_delete="CASCADE", backref="+")
        member = ForeignKeyField(Member, on_delete="CASCADE")
        epoch = IntegerField()

    return Session, SessionReach
