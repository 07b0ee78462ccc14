"""The set-up guide: a draft first, a page for each step, metadata with its summary, a test that is read where it began,
and enabling at the end; every step over plain forms."""

import io
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp_bridge import db, enforcement, fetching, idps, own_roles
from idp_bridge.models import Event, IdentityProvider, Member, SignInFlow
from idp_bridge.providers import KINDS, set_up_guides
from idp_bridge.simulator.saml_idp import Provider
from tests import https
from tests.conftest import World, add_provider, make_account
from tests.web.connections import Connection, events_of, failed_checks, flows_of
from tests.web.pages import post, sign_in
from tests.web.test_dashboard import add_member

BASE = "/accounts/acme"
AT = f"{BASE}/identity-providers"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[https.Site]:
    """An https server of the provider."""
    with https.serve(tmp_path_factory.mktemp("tls")) as site:
        yield site


def submit(client: FlaskClient, path: str, **fields: Any) -> Any:
    """Post a form under the account's identity providers."""
    return post(client, f"{AT}/{path}", page=f"{BASE}/usage", **fields)


def text_of(client: FlaskClient, path: str) -> str:
    answer = client.get(path if path.startswith("/") else f"{AT}/{path}")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return unescape(answer.get_data(as_text=True))


def begin(client: FlaskClient, kind: str = "okta", name: str = "Our Okta") -> IdentityProvider:
    """A draft, made on the page."""
    answer = submit(client, "new/draft", kind=kind, name=name)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return stored()


def stored() -> IdentityProvider:
    with db.connection():
        found: IdentityProvider = IdentityProvider.select().order_by(IdentityProvider.id.desc()).get()
        return found


def give(client: FlaskClient, provider: IdentityProvider, document: str, **fields: Any) -> Any:
    return submit(client, f"{provider.id}/setup/metadata", metadata_xml=document, **fields)


def connection_of(world: World, app: Flask, simulated: Provider) -> Connection:
    """The draft with the simulated provider at its other end, which knows our metadata."""
    with db.connection(), db.transaction():
        row = IdentityProvider.get()
        row.account = world.account
        simulated.register_sp(idps.sp_metadata(row, "http://localhost").decode())
    return Connection(world, row, simulated, app)


def digest_of(provider: IdentityProvider) -> str:
    """What the last step shows of the connection now, as its form sends it."""
    with db.connection():
        return idps.looked_at(IdentityProvider.get_by_id(provider.id))


def run_test(browser: FlaskClient, connection: Connection, path: str, page: str, **changes: Any) -> Any:
    """Press the button, sign in there, and come back; the answer that leads on to the result."""
    carried = post(browser, path, page=page)
    assert carried.status_code == 200, carried.get_data(as_text=True)
    start = re.search(r'url=([^"]+)"', unescape(carried.get_data(as_text=True)))
    assert start
    request_id = connection.asked(browser.get(start[1]))
    return connection.post(browser, connection.response(request_id, **changes), RelayState=request_id)


# --- the draft --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_values_are_known_before_anything_is_pasted(signed_in: FlaskClient, kind: str) -> None:
    """Each kind has its guide, one page a screen; ACS URL and entity ID stand on them, under the provider's labels."""
    provider = begin(signed_in, kind, "Staff")
    assert (provider.kind, provider.entity_id, provider.certificates, provider.enabled) == (kind, "", [], False)
    guide = set_up_guides.catalogue()[kind]
    pages = [text_of(signed_in, f"{provider.id}/setup/{step.name}") for step in guide.steps]
    urls = idps.urls(provider.id, "http://localhost")
    for name in ("acs_url", "sp_entity_id"):
        assert sum(f'value="{urls[name]}"' in page for page in pages[: len(guide.screens)]) >= 1
    for step, page in zip(guide.steps, pages, strict=True):
        assert page.count('aria-current="step"') == 1
        assert f"<h1>Set up {provider.name}</h1>" in page
        assert step.title in page
    assert signed_in.get(f"{AT}/{provider.id}/setup/nothing").status_code == 404


