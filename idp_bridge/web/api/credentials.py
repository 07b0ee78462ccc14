"""/api/credentials (authtokens), /api/api_keys and /api/ssh_credentials: one life for three kinds of credential."""

from collections.abc import Mapping
from typing import Any

from flask import Response
from marshmallow import RAISE, Schema, fields, validate

from idp_bridge import bots, credentials, members
from idp_bridge.credentials import ACL_ENTRY, API_KEY, AUTHTOKEN, MOST_ACL_ENTRIES, SSH_PUBLIC_KEY, Kind, Owner
from idp_bridge.errors import Conflict, NotFound
from idp_bridge.models import Credential
from idp_bridge.roles import Permission
from idp_bridge.text import fold
from idp_bridge.web.api.dialect import Blueprint, no_content
from idp_bridge.web.api.paging import Page, page
from idp_bridge.web.api.schemas import (
    DESCRIPTION_BYTES,
    METADATA_BYTES,
    Answer,
    Body,
    Instant,
    Names,
    NullIsAbsent,
    Patch,
    Text,
    Uri,
    listing,
)
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Credentials", __name__, "Authtokens, API keys and SSH keys, each owned by one user or bot user.")

_SECRET = "The secret: in the answer to its creation, and never again."  # noqa: S105 - words about one


# --- bodies -----------------------------------------------------------------------------------------------------


class _Described(NullIsAbsent, Body):
    description = Text(most=DESCRIPTION_BYTES, allow_none=True, lines=True)
    metadata = Text(most=METADATA_BYTES, allow_none=True, lines=True)


class _WithAcl(_Described):
    acl = Names(most=MOST_ACL_ENTRIES, pattern=ACL_ENTRY, allow_none=True)


class CredentialPatch(_Described, Patch):
    """What may be set of a credential; never its owner."""


class CredentialWithAclPatch(_WithAcl, Patch):
    """What may be set of an authtoken or an SSH key."""


class _Owned(Body):
    owner_id = Text(
        least=1,
        most=254,
        allow_none=True,
        metadata={"description": "A user, her address, or a bot user; the caller where absent."},
    )
    expires_at = Instant(allow_none=True)


class ApiKeyCreate(_Owned, _Described):
    """A new API key."""


class AuthtokenCreate(_Owned, _WithAcl):
    """A new authtoken."""


class SshCredentialCreate(_Owned, _WithAcl):
    """A public key to register."""

    public_key = Text(least=1, most=16_384, required=True, lines=True)


# --- answers ----------------------------------------------------------------------------------------------------


class _CredentialAnswer(Answer):
    id = fields.String()
    description = fields.String()
    metadata = fields.String()
    owner_id = fields.Function(lambda row: row.member_id or row.bot_user_id, metadata={"type": "string"})
    created_at = Instant()
    expires_at = Instant(allow_none=True)
    last_used_at = Instant(allow_none=True, metadata={"description": "A few seconds behind."})
    last_used_address = fields.String(allow_none=True)


class AuthtokenAnswer(_CredentialAnswer):
    """An authtoken."""

    uri = Uri("/api/credentials/{id}")
    acl = fields.List(fields.String())
    token = fields.String(allow_none=True, dump_default=None, metadata={"description": _SECRET})


class ApiKeyAnswer(_CredentialAnswer):
    """An API key."""

    uri = Uri("/api/api_keys/{id}")
    token = fields.String(allow_none=True, dump_default=None, metadata={"description": _SECRET})


class SshCredentialAnswer(_CredentialAnswer):
    """An SSH public key."""

    uri = Uri("/api/ssh_credentials/{id}")
    acl = fields.List(fields.String())
    public_key = fields.String()
    fingerprint = fields.String(metadata={"description": "SHA-256, as ssh-keygen prints it."})


# --- the life of a credential -----------------------------------------------------------------------------------


def _listed(kind: Kind, plural: str, asked: dict[str, Any]) -> dict[str, Any]:
    return page(plural, credentials.of_kind(actor(), kind), Credential.id, asked)


def _issued(kind: Kind, body: dict[str, Any]) -> Credential:
    owner = _owner(body.pop("owner_id", None))
    issued = credentials.issue(actor(), kind, owner, **body)
    issued.credential.token = issued.token  # type: ignore[attr-defined]  # for this one answer; no column holds it
    return issued.credential


def _changed(kind: Kind, id: str, body: Mapping[str, Any]) -> Credential:
    credential = credentials.get(actor(), kind, id)
    credentials.change(actor(), credential, **body)
    return credential


def _deleted(kind: Kind, id: str) -> Response:
    credentials.delete(actor(), credentials.get(actor(), kind, id))
    return no_content()


class Force(Schema):
    """Whether the caller is sure."""

    class Meta:
        unknown = RAISE

    force = fields.String(
        validate=validate.OneOf(("true", "false")),
        load_default="false",
        metadata={"description": "true deletes the key that you call with, and the last way in (else 409)."},
    )


