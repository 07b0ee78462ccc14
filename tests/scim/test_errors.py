"""The SCIM errors and their form on the wire."""

import inspect

import pytest

from scim import errors
from scim.errors import ERROR_URN, ScimError, excerpt

# RFC 7644 tables 8 and 9, RFC 9865 table 3.
KINDS = [
    ("InvalidFilter", 400, "invalidFilter"),
    ("TooMany", 400, "tooMany"),
    ("Uniqueness", 409, "uniqueness"),
    ("Mutability", 400, "mutability"),
    ("InvalidSyntax", 400, "invalidSyntax"),
    ("InvalidPath", 400, "invalidPath"),
    ("NoTarget", 400, "noTarget"),
    ("InvalidValue", 400, "invalidValue"),
    ("InvalidVers", 400, "invalidVers"),
    ("Sensitive", 403, "sensitive"),
    ("InvalidCursor", 400, "invalidCursor"),
    ("ExpiredCursor", 400, "expiredCursor"),
    ("InvalidCount", 400, "invalidCount"),
    ("Unauthorized", 401, None),
    ("Forbidden", 403, None),
    ("NotFound", 404, None),
    ("MethodNotAllowed", 405, None),
    ("Conflict", 409, None),
    ("PreconditionFailed", 412, None),
    ("PayloadTooLarge", 413, None),
    ("UnsupportedMediaType", 415, None),
    ("TooManyRequests", 429, None),
    ("NotImplementedByServer", 501, None),
]


@pytest.mark.parametrize(("name", "status", "scim_type"), KINDS)
def test_each_error_has_its_status_and_scim_type(name: str, status: int, scim_type: str | None) -> None:
    """The status is a string in the body, and scimType is there only where the RFC defines one."""
    error = getattr(errors, name)("Say why.")
    body = {"schemas": [ERROR_URN], "status": str(status), "detail": "Say why."}
    assert isinstance(error, ScimError)
    assert (error.status, error.scim_type, error.detail, str(error)) == (status, scim_type, "Say why.", "Say why.")
    assert error.body() == (body | {"scimType": scim_type} if scim_type else body)


def test_the_table_above_is_complete() -> None:
    """A new error must be added to the table."""
    classes = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, ScimError) and kind is not ScimError
    }
    assert classes == {name for name, _, _ in KINDS}


def test_an_error_without_a_kind_is_a_fault_of_the_server() -> None:
    """The base class stands for 500."""
    assert ScimError("Sorry.").body()["status"] == "500"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x", "'x'"),
        ("a" * 100, f"'{'a' * 27}...{'a' * 28}'"),
        ([[]] * 9, "[[], [], [], [], [], [], ...]"),
        ("\ud800", r"'\ud800'"),
    ],
)
def test_an_excerpt_is_short_and_can_be_encoded(value: object, shown: str) -> None:
    """What a client sent comes back only in part, and always as text that UTF-8 can carry."""
    assert excerpt(value) == shown
    assert excerpt(value).encode("utf-8")


def test_an_excerpt_of_nested_json_is_cheap() -> None:
    """What the JSON parser could just read must not break the error message about it."""
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert len(excerpt(nested)) <= 60
    while nested:  # freed from outside in, because the interpreter would do it recursively
        nested = nested.pop()  # type: ignore[assignment]