def test_a_draft_is_told_and_lets_nobody_in(signed_in: FlaskClient, app: Flask, world: World) -> None:
    """It is an event, no button of the sign-in page, nothing to enforce by; and whoever goes there reads why not."""
    with db.connection():
        before = enforcement.gaps(world.account)
    provider = begin(signed_in)
    (created,) = events_of(world, "identity_provider_created.v0")
    assert (created.object["id"], created.object["entity_id"], created.object["enabled"]) == (provider.id, "", False)
    assert "Our Okta" not in app.test_client().get("/login/acme").get_data(as_text=True)
    with db.connection():
        assert enforcement.gaps(world.account) == before
    refused = app.test_client().get(f"/saml/{provider.id}/start")
    assert refused.status_code == 403
    assert "This identity provider is a draft" in refused.get_data(as_text=True)
    posted = app.test_client().post(f"/saml/{provider.id}/acs", data={"SAMLResponse": "PHg+"})
    assert posted.status_code == 403
    assert [event.object["reason"] for event in events_of(world, "sign_in_refused.v0")] == ["provider_draft"] * 2


def test_a_draft_can_be_neither_enabled_nor_tested(signed_in: FlaskClient, world: World) -> None:
    """By the guide, by the settings, by a test's own button: 409, with what to do first."""
    provider = begin(signed_in)
    answers = {
        "enable": submit(signed_in, f"{provider.id}/setup/enable", digest=digest_of(provider)),
        "options": submit(signed_in, f"{provider.id}/options", name="x", join_policy="jit", enabled="on"),
        "test": submit(signed_in, f"{provider.id}/setup/test"),
        "button": submit(signed_in, f"{provider.id}/test"),
    }
    for name, answer in answers.items():
        assert answer.status_code == 409, name
        assert "is a draft" in answer.get_data(as_text=True), name
    with db.connection():
        assert (IdentityProvider.get().enabled, SignInFlow.select().count()) == (False, 0)


def test_every_page_of_a_draft_says_what_it_is(signed_in: FlaskClient) -> None:
    """And leads on with the set-up."""
    provider = begin(signed_in)
    for page in ("", "/trust", "/options", "/flows"):
        text = text_of(signed_in, f"{provider.id}{page}")
        assert "This is a draft" in text, page
        assert f"{provider.id}/setup" in text
    assert "Draft" in text_of(signed_in, f"{BASE}/settings")
    assert text_of(signed_in, f"{BASE}/provisioning?provider={provider.id}")


def test_a_kind_that_is_not_there_and_a_name_that_is_missing_are_refused(signed_in: FlaskClient) -> None:
    """Nothing is made."""
    assert submit(signed_in, "new/draft", kind="nobody", name="x").status_code == 400
    assert submit(signed_in, "new/draft", kind="okta", name="").status_code == 400
    with db.connection():
        assert IdentityProvider.select().count() == 0


# --- the steps --------------------------------------------------------------------------------------------------


def test_a_set_up_is_left_and_goes_on_where_it_was(signed_in: FlaskClient) -> None:
    """At the furthest step, also after looking back; the steps behind are marked."""
    provider = begin(signed_in)
    assert signed_in.get(f"{AT}/{provider.id}/setup").location.endswith("/setup/app")
    for step, following in (("app", "general"), ("general", "saml-settings")):
        answer = submit(signed_in, f"{provider.id}/setup/{step}/next")
        assert answer.location.endswith(f"/setup/{following}")
    assert submit(signed_in, f"{provider.id}/setup/app/next").location.endswith("/setup/general")
    assert signed_in.get(f"{AT}/{provider.id}/setup").location.endswith("/setup/saml-settings")
    assert text_of(signed_in, f"{provider.id}/setup/app").count('<li class="done">') == 2
    assert submit(signed_in, f"{provider.id}/setup/nothing/next").status_code == 404


