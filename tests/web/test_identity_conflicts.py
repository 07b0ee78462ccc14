"""Who is this? From the refusal over the queue to the answer, by SAML and by SCIM, over the API and on the page."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, idps, member_lifecycle, scim_tokens
from idp_bridge.models import IdentityConflict, IdentityLink, Member
from idp_bridge.simulator.saml_idp import Provider
from tests.conftest import World
from tests.web.api.conftest import Caller, member_with
from tests.web.connections import Connection, connect, events_of, failed_checks, flows_of, reference, session_of
from tests.web.pages import post, sign_in
from tests.web.test_saml_idp_initiated import cross_site

PAGE = "/accounts/acme/conflicts"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"


@pytest.fixture
def api(app: Flask, world: World) -> Caller:
    """acme's administrator, over the API."""
    return Caller(app, world.api_key)


def member(world: World, email: str, **options: Any) -> Member:
    with db.connection(), db.transaction():
        return member_lifecycle.create(world.system, email=email, roles=["developer"], managed_by="local", **options)


def waiting(api: Caller, state: str = "open") -> list[dict[str, Any]]:
    return list(api.get(f"identity_conflicts?state={state}")["identity_conflicts"])


def resolve(api: Caller, conflict_id: str, member_id: str, expect: int = 200) -> Any:
    return api.post(f"identity_conflicts/{conflict_id}/resolve", {"member_id": member_id}, expect=expect)


# --- by SAML --------------------------------------------------------------------------------------------------------


@pytest.fixture
def twins(okta: Connection) -> tuple[Member, Member]:
    """Two members with the address of the provider's first person."""
    email = okta.provider.people[0].email
    return member(okta.world, email, name="One"), member(okta.world, email.upper(), name="Two")


def test_a_refused_sign_in_waits_for_an_administrator(
    okta: Connection, app: Flask, api: Caller, twins: tuple[Member, Member]
) -> None:
    """The row survives what was rolled back, the refusal's event leads to it, and the answer lets in who is meant."""
    for _ in range(2):
        answer = okta.sign_in(app.test_client())
        assert answer.status_code == 403
    (row,) = waiting(api)
    assert (row["kind"], row["occurrences"], row["email"]) == ("ambiguous", 2, okta.provider.people[0].email)
    assert sorted(row["candidates"]) == sorted(twin.id for twin in twins)
    refused = events_of(okta.world, "sign_in_refused.v0")[-1]
    assert refused.id == reference(answer)
    assert refused.object["facts"]["identity_conflict_id"] == row["id"]
    assert resolve(api, row["id"], twins[1].id)["member_id"] == twins[1].id
    browser = app.test_client()
    assert okta.sign_in(browser).status_code == 303
    assert browser.get("/api/whoami").get_json()["principal"]["id"] == twins[1].id
    assert waiting(api) == []
    assert [row["state"] for row in waiting(api, "resolved")] == ["resolved"]


def test_a_dismissed_question_is_refused_and_does_not_wait(
    okta: Connection, app: Flask, api: Caller, twins: tuple[Member, Member]
) -> None:
    """However often she comes."""
    okta.sign_in(app.test_client())
    (row,) = waiting(api)
    api.delete(f"identity_conflicts/{row['id']}")
    assert okta.sign_in(app.test_client()).status_code == 403
    assert waiting(api) == []
    assert [(row["state"], row["occurrences"]) for row in waiting(api, "all")] == [("dismissed", 2)]
    assert api.get(f"identity_conflicts/{row['id']}")["decided_by"] == okta.world.owner.email


def test_a_test_sign_in_asks_nobody(okta: Connection, api: Caller, client: FlaskClient, twins: Any) -> None:
    """It only rehearses."""
    flow = api.post(f"identity_providers/{okta.row.id}/sign_in_flows", {"kind": "test"})
    okta.post(client, okta.response(okta.asked(client.get(flow["start_url"]))))
    assert flows_of(okta)[-1].reason == "identity_ambiguous"
    assert waiting(api, "all") == []