def _owner(named: str | None) -> Owner:
    """The owner named by id or address; the caller where nobody is. Others are not even looked up for somebody who
    may not name them. Raises Forbidden, NotFound, Conflict (an address that several have)."""
    me, account = actor(), actor().account
    if named is None or named == me.id or (me.type == "user" and fold(named) == fold(me.subject)):
        return bots.get(account, me.id or "") if me.type == "bot_user" else members.get(account, me.id or "")
    name = str(named)
    credentials.check_owner(me, name)
    if "@" not in name:
        return bots.get(account, name) if name.startswith("bot_") else members.get(account, name)
    found = members.with_address(account, name)
    if not found:
        raise NotFound(f"There is no member with the address {name} in this account.")
    if len(found) > 1:
        raise Conflict(f"{len(found)} members have the address {name}; name one by its id.")
    return found[0]


# --- authtokens -------------------------------------------------------------------------------------------------


@blueprint.get("/credentials")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("credentials", AuthtokenAnswer))
def list_credentials(asked: dict[str, Any]) -> dict[str, Any]:
    """The authtokens: all with `credentials:all`, else one's own."""
    return _listed(AUTHTOKEN, "credentials", asked)


@blueprint.post("/credentials")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.arguments(AuthtokenCreate)
@blueprint.response(201, AuthtokenAnswer)
def create_credential(body: dict[str, Any]) -> Credential:
    """Make an authtoken. The answer alone holds its secret."""
    return _issued(AUTHTOKEN, body)


@blueprint.get("/credentials/<id:id>")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.response(200, AuthtokenAnswer)
def get_credential(id: str) -> Credential:
    """One authtoken."""
    return credentials.get(actor(), AUTHTOKEN, id)


@blueprint.patch("/credentials/<id:id>")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.arguments(CredentialWithAclPatch)
@blueprint.response(200, AuthtokenAnswer)
def update_credential(body: dict[str, Any], id: str) -> Credential:
    """Change what an authtoken says of itself or may bind."""
    return _changed(AUTHTOKEN, id, body)


@blueprint.delete("/credentials/<id:id>")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.response(204)
def delete_credential(id: str) -> Response:
    """Revoke an authtoken for good."""
    return _deleted(AUTHTOKEN, id)


# --- API keys ---------------------------------------------------------------------------------------------------


@blueprint.get("/api_keys")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("keys", ApiKeyAnswer))
def list_api_keys(asked: dict[str, Any]) -> dict[str, Any]:
    """The API keys: all with `credentials:all`, else one's own."""
    return _listed(API_KEY, "keys", asked)


@blueprint.post("/api_keys")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.arguments(ApiKeyCreate)
@blueprint.response(201, ApiKeyAnswer)
def create_api_key(body: dict[str, Any]) -> Credential:
    """Make an API key. It may do whatever its owner's roles allow; the answer alone holds its secret."""
    return _issued(API_KEY, body)


@blueprint.get("/api_keys/<id:id>")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.response(200, ApiKeyAnswer)
def get_api_key(id: str) -> Credential:
    """One API key."""
    return credentials.get(actor(), API_KEY, id)


@blueprint.patch("/api_keys/<id:id>")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.arguments(CredentialPatch)
@blueprint.response(200, ApiKeyAnswer)
def update_api_key(body: dict[str, Any], id: str) -> Credential:
    """Change what an API key says of itself."""
    return _changed(API_KEY, id, body)


@blueprint.delete("/api_keys/<id:id>")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.arguments(Force, location="query")
@blueprint.response(204)
def delete_api_key(asked: dict[str, Any], id: str) -> Response:
    """Revoke an API key for good. The one that you call with, or the last way in, goes by force only."""
    if asked["force"] != "true":
        credentials.check_missed(actor(), credentials.get(actor(), API_KEY, id))
    return _deleted(API_KEY, id)


# --- SSH public keys --------------------------------------------------------------------------------------------


@blueprint.get("/ssh_credentials")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.arguments(Page, location="query")
@blueprint.response(200, listing("ssh_credentials", SshCredentialAnswer))
def list_ssh_credentials(asked: dict[str, Any]) -> dict[str, Any]:
    """The SSH public keys: all with `credentials:all`, else one's own."""
    return _listed(SSH_PUBLIC_KEY, "ssh_credentials", asked)


@blueprint.post("/ssh_credentials")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.arguments(SshCredentialCreate)
@blueprint.response(201, SshCredentialAnswer)
def create_ssh_credential(body: dict[str, Any]) -> Credential:
    """Register an SSH public key. A key is registered once on the whole service."""
    return _issued(SSH_PUBLIC_KEY, body)


@blueprint.get("/ssh_credentials/<id:id>")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.response(200, SshCredentialAnswer)
def get_ssh_credential(id: str) -> Credential:
    """One SSH public key."""
    return credentials.get(actor(), SSH_PUBLIC_KEY, id)


@blueprint.patch("/ssh_credentials/<id:id>")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.arguments(CredentialWithAclPatch)
@blueprint.response(200, SshCredentialAnswer)
def update_ssh_credential(body: dict[str, Any], id: str) -> Credential:
    """Change what an SSH key says of itself or may bind."""
    return _changed(SSH_PUBLIC_KEY, id, body)


@blueprint.delete("/ssh_credentials/<id:id>")
@guard(Permission.CREDENTIALS_OWN)
@blueprint.response(204)
def delete_ssh_credential(id: str) -> Response:
    """Revoke an SSH public key for good."""
    return _deleted(SSH_PUBLIC_KEY, id)
