"""Every list of the API is read in the order of an index, so that its last page costs what its first does: SQLite is
never told how many rows there are, and would sort an account's for each page. Where one index can serve two ends it
replaces the other, since each costs every write of its table.
"""

from typing import Any

#: name -> what it is on
ADDED = {
    "botuser_account_id_id": "bot_user (account_id, id)",
    "credential_bot_user_id_kind_id": "credential (bot_user_id, kind, id)",
    "credential_member_id_kind_id": "credential (member_id, kind, id)",
    "identityprovider_account_id_id": "identity_provider (account_id, id)",
    "invitation_pending": "invitation (account_id, id) WHERE accepted_at IS NULL",
    "member_living": "member (account_id, id) WHERE removed_at IS NULL",
    "member_out": "member (account_id, id) WHERE NOT active",
    "role_account_id_id": "role (account_id, id)",
    "rolemapping_identity_provider_id_id": "role_mapping (identity_provider_id, id)",
    "schemaextension_account_id_id": "schema_extension (account_id, id)",
    "scimtoken_identity_provider_id_id": "scim_token (identity_provider_id, id)",
    "serviceproviderkey_identity_provider_id_id": "service_provider_key (identity_provider_id, id)",
    "webhook_account_id_id": "webhook (account_id, id)",
}

#: Those whose work another one does now.
REPLACED = {
    "credential_bot_user_id": "credential (bot_user_id)",
    "credential_member_id": "credential (member_id)",
    "member_active": "member (account_id, id) WHERE active",
    "scimtoken_identity_provider_id": "scim_token (identity_provider_id)",
    "serviceproviderkey_identity_provider_id": "service_provider_key (identity_provider_id)",
    "webhook_account_id": "webhook (account_id)",
}


def up(migrator: Any, db: Any) -> None:
    _create(db, ADDED)
    _drop(db, REPLACED)


def down(migrator: Any, db: Any) -> None:
    _create(db, REPLACED)
    _drop(db, ADDED)


def _create(db: Any, indexes: dict[str, str]) -> None:
    for name, columns in indexes.items():
        db.execute_sql(f"CREATE INDEX {name} ON {columns}")


def _drop(db: Any, indexes: dict[str, str]) -> None:
    for name in indexes:
        db.execute_sql(f"DROP INDEX {name}")
