"""What an administrator may demand of a connection, how it signs people out, and how its metadata is kept fresh."""

from typing import Any

from peewee import BooleanField, TextField

from idp_bridge.db import InstantField, JsonField

ADDED: dict[str, Any] = {
    "slo_binding": TextField(default="redirect"),
    "slo_response_url": TextField(null=True),
    "require_gcm": BooleanField(default=False),
    "allow_weak_signatures": BooleanField(default=False),
    "bounce_idp_initiated": BooleanField(default=False),
    "name_id_format": TextField(null=True),
    "redact_sign_in_flows": BooleanField(default=False),
    "metadata_certificate": TextField(null=True),
    "metadata_checked_at": InstantField(null=True),
    "metadata_valid_until": InstantField(null=True),
    "metadata_error": TextField(null=True),
    "pending_trust": JsonField(null=True),
}


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(*(migrator.add_column("identity_provider", name, field) for name, field in ADDED.items()))


def down(migrator: Any, db: Any) -> None:
    for name in reversed(ADDED):
        db.execute_sql(f"ALTER TABLE identity_provider DROP COLUMN {name}")
