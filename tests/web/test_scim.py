"""SCIM over HTTP: who may speak, what is read, and the form of every answer."""

import gzip
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.unreader import IterUnreader

from idp_bridge import clock, credentials, db, last_uses, scim_tokens, tokens
from idp_bridge.models import Account, IdentityProvider, ScimToken
from scim.schemas import ERROR_URN, MAX_PAYLOAD_BYTES
from tests.conftest import ScimClient, World, add_provider, make_account

USER = {"userName": "ann@acme.test", "displayName": "Änne", "emails": [{"value": "ann@acme.test", "type": "work"}]}


class Directory:
    """A directory's client that sends JSON and reads JSON."""

    def __init__(self, app: Flask, token: str) -> None:
        self.app = app
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request; ``body`` is JSON, or bytes sent as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.test_client().open(
            f"/scim/v2{path}", method=method, data=data, headers={**self.headers, **named}
        )

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A POST that succeeds."""
        answer = self.send("POST", path, body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = json.loads(answer.data)
        return made


@pytest.fixture
def directory(scim_client: ScimClient) -> Directory:
    """acme's directory."""
    return Directory(scim_client.app, scim_client.token)


def refused(answer: Any, status: int, scim_type: str | None = None) -> str:
    """Check that the answer is a SCIM Error of that status; its detail."""
    body = json.loads(answer.data)
    assert (answer.status_code, body["status"]) == (status, str(status)), answer.text
    assert (body["schemas"], body.get("scimType")) == ([ERROR_URN], scim_type), answer.text
    assert answer.content_type == "application/scim+json"
    return str(body["detail"])


# --- who may speak ----------------------------------------------------------------------------------------------


def authorizations(world: World) -> list[tuple[str | None, str]]:
    """Headers that open nothing, and what the answer must tell the administrator."""
    with db.connection(), db.transaction():
        authtoken = credentials.issue(world.system, credentials.AUTHTOKEN, world.owner).token
    return [
        (None, "Authorization: Bearer"),
        ("Bearer", "Authorization: Bearer"),
        ("Basic YW5uOmxlZQ==", "Authorization: Bearer"),
        ("non-token", "Authorization: Bearer"),
        (f"Bearer {tokens.new(tokens.Kind.SCIM_TOKEN)}", "Invalid SCIM token"),
        ("Bearer eyJhbGciOiJSUzI1NiJ9.e30.x", "Invalid SCIM token"),
        (f"Bearer {world.scim_token[:-1]}", "Invalid SCIM token"),
        ("Bearer tok_01m882q9e814sbwghmvbk183fa", "That is an id, not a SCIM token"),
        (f"Bearer {world.api_key}", "That is an API key, not a SCIM token"),
        (f"Bearer {authtoken}", "That is an authtoken, not a SCIM token"),
    ]


def test_without_a_valid_token_nothing_is_read(scim_client: ScimClient) -> None:
    """401 with WWW-Authenticate before the body, the path's id or the media type is looked at."""
    for header, words in authorizations(scim_client.world):
        headers = {"Content-Type": "text/plain"} | ({"Authorization": header} if header else {})
        for method, path in [("GET", "/Users"), ("POST", "/Users"), ("PATCH", "/Groups/x"), ("POST", "/Bulk")]:
            answer = scim_client.open(method, path, headers, b"{")
            assert words in refused(answer, 401)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_scheme_is_read_in_any_case(scim_client: ScimClient) -> None:
    """RFC 9110 §11.1."""
    assert scim_client.open("GET", "/Users", {"Authorization": f"bearer  {scim_client.token}"}).status_code == 200


