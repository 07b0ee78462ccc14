"""What the domain refuses, as facts. web/errors.py alone turns these into a page, API JSON or SCIM JSON.

``code`` is stable and documented (docs/errors.md); ``message`` tells a person what to do and may be shown to
anybody who may see the refusal; ``fields`` names each wrong field of a body.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum


class Code(StrEnum):
    """Every error code under /api; docs/errors.md has a paragraph for each."""

    INVALID_BODY = "ERR_INVALID_BODY"
    INVALID_PARAMETER = "ERR_INVALID_PARAMETER"
    EMPTY_PATCH = "ERR_EMPTY_PATCH"
    INVALID_METADATA = "ERR_INVALID_METADATA"
    INVALID_PUBLIC_KEY = "ERR_INVALID_PUBLIC_KEY"
    NOT_AUTHENTICATED = "ERR_NOT_AUTHENTICATED"
    WRONG_CREDENTIAL_KIND = "ERR_WRONG_CREDENTIAL_KIND"
    CREDENTIAL_KIND_NOT_ALLOWED = "ERR_CREDENTIAL_KIND_NOT_ALLOWED"
    CSRF = "ERR_CSRF"
    FORBIDDEN = "ERR_FORBIDDEN"
    PLAN_REQUIRED = "ERR_PLAN_REQUIRED"
    SEATS_FULL = "ERR_SEATS_FULL"
    GRANT_ABOVE_OWN_RIGHTS = "ERR_GRANT_ABOVE_OWN_RIGHTS"
    ADMINISTRATORS_ONLY = "ERR_ADMINISTRATORS_ONLY"
    PROVIDER_MAY_NOT_GRANT_ADMIN = "ERR_PROVIDER_MAY_NOT_GRANT_ADMIN"
    BUILT_IN_ROLE = "ERR_BUILT_IN_ROLE"
    ROLE_IN_USE = "ERR_ROLE_IN_USE"
    NOT_FOUND = "ERR_NOT_FOUND"
    METHOD_NOT_ALLOWED = "ERR_METHOD_NOT_ALLOWED"
    NAME_TAKEN = "ERR_NAME_TAKEN"
    ALREADY_MEMBER = "ERR_ALREADY_MEMBER"
    ALREADY_INVITED = "ERR_ALREADY_INVITED"
    KEY_TAKEN = "ERR_KEY_TAKEN"
    LAST_ADMINISTRATOR = "ERR_LAST_ADMINISTRATOR"
    LAST_IDENTITY_PROVIDER = "ERR_LAST_IDENTITY_PROVIDER"
    OWN_IDENTITY_PROVIDER = "ERR_OWN_IDENTITY_PROVIDER"
    DRAFT_CONNECTION = "ERR_DRAFT_CONNECTION"
    MANAGED_BY_DIRECTORY = "ERR_MANAGED_BY_DIRECTORY"
    ENFORCEMENT_CONDITIONS = "ERR_ENFORCEMENT_CONDITIONS"
    OWNER_INACTIVE = "ERR_OWNER_INACTIVE"
    LAST_WAY_IN = "ERR_LAST_WAY_IN"
    CREDENTIAL_IN_USE = "ERR_CREDENTIAL_IN_USE"
    IDEMPOTENCY_KEY_REUSED = "ERR_IDEMPOTENCY_KEY_REUSED"
    CONFLICT = "ERR_CONFLICT"
    GONE = "ERR_GONE"
    PRECONDITION_FAILED = "ERR_PRECONDITION_FAILED"
    TOO_LARGE = "ERR_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "ERR_UNSUPPORTED_MEDIA_TYPE"
    TOO_MANY_REQUESTS = "ERR_TOO_MANY_REQUESTS"
    UNAVAILABLE = "ERR_UNAVAILABLE"
    INTERNAL = "ERR_INTERNAL"


class DomainError(Exception):
    """A refusal: base of the tree. Subclasses say what kind; ``code`` says which rule."""

    default_code = Code.INTERNAL

    def __init__(
        self, message: str, *, code: Code | None = None, fields: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.fields = dict(fields or {})


class Invalid(DomainError):
    """The request is wrong in itself; sent again unchanged it stays wrong."""

    default_code = Code.INVALID_BODY


class Unauthenticated(DomainError):
    """No valid credential came with the request."""

    default_code = Code.NOT_AUTHENTICATED


class Forbidden(DomainError):
    """The caller is known and may not; the message names the role or the plan that could."""

    default_code = Code.FORBIDDEN


class NotFound(DomainError):
    """Nothing of that id in the caller's account, whether or not another account has it."""

    default_code = Code.NOT_FOUND


class Conflict(DomainError):
    """Right in itself, but what is stored, or a rule that protects it, stands against it."""

    default_code = Code.CONFLICT


class Gone(DomainError):
    """A one-time link that was used, cancelled or has expired."""

    default_code = Code.GONE


class PreconditionFailed(DomainError):
    """It is not as the caller last saw it: somebody has changed it since."""

    default_code = Code.PRECONDITION_FAILED


class TooManyRequests(DomainError):
    """A rate limit; ``retry_after`` in whole seconds."""

    default_code = Code.TOO_MANY_REQUESTS

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
