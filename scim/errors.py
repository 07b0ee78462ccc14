"""The SCIM errors (RFC 7644 §3.12): one exception for each `scimType`, one for each HTTP status without one.

An error knows its status, its `scimType` and a sentence for the person who administers the provider; Okta shows
that sentence in its task list, Entra in its provisioning log. Whoever raises says what is wrong and what to do.
"""

import reprlib
from typing import Any, ClassVar

ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"


def excerpt(value: object) -> str:
    """A value as an error message may show it: enough to recognise it, never all of it, however deep it is."""
    text = _BRIEFLY.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_BRIEFLY = reprlib.Repr()
_BRIEFLY.maxstring = _BRIEFLY.maxlong = 60


class ScimError(Exception):
    """A refusal that the client is told about in SCIM's own form; by itself a fault of the server (500)."""

    status: ClassVar[int] = 500
    scim_type: ClassVar[str | None] = None

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def body(self) -> dict[str, Any]:
        """RFC 7644 §3.12: `status` is a string; `scimType` is there only where the RFC defines one."""
        body: dict[str, Any] = {"schemas": [ERROR_URN], "status": str(self.status), "detail": self.detail}
        if self.scim_type is not None:
            body["scimType"] = self.scim_type
        return body


# 400 and 409: the kinds of RFC 7644 table 9.


class InvalidFilter(ScimError):
    """The filter is malformed, too large, or asks for a comparison that the attribute does not allow."""

    status = 400
    scim_type = "invalidFilter"


class TooMany(ScimError):
    """The request asks for more results or carries more operations than the server is willing to process."""

    status = 400
    scim_type = "tooMany"


class Uniqueness(ScimError):
    """A value that must be unique is taken by another resource."""

    status = 409
    scim_type = "uniqueness"


class Mutability(ScimError):
    """The change is not compatible with the attribute's mutability."""

    status = 400
    scim_type = "mutability"


class InvalidSyntax(ScimError):
    """The body has not the structure of the message it should be."""

    status = 400
    scim_type = "invalidSyntax"


class InvalidPath(ScimError):
    """The `path` of a PATCH operation is malformed or names no attribute of the resource."""

    status = 400
    scim_type = "invalidPath"


class NoTarget(ScimError):
    """The `path` of a PATCH operation is missing, or selects nothing that could be changed."""

    status = 400
    scim_type = "noTarget"


class InvalidValue(ScimError):
    """A value is missing, or does not fit the attribute's type."""

    status = 400
    scim_type = "invalidValue"


class InvalidVers(ScimError):
    """The SCIM version of the request is not supported."""

    status = 400
    scim_type = "invalidVers"


class Sensitive(ScimError):
    """The request would put personal data into a URL (RFC 7644 §7.5.2)."""

    status = 403
    scim_type = "sensitive"


# 400: the kinds of RFC 9865 table 3.


class InvalidCursor(ScimError):
    """The cursor is none of ours, or belongs to another query or another directory."""

    status = 400
    scim_type = "invalidCursor"


class ExpiredCursor(ScimError):
    """The cursor was one of ours, but it has been kept too long."""

    status = 400
    scim_type = "expiredCursor"


class InvalidCount(ScimError):
    """The count is out of range, or not that of the cursor's first page."""

    status = 400
    scim_type = "invalidCount"


# The rest of table 8, and what HTTP itself may answer.


class Unauthorized(ScimError):
    """No valid credential came with the request."""

    status = 401


class Forbidden(ScimError):
    """The credential is valid, but what is asked is not allowed."""

    status = 403


class NotFound(ScimError):
    """There is no such resource in this directory."""

    status = 404


class MethodNotAllowed(ScimError):
    """The endpoint does not know this method."""

    status = 405


class Conflict(ScimError):
    """A rule of the service forbids the change in the resource's present state."""

    status = 409


class PreconditionFailed(ScimError):
    """The resource has changed since the client read it."""

    status = 412


class PayloadTooLarge(ScimError):
    """The body is larger than the server reads."""

    status = 413


class UnsupportedMediaType(ScimError):
    """The body is neither `application/scim+json` nor `application/json`."""

    status = 415


class TooManyRequests(ScimError):
    """The client has used up its rate and should come back later."""

    status = 429


class NotImplementedByServer(ScimError):
    """SCIM defines the operation, this server does not offer it."""

    status = 501
