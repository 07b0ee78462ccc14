"""What is trusted of a provider, and ours: certificates of both sides, changed metadata, keys, and the switches."""

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from idp_bridge import actors, clock, connection_warnings, db, fetching, idps, plan_changes, providers, sp_keys
from idp_bridge.models import IdentityProvider, ServiceProviderKey
from idp_bridge.web.dashboard import attention
from idp_bridge.web.dashboard.page import label
from tests import https
from tests.conftest import World, add_provider
from tests.saml import idp as signing
from tests.saml.documents import REDIRECT, SSO, endpoint, entity, group, key, role
from tests.web.pages import post, sign_in
from tests.web.test_dashboard import add_member

PATH = "/metadata"
NEW = signing.attacker().certificate
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
MOVED = entity(role(keys=key(NEW.base64_der), sso=endpoint("SingleSignOnService", POST, "https://new.test/sso")))


@pytest.fixture
def provider(world: World, idp_certificate: str) -> IdentityProvider:
    """A connection called Okta."""
    with db.connection():
        return add_provider(world, idp_certificate, entity_id=signing.IDP)


@pytest.fixture
def pages(provider: IdentityProvider, client: FlaskClient) -> "Pages":
    """Its pages, in the browser of acme's owner."""
    sign_in(client)
    return Pages(client, f"/accounts/acme/identity-providers/{provider.id}", provider)


class Pages:
    """The pages of one connection in one browser."""

    def __init__(self, browser: FlaskClient, url: str, provider: IdentityProvider) -> None:
        self.browser, self.url, self.provider = browser, url, provider

    def read(self, path: str = "/trust") -> str:
        answer = self.browser.get(f"{self.url}{path}")
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_data(as_text=True)

    def post(self, path: str, **fields: Any) -> Any:
        return post(self.browser, f"{self.url}{path}", page=self.url, **fields)

    def row(self) -> IdentityProvider:
        with db.connection():
            return IdentityProvider.get_by_id(self.provider.id)

    def own_keys(self) -> list[ServiceProviderKey]:
        with db.connection():
            return sp_keys.of_provider(self.provider)


# --- our keys ---------------------------------------------------------------------------------------------------


def test_our_key_is_rolled_over_from_the_page(pages: Pages) -> None:
    """Make, prepare, activate, retire: each step has its button, and no other."""
    assert "None yet" in pages.read()
    assert pages.post("/keys").status_code == 303
    first, second = pages.own_keys()
    assert (first.state, second.state) == ("current", "next")
    text = pages.read()
    for one in (first, second):
        assert sp_keys.describe(one)["fingerprint_sha256"] in text
    assert "Prepare the next one" not in text
    assert pages.post("/keys").status_code == 409
    assert pages.post(f"/keys/{second.id}/activate").status_code == 303
    assert [row.state for row in pages.own_keys()] == ["current", "former"]
    assert "Retire…" in pages.read()
    refused = pages.post(f"/keys/{second.id}/delete")
    assert refused.status_code == 409
    assert "The current key is in use" in refused.get_data(as_text=True)
    assert pages.post(f"/keys/{first.id}/delete").status_code == 303
    assert [row.id for row in pages.own_keys()] == [second.id]