def test_expired_and_deleted_tokens_are_dead(scim_client: ScimClient) -> None:
    """And a second token of the same directory goes on: that is how one is exchanged for another."""
    world = scim_client.world
    assert world.provider is not None
    with db.connection(), db.transaction():
        later = scim_tokens.issue(world.system, world.provider).token
        ScimToken.update(expires_at=clock.now() - timedelta(seconds=1)).where(
            ScimToken.token_digest == tokens.digest(world.scim_token)
        ).execute()
    answer = scim_client.open("GET", "/Users", {"Authorization": f"Bearer {world.scim_token}"})
    assert "expired" in refused(answer, 401)
    with db.connection():
        ScimToken.delete().where(ScimToken.token_digest == tokens.digest(world.scim_token)).execute()
    answer = scim_client.open("GET", "/Users", {"Authorization": f"Bearer {world.scim_token}"})
    assert "Invalid SCIM token" in refused(answer, 401)
    assert scim_client.open("GET", "/Users", {"Authorization": f"Bearer {later}"}).status_code == 200


def test_plan_without_scim_is_told_which_has_it(scim_client: ScimClient, directory: Directory) -> None:
    """403 with the plan's name."""
    with db.connection():
        Account.update(plan="pro").where(Account.id == scim_client.world.account.id).execute()
    assert "Enterprise" in refused(directory.send("GET", "/Users"), 403)


def test_disabled_provider_still_hears_its_directory(scim_client: ScimClient, directory: Directory) -> None:
    """Nobody signs in through it, but who leaves the directory must be out here too."""
    with db.connection():
        IdentityProvider.update(enabled=False).execute()
    assert directory.create("/Users", USER)["active"] is True


def test_a_read_writes_nothing_and_its_token_s_last_use_is_kept(directory: Directory) -> None:
    """It is noted, and written by the process a few seconds later."""

    def used() -> Any:
        with db.connection():
            return ScimToken.get().last_used_at

    directory.send("GET", "/Users")
    assert used() is None
    last_uses.write()
    assert used() is not None


def test_tokens_of_other_directories_see_404(
    scim_client: ScimClient, directory: Directory, idp_certificate: str
) -> None:
    """In another account, and in another directory of the same account: read, list, change and delete."""
    user = directory.create("/Users", USER)["id"]
    group = directory.create("/Groups", {"displayName": "Crew", "members": [{"value": user}]})["id"]
    with db.connection():
        other = make_account("other")
        add_provider(other, idp_certificate)
        own, world = scim_client.token, scim_client.world
        add_provider(world, idp_certificate, name="Second", entity_id="https://second.example.test")
    for token in (other.scim_token, world.scim_token):
        assert token != own
        stranger = Directory(scim_client.app, token)
        for path in (f"/Users/{user}", f"/Groups/{group}"):
            body = {"userName": "x", "displayName": "x"}
            changes = {"Operations": [{"op": "replace", "value": {"displayName": "x"}}]}
            assert path.rpartition("/")[2] in refused(stranger.send("GET", path), 404)
            for method, sent in (("PUT", body), ("PATCH", changes), ("DELETE", None)):
                refused(stranger.send(method, path, sent), 404)
        for path in (
            "/Users",
            "/Groups",
            "/Users?filter=userName%20pr",
            "/Groups?filter=displayName%20eq%20%22crew%22",
        ):
            assert json.loads(stranger.send("GET", path).data)["totalResults"] == 0
        refused(
            stranger.send("POST", "/Groups", {"displayName": "G", "members": [{"value": user}]}), 400, "invalidValue"
        )
    assert json.loads(directory.send("GET", f"/Groups/{group}").data)["members"] == [{"value": user}]


# --- the form of answers ----------------------------------------------------------------------------------------


def test_create_answers_location_etag_and_the_whole(directory: Directory) -> None:
    """201 with Location equal to meta.location, ETag equal to meta.version, text as UTF-8."""
    answer = directory.send("POST", "/Users", USER)
    body = json.loads(answer.data)
    assert answer.headers["Location"] == body["meta"]["location"] == f"http://localhost/scim/v2/Users/{body['id']}"
    assert answer.headers["ETag"] == body["meta"]["version"]
    assert "Änne".encode() in answer.data
    assert b'", "' not in answer.data
    assert answer.content_type == "application/scim+json"


