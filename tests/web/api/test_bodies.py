"""Bodies: strict JSON of the documented types, or 400 with each wrong field named."""

from typing import Any

import pytest
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.unreader import IterUnreader

from idp_bridge.web.api.dialect import LARGEST_BODY
from tests.web.api.conftest import Caller, member_with

JSON = "application/json"


@pytest.mark.parametrize(
    ("data", "media_type", "status", "code"),
    [
        (b"", JSON, 400, "ERR_INVALID_BODY"),
        (b"", None, 400, "ERR_INVALID_BODY"),
        (b"{", JSON, 400, "ERR_INVALID_BODY"),
        (b"[]", JSON, 400, "ERR_INVALID_BODY"),
        (b"null", JSON, 400, "ERR_INVALID_BODY"),
        (b'"name"', JSON, 400, "ERR_INVALID_BODY"),
        (b'{"name": NaN}', JSON, 400, "ERR_INVALID_BODY"),
        (b'{"name": -Infinity}', JSON, 400, "ERR_INVALID_BODY"),
        (b'{"name": "a", "name": "b"}', JSON, 400, "ERR_INVALID_BODY"),
        (b'{"name": "\xff"}', JSON, 400, "ERR_INVALID_BODY"),
        ('{"name": "a"}'.encode("utf-16"), JSON, 400, "ERR_INVALID_BODY"),
        (b'\xef\xbb\xbf{"name": "a"}', JSON, 400, "ERR_INVALID_BODY"),
        (b"[" * 100_000, JSON, 400, "ERR_INVALID_BODY"),
        (b'{"name": ' + b"9" * 5000 + b"}", JSON, 400, "ERR_INVALID_BODY"),
        (b'{"name": "a"}', "text/plain", 415, "ERR_UNSUPPORTED_MEDIA_TYPE"),
        (b"name=a", "application/x-www-form-urlencoded", 415, "ERR_UNSUPPORTED_MEDIA_TYPE"),
        (b'{"name": "a"}', None, 415, "ERR_UNSUPPORTED_MEDIA_TYPE"),
        (b'{"name": "' + b"a" * 1024 * 1024 + b'"}', JSON, 413, "ERR_TOO_LARGE"),
    ],
)
def test_what_is_no_json_object_is_refused(
    api: Caller, data: bytes, media_type: str | None, status: int, code: str
) -> None:
    """The body must be one JSON object in UTF-8 that says what it is, of a bounded size."""
    answer = api.call("POST", "bot_users", data=data, content_type=media_type, expect=status)
    assert answer.json["error_code"] == code
    assert api.get("bot_users")["bot_users"] == []


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": 1}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a" * 256}, "name"),
        ({"name": "é" * 128}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": "a\u001bb"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\u009bb"}, "name"),
        ({"name": " "}, "name"),
        ({"name": "ci "}, "name"),
        ({"name": "\u00a0ci"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "a\u2028b"}, "name"),
        ({"name": "a\u200bb"}, "name"),
        ({"name": "a\ufeff"}, "name"),
        ({"name": "a", "active": "true"}, "active"),
        ({"name": "a", "active": 1}, "active"),
        ({"name": "a", "active": 0.0}, "active"),
        ({"name": "a", "metadata": "x" * 4097}, "metadata"),
        ({"name": "a", "metadata": {}}, "metadata"),
        ({"name": "a", "description": "x" * 256}, "description"),
        ({"name": "a", "roles": "developer"}, "roles"),
        ({"name": "a", "roles": [1]}, "roles.0"),
        ({"name": "a", "roles": ["nobody"]}, "roles"),
        ({"name": "a", "roles": ["admin"]}, "roles"),
        ({"name": "a", "id": "bot_1"}, "id"),
        ({"name": "a", "owner": "me"}, "owner"),
    ],
)
def test_each_wrong_field_is_named(api: Caller, body: dict[str, Any], wrong: str) -> None:
    """400, never 422, and details.errors has the field."""
    refusal = api.post("bot_users", body, expect=400)
    assert refusal["error_code"] == "ERR_INVALID_BODY"
    assert list(refusal["details"]["errors"]) == [wrong]