@pytest.mark.parametrize(
    ("signs", "said", "unsaid"),
    [
        (True, "nobody who starts here comes in", "Sign-ins go on"),
        (False, "Sign-ins go on even if Okta does not know it yet", "nobody who starts here"),
    ],
)
def test_what_a_key_step_does_to_people_is_said_before_it_is_done(
    pages: Pages, signs: bool, said: str, unsaid: str
) -> None:
    """A page in between, without a script: it changes nothing, and says what happens if the provider lags behind."""
    with db.connection(), db.transaction():
        idps.change(actors.system(pages.provider.account), pages.provider, sign_authn_requests=signs)
    pages.post("/keys")
    first, second = pages.own_keys()
    trust = pages.read()
    for row in (first, second):
        assert f"{sp_keys.describe(row)['fingerprint_sha256'][:8]}…" in trust, "two keys of one day are told apart"
    assert f'action="{pages.url}/keys/{second.id}/activate"' not in trust
    assert f'href="{pages.url}/keys/{second.id}/activate"' in trust
    asked = pages.read(f"/keys/{second.id}/activate")
    for words in (said, "Nobody can see from here", "<strong>Signature Certificate</strong>", "no way back"):
        assert words in asked, words
    assert unsaid not in asked
    assert f'action="{pages.url}/keys/{second.id}/activate"' in asked
    assert "It leaves our metadata" in pages.read(f"/keys/{second.id}/delete")
    assert [row.state for row in pages.own_keys()] == ["current", "next"]
    pages.post(f"/keys/{second.id}/activate")
    retiring = pages.read(f"/keys/{first.id}/delete")
    assert "cannot be read any more" in retiring
    assert f'action="{pages.url}/keys/{first.id}/delete"' in retiring
    late = pages.browser.get(f"{pages.url}/keys/{second.id}/activate")
    assert (late.status_code, late.headers["Location"]) == (302, f"{pages.url}/trust"), "done in another tab"


def test_a_key_of_another_connection_is_not_found(pages: Pages, world: World, idp_certificate: str) -> None:
    """Its id under one's own address."""
    with db.connection():
        other = add_provider(world, idp_certificate, name="Other")
        with db.transaction():
            theirs = sp_keys.prepare(world.system, other)
    assert pages.post(f"/keys/{theirs.id}/activate").status_code == 404
    assert pages.post(f"/keys/{theirs.id}/delete").status_code == 404
    assert pages.browser.get(f"{pages.url}/keys/{theirs.id}/activate").status_code == 404


# --- certificates -----------------------------------------------------------------------------------------------


def test_both_sides_certificates_stand_in_boxes_of_their_own(pages: Pages) -> None:
    """Whose certificate runs out was asked often enough elsewhere."""
    text = pages.read()
    theirs, _, ours = text.partition("Our certificates")
    assert "Their signing certificates" in theirs
    assert pages.row().certificates[0]["fingerprint_sha256"] in theirs
    assert pages.row().certificates[0]["fingerprint_sha256"] not in ours.partition("Their metadata")[0]


def ending_in(days: int) -> str:
    """A certificate of the provider that ends in so many days, and some hours, from now."""
    since = (clock.now() - signing.NOW).days
    return signing.pair("provider", "ec", (-30, since + days + (days > 0))).certificate.pem


def pin(pages: Pages, *certificates: str) -> None:
    with db.connection(), db.transaction():
        row = idps.get(pages.provider.account, pages.provider.id)
        idps.change(actors.system(row.account), row, trust=replace(idps.trust_of(row), certificates=certificates))


