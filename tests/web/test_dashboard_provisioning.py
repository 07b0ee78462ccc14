"""The provisioning page: tokens and their change, the steps in each provider's words, the log of what was pushed."""

import csv
import io
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import clock, db, ids, last_uses, member_lifecycle, people
from idp_bridge.models import IdentityProvider, ScimRequest, ScimToken
from idp_bridge.provisioning import log_export
from idp_bridge.web.dashboard import provisioning, provisioning_log
from tests.conftest import PASSWORD, World, add_provider, make_account
from tests.web.pages import post, sign_in

BASE = "/accounts/acme"
PAGE = f"{BASE}/provisioning"


@pytest.fixture
def provider(world: World, idp_certificate: str) -> IdentityProvider:
    """Okta, with a SCIM token."""
    with db.connection():
        return add_provider(world, idp_certificate)


@pytest.fixture
def signed_in(client: FlaskClient, provider: IdentityProvider) -> FlaskClient:
    """acme's owner, signed in."""
    sign_in(client)
    return client


def text_of(signed_in: FlaskClient, at: str = PAGE, **wanted: str) -> str:
    answer = signed_in.get(at, query_string=wanted or None)
    assert answer.status_code == 200, at
    return answer.get_data(as_text=True)


def submit(signed_in: FlaskClient, path: str, **fields: Any) -> Any:
    return post(signed_in, path, page=PAGE, **fields)


def push(app: Flask, token: str, method: str, path: str, **body: Any) -> Any:
    """A directory's request over SCIM; what it used is written at once."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = app.test_client().open(f"/scim/v2{path}", method=method, json=body, headers=headers, buffered=True)
    last_uses.write()
    return answer


def badges(page: str) -> list[str]:
    """The results that the log shows, newest first."""
    log = page.partition('id="requests"')[2]
    return re.findall(r'<td data-label="Result"><span class="badge ?[a-z]*">([^<]+)</span>', log)


def links(page: str, part: str) -> list[str]:
    """The addresses of links with that in it."""
    return [found.replace("&amp;", "&") for found in re.findall(rf'href="([^"]*{part}[^"]*)"', page)]


# --- before there is anything -----------------------------------------------------------------------------------


def test_an_identity_provider_comes_first(client: FlaskClient, world: World) -> None:
    """Said, and linked."""
    sign_in(client)
    page = text_of(client)
    assert "Connect SCIM needs an identity provider first" in page
    assert f'href="{BASE}/identity-providers/new"' in page


def test_the_page_waits_for_the_first_request_and_then_tells_of_it(
    app: Flask, world: World, signed_in: FlaskClient
) -> None:
    """In the words of the provider's screens; with the status of what came last."""
    page = text_of(signed_in)
    assert "no request yet: press <strong>Test Connector Configuration</strong> in Okta" in page
    assert "http://localhost/scim/v2" in page
    push(app, world.scim_token, "GET", "/Users")
    page = text_of(signed_in)
    assert re.search(r"Okta · last request <time [^>]+>just now</time> · 200", page)
    push(app, world.scim_token, "GET", "/Users/du_nobody")
    assert re.search(r"last request <time [^>]+>just now</time> · 404", text_of(signed_in))


def test_a_directory_without_a_token_that_works_says_so(signed_in: FlaskClient) -> None:
    """None yet, or none any more."""
    with db.connection():
        ScimToken.update(expires_at=clock.now() - timedelta(days=1)).execute()
    assert "its token has expired" in text_of(signed_in)
    with db.connection():
        ScimToken.delete().execute()
    assert "make a token first" in text_of(signed_in)


# --- tokens -----------------------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_revoked(signed_in: FlaskClient, provider: IdentityProvider) -> None:
    """Afterwards only how it ends, who made it, and until when it works."""
    path = f"{BASE}/identity-providers/{provider.id}/scim-tokens"
    made = submit(signed_in, path, description="rotation", days="10")
    assert made.status_code == 201
    token = re.search(r'value="(ibst_[^"]+)"', made.get_data(as_text=True))
    assert token
    page = text_of(signed_in)
    assert token.group(1) not in page
    assert f"…{token.group(1)[-4:]}" in page
    assert "by owner@acme.test" in page
    assert "Make its successor" in page
    with db.connection():
        row = ScimToken.get(ScimToken.description == "rotation")
    assert submit(signed_in, f"{path}/{row.id}/revoke").status_code == 303
    with db.connection():
        assert ScimToken.get_or_none(ScimToken.id == row.id) is None
    refused = submit(signed_in, path, days="soon")
    assert refused.status_code == 400
    assert "Give a number of days from 1 to 3650." in refused.get_data(as_text=True)