def test_a_name_is_one_that_the_pages_could_have_taken(api: Caller, connection: dict[str, Any]) -> None:
    """Whatever has one: nothing that cannot be seen, and no space at an end; letters of any script."""
    id, _ = member_with(api, "viewer")
    bot = api.post("bot_users", {"name": "Grüße 日本語 🤖"})["id"]
    provider = api.post("identity_providers", connection)["id"]
    for path in (f"bot_users/{bot}", f"identity_providers/{provider}", f"users/{id}", "account"):
        for name in ("ci ", "a\u202eb"):
            assert list(api.patch(path, {"name": name}, expect=400)["details"]["errors"]) == ["name"], path


def _in_chunks(api: Caller, path: str, sent: bytes, media_type: str = JSON) -> Any:
    body = Body(ChunkedReader(None, IterUnreader([b"%x\r\n%s\r\n0\r\n\r\n" % (len(sent), sent)])))
    overrides = {"wsgi.input": body, "wsgi.input_terminated": True}
    return api.call("POST", path, environ_overrides=overrides, content_type=media_type)


@pytest.mark.parametrize(
    ("path", "start", "media_type", "done"),
    [
        ("bot_users", b'{"name": "a"}', JSON, 201),
        ("introspect", b"token=a&token_type_hint=", "application/x-www-form-urlencoded", 400),
    ],
)
def test_a_body_in_chunks_is_as_long_as_any_other(
    api: Caller, path: str, start: bytes, media_type: str, done: int
) -> None:
    """Nobody says how long it is; past the limit it is 413, and not read as if it ended there."""
    sent = start.ljust(LARGEST_BODY, b" " if media_type == JSON else b"a")
    answer = _in_chunks(api, path, sent + b"GARBAGE", media_type)
    assert (answer.status_code, answer.json["error_code"]) == (413, "ERR_TOO_LARGE")
    assert api.get("bot_users")["bot_users"] == []
    assert _in_chunks(api, path, sent, media_type).status_code == done


def test_lone_surrogates_are_refused(api: Caller) -> None:
    """JSON can escape half a character, which no database can store."""
    answer = api.call("POST", "bot_users", data=b'{"name": "\\ud800"}', content_type=JSON, expect=400)
    assert list(answer.json["details"]["errors"]) == ["name"]


def test_several_wrong_fields_are_named_at_once(api: Caller) -> None:
    """One answer lists everything that is wrong."""
    refusal = api.post("bot_users", {"active": "yes", "roles": [1], "colour": "red"}, expect=400)
    assert set(refusal["details"]["errors"]) == {"name", "active", "roles.0", "colour"}


def test_an_empty_patch_is_refused(api: Caller) -> None:
    """A PATCH that names no field changes nothing and says so."""
    bot = api.post("bot_users", {"name": "deploy"})
    assert api.patch(f"bot_users/{bot['id']}", {}, expect=400)["error_code"] == "ERR_EMPTY_PATCH"
    assert api.patch("account", {}, expect=400)["error_code"] == "ERR_EMPTY_PATCH"


def test_null_is_absent_for_ngroks_clients(api: Caller) -> None:
    """They send null for each argument that was not given; that neither fails nor erases anything."""
    made = api.post("bot_users", {"name": "deploy", "active": None, "description": "ci"})
    assert made["active"] is True
    changed = api.patch(f"bot_users/{made['id']}", {"name": None, "active": False})
    assert (changed["name"], changed["active"], changed["description"]) == ("deploy", False, "ci")
    key = api.post("api_keys", {"description": "", "metadata": "", "owner_id": None})
    assert key["owner_id"] == api.get("whoami")["principal"]["id"]


@pytest.mark.parametrize(
    "when",
    [
        "2020-01-01T00:00:00Z",
        "tomorrow",
        "2090-01-01",
        "2090-01-01T00:00:00",
        "2090-13-01T00:00:00Z",
        4102444800,
        "",
        "0001-01-01T00:00:00+14:00",
        "2090-W01-1T00:00:00Z",
    ],
)
def test_expiry_is_an_rfc_3339_time_to_come(api: Caller, when: Any) -> None:
    """Anything else is refused, the past included."""
    refusal = api.post("credentials", {"expires_at": when}, expect=400)
    assert list(refusal["details"]["errors"]) == ["expires_at"]


@pytest.mark.parametrize("email", ["", "anna", "anna@", "@acme.test", "a b@acme.test", "anna@acme", "a@b@acme.test"])
def test_what_is_no_address_is_refused(api: Caller, email: str) -> None:
    """An address has one @ and a domain with a dot."""
    assert list(api.post("invitations", {"email": email}, expect=400)["details"]["errors"]) == ["email"]
