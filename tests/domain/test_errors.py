"""Refusals carry facts; what is shown of them is decided elsewhere."""

import pytest

from idp_bridge import errors
from idp_bridge.errors import Code, DomainError


def _tree(kind: type[DomainError]) -> list[type[DomainError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _tree(child))]


def test_codes_are_stable_words() -> None:
    """A code is ERR_ and its own name, so that it can be searched for."""
    assert all(code.value == f"ERR_{code.name}" for code in Code)


@pytest.mark.parametrize("kind", [errors.Invalid, errors.Forbidden, errors.NotFound, errors.Conflict, errors.Gone])
def test_a_refusal_has_its_kinds_code_until_it_names_a_rule(kind: type[DomainError]) -> None:
    """Every kind but the base has a code that is no fault of ours."""
    assert kind("no").code is not Code.INTERNAL
    assert kind("no", code=Code.KEY_TAKEN).code is Code.KEY_TAKEN


def test_wrong_fields_are_named() -> None:
    """As a plain dict of lists, whatever was handed over."""
    assert errors.Invalid("no", fields={"name": ["taken"]}).fields == {"name": ["taken"]}
    assert errors.Invalid("no").fields == {}


def test_a_rate_limit_says_when_to_come_back() -> None:
    """In whole seconds, for Retry-After."""
    refused = errors.TooManyRequests("slow down", retry_after=7)
    assert (refused.retry_after, refused.code) == (7, Code.TOO_MANY_REQUESTS)
    assert type(refused) in _tree(DomainError)