def test_a_token_is_changed_step_by_step(
    app: Flask, world: World, signed_in: FlaskClient, provider: IdentityProvider
) -> None:
    """The page waits for the new one's first use before it tells to revoke the former, and asks for itself so long."""
    former = world.scim_token
    push(app, former, "GET", "/Users")
    assert "hx-trigger" not in text_of(signed_in).partition('id="scim-state"')[2].partition(">")[0]
    made = submit(signed_in, f"{BASE}/identity-providers/{provider.id}/scim-tokens", description="second")
    token = re.findall(r'value="(ibst_[^"]+)"', made.get_data(as_text=True))[0]
    page = text_of(signed_in)
    assert f"Waiting for the first request with …{token[-4:]}" in page
    assert "replace <strong>Authorization</strong> by the new token" in page
    (again,) = [found.replace("&amp;", "&") for found in re.findall(r'hx-get="([^"]+/state[^"]+)"', page)]
    assert signed_in.get(again).status_code == 204, "it says what it said"
    assert "Waiting for" in text_of(signed_in, again.partition("&said=")[0])
    push(app, token, "GET", "/Users")
    part = text_of(signed_in, again)
    assert "Revoke the former one" in part
    assert "hx-get" not in part
    assert "See the request in the log" in part
    assert "<html" not in part
    assert "Still in use" not in part
    push(app, former, "GET", "/Users")
    assert "Still in use" in text_of(signed_in)
    with db.connection():
        old = ScimToken.get(ScimToken.ends_with == former[-4:])
    submit(signed_in, f"{BASE}/identity-providers/{provider.id}/scim-tokens/{old.id}/revoke")
    page = text_of(signed_in)
    assert "Make a second token</button>" in page
    assert "Waiting for the first request with" not in page


def test_a_page_that_lies_open_does_not_ask_for_ever(signed_in: FlaskClient, provider: IdentityProvider) -> None:
    """Nor does one that claims to have been opened in the future."""
    state = f"{BASE}/identity-providers/{provider.id}/provisioning/state"
    stopped = text_of(signed_in, state, until="1")
    assert "hx-get" not in stopped
    assert "This page has stopped looking." in stopped
    (until,) = re.findall(r"until=(\d+)", text_of(signed_in, state, until="99999999999"))
    assert int(until) <= clock.now().timestamp() + provisioning.WATCHED_FOR + 1


def test_the_steps_are_in_the_words_of_the_one_that_is_chosen(
    signed_in: FlaskClient, provider: IdentityProvider
) -> None:
    """Those of the product that it looks like, unless another is asked for."""
    steps = text_of(signed_in).partition('id="steps"')[2]
    assert "tick <strong>Push New Users</strong>" in steps
    assert "<code>http://localhost/scim/v2</code>" in steps
    entra = text_of(signed_in, kind="entra")
    assert "Tenant URL" in entra
    assert "Provision on demand" in entra


# --- the log ----------------------------------------------------------------------------------------------------


def test_the_log_says_what_came_of_each_request(app: Flask, world: World, signed_in: FlaskClient) -> None:
    """In a word, newest first; with what failed again and again, and never a secret."""
    made = push(app, world.scim_token, "POST", "/Users", userName="ann@acme.test", password="hunter2-1Zq").get_json(
        True
    )
    for active in (False, False, True):
        change = [{"op": "replace", "path": "active", "value": active}]
        push(app, world.scim_token, "PATCH", f"/Users/{made['id']}", Operations=change)
    rename = [{"op": "replace", "path": "title", "value": "Pilot"}]
    push(app, world.scim_token, "PATCH", f"/Users/{made['id']}", Operations=rename)
    for name in ("ann@acme.test", "ANN@acme.test"):
        push(app, world.scim_token, "POST", "/Users", userName=name)
    push(app, world.scim_token, "DELETE", f"/Users/{made['id']}")
    page = text_of(signed_in)
    assert badges(page) == [
        *("Deleted", "Rejected", "Rejected", "Updated"),
        *("Activated", "No change", "Deactivated", "Created"),
    ]
    assert "hunter2" not in page
    assert ">2 times</a>" in page
    assert badges(text_of(signed_in, status="failed")) == ["Rejected", "Rejected"]
    (same,) = set(links(page, "cause="))
    assert badges(text_of(signed_in, same.partition("#")[0])) == ["Rejected", "Rejected"]


