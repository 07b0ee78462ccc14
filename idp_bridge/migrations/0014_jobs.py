"""Background jobs, and which certificates that run out have been told of."""

from typing import Any

from peewee import CompositeKey, ForeignKeyField, IntegerField, Model, TextField

from idp_bridge.db import InstantField


def up(migrator: Any, db: Any) -> None:
    class IdentityProvider(Model):
        id = TextField(primary_key=True)

        class Meta:
            database = db
            table_name = "identity_provider"

    class CertificateNotice(Model):
        identity_provider = ForeignKeyField(IdentityProvider, on_delete="CASCADE", index=False)
        fingerprint_sha256 = TextField()
        days = IntegerField()
        noticed_at = InstantField()

        class Meta:
            database = db
            table_name = "certificate_notice"
            primary_key = CompositeKey("identity_provider", "fingerprint_sha256", "days")

    class JobRun(Model):
        name = TextField(primary_key=True)
        due_at = InstantField()

        class Meta:
            database = db
            table_name = "job_run"

    db.create_tables([CertificateNotice, JobRun])


def down(migrator: Any, db: Any) -> None:
    migrator.migrate(migrator.drop_table("job_run"), migrator.drop_table("certificate_notice"))