def test_a_set_up_that_is_over_stays_over(signed_in: FlaskClient, world: World, idp_certificate: str) -> None:
    """The guide of a connection in use can be read; pressing Next there begins nothing anew, and gives no metadata."""
    with db.connection():
        provider = add_provider(world, idp_certificate)
    assert "In use" not in text_of(signed_in, f"{provider.id}/setup/app")
    submit(signed_in, f"{provider.id}/setup/app/next")
    answer = submit(signed_in, f"{provider.id}/setup/metadata", metadata_xml="<x/>")
    assert answer.status_code == 409
    assert stored().set_up_step is None


@pytest.mark.parametrize("way", ["pasted", "file"])
def test_the_metadata_is_read_and_summed_up(signed_in: FlaskClient, simulated: dict[str, Provider], way: str) -> None:
    """Entity ID, sign-on URL with its binding, each certificate with fingerprint and dates; and it is not enabled."""
    provider, document = begin(signed_in), simulated["okta"].metadata_xml
    given = (
        {"metadata_xml": document}
        if way == "pasted"
        else {"metadata_file": (io.BytesIO(document.encode()), "metadata.xml")}
    )
    answer = submit(signed_in, f"{provider.id}/setup/metadata", **given)
    assert answer.location.endswith("/setup/metadata")
    text = text_of(signed_in, answer.location)
    row = stored()
    assert not row.enabled
    assert row.entity_id in text
    assert f"<code>{row.sso_url}</code>, HTTP-" in text
    (certificate,) = row.certificates
    assert certificate["fingerprint_sha256"] in text
    for end in ("not_before", "not_after"):
        assert certificate[end][:10] in text
    assert "Testing" in text


def test_the_metadata_is_read_from_its_address(
    signed_in: FlaskClient, server: https.Site, monkeypatch: pytest.MonkeyPatch, simulated: dict[str, Provider]
) -> None:
    """And from there again once the connection is enabled; a document given later in another way ends that."""
    monkeypatch.setattr(fetching, "PUBLIC", server.limits)
    server.documents = {"/metadata": simulated["okta"].metadata_xml}
    provider = begin(signed_in)
    missing = submit(signed_in, f"{provider.id}/setup/metadata", metadata_url=f"{server.origin}/nothing")
    assert missing.status_code == 400
    assert stored().entity_id == ""
    address = f"{server.origin}/metadata"
    assert submit(signed_in, f"{provider.id}/setup/metadata", metadata_url=address).status_code == 303
    assert (stored().metadata_url, stored().enabled) == (address, False)
    assert address in text_of(signed_in, f"{provider.id}/setup/metadata")
    assert give(signed_in, provider, simulated["entra"].metadata_xml).status_code == 303
    assert stored().metadata_url is None


def test_the_metadata_is_given_in_one_way(signed_in: FlaskClient, simulated: dict[str, Provider]) -> None:
    """Of two, one would be left unread without a word; of none there is nothing to read."""
    provider, document = begin(signed_in), simulated["okta"].metadata_xml
    file = (io.BytesIO(document.encode()), "metadata.xml")
    both: list[dict[str, Any]] = [
        {"metadata_xml": document, "metadata_url": "https://idp.test/metadata"},
        {"metadata_xml": document, "metadata_file": file},
    ]
    for given in both:
        answer = submit(signed_in, f"{provider.id}/setup/metadata", **given)
        assert answer.status_code == 400
        assert "in one way only" in answer.get_data(as_text=True)
    assert submit(signed_in, f"{provider.id}/setup/metadata").status_code == 400
    assert stored().entity_id == ""


def test_what_is_odd_in_the_metadata_is_said(
    signed_in: FlaskClient, world: World, simulated: dict[str, Provider]
) -> None:
    """Another product's document, and one whose entity ID another connection has already."""
    with db.connection(), db.transaction():
        trust = idps.read_metadata(simulated["entra"].metadata_xml)
        idps.create(world.system, name="The first", trust=trust)
    provider = begin(signed_in)
    give(signed_in, provider, simulated["entra"].metadata_xml)
    text = text_of(signed_in, f"{provider.id}/setup/metadata")
    assert "This looks like the metadata of Entra ID" in text
    assert "The first has the same entity ID" in text