@pytest.mark.parametrize(
    ("wanted", "paths"),
    [
        ({}, ["GET /Groups/grp_x", "POST /Groups", "POST /Users"]),
        ({"about": "user"}, ["POST /Users"]),
        ({"about": "group"}, ["GET /Groups/grp_x", "POST /Groups"]),
        ({"method": "POST"}, ["POST /Groups", "POST /Users"]),
        ({"status": "404"}, ["GET /Groups/grp_x"]),
        ({"status": "2xx", "about": "group"}, ["POST /Groups"]),
        ({"path": "ann@"}, ["POST /Users"]),
        ({"path": "crew"}, ["POST /Groups"]),
        ({"period": "day"}, ["GET /Groups/grp_x", "POST /Groups"]),
        ({"path": "nobody"}, []),
        ({"status": "moon", "method": "BREW", "about": "x", "period": "x", "path": "\0"}, None),
    ],
)
def test_the_log_is_filtered(
    app: Flask, world: World, signed_in: FlaskClient, wanted: dict[str, str], paths: list[str] | None
) -> None:
    """All that are given must fit; what is no value of a filter is not heeded. The exports follow."""
    push(app, world.scim_token, "POST", "/Users", userName="ann@acme.test")
    with db.connection():
        ScimRequest.update(id=ids.earliest("sr", clock.now() - timedelta(days=2))).execute()
    push(app, world.scim_token, "POST", "/Groups", displayName="Crew")
    push(app, world.scim_token, "GET", "/Groups/grp_x")
    page = text_of(signed_in, **wanted)
    shown = re.findall(r"<code>((?:GET|POST) /[^<]+)</code></a>", page)
    assert shown == (["GET /Groups/grp_x", "POST /Groups", "POST /Users"] if paths is None else paths)
    assert ("No such request" in page) is (paths == [])
    for address in links(page, r"requests\.csv"):
        rows = list(csv.DictReader(io.StringIO(text_of(signed_in, address))))
        assert [f"{row['method']} {row['path']}" for row in rows] == shown


def test_the_log_is_paged_and_of_one_provider(
    app: Flask, world: World, signed_in: FlaskClient, idp_certificate: str
) -> None:
    """That of the provider last heard of, or of the one asked for; another account's is not there."""
    for number in range(27):
        push(app, world.scim_token, "POST", "/Users", userName=f"user{number}@acme.test")
    with db.connection():
        second = add_provider(world, idp_certificate, name="Entra", entity_id="https://second.example.test")
        foreign = add_provider(make_account("other"), idp_certificate)
    page = text_of(signed_in)
    assert len(badges(page)) == provisioning_log.PAGE
    (older,) = links(page, "before=")
    assert len(badges(text_of(signed_in, older.partition("#")[0]))) == 2
    other = text_of(signed_in, provider=second.id)
    assert "as soon as Entra sends one" in other
    assert "Directories" in other
    for path in (f"{PAGE}?provider={foreign.id}", f"{BASE}/identity-providers/{foreign.id}/provisioning/state"):
        assert signed_in.get(path).status_code == 404


def test_a_request_shows_what_it_changed(app: Flask, world: World, signed_in: FlaskClient) -> None:
    """Attribute by attribute, before and after; bodies with their secrets masked; whom it was about, linked."""
    made = push(app, world.scim_token, "POST", "/Users", userName="ann@acme.test", displayName="Ann").get_json(True)
    change = [
        {"op": "replace", "path": "displayName", "value": "Ann <b>Lee</b>"},
        {"op": "add", "path": "emails", "value": [{"value": "a@acme.test", "type": "home"}]},
        {"op": "replace", "path": "password", "value": "hunter2-1Zq"},
    ]
    push(app, world.scim_token, "PATCH", f"/Users/{made['id']}", Operations=change)
    page = text_of(signed_in)
    newest = links(page, "provisioning/requests/sr_")[0]
    detail = text_of(signed_in, newest)
    assert "<del>Ann</del>" in detail
    assert "<ins>Ann &lt;b&gt;Lee&lt;/b&gt;</ins>" in detail
    assert re.search(r"<code>emails</code></th>\s*<td data-label=\"Before\"></td>", detail)
    assert "a@acme.test" in detail
    assert "hunter2" not in detail
    assert "(masked)" in detail
    assert re.search(rf'href="{BASE}/members/usr_[^"]+">ann@acme.test</a>', detail)
    assert signed_in.get(newest.rpartition("/")[0] + "/sr_nothing").status_code == 404


def test_members_of_a_group_are_told_by_name(app: Flask, world: World, signed_in: FlaskClient) -> None:
    """Who came and who went, not their ids alone."""
    people = [
        push(app, world.scim_token, "POST", "/Users", userName=f"{name}@acme.test").get_json(True)["id"]
        for name in ("ann", "bo")
    ]
    group = push(app, world.scim_token, "POST", "/Groups", displayName="Crew", members=[{"value": people[0]}])
    change = [
        {"op": "add", "path": "members", "value": [{"value": people[1]}]},
        {"op": "remove", "path": f'members[value eq "{people[0]}"]'},
    ]
    push(app, world.scim_token, "PATCH", f"/Groups/{group.get_json(True)['id']}", Operations=change)
    detail = text_of(signed_in, links(text_of(signed_in), "provisioning/requests/sr_")[0])
    assert f'<ins>{people[1]}</ins> <span class="soft">bo@acme.test</span>' in detail
    assert f'<del>{people[0]}</del> <span class="soft">ann@acme.test</span>' in detail