ACCEPTED = [
    ("", "application/scim+json"),
    ("*/*", "application/scim+json"),
    ("application/scim+json; charset=utf-8", "application/scim+json"),
    ("application/json", "application/json"),
    ("application/json, application/scim+json", "application/scim+json"),
    ("application/json, text/plain, */*", "application/scim+json"),
]


def test_media_type_is_scims_unless_only_json_is_understood(directory: Directory) -> None:
    """OneLogin's documentation demands application/json of every answer."""
    for accept, media_type in ACCEPTED:
        assert directory.send("GET", "/Users", Accept=accept).content_type == media_type, accept


def test_user_patch_answers_the_whole_and_group_patch_nothing(directory: Directory) -> None:
    """200 with the resource; 204 for a group, unless attributes are asked for (RFC 7644 §3.5.2)."""
    user = directory.create("/Users", USER)
    group = directory.create("/Groups", {"displayName": "Crew"})
    change = {"Operations": [{"op": "Replace", "path": "active", "value": "False"}]}
    answer = directory.send("PATCH", f"/Users/{user['id']}", change)
    assert (answer.status_code, json.loads(answer.data)["active"]) == (200, False)
    add = {"Operations": [{"op": "Add", "path": "members", "value": [{"$ref": None, "value": user["id"]}]}]}
    answer = directory.send("PATCH", f"/Groups/{group['id']}", add)
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (204, b"", 'W/"2"')
    answer = directory.send("PATCH", f"/Groups/{group['id']}?attributes=members", add)
    assert json.loads(answer.data)["members"] == [{"value": user["id"]}]
    answer = directory.send("GET", f"/Users/{user['id']}")
    assert [g["display"] for g in json.loads(answer.data)["groups"]] == ["Crew"]


def test_head_and_trailing_slash(directory: Directory) -> None:
    """HEAD answers the headers of GET, and every path may end in a slash."""
    user = directory.create("/Users/", USER)
    for path in ("/Users/", f"/Users/{user['id']}/", "/Users/?filter=userName+eq+%22ann@acme.test%22", "/Schemas/"):
        got = directory.send("GET", path)
        head = directory.send("HEAD", path)
        assert (got.status_code, head.status_code, head.data) == (200, 200, b"")
        assert head.headers.get("ETag") == got.headers.get("ETag")
    assert directory.send("DELETE", f"/Users/{user['id']}/").status_code == 204


def test_not_modified(directory: Directory) -> None:
    """304 without a body where the client has this version (RFC 7644 §3.14)."""
    user = directory.create("/Users", USER)
    answer = directory.send("GET", f"/Users/{user['id']}", If_None_Match='W/"1"')
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", 'W/"1"')
    refused(directory.send("DELETE", f"/Users/{user['id']}", If_Match='W/"7"'), 412)


# --- what is refused --------------------------------------------------------------------------------------------

BODIES = [
    ("broken JSON", b'{"userName": "half', 400, "invalidSyntax"),
    ("nothing", b"", 400, "invalidSyntax"),
    ("no object", b'["userName"]', 400, "invalidSyntax"),
    ("text", b'"userName"', 400, "invalidSyntax"),
    ("no UTF-8", b'{"userName": "\xff\xfe"}', 400, "invalidSyntax"),
    ("UTF-16", '{"userName": "a"}'.encode("utf-16"), 400, "invalidSyntax"),
    ("deeply nested", b"[" * 200_000, 400, "invalidSyntax"),
    ("no number of JSON", b'{"userName": NaN}', 400, "invalidSyntax"),
    ("a number of many digits", b'{"userName": ' + b"9" * 10_000 + b"}", 400, "invalidSyntax"),
    ("control characters", b'{"userName": "a\\u0000"}', 400, "invalidValue"),
    ("half a surrogate pair", b'{"userName": "\\ud800"}', 400, "invalidValue"),
    ("no userName", b"{}", 400, "invalidValue"),
    ("too large", b'{"userName": "' + b"a" * MAX_PAYLOAD_BYTES + b'"}', 413, None),
]