@pytest.mark.parametrize(
    ("days", "words", "absent"),
    [
        (200, (), ("Ends soon", "It lies with")),
        (20, ("Ends soon", "Their certificate ends in 20 days", "It lies with Okta"), ("Expired",)),
        (-3, ("Expired", "Their certificate ended 3 days ago", "It lies with Okta"), ("Ends soon",)),
    ],
)
def test_a_certificate_that_ends_says_whose_it_is_and_where_to_make_another(
    pages: Pages, days: int, words: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    """In the provider's own menus."""
    pin(pages, ending_in(days))
    text = pages.read()
    assert [word for word in words if word not in text] == []
    assert [word for word in absent if word in text] == []
    assert "<strong>SAML Signing Certificates</strong>" in text or not words


def test_a_successor_that_is_pinned_already_silences_the_warning(pages: Pages) -> None:
    """One that outlives the other is all that has to be done."""
    pin(pages, ending_in(5), ending_in(900))
    text = pages.read()
    assert "Ends soon" in text
    assert "It lies with" not in text


# --- metadata by URL --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[https.Site]:
    """An https server of the provider."""
    with https.serve(tmp_path_factory.mktemp("tls")) as site:
        yield site


@pytest.fixture
def site(server: https.Site, monkeypatch: pytest.MonkeyPatch) -> https.Site:
    """The provider's own site, which may be fetched from although it is on this machine."""
    monkeypatch.setattr(fetching, "PUBLIC", server.limits)
    server.documents = {PATH: MOVED}
    return server


def test_a_connection_is_added_by_the_address_of_its_metadata(pages: Pages, site: https.Site) -> None:
    """And read from there from now on; an address that has nothing good is refused, and nothing is saved."""
    adding = {"page": "/accounts/acme/identity-providers/new", "name": "By URL", "kind": "other"}
    path = "/accounts/acme/identity-providers/new"
    refused = post(pages.browser, path, **adding, metadata_url=f"{site.origin}/nothing-here")
    assert refused.status_code == 400
    text = refused.get_data(as_text=True)
    assert f'value="{site.origin}/nothing-here"' in text
    assert 'kind=other" aria-current="true"' in text, "in the words that were chosen"
    made = post(pages.browser, path, **adding, metadata_url=site.origin + PATH)
    assert made.status_code == 303, made.get_data(as_text=True)
    with db.connection():
        row = IdentityProvider.get(IdentityProvider.name == "By URL")
    assert (row.metadata_url, row.sso_url) == (site.origin + PATH, "https://new.test/sso")


def test_metadata_given_by_hand_ends_the_reading(pages: Pages, site: https.Site) -> None:
    """Else the document at the URL would come up as a change again."""
    pages.post("/metadata-url", metadata_url=site.origin + PATH)
    assert pages.post("/trust", metadata_xml=entity()).status_code == 303
    assert pages.row().metadata_url is None
    assert "Their metadata has changed" not in pages.read()


def test_a_document_is_read_before_the_transaction(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large one takes a while to read, and SQLite has one write lock."""
    read, inside = idps.read_metadata, []

    def watched(*arguments: Any, **options: Any) -> idps.Trust:
        inside.append(db.database.in_transaction())
        return read(*arguments, **options)

    monkeypatch.setattr(idps, "read_metadata", watched)
    assert pages.post("/trust", metadata_xml=entity()).status_code == 303
    assert inside == [False]


def test_changed_metadata_waits_and_is_accepted_or_discarded(pages: Pages, site: https.Site) -> None:
    """What is and what would be, side by side; until then nothing changes."""
    before = pages.row().sso_url
    assert pages.post("/metadata-url", metadata_url=site.origin + PATH).status_code == 303
    text = pages.read()
    for words in (
        "Their metadata has changed",
        before,
        "https://new.test/sso",
        NEW.fingerprint_sha256,
        "New certificate",
    ):
        assert words in text, words
    assert "Certificate that goes" in text
    assert "Waits for you" in pages.read(""), "on every page of the connection"
    assert pages.row().sso_url == before

    digest = digest_of(pages)
    stale = pages.post("/metadata/accept", digest="0" * 64)
    assert stale.status_code == 409
    assert "Another change has come in since" in stale.get_data(as_text=True)
    assert pages.post("/metadata/accept", digest=digest).status_code == 303
    assert pages.row().sso_url == "https://new.test/sso"
    assert "Their metadata has changed" not in pages.read()


EVIL = "https://evil.example.com/x"
SLO = endpoint("SingleLogoutService", REDIRECT, f"{SSO}/slo")
TRUSTED = entity(role(slo=SLO))

#: A field that accepting takes -> metadata that says something else of nothing but it, and the value that it says.
ONE_OTHER = {
    "sso_url": (entity(role(slo=SLO, sso=endpoint("SingleSignOnService", REDIRECT, EVIL))), EVIL),
    "sso_binding": (entity(role(slo=SLO, sso=endpoint("SingleSignOnService", POST, SSO))), "post"),
    "slo_url": (entity(role(slo=endpoint("SingleLogoutService", REDIRECT, EVIL))), EVIL),
    "slo_binding": (entity(role(slo=endpoint("SingleLogoutService", POST, f"{SSO}/slo"))), "post"),
    "slo_response_url": (
        entity(role(slo=endpoint("SingleLogoutService", REDIRECT, f"{SSO}/slo", f' ResponseLocation="{EVIL}"'))),
        EVIL,
    ),
    "valid_until": (
        entity(role(slo=SLO, keys=key() + key(NEW.base64_der)), attributes=' validUntil="2091-01-01T00:00:00Z"'),
        "2091-01-01T00:00:00.000000Z",
    ),
    "certificates": (entity(role(slo=SLO, keys=key() + key(NEW.base64_der))), NEW.fingerprint_sha256),
}


def test_every_field_of_a_trust_has_its_case() -> None:
    """Another entity ID is another provider, and never a change of this one."""
    assert {field.name for field in fields(idps.Trust)} - set(ONE_OTHER) == {"entity_id"}


@pytest.mark.parametrize("name", ONE_OTHER)
def test_everything_that_accepting_takes_is_shown(pages: Pages, site: https.Site, name: str) -> None:
    """A change of one thing alone is marked and shows the value: else she would accept what she never saw."""
    document, value = ONE_OTHER[name]
    pages.post("/trust", metadata_xml=TRUSTED)
    site.documents[PATH] = document
    assert pages.post("/metadata-url", metadata_url=site.origin + PATH).status_code == 303
    asked = pages.read().partition("Their metadata has changed")[2].partition("Accept the change")[0]
    assert f"<code>{value}</code>" in asked
    shown = [label(field.name) for field in fields(idps.Trust) if field.name != "certificates"]
    assert [words for words in shown if f"<dt>{words}</dt>" not in asked] == []
    marked = re.findall(r"<dt>([^<]+)</dt><dd>now (?:(?!</dd>).)*Changes", asked)
    # How long a document is good is noted at each look, so that it is "as now".
    assert marked == ([] if name in {"certificates", "valid_until"} else [label(name)])
    assert ("New certificate" in asked) == (name in {"certificates", "valid_until"})
    assert "every address that changes" in asked
    assert pages.post("/metadata/accept", digest=digest_of(pages)).status_code == 303
    assert pages.row().pending_trust is None


def digest_of(pages: Pages) -> str:
    """What the two buttons send back: the change that the page shows."""
    (digest,) = set(re.findall(r'name="digest" value="(\w+)"', pages.read()))
    return digest


# --- where an administrator is needed ---------------------------------------------------------------------------

SETTINGS = "/accounts/acme/settings"


def in_the_list(pages: Pages) -> str:
    """The connections on the settings page."""
    text = pages.browser.get(SETTINGS).get_data(as_text=True)
    return text.partition('id="identity-providers"')[2].partition("</article>")[0]


def navigation(pages: Pages, page: str = "/accounts/acme/members") -> str:
    return pages.browser.get(page).get_data(as_text=True).partition('<nav class="side"')[2].partition("</nav>")[0]


def test_every_warning_has_its_badge() -> None:
    """A list that is silent about a new one would say that all is well."""
    assert list(attention.BADGES) == [code for code, _ in connection_warnings._TABLE]


def test_a_waiting_change_is_seen_from_every_page_until_it_is_decided(pages: Pages, site: https.Site) -> None:
    """At Settings in the navigation, and at the connection in the list; by whoever may decide it."""
    assert "Waits for you" not in navigation(pages) + in_the_list(pages)
    pages.post("/metadata-url", metadata_url=site.origin + PATH)
    assert re.search(r'href="/accounts/acme/settings"[^>]*>(?:(?!</a>).)*Waits for you', navigation(pages))
    assert "Waits for you" in in_the_list(pages)
    assert pages.post("/metadata/discard", digest=digest_of(pages)).status_code == 303
    assert "Waits for you" not in navigation(pages) + in_the_list(pages)


def test_who_cannot_decide_is_not_told_that_something_waits(pages: Pages, site: https.Site, world: World) -> None:
    """Nor is another account."""
    pages.post("/metadata-url", metadata_url=site.origin + PATH)
    add_member(world, "mo@acme.test", role="viewer", password=True)
    browser = pages.browser.application.test_client()
    sign_in(browser, email="mo@acme.test")
    theirs = Pages(browser, pages.url, pages.provider)
    text = navigation(theirs)
    assert "Team members" in text
    assert "Waits for you" not in text


def test_a_refresh_that_failed_and_a_certificate_that_ends_are_in_the_list(pages: Pages, site: https.Site) -> None:
    """Also where another certificate is good for years: one of two that runs out may be the one that signs."""
    site.documents.clear()
    pages.post("/metadata-url", metadata_url=site.origin + PATH)
    text = in_the_list(pages)
    assert "Metadata not refreshed" in text
    assert "Ends soon" not in text
    pin(pages, ending_in(5), ending_in(900))
    text = in_the_list(pages)
    assert "Certificate runs out" in text
    assert text.index("in 5 days") < text.index("Ends soon") < text.index("in 2 years")
    assert text.count("Ends soon") == 1
    pin(pages, ending_in(-3))
    assert "Expired" in in_the_list(pages)


# --- metadata by hand -------------------------------------------------------------------------------------------

BY_HAND = {
    "entity_id": "https://hand.test/idp",
    "sso_url": "https://hand.test/sso",
    "sso_binding": "post",
    "slo_url": "https://hand.test/slo",
    "slo_binding": "post",
    "slo_response_url": "https://hand.test/slo/answers",
}


def test_all_that_is_trusted_can_be_given_by_hand(pages: Pages) -> None:
    """Logout and bindings too, for a new connection and for one that is there; what stands there is in the form."""
    certificate = signing.idp().certificate.pem
    assert pages.post("/trust", **BY_HAND, certificates=certificate).status_code == 303
    assert {name: getattr(pages.row(), name) for name in BY_HAND} == BY_HAND
    form = pages.read().partition("Change the values by hand")[2]
    for value in (name for name in BY_HAND.values() if name != "post"):
        assert f'value="{value}"' in form
    assert form.count('value="post" selected') == 2
    assert certificate.strip().splitlines()[1] in form.replace("&#43;", "+").replace("&#x2B;", "+")
    path = "/accounts/acme/identity-providers/new"
    made = post(pages.browser, path, page=path, name="By hand", **BY_HAND, certificates=certificate)
    assert made.status_code == 303, made.get_data(as_text=True)
    with db.connection():
        row = IdentityProvider.get(IdentityProvider.name == "By hand")
    assert {name: getattr(row, name) for name in BY_HAND} == BY_HAND


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sso_url", "http://hand.test/sso", "The sign-on URL must begin with https://."),
        ("slo_url", "http://hand.test/slo", "The logout URL must begin with https://."),
        ("slo_response_url", "ftp://x", "The address for logout answers must begin with https://."),
        ("sso_binding", "artifact", "Must be one of"),
    ],
)
def test_a_value_by_hand_that_cannot_be_is_refused_where_it_stands(
    pages: Pages, name: str, value: str, words: str
) -> None:
    """The part with the form is open again, the field marked, and the sentence said once above it."""
    before = pages.row().sso_url
    sent = {**BY_HAND, "certificates": signing.idp().certificate.pem, "by_hand": "yes", name: value}
    refused = pages.post("/trust", **sent)
    assert refused.status_code == 400
    text = refused.get_data(as_text=True)
    summary, rest = text.partition('id="problem"')[2].split("</div>", 1)
    assert summary.count(words) == 1
    field = re.search(r'<a href="#([^"]+)">', summary)
    assert field
    marked = re.search(rf'id="{field.group(1)}" name="{name}"[^>]* aria-invalid="true"', rest)
    assert marked
    assert words in rest
    assert "<details open><summary>Change the values by hand" in text
    assert "<details open><summary>Upload" not in text
    assert pages.row().sso_url == before


def test_one_of_several_providers_in_a_document_is_named_beside_it(pages: Pages) -> None:
    """Not among the values by hand, which are another way."""
    several = group(entity(), entity(role(sso=endpoint("SingleSignOnService", REDIRECT, EVIL)), entity_id="urn:other"))
    refused = pages.post("/trust", metadata_xml=several)
    assert refused.status_code == 400
    text = refused.get_data(as_text=True)
    summary = text.partition('id="problem"')[2].partition("</div>")[0]
    assert summary.count("describes several identity providers") == 1
    assert "Metadata xml" not in text
    assert 'name="metadata_entity_id"' in text.partition("Upload or paste")[2].partition("</form>")[0]
    new = pages.browser.get("/accounts/acme/identity-providers/new").get_data(as_text=True)
    assert 'name="metadata_entity_id"' in new.partition("or the values by hand")[0]
    assert pages.post("/trust", metadata_xml=several, metadata_entity_id="urn:other").status_code == 303
    assert (pages.row().entity_id, pages.row().sso_url) == ("urn:other", EVIL)


def test_a_change_is_accepted_only_where_the_plan_has_single_sign_on(
    pages: Pages, site: https.Site, world: World
) -> None:
    """As by the API: who has given the plan up trusts no new key; to discard the change, and to look, she may."""
    pages.post("/metadata-url", metadata_url=site.origin + PATH)
    before = pages.row().sso_url
    digest = re.search(r'name="digest" value="(\w+)"', pages.read())
    assert digest
    with db.connection(), db.transaction():
        plan_changes.set_plan(world.system, "pro")
    assert pages.post("/metadata/accept", digest=digest.group(1)).status_code == 403
    assert pages.row().sso_url == before
    assert pages.post("/metadata/discard", digest=digest.group(1)).status_code == 303


def test_a_discarded_change_is_shown_no_more(pages: Pages, site: https.Site) -> None:
    """Until the document says something else."""
    pages.post("/metadata-url", metadata_url=site.origin + PATH)
    before = pages.row().sso_url
    digest = digest_of(pages)
    assert pages.post("/metadata/discard", digest="0" * 64).status_code == 409
    assert pages.post("/metadata/discard", digest=digest).status_code == 303
    text = pages.read()
    assert "Their metadata has changed" not in text
    assert "Waits for you" not in text
    assert pages.row().sso_url == before
    assert pages.post("/metadata/discard", digest=digest).status_code == 404


def test_what_went_wrong_with_the_last_look_is_said(pages: Pages, site: https.Site) -> None:
    """With what is trusted going on."""
    site.documents.clear()
    assert pages.post("/metadata-url", metadata_url=site.origin + PATH).status_code == 303
    text = pages.read()
    assert "The last look took nothing" in text
    assert pages.row().metadata_error
    assert pages.post("/metadata-url", metadata_url="").status_code == 303
    assert pages.row().metadata_url is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"metadata_url": "http://idp.test/metadata"}, "must begin with https://"),
        ({"metadata_url": "https://idp.test/metadata", "metadata_certificate": "nonsense"}, "certificate"),
    ],
)
def test_a_url_that_cannot_be_read_safely_is_refused(pages: Pages, fields: dict[str, str], words: str) -> None:
    """The form comes back with what was typed, and nothing is saved."""
    answer = pages.post("/metadata-url", **fields)
    assert answer.status_code == 400
    text = answer.get_data(as_text=True)
    assert words in text
    assert f'value="{fields["metadata_url"]}"' in text
    assert pages.row().metadata_url is None


# --- switches ---------------------------------------------------------------------------------------------------

SWITCHES = (
    "enabled",
    "allow_idp_initiated",
    "bounce_idp_initiated",
    "may_grant_admin",
    "sign_authn_requests",
    "force_authn",
    "want_assertions_encrypted",
    "require_gcm",
    "allow_weak_signatures",
    "redact_sign_in_flows",
    "strict_scim",
)


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_is_on_the_page_and_saved(pages: Pages, switch: str) -> None:
    """Ticked it is on, unticked off, and the page shows it as it is."""
    for ticked in (True, False):
        fields = {"name": "Okta", "join_policy": "jit", **({switch: "on"} if ticked else {})}
        assert pages.post("/options", **fields).status_code == 303
        assert getattr(pages.row(), switch) is ticked
        box = re.search(rf'<input type="checkbox" name="{switch}"[^>]*>', pages.read("/options"))
        assert box
        assert ("checked" in box.group(0)) is ticked


def test_the_name_id_format_is_one_of_those_known_or_none(pages: Pages) -> None:
    """What no provider knows is refused here, not there."""
    email = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
    assert pages.post("/options", name="Okta", join_policy="jit", name_id_format=email).status_code == 303
    assert pages.row().name_id_format == email
    assert f'value="{email}" selected' in pages.read("/options")
    assert pages.post("/options", name="Okta", join_policy="jit", name_id_format="urn:mine").status_code == 400
    assert pages.post("/options", name="Okta", join_policy="jit", name_id_format="").status_code == 303
    assert pages.row().name_id_format is None


def test_attribute_names_of_its_own_are_saved_and_taken_back(pages: Pages) -> None:
    """Empty is the well-known names again."""
    assert pages.post("/attributes", email="workMail", groups="memberOf").status_code == 303
    assert pages.row().attribute_mapping == {
        "email": "workMail",
        "first_name": None,
        "last_name": None,
        "groups": "memberOf",
    }
    assert 'value="workMail"' in pages.read("/options")
    assert pages.post("/attributes", email="").status_code == 303
    assert set(pages.row().attribute_mapping.values()) == {None}


def test_weak_signatures_are_warned_about_on_every_look(pages: Pages) -> None:
    """Beside the switch, and on the connection's first page."""
    assert "only until it can" in pages.read("/options")
    pages.post("/options", name="Okta", join_policy="jit", allow_weak_signatures="on")
    assert "Weak signatures are accepted on this connection" in pages.read("/options")
    assert "can be forged" in pages.read("")


def test_what_disabling_and_deleting_would_do_is_said_beforehand(pages: Pages, world: World) -> None:
    """In numbers of today."""
    for number in range(2):
        add_member(world, f"m{number}@acme.test", identity_provider=pages.provider, managed_by="jit")
    text = pages.read("/options")
    assert "Today: 2 members have no other way in" in text
    assert "2 members stay and are managed by hand, 1 SCIM token is gone" in text


# --- who may look, and the frame --------------------------------------------------------------------------------

TABS = ("", "/trust", "/options", "/flows")


@pytest.mark.parametrize("path", TABS)
def test_the_pages_lead_to_each_other_and_carry_no_inline_code(pages: Pages, path: str) -> None:
    """One heading, the tab of the page marked, nothing that the content security policy would refuse."""
    text = pages.read(path)
    assert text.count("<h1") == 1
    assert text.count('aria-current="page">') >= 1
    for other in TABS:
        assert f'href="{pages.url}{other}"' in text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text)


@pytest.mark.parametrize("path", TABS)
@pytest.mark.parametrize("role_name", ["viewer", "developer", "team_manager", "billing"])
def test_only_administrators_see_a_connection(pages: Pages, world: World, path: str, role_name: str) -> None:
    """Everybody else gets the page that names the role."""
    add_member(world, "mo@acme.test", role=role_name, password=True)
    browser = pages.browser.application.test_client()
    sign_in(browser, email="mo@acme.test")
    assert browser.get(f"{pages.url}{path}").status_code == 403


@pytest.mark.parametrize("kind", providers.KINDS)
def test_values_are_shown_under_each_providers_labels(pages: Pages, kind: str) -> None:
    """And the form for a new connection leads into its menus."""
    words = providers.catalogue()[kind]
    text = pages.read(f"?kind={kind}")
    for name, value in idps.urls(pages.provider.id, "http://localhost").items():
        assert words.labels[name].replace("&", "&amp;") in text
        assert f'value="{value}"' in text
    new = pages.browser.get(f"/accounts/acme/identity-providers/new?kind={kind}")
    assert words.title in new.get_data(as_text=True)