def test_a_failed_request_says_how_it_is_mended(app: Flask, world: World, signed_in: FlaskClient) -> None:
    """Whose it is, what to do on the provider's screens, how often; another provider's words are a click away."""
    for _ in range(3):
        push(app, world.scim_token, "POST", "/Users", userName="ann@acme.test")
    detail = text_of(signed_in, links(text_of(signed_in), "provisioning/requests/sr_")[0])
    assert "exists in this directory already" in detail
    assert "Whoever runs the identity provider" in detail
    assert "let Okta find the user that is here" in detail
    assert "The same error 2 times" in detail
    assert "Retry Selected" in detail
    (entra,) = links(detail, "kind=entra")
    assert "Restart provisioning" in text_of(signed_in, entra.partition("#")[0])


def test_a_bulk_request_is_told_operation_by_operation(app: Flask, world: World, signed_in: FlaskClient) -> None:
    """Each with what it changed."""
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": str(n), "data": {"userName": f"user{n}@acme.test"}}
        for n in range(2)
    ]
    push(app, world.scim_token, "POST", "/Bulk", Operations=operations)
    page = text_of(signed_in)
    assert badges(page) == ["Bulk"]
    detail = text_of(signed_in, links(page, "provisioning/requests/sr_")[0])
    assert len(re.findall(r"POST <code>du_", detail)) == 2
    assert "<ins>user1@acme.test</ins>" in detail


# --- to take away -----------------------------------------------------------------------------------------------


def test_the_log_is_exported_whole(
    app: Flask, world: World, signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page after page, newest first, bounded; JSON lines with bodies, the CSV without, and without formulas."""
    monkeypatch.setattr(log_export, "PAGE", 2)
    for name in ("ann@acme.test", "=HYPERLINK(1)", "bo@acme.test"):
        push(app, world.scim_token, "POST", "/Users", userName=name)
    page = text_of(signed_in)
    lines = signed_in.get(links(page, r"requests\.jsonl")[0])
    assert lines.mimetype == "application/x-ndjson"
    told = [json.loads(line) for line in lines.get_data(as_text=True).splitlines()]
    assert [one["resource_name"] for one in told] == ["bo@acme.test", "=HYPERLINK(1)", "ann@acme.test"]
    assert json.loads(told[0]["request_body"])["userName"] == "bo@acme.test"
    sheet = signed_in.get(links(page, r"requests\.csv")[0])
    assert "attachment" in sheet.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(sheet.get_data(as_text=True))))
    assert [row["resource_name"] for row in rows] == ["bo@acme.test", "'=HYPERLINK(1)", "ann@acme.test"]
    assert {row["result"] for row in rows} == {"Created"}
    assert "request_body" not in rows[0]
    monkeypatch.setattr(log_export, "MOST", 1)
    assert len(signed_in.get(links(page, r"requests\.jsonl")[0]).get_data(as_text=True).splitlines()) == 1


def test_an_export_line_has_what_the_api_shows(app: Flask, world: World, provider: IdentityProvider) -> None:
    """Field by field the same; the word for the result is the export's own."""
    push(app, world.scim_token, "POST", "/Users", userName="ann@acme.test")
    listed = app.test_client().get(f"/api/identity_providers/{provider.id}/scim_requests", headers=world.headers)
    shown = listed.get_json()["scim_requests"][0]
    with db.connection():
        (line,) = log_export.json_lines(provider)
    told = json.loads(line)
    assert told.pop("result") == "Created"
    assert told == {name: value for name, value in shown.items() if name != "uri"}


def test_who_may_not_read_providers_sees_nothing_of_it(app: Flask, world: World, provider: IdentityProvider) -> None:
    """Neither the page nor its parts, a request or an export."""
    push(app, world.scim_token, "POST", "/Users", userName="ann@acme.test")
    with db.connection(), db.transaction():
        row = ScimRequest.get()
        person = people.create("dev@acme.test")
        people.set_password(person, PASSWORD)
        member_lifecycle.create(
            world.system, email="dev@acme.test", managed_by="local", person=person, roles=["developer"]
        )
    developer = app.test_client()
    sign_in(developer, "dev@acme.test")
    below = f"{BASE}/identity-providers/{provider.id}/provisioning"
    for path in (
        *(PAGE, below, f"{below}/state", f"{below}/requests/{row.id}"),
        *(f"{below}/requests.csv", f"{below}/requests.jsonl"),
    ):
        assert developer.get(path).status_code == 403, path
    made = post(developer, f"{BASE}/identity-providers/{provider.id}/scim-tokens", page=f"{BASE}/members")
    assert made.status_code == 403