def test_bodies_that_cannot_be_read(directory: Directory) -> None:
    """Each a SCIM Error, none a failure of ours."""
    for name, body, status, scim_type in BODIES:
        answer = directory.send("POST", "/Users", body)
        assert answer.status_code == status, name
        refused(answer, status, scim_type)


REPEATED = [
    b'{"userName": "a", "userName": "b"}',
    b'{"userName": "a", "userName": "a"}',
    b'{"userName": "a", "name": {"givenName": "x", "familyName": "y", "givenName": "z"}}',
    b'{"userName": "a", "emails": [{"value": "x", "\\u0076alue": "y"}]}',
]


def test_a_name_stands_once_in_an_object(directory: Directory) -> None:
    """RFC 8259 §4 leaves open which of two counts, so that who checks and who reads could differ; at any depth."""
    for body in REPEATED:
        assert "more than once" in refused(directory.send("POST", "/Users", body), 400, "invalidSyntax")
    assert json.loads(directory.send("GET", "/Users").data)["totalResults"] == 0


VERSIONS = ["/scim/v1", "/scim/v1/", "/scim/v1/Users", "/scim/v1/Users/x", "/scim/v2.0/Users", "/scim/v20/Bulk"]


def test_another_version_of_the_protocol_is_refused(directory: Directory) -> None:
    """400 invalidVers for every method (RFC 7644 §3.13, table 9); what is no version at all is 404."""
    client = directory.app.test_client()
    for path in VERSIONS:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            answer = client.open(path, method=method, headers=directory.headers, data=b"{}")
            assert "/scim/v2" in refused(answer, 400, "invalidVers"), (method, path)
    for path in ("/scim", "/scim/", "/scim/v2/Devices", "/scim/Users", "/scim/version/Users"):
        refused(client.get(path, headers=directory.headers), 404)


def test_me_is_nobody(directory: Directory) -> None:
    """501 for every method: a token stands for a directory (RFC 7644 §3.11)."""
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        assert "a SCIM token stands for a directory" in refused(directory.send(method, "/Me", {}), 501)


MEDIA_TYPES = [
    ("application/json", 201),
    ("application/json; charset=UTF-8", 201),
    ("application/scim+json; charset=utf-8", 201),
    ("application/json; charset=latin-1", 415),
    ("application/xml", 415),
    ("application/x-www-form-urlencoded", 415),
    ("text/plain", 415),
]


def test_media_types_of_bodies(directory: Directory) -> None:
    """SCIM's own and plain JSON, in UTF-8; anything else is 415."""
    for number, (media_type, status) in enumerate(MEDIA_TYPES):
        answer = directory.send("POST", "/Users", {"userName": f"u{number}"}, Content_Type=media_type)
        assert answer.status_code == status, media_type
        if status == 415:
            refused(answer, status)


def test_compressed_bodies_are_refused(directory: Directory) -> None:
    """415 says what is wrong; read as JSON they would be called malformed (RFC 9110 §15.5.16)."""
    sent = gzip.compress(json.dumps({"userName": "ann"}).encode())
    assert "Content-Encoding" in refused(directory.send("POST", "/Users", sent, Content_Encoding="gzip"), 415)
    assert directory.send("POST", "/Users", {"userName": "ann"}, Content_Encoding="identity").status_code == 201


def test_malformed_chunks_are_the_clients_fault(directory: Directory) -> None:
    """gunicorn reads a chunked body only when the application asks for it; what it raises then is 400, not 500."""
    for chunks in (b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}0\r\n\r\n", b"5\r\n{}"):
        body = Body(ChunkedReader(None, IterUnreader([chunks])))
        answer = directory.app.test_client().open(
            "/scim/v2/Users",
            method="POST",
            headers=directory.headers,
            environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True},
        )
        refused(answer, 400, "invalidSyntax")


def test_a_byte_order_mark_is_passed_over(directory: Directory) -> None:
    """Scripts on Windows write one, and RFC 8259 §8.1 lets a reader ignore it."""
    body = '\ufeff{"userName": "ann"}'.encode()
    answer = directory.app.test_client().post("/scim/v2/Users", headers=directory.headers, data=body)
    assert answer.status_code == 201, answer.text


