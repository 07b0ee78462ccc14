"""What of a SCIM request is kept: everything but what is secret in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_bridge.provisioning.masking import LARGEST_READ_AGAIN, MASK, PLAIN, Masking
from scim.attributes import Attribute, Schema
from scim.schemas import STANDARD

SECRET = "hunter2-1Zq"
USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"

PLACES: dict[str, Any] = {
    "an attribute": {"userName": "ann", "password": SECRET},
    "in any case": {"PassWord": SECRET},
    "by its urn": {f"{USER_URN}:password": SECRET},
    "in an extension": {"urn:example:2.0:User": {"apiToken": SECRET, "clientSecret": [SECRET]}},
    "the path of an operation": {"Operations": [{"op": "replace", "path": "password", "value": SECRET}]},
    "a path in any case": {"operations": [{"OP": "Replace", "Path": "PASSWORD", "Value": SECRET}]},
    "a path by its urn": {"Operations": [{"op": "add", "path": f"{USER_URN}:password", "value": SECRET}]},
    "a value without a path": {"Operations": [{"op": "add", "value": {"password": SECRET, "active": True}}]},
    "an object under a path": {"Operations": [{"op": "add", "path": "password", "value": {"value": SECRET}}]},
    "a bulk operation": {"Operations": [{"method": "POST", "path": "/Users", "data": {"password": SECRET}}]},
    "a patch in a bulk": {"Operations": [{"data": {"Operations": [{"path": "password", "value": SECRET}]}}]},
    "a filter": {"filter": f'userName eq "ann" and password eq "{SECRET}"'},
    "a filter cut short": {"filter": f'password eq "{SECRET}'},
    "a path with a filter": {"Operations": [{"op": "remove", "path": f'x[token eq "{SECRET}"]'}]},
    "an entry that names itself": {"keys": [{"type": "token", "value": SECRET}]},
    "JSON in a string": {"value": json.dumps({"password": SECRET})},
}


@pytest.mark.parametrize("body", PLACES.values(), ids=PLACES.keys())
def test_no_secret_is_kept_wherever_it_stands(body: Any) -> None:
    """Only the value goes; that there was one is still to be seen."""
    kept = PLAIN.document(json.dumps(body).encode(), is_json=True)
    assert kept is not None
    assert SECRET not in kept
    assert MASK in kept


@given(
    st.sampled_from(["password", "Password", "PASSWORD", "newPassword", "clientSecret", "refresh_token", "passwd"]),
    st.recursive(st.just(SECRET), lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner)),
    st.lists(st.sampled_from(["list", "object"]), max_size=6),
)
def test_no_secret_is_kept_however_deep_it_stands(name: str, held: Any, around: list[str]) -> None:
    """Nor whatever it is made of."""
    body: Any = {name: held}
    for layer in around:
        body = {"held": [body]} if layer == "list" else {"held": body}
    kept = PLAIN.document(json.dumps(body).encode(), is_json=True)
    assert kept is not None
    assert SECRET not in kept


def test_an_escaped_name_is_the_name() -> None:
    """``p\\u0061ssword`` is password to every reader of JSON."""
    kept = PLAIN.document(b'{"p\\u0061ssword":"%s"}' % SECRET.encode(), is_json=True)
    assert kept == f'{{"password":"{MASK}"}}'


def test_a_body_without_secrets_is_kept_letter_by_letter() -> None:
    """So that what the provider sent can be held against its documentation."""
    sent = '{ "userName" : "änne@acme.test",\n "nickName": null, "x": 1.50 }'
    assert PLAIN.document(sent.encode(), is_json=True) == sent


@pytest.mark.parametrize(
    ("body", "is_json"),
    [
        (f"password={SECRET}".encode(), False),
        (b'{"password": "' + SECRET.encode(), False),
        (f'"{SECRET}"'.encode(), True),
        (f'["{SECRET}"]'.encode(), True),
        (b'{"password":"%s","x":"%s"}' % (SECRET.encode(), b"x" * LARGEST_READ_AGAIN), True),
        (b'{"password":' + b'{"x":' * 400 + f'"{SECRET}"'.encode() + b"}" * 401, True),
    ],
)
def test_what_cannot_be_told_apart_is_not_kept(body: bytes, is_json: bool) -> None:
    """Only how long it was."""
    kept = PLAIN.document(body, is_json=is_json)
    assert kept is not None
    assert SECRET not in kept
    assert len(kept) < 100


def test_no_body_is_none() -> None:
    """And not an empty text."""
    assert PLAIN.document(b"", is_json=False) is None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"filter=userName%20eq%20%22ann%22&count=1", 'filter=userName eq "ann"&count=1'),
        (b"filter=userName+eq+%22%C3%A4nne%22", 'filter=userName eq "änne"'),
        (b"filter=password+eq+%22hunter2%22", f'filter=password eq "{MASK}"'),
        (b"filter=%70assword+eq+%22hunter2%22", f'filter=password eq "{MASK}"'),
        (b"count=1&access_token=hunter2", f"count=1&access_token={MASK}"),
        (b"Password=&x=1", f"Password={MASK}&x=1"),
    ],
)
def test_filters_are_kept_and_secrets_in_them_are_not(sent: bytes, kept: str) -> None:
    """As people read them."""
    assert PLAIN.query(sent) == kept


BADGE = "urn:acme:scim:2.0:User"
OWN = Masking.of(
    STANDARD.extended(
        user=[
            Schema(
                BADGE,
                "Badge",
                "",
                (
                    Attribute("pin", "string", mutability="writeOnly", returned="never"),
                    Attribute("door", "complex", sub_attributes=(Attribute("code", "string", returned="never"),)),
                    Attribute("note", "string", returned="request"),
                ),
            )
        ]
    )
)

OF_ITS_OWN: dict[str, Any] = {
    "an attribute": {"userName": "ann", BADGE: {"PIN": SECRET}},
    "by its urn": {f"{BADGE}:pin": SECRET},
    "a part of one": {BADGE: {"door": {"code": SECRET}}},
    "the path of an operation": {"Operations": [{"op": "replace", "path": f"{BADGE}:pin", "value": SECRET}]},
    "the path of a part": {"Operations": [{"op": "replace", "path": f"{BADGE}:door.code", "value": SECRET}]},
    "a filter": {"filter": f'{BADGE}:pin eq "{SECRET}"'},
    "an error that quotes it": {"detail": f"pin: '{SECRET}' is not a string without control characters."},
}


@pytest.mark.parametrize("body", OF_ITS_OWN.values(), ids=OF_ITS_OWN.keys())
def test_what_a_directory_never_returns_is_not_kept(body: Any) -> None:
    """RFC 7643 §7, `returned`: an attribute of the account's own, by whatever name it goes."""
    kept = OWN.document(json.dumps(body).encode(), is_json=True)
    assert kept is not None
    assert SECRET not in kept
    assert MASK in kept
    assert SECRET in str(PLAIN.document(json.dumps(body).encode(), is_json=True))


def test_only_the_whole_name_is_secret() -> None:
    """`pin` is in many words, and what is returned on request is no secret."""
    body = {BADGE: {"note": "n"}, "title": "shipping", "nickName": "pin-up", "opinion": "x"}
    assert OWN.document(json.dumps(body).encode(), is_json=True) == json.dumps(body)


def test_the_words_of_an_error_are_masked_where_they_quote_a_secret() -> None:
    """What is told of it stays readable."""
    assert OWN.words(f"pin: '{SECRET}' is not an integer.") == f'pin: "{MASK}" is not an integer.'
    assert OWN.words("'x' is not an attribute.") == "'x' is not an attribute."