@pytest.mark.parametrize("sent", ["junk", "unsigned"])
def test_strangers_ask_nothing(okta: Connection, app: Flask, api: Caller, twins: Any, sent: str) -> None:
    """What nobody vouches for leaves no row, whoever it names."""
    browser = app.test_client()
    request_id = okta.start(browser)
    response = "QUJD" if sent == "junk" else okta.response(request_id, sign_assertion=False, sign_response=False)
    assert okta.post(browser, response).status_code in (400, 403)
    assert waiting(api, "all") == []


@pytest.mark.parametrize("local", ["ownеr", "оwner", "ｏｗｎｅｒ"])
def test_a_look_alike_gets_no_session(okta: Connection, client: FlaskClient, api: Caller, local: str) -> None:
    """Just-in-time joining is on, and she is not made a member."""
    answer = okta.sign_in(client, name_id="n-1", attributes={"email": (f"{local}@acme.test",)})
    assert answer.status_code == 403
    assert session_of(client) is None
    (row,) = waiting(api)
    assert (row["kind"], row["name_id"], row["candidates"]) == ("look_alike", "n-1", [okta.world.owner.id])
    with db.connection():
        assert Member.select().count() == 1


def test_a_link_instead_of_groups_is_loud(okta: Connection, client: FlaskClient, app: Flask) -> None:
    """In the event, the flow's checks and warnings, and at the connection, until it is no news any more."""
    email = okta.provider.people[0].email
    link = {"http://schemas.microsoft.com/claims/groups.link": ("https://graph.windows.net/x",)}
    assert okta.sign_in(client, attributes={"email": (email,), **link}).status_code == 303
    assert events_of(okta.world, "sign_in_succeeded.v0")[-1].object["warnings"] == ["groups_overage"]
    flow = flows_of(okta)[-1]
    assert flow.warnings == ["groups_overage"]
    assert [check[:2] for check in flow.checks if check[0] == "groups"] == [["groups", True]]
    owner = app.test_client()
    sign_in(owner)
    base = f"/accounts/acme/identity-providers/{okta.row.id}"
    assert "The provider sent a link instead of her groups" in owner.get(f"{base}/flows/{flow.id}").text
    assert "a link instead of her groups" in owner.get(base).text
    assert "Groups left out" in owner.get("/accounts/acme/settings").text


def test_what_may_not_begin_there_any_more_is_refused_at_the_end(okta: Connection, client: FlaskClient) -> None:
    """The table is asked when the browser comes, not only when the response did."""
    okta.change(allow_idp_initiated=True)
    finish = cross_site(okta, client, okta.response(None)).headers["Location"]
    okta.change(allow_idp_initiated=False)
    answer = client.get(finish)
    assert (answer.status_code, session_of(client)) == (403, None)
    flow = flows_of(okta)[-1]
    assert (flow.reason, flow.decision, failed_checks(flow)) == (*["unsolicited_not_allowed"] * 2, ["decision"])


# --- by SCIM --------------------------------------------------------------------------------------------------------


@pytest.fixture
def directories(
    app: Flask, world: World, okta: Connection, simulated: dict[str, Provider]
) -> tuple["Directory", "Directory"]:
    """Two directories of one account."""
    return Directory(app, okta), Directory(app, connect(app, world, simulated["entra"]))