def test_a_body_in_chunks_is_as_long_as_any_other(directory: Directory) -> None:
    """Nobody says how long it is; past the limit it is 413, and not read as if it ended there."""
    sent = b'{"userName": "ann"}'.ljust(MAX_PAYLOAD_BYTES) + b"x"
    for held, status in ((sent, 413), (sent[:-1], 201)):
        answer = directory.app.test_client().open(
            "/scim/v2/Users",
            method="POST",
            headers=directory.headers,
            environ_overrides={
                "wsgi.input": Body(ChunkedReader(None, IterUnreader([b"%x\r\n%s\r\n0\r\n\r\n" % (len(held), held)]))),
                "wsgi.input_terminated": True,
            },
        )
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/Users", {"userName": "é" * 1001}),
        ("/Users", {"userName": "ann", "externalId": "x" * 2001}),
        ("/Users", {"userName": "ann", "emails": [{"value": "x" * 2001}]}),
        ("/Groups", {"displayName": "x" * 2001}),
        ("/Groups", {"displayName": "crew", "externalId": "x" * 2001}),
    ],
)
def test_what_is_looked_up_fits_into_an_index(directory: Directory, path: str, body: dict[str, Any]) -> None:
    """Longer it is 400 on every database, by POST, PUT and PATCH, and alone in a bulk request."""
    (name, long) = list(body.items())[-1]
    short = {"userName": "bob"} if path == "/Users" else {"displayName": "deck"}
    id = directory.create(path, short)["id"]
    replaced = {"op": "replace", "path": name, "value": long}
    operations = [{"method": "POST", "bulkId": "b", "path": path, "data": body}]
    assert name in refused(directory.send("POST", path, body), 400, "invalidValue")
    assert name in refused(directory.send("PUT", f"{path}/{id}", {**short, **body}), 400, "invalidValue")
    assert name in refused(directory.send("PATCH", f"{path}/{id}", {"Operations": [replaced]}), 400, "invalidValue")
    answer = json.loads(directory.send("POST", "/Bulk", {"Operations": operations}).data)
    assert [operation["status"] for operation in answer["Operations"]] == ["400"]


def test_a_resource_is_no_larger_than_a_page_can_bear(directory: Directory) -> None:
    """A thousand of them are answered at once; a PATCH cannot go beyond it bit by bit."""
    ann = directory.create("/Users", {"userName": "ann", "title": "x" * 200_000})["id"]
    more = {"op": "add", "path": "nickName", "value": "x" * 100_000}
    assert "256 KiB" in refused(directory.send("PATCH", f"/Users/{ann}", {"Operations": [more]}), 413)
    assert "256 KiB" in refused(directory.send("POST", "/Users", {"userName": "bob", "title": "x" * 300_000}), 413)
    members = [{"value": ann, "display": "x" * 300_000}]
    assert directory.create("/Groups", {"displayName": "Crew", "members": members})


def test_a_group_within_a_group_is_refused_by_its_id_alone(directory: Directory) -> None:
    """Entra ID sends no type with a member."""
    deck = directory.create("/Groups", {"displayName": "Deck"})["id"]
    crew = {"displayName": "Crew", "members": [{"value": deck}]}
    assert "groups within groups are not supported" in refused(
        directory.send("POST", "/Groups", crew), 400, "invalidValue"
    )


def test_wrong_addresses_and_methods_say_so(directory: Directory) -> None:
    """The base URL or a path is what a first attempt most often has wrong."""
    assert "'/scim/v2/users'" in refused(directory.send("GET", "/users"), 404)
    answer = directory.send("PUT", "/Users", {})
    assert refused(answer, 405) == "There is no PUT here, only GET, HEAD, OPTIONS, POST."