def test_metadata_that_cannot_be_used_comes_back_on_its_step(signed_in: FlaskClient) -> None:
    """With what was typed, and still a draft."""
    provider = begin(signed_in)
    answer = give(signed_in, provider, "<html>no metadata</html>")
    assert answer.status_code == 400
    text = unescape(answer.get_data(as_text=True))
    assert "The metadata cannot be used" in text
    assert "<html>no metadata</html>" in text
    assert stored().entity_id == ""


def test_who_may_join_is_saved_and_leads_on(signed_in: FlaskClient, simulated: dict[str, Provider]) -> None:
    """Policy, domains, default roles, and the words of the button."""
    provider = begin(signed_in)
    answer = submit(
        signed_in,
        f"{provider.id}/setup/joining",
        description="Acme staff",
        join_policy="jit",
        domains="acme.test",
        default_roles=["viewer"],
    )
    assert answer.location.endswith("/setup/test")
    row = stored()
    assert (row.description, row.join_policy, row.domains, row.default_roles, row.allow_idp_initiated) == (
        "Acme staff", "jit", ["acme.test"], ["viewer"], False,
    )  # fmt: skip
    refused = submit(signed_in, f"{provider.id}/setup/joining", join_policy="jit", default_roles=["nobody"])
    assert refused.status_code == 400
    assert "Who may join" in refused.get_data(as_text=True)


# --- test and end -----------------------------------------------------------------------------------------------


def test_a_test_ends_on_its_step_and_creates_nothing(
    signed_in: FlaskClient, app: Flask, world: World, simulated: dict[str, Provider]
) -> None:
    """Every check with its attributes, what it would lead to; and nobody is a member by it."""
    provider = begin(signed_in)
    give(signed_in, provider, simulated["okta"].metadata_xml)
    submit(signed_in, f"{provider.id}/setup/joining", join_policy="jit", default_roles=["developer"])
    connection = connection_of(world, app, simulated["okta"])
    step = f"{AT}/{provider.id}/setup/test"
    assert "No test yet" in text_of(signed_in, step)
    landing = run_test(signed_in, connection, step, step)
    assert landing.location.endswith(f"{provider.id}/setup/test")
    text = text_of(signed_in, step)
    assert "The test passed" in text
    assert "Meant for our entity ID" in text
    assert simulated["okta"].people[0].email in text
    assert "What it would lead to" in text
    with db.connection():
        assert Member.select().count() == 1
        assert not IdentityProvider.get().enabled


def test_a_failed_test_says_whose_side_must_act(
    signed_in: FlaskClient, app: Flask, world: World, simulated: dict[str, Provider]
) -> None:
    """In the provider's words, with what came and what was wanted."""
    provider = begin(signed_in)
    give(signed_in, provider, simulated["okta"].metadata_xml)
    connection = connection_of(world, app, simulated["okta"])
    step = f"{AT}/{provider.id}/setup/test"
    run_test(signed_in, connection, step, step, audience="https://placeholder.invalid")
    text = text_of(signed_in, step)
    assert failed_checks(flows_of(connection)[-1]) == ["audience"]
    assert "The test failed" in text
    assert "Audience URI (SP Entity ID)" in text
    assert "https://placeholder.invalid" in text
    assert "No test has passed" in text_of(signed_in, f"{provider.id}/setup/done")


def test_the_page_that_waits_is_told_when_something_has_changed(
    signed_in: FlaskClient, app: Flask, world: World, simulated: dict[str, Provider]
) -> None:
    """Nothing while all is as it shows, the result when there is one, and an end of looking after a time."""
    provider = begin(signed_in)
    give(signed_in, provider, simulated["okta"].metadata_xml)
    connection = connection_of(world, app, simulated["okta"])
    step = f"{AT}/{provider.id}/setup/test"
    asked = re.search(r'hx-get="([^"]+)"', text_of(signed_in, step))
    assert asked
    unchanged = signed_in.get(asked[1])
    assert (unchanged.status_code, unchanged.data) == (204, b"")
    run_test(signed_in, connection, step, step)
    found = text_of(signed_in, asked[1])
    assert "<h1" not in found
    assert ("The test passed" in found) or ("would not come in" in found)
    assert "hx-get" in found
    for until in ("0", "", "x", "9" * 400 + "x"):
        over = text_of(signed_in, f"{step}/result?seen=none&until={until}")
        assert "hx-get" not in over