class Directory:
    """A connection's provider as it pushes over SCIM."""

    def __init__(self, app: Flask, connection: Connection) -> None:
        self.app, self.row = app, connection.row
        with db.connection(), db.transaction():
            self.token = scim_tokens.issue(connection.world.system, connection.row).token

    def send(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.app.test_client().open(f"/scim/v2{path}", method=method, json=body, headers=headers)

    def push(self, email: str, **more: Any) -> Any:
        return self.send("POST", "/Users", person(email, **more))


def person(email: str, **more: Any) -> dict[str, Any]:
    return {"schemas": [USER], "userName": email, "emails": [{"value": email, "primary": True}], **more}


def in_bulk(directory: Directory, email: str) -> Any:
    """The same POST as one operation of a bulk request; its answer."""
    operation = {"method": "POST", "path": "/Users", "bulkId": "a", "data": person(email)}
    answer = directory.send("POST", "/Bulk", {"schemas": [BULK], "Operations": [operation]})
    return answer.get_json(force=True)["Operations"][0]


@pytest.mark.parametrize(
    "ask",
    [lambda directory, email: str(directory.push(email).status_code), lambda *args: in_bulk(*args)["status"]],
    ids=["single", "bulk"],
)
def test_a_second_directory_waits_until_an_administrator_lets_it(
    directories: tuple[Directory, Directory], api: Caller, ask: Callable[[Directory, str], str]
) -> None:
    """409 and a question, once; then it takes her over, and the first one's record is nobody's word any more."""
    first, second = directories
    mine = first.push("ann@acme.test").get_json(force=True)
    group = first.send("POST", "/Groups", _group("Finance", mine["id"])).get_json(force=True)
    mapping = {"identity_provider_id": first.row.id, "group_id": group["id"], "role": "billing"}
    api.post("role_mappings", mapping)
    assert [ask(second, "ann@acme.test"), ask(second, "Ann@acme.test")] == ["409", "409"]
    (row,) = waiting(api)
    (ann,) = row["candidates"]
    assert (row["kind"], row["occurrences"], row["user_name"]) == ("second_directory", 2, "ann@acme.test")
    assert api.get(f"users/{ann}")["roles"] == ["billing", "developer"]
    resolve(api, row["id"], ann)
    assert api.get(f"users/{ann}")["identity_provider_id"] == first.row.id
    assert ask(second, "ann@acme.test") == "201"
    now = api.get(f"users/{ann}")
    assert (now["identity_provider_id"], now["roles"], now["active"]) == (second.row.id, ["developer"], True)
    (told,) = [
        one["object"]
        for one in api.get(f"events?object_id={ann}")["events"]
        if "roles" in one["object"].get("before", {})
    ]
    assert (told["identity_provider_id"], told["roles"]) == (second.row.id, ["developer"])
    assert told["before"] == {"identity_provider_id": first.row.id, "roles": ["billing", "developer"]}
    off = {"schemas": [USER], "userName": "ann@acme.test", "active": False}
    assert first.send("PUT", f"/Users/{mine['id']}", off).status_code == 200
    assert first.send("DELETE", f"/Users/{mine['id']}").status_code == 204
    assert api.get(f"users/{ann}")["active"] is True


def _group(name: str, *ids: str) -> dict[str, Any]:
    schema = "urn:ietf:params:scim:schemas:core:2.0:Group"
    return {"schemas": [schema], "displayName": name, "members": [{"value": id} for id in ids]}


def test_the_last_administrator_is_not_taken_over_out_of_her_role(
    directories: tuple[Directory, Directory], api: Caller, world: World
) -> None:
    """By the first directory's group she is the only one: the second one's POST is refused, and nothing has changed."""
    first, second = directories
    with db.connection(), db.transaction():
        idps.change(world.system, first.row, may_grant_admin=True)
    mine = first.push("ann@acme.test").get_json(force=True)
    group = first.send("POST", "/Groups", _group("Root", mine["id"])).get_json(force=True)
    api.post("role_mappings", {"identity_provider_id": first.row.id, "group_id": group["id"], "role": "admin"})
    second.push("ann@acme.test")
    (row,) = waiting(api)
    (ann,) = row["candidates"]
    resolve(api, row["id"], ann)
    with db.connection(), db.transaction():
        member_lifecycle.remove(world.system, world.owner)
    answer = second.push("ann@acme.test")
    assert answer.status_code == 409
    assert "active administrator" in answer.get_json(force=True)["detail"]
    with db.connection():
        assert Member.get_by_id(ann).identity_provider_id == first.row.id


def test_of_several_members_a_directory_adopts_the_one_who_was_chosen(
    directories: tuple[Directory, Directory], api: Caller, world: World
) -> None:
    """Her record stands for her from then on."""
    first, _ = directories
    twins = [member(world, "ann@acme.test"), member(world, "ANN@acme.test")]
    refused = first.push("ann@acme.test")
    assert refused.status_code == 409
    assert "administrator" in refused.get_json(force=True)["detail"]
    (row,) = waiting(api)
    assert (row["kind"], sorted(row["candidates"])) == ("ambiguous", sorted(twin.id for twin in twins))
    resolve(api, row["id"], twins[1].id)
    assert first.push("ann@acme.test").status_code == 201
    assert [api.get(f"users/{twin.id}")["managed_by"] for twin in twins] == ["local", "scim"]


def test_a_directory_makes_a_member_of_a_look_alike_and_says_so(
    directories: tuple[Directory, Directory], api: Caller, world: World, client: FlaskClient
) -> None:
    """It says who its people are; nobody who is there already is taken for her."""
    first, _ = directories
    copa = member(world, "copa@acme.test")
    assert first.push("сора@acme.test").status_code == 201
    (row,) = waiting(api)
    assert (row["kind"], row["candidates"]) == ("look_alike", [copa.id])
    assert api.get(f"users/{copa.id}")["managed_by"] == "local"
    resolve(api, row["id"], copa.id, expect=400)
    sign_in(client)
    shown = client.get(PAGE).text
    assert ("passes for" in shown, "Link her" in shown) == (True, False)
    assert first.push("анна@acme.test").status_code == 201
    assert len(waiting(api)) == 1


def test_a_directory_adopts_nobody_by_an_address_that_mixes_scripts(
    directories: tuple[Directory, Directory], api: Caller, world: World
) -> None:
    """Not even who has it: it never stands for anybody."""
    first, _ = directories
    mixed = member(world, "аnn@acme.test")
    assert first.push("аnn@acme.test").status_code == 201
    assert api.get(f"users/{mixed.id}")["managed_by"] == "local"


# --- who may decide, and where --------------------------------------------------------------------------------------


def test_only_who_writes_providers_sees_and_decides(okta: Connection, app: Flask, api: Caller, twins: Any) -> None:
    """A developer gets 403, another account 404; a body without a member is 400."""
    okta.sign_in(app.test_client())
    (row,) = waiting(api)
    _, dana = member_with(api, "developer", "team_manager")
    path = f"identity_conflicts/{row['id']}"
    dana.get("identity_conflicts", expect=403)
    dana.delete(path, expect=403)
    resolve(dana, row["id"], twins[0].id, expect=403)
    api.post(f"{path}/resolve", {}, expect=400)
    resolve(api, row["id"], "usr_01jd0000000000000000000000", expect=404)
    api.get("identity_conflicts?state=closed", expect=400)
    with db.connection():
        assert IdentityLink.select().count() == 0
        assert IdentityConflict.get().state == "open"


def test_the_page_marks_shows_and_decides(
    okta: Connection, app: Flask, client: FlaskClient, twins: tuple[Member, Member]
) -> None:
    """The navigation says that something waits; a choice is needed; then it is told among what was decided."""
    sign_in(client)
    assert "Waits for you" not in client.get("/accounts/acme/members").text
    assert "Nothing waits for you" in client.get(PAGE).text
    okta.sign_in(app.test_client())
    assert "Waits for you" in client.get("/accounts/acme/members").text
    with db.connection():
        row = IdentityConflict.get()
    shown = client.get(PAGE).text
    assert all(text in shown for text in (row.email, row.name_id, twins[0].id, twins[1].id))
    without = post(client, f"{PAGE}/{row.id}", page=PAGE)
    assert (without.status_code, "Choose a member." in without.text) == (400, True)
    shared = post(client, f"{PAGE}/{row.id}", page=PAGE, email=row.email)
    assert (shared.status_code, "2 members have the address" in shared.text) == (400, True)
    assert post(client, f"{PAGE}/{row.id}", page=PAGE, member_id=twins[0].id).status_code == 303
    after = client.get(PAGE).text
    assert "Nothing waits for you" in after
    assert "Decided" in after
    browser = app.test_client()
    okta.sign_in(browser)
    assert browser.get("/api/whoami").get_json()["principal"]["id"] == twins[0].id


def test_any_member_can_be_named_by_her_address_or_nobody(
    okta: Connection, app: Flask, client: FlaskClient, twins: tuple[Member, Member]
) -> None:
    """Dismissed first, then after all it is somebody else."""
    third = member(okta.world, "third@acme.test")
    okta.sign_in(app.test_client())
    sign_in(client)
    with db.connection():
        row = IdentityConflict.get()
    assert post(client, f"{PAGE}/{row.id}/dismiss", page=PAGE).status_code == 303
    assert "Dismissed" in client.get(PAGE).text
    assert post(client, f"{PAGE}/{row.id}", page=PAGE, email=" Third@acme.test ").status_code == 303
    with db.connection():
        assert IdentityLink.get().member_id == third.id