REFUSALS: list[tuple[str, str, Any, int, str | None]] = [
    ("GET", "/Devices", None, 404, None),
    ("GET", "/Users/none/other", None, 404, None),
    ("GET", "/Users/none", None, 404, None),
    ("GET", "/Users/%00", None, 404, None),
    ("DELETE", "/Groups/grp_%00", None, 404, None),
    ("GET", "/Users?filter=nosuch%20eq%20%22x%22", None, 400, "invalidFilter"),
    ("GET", "/Users?filter=userName%20eq", None, 400, "invalidFilter"),
    ("GET", "/Users?count=many", None, 400, "invalidValue"),
    ("GET", "/Users?attributes=userName&excludedAttributes=name", None, 400, "invalidValue"),
    ("POST", "/Users/.search", [], 400, "invalidSyntax"),
    ("POST", "/Users/.search", {"filter": 7}, 400, "invalidFilter"),
    ("POST", "/.search", {"filter": "shoeSize pr"}, 400, "invalidFilter"),
    ("PATCH", "/Users/none", {"Operations": []}, 400, "invalidSyntax"),
    ("GET", "/Me", None, 501, None),
    ("POST", "/Bulk", {}, 400, "invalidSyntax"),
]


def test_refusals_have_scims_form(directory: Directory) -> None:
    """Every error under /scim is an Error object (RFC 7644 §3.12)."""
    for method, path, body, status, scim_type in REFUSALS:
        answer = directory.send(method, path, body)
        assert answer.status_code == status, (method, path)
        refused(answer, status, scim_type)


ALLOWED = [
    ("DELETE", "/Users", "POST"),
    ("PUT", "/Groups", "GET"),
    ("POST", "/Users/some-id", "PATCH"),
    ("GET", "/Users/.search", "POST"),
    ("DELETE", "/Groups/.search", "POST"),
    ("POST", "/Schemas", "GET"),
    ("DELETE", "/ServiceProviderConfig", "GET"),
    ("GET", "/Bulk", "POST"),
    ("PUT", "/Bulk", "POST"),
    ("PATCH", "/Bulk/", "POST"),
    ("DELETE", "/Bulk", "POST"),
]


def test_wrong_method_is_told_the_right_ones(directory: Directory) -> None:
    """405 with Allow (RFC 9110 §15.5.6)."""
    for method, path, allowed in ALLOWED:
        answer = directory.send(method, path, {})
        refused(answer, 405)
        assert allowed in answer.headers["Allow"], (method, path)


def test_rules_of_the_product_are_explained(scim_client: ScimClient, directory: Directory) -> None:
    """Seats, last administrator: the detail says what to do, since Okta and Entra show it to an administrator."""
    owner = directory.create("/Users", {"userName": "owner@acme.test"})
    off = {"Operations": [{"op": "replace", "value": {"active": False}}]}
    assert "administrator" in refused(directory.send("PATCH", f"/Users/{owner['id']}", off), 409)
    assert json.loads(directory.send("GET", f"/Users/{owner['id']}").data)["active"] is True
    with db.connection():
        Account.update(seats=1).where(Account.id == scim_client.world.account.id).execute()
    assert "seats" in refused(directory.send("POST", "/Users", USER), 403)
    again = directory.send("POST", "/Users", {"userName": "OWNER@acme.test"})
    assert "OWNER@acme.test" in refused(again, 409, "uniqueness")


def test_strict_provider_refuses_unknown_attributes(scim_client: ScimClient, directory: Directory) -> None:
    """``strict_scim`` is for directories that send only what they mean; others are read with tolerance."""
    assert directory.send("POST", "/Users", {**USER, "shoeSize": 42}).status_code == 201
    with db.connection():
        IdentityProvider.update(strict_scim=True).execute()
    refused(directory.send("POST", "/Users", {"userName": "b", "shoeSize": 42}), 400, "invalidValue")


# --- lists and discovery ----------------------------------------------------------------------------------------