def test_enabling_ends_the_set_up(signed_in: FlaskClient, world: World, simulated: dict[str, Provider]) -> None:
    """The button appears on the sign-in page, the account stays in its mode, the guide says what comes next."""
    provider = begin(signed_in)
    give(signed_in, provider, simulated["okta"].metadata_xml)
    assert submit(signed_in, f"{provider.id}/setup/enable", digest=digest_of(provider)).status_code == 303
    row = stored()
    assert (row.enabled, row.set_up_step) == (True, None)
    text = text_of(signed_in, f"{provider.id}/setup/done")
    for words in ("Our Okta is enabled", "Connect SCIM", "Map groups to roles", "enforce single sign-on"):
        assert words in text
    assert "Our Okta" in signed_in.get("/login/acme").get_data(as_text=True)
    changes = [event.object for event in events_of(world, "identity_provider_updated.v0")]
    (told,) = [change for change in changes if "enabled" in change["before"]]
    assert told["enabled"] is True


def test_what_was_changed_meanwhile_is_not_enabled_unseen(
    signed_in: FlaskClient, simulated: dict[str, Provider]
) -> None:
    """Whoever enables it has looked at what it trusts now, not at what it trusted."""
    provider = begin(signed_in)
    give(signed_in, provider, simulated["okta"].metadata_xml)
    seen = digest_of(provider)
    give(signed_in, provider, simulated["entra"].metadata_xml)
    answer = submit(signed_in, f"{provider.id}/setup/enable", digest=seen)
    assert answer.status_code == 409
    assert "has been changed since this page was shown" in answer.get_data(as_text=True)
    assert not stored().enabled


def test_enabling_elsewhere_ends_it_too(signed_in: FlaskClient, world: World, simulated: dict[str, Provider]) -> None:
    """By the settings or the API."""
    provider = begin(signed_in)
    give(signed_in, provider, simulated["okta"].metadata_xml)
    with db.connection(), db.transaction():
        idps.change(world.system, idps.get(world.account, provider.id), enabled=True)
    assert stored().set_up_step is None
    assert "is enabled" in text_of(signed_in, f"{provider.id}/setup/done")


def test_the_guide_is_its_accounts_own(signed_in: FlaskClient, app: Flask) -> None:
    """Another account's administrator finds nothing; whoever may only read has no form."""
    provider = begin(signed_in)
    with db.connection():
        make_account("globex")
    other = app.test_client()
    sign_in(other, "owner@globex.test")
    assert other.get(f"/accounts/globex/identity-providers/{provider.id}/setup/app").status_code == 404
    assert other.get(f"{AT}/{provider.id}/setup/app").status_code == 404
    with db.connection():
        assert Event.select().where(Event.object_id == provider.id).count() == 1


def test_who_may_only_read_reads(app: Flask, world: World, signed_in: FlaskClient) -> None:
    """A role with idps:read sees each step, and presses nothing."""
    provider = begin(signed_in)
    with db.connection(), db.transaction():
        own_roles.create(world.system, "auditor", description="", permissions=["account:read", "idps:read"])
    add_member(world, "aud@acme.test", role="auditor", password=True)
    reader = app.test_client()
    sign_in(reader, "aud@acme.test")
    for step in set_up_guides.catalogue()["okta"].steps:
        page = text_of(reader, f"{provider.id}/setup/{step.name}")
        assert page.partition("<main")[2].partition("</main>")[0].count("<form") == 0, step
    assert post(reader, f"{AT}/{provider.id}/setup/app/next", page=f"{BASE}/members").status_code == 403