def test_search_over_all_types_pages_through_both(directory: Directory) -> None:
    """Users first, then groups, one total (RFC 7644 §3.4.2.1)."""
    made = [directory.create("/Users", {"userName": f"u{n}"})["id"] for n in range(3)]
    made += [directory.create("/Groups", {"displayName": f"g{n}"})["id"] for n in range(3)]
    paged: list[str] = []
    for start in range(1, 8, 2):
        body = json.loads(directory.send("POST", "/.search", {"startIndex": start, "count": 2}).data)
        assert body["totalResults"] == 6
        paged += [resource["id"] for resource in body["Resources"]]
    assert paged == made


DISCOVERY = [
    ("/ServiceProviderConfig", "patch", {"supported": True}),
    ("/ResourceTypes", "totalResults", 2),
    ("/ResourceTypes/User", "endpoint", "/Users"),
    ("/Schemas", "totalResults", 3),
    ("/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group", "name", "Group"),
]


def test_discovery_needs_no_token(scim_client: ScimClient) -> None:
    """Readable by anybody, and a filter is 403 (RFC 7644 §4); but who sends a wrong token learns it here, too."""
    for path, key, value in DISCOVERY:
        for headers in ({}, {"Authorization": f"Bearer {scim_client.token}"}):
            answer = scim_client.open("GET", path, headers)
            assert (answer.status_code, json.loads(answer.data)[key]) == (200, value), path
        refused(scim_client.open("GET", path, {"Authorization": "Bearer wrong"}), 401)
        refused(scim_client.open("GET", f"{path}?filter=name%20eq%20%22x%22"), 403)
        assert scim_client.open("GET", f"{path}?sortBy=id&startIndex=99&count=1").status_code == 200


def test_the_root_lists_both_types(directory: Directory) -> None:
    """RFC 7644 §3.4.2.1: a query of the server's root."""
    user = directory.create("/Users", {"userName": "ann@acme.test"})
    group = directory.create("/Groups", {"displayName": "Crew"})
    for path in ("", "/", "/?filter=id%20pr"):
        found = json.loads(directory.send("GET", path).data)["Resources"]
        assert [resource["id"] for resource in found] == [user["id"], group["id"]], path


# --- cost and concurrency ---------------------------------------------------------------------------------------

BUDGET = [
    ("/Users/{user}", 3),
    ("/Users/{user}?attributes=userName", 2),
    ("/Users?filter=userName%20eq%20%22ann@acme.test%22", 3),
    ("/Users?filter=userName%20eq%20%22nobody%22", 2),
    ("/Groups/{group}?excludedAttributes=members", 2),
    ("/Users?count=1", 4),
]


def test_reads_keep_within_their_statements(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token's statement included; a read opens no transaction and writes nothing."""
    user = directory.create("/Users", USER)["id"]
    group = directory.create("/Groups", {"displayName": "Crew", "members": [{"value": user}]})["id"]
    sent: list[str] = []
    real = db.database.obj.execute_sql

    def execute(sql: str, params: Any = None) -> Any:
        sent.append(sql)
        return real(sql, params)

    monkeypatch.setattr(db.database.obj, "execute_sql", execute)
    for path, allowed in BUDGET:
        sent.clear()
        assert directory.send("GET", path.format(user=user, group=group)).status_code == 200
        assert len(sent) <= allowed, (path, sent)
        assert all(sql.startswith("SELECT") for sql in sent), sent


def test_writers_over_http_lose_no_member(directory: Directory) -> None:
    """Eight clients add different users to one group at the same time."""
    users = [directory.create("/Users", {"userName": f"u{n}"})["id"] for n in range(24)]
    group = directory.create("/Groups", {"displayName": "Crew"})["id"]
    answers: list[int] = []

    def add(mine: list[str]) -> None:
        for user in mine:
            body = {"Operations": [{"op": "add", "path": "members", "value": [{"value": user}]}]}
            answers.append(directory.send("PATCH", f"/Groups/{group}", body).status_code)
        if not db.database.is_closed():
            db.database.close()

    threads = [threading.Thread(target=add, args=(users[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [204] * 24
    shown = json.loads(directory.send("GET", f"/Groups/{group}").data)
    assert sorted(member["value"] for member in shown["members"]) == sorted(users)
    assert shown["meta"]["version"] == 'W/"25"'
