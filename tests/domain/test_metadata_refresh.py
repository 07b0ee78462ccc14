"""Metadata that is kept fresh: what is vouched for is taken, all else waits, and sign-ins never do."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idp_bridge import clock, db, fetching, identity_links, idps, metadata_refresh
from idp_bridge.errors import Conflict, NotFound
from idp_bridge.models import IdentityProvider
from tests import https
from tests.conftest import World
from tests.domain import cast
from tests.saml import idp as signing_idp
from tests.saml.documents import endpoint, entity, group, key, role, signed

ID = ' ID="_1"'
OLD, NEW = signing_idp.idp(), signing_idp.attacker()
BOTH = role(keys=key() + key(NEW.certificate.base64_der))
MOVED = role(sso=endpoint("SingleSignOnService", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST", "https://new.test"))
PATH = "/metadata"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[https.Site]:
    with https.serve(tmp_path_factory.mktemp("tls")) as site:
        yield site


@pytest.fixture
def site(server: https.Site, monkeypatch: pytest.MonkeyPatch) -> https.Site:
    """The provider's own site, which may be fetched from although it is on this machine."""
    monkeypatch.setattr(fetching, "PUBLIC", server.limits)
    server.documents = {PATH: entity()}
    server.asked.clear()
    return server


@pytest.fixture
def provider(sso: World, site: https.Site) -> IdentityProvider:
    """acme's connection, made from the document at its URL."""
    assert sso.provider is not None
    return change(sso, trust=idps.read_metadata(entity()), metadata_url=site.origin + PATH)


def change(world: World, **options: Any) -> IdentityProvider:
    provider = cast.again(world.provider)
    with db.transaction():
        idps.change(world.system, provider, **options)
    return cast.again(provider)


def refreshed(provider: IdentityProvider) -> IdentityProvider:
    metadata_refresh.refresh(provider.id)
    return cast.again(provider)


def pinned(provider: IdentityProvider) -> set[str]:
    return {certificate.fingerprint_sha256 for certificate in idps.certificates(provider)}


def fingerprints(*pairs: signing_idp.Pair) -> set[str]:
    return {pair.certificate.fingerprint_sha256 for pair in pairs}


def test_unchanged_metadata_is_only_noted(sso: World, site: https.Site, provider: IdentityProvider) -> None:
    """Nor do dates alone change what is trusted: no event, and an administrator's proof stands."""
    site.documents[PATH] = entity(attributes=' validUntil="2099-01-01T00:00:00Z" cacheDuration="P1D"')
    after = refreshed(provider)
    assert after.metadata_checked_at > provider.metadata_checked_at
    assert after.metadata_valid_until == datetime(2099, 1, 1, tzinfo=UTC)
    assert (after.changed_at, after.metadata_error, after.pending_trust) == (provider.changed_at, None, None)
    assert len(cast.happened(sso, "identity_provider_updated.v0")) == 1
    assert cast.happened(sso, "identity_provider_change_proposed.v0") == []


DIFFERENT = {
    "another key": entity(role(keys=key(NEW.certificate.base64_der))),
    "one more key": entity(BOTH),
    "another URL": entity(MOVED),
    "a logout URL": entity(
        role(
            slo=endpoint("SingleLogoutService", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect", "https://o.test")
        )
    ),
}


@pytest.mark.parametrize("document", DIFFERENT.values(), ids=DIFFERENT)
def test_what_nothing_vouches_for_waits(
    sso: World, site: https.Site, provider: IdentityProvider, document: str
) -> None:
    """Sign-ins go on with what is trusted; one event says what is proposed, however often it is seen."""
    site.documents[PATH] = document
    after = refreshed(refreshed(provider))
    assert idps.trust_of(after) == idps.trust_of(provider)
    assert after.changed_at == provider.changed_at
    waiting = metadata_refresh.waiting(after)
    assert waiting is not None
    assert "vouches" in waiting["reason"]
    (event,) = cast.happened(sso, "identity_provider_change_proposed.v0")
    assert (event.principal_type, event.object["id"]) == ("system", provider.id)
    assert event.object["proposed"]["digest"] == waiting["digest"]


def test_a_key_that_is_gone_waits_too(sso: World, site: https.Site, provider: IdentityProvider) -> None:
    """Whoever gets hold of the URL must not lock people out either."""
    provider = change(sso, trust=idps.read_metadata(entity(BOTH)))
    after = refreshed(provider)
    assert pinned(after) == fingerprints(OLD, NEW)
    assert [one["fingerprint_sha256"] for one in after.pending_trust["certificates"]] == list(fingerprints(OLD))


def test_an_administrator_accepts_exactly_what_she_saw(
    sso: World, site: https.Site, provider: IdentityProvider
) -> None:
    """What came in since is not accepted with it."""
    site.documents[PATH] = DIFFERENT["one more key"]
    seen = refreshed(provider).pending_trust["digest"]
    site.documents[PATH] = DIFFERENT["another URL"]
    now = refreshed(provider)
    with pytest.raises(Conflict, match="since"), db.transaction():
        metadata_refresh.accept(sso.system, now, seen)
    with db.transaction():
        metadata_refresh.accept(sso.system, now, now.pending_trust["digest"])
    after = cast.again(provider)
    assert (after.sso_url, after.sso_binding, after.pending_trust) == ("https://new.test", "post", None)
    assert after.changed_at > provider.changed_at
    with pytest.raises(NotFound), db.transaction():
        metadata_refresh.accept(sso.system, after, seen)


def test_what_is_discarded_comes_up_again_only_when_it_differs(
    sso: World, site: https.Site, provider: IdentityProvider
) -> None:
    """Else an administrator would be asked the same thing four times a day."""
    site.documents[PATH] = DIFFERENT["one more key"]
    waiting = refreshed(provider)
    with db.transaction():
        metadata_refresh.discard(sso.system, waiting, waiting.pending_trust["digest"])
    assert metadata_refresh.waiting(refreshed(provider)) is None
    with pytest.raises(NotFound), db.transaction():
        metadata_refresh.discard(sso.system, cast.again(provider), waiting.pending_trust["digest"])
    site.documents[PATH] = DIFFERENT["another key"]
    assert metadata_refresh.waiting(refreshed(provider)) is not None
    assert len(cast.happened(sso, "identity_provider_change_proposed.v0")) == 2
    assert len(cast.happened(sso, "identity_provider_change_discarded.v0")) == 1


def test_what_came_in_since_is_not_discarded_unseen(sso: World, site: https.Site, provider: IdentityProvider) -> None:
    """Nor where the administrator's own copy is from before: what is stored decides."""
    site.documents[PATH] = DIFFERENT["one more key"]
    shown = refreshed(provider)
    site.documents[PATH] = DIFFERENT["another URL"]
    refreshed(provider)
    with pytest.raises(Conflict, match="since"), db.transaction():
        metadata_refresh.discard(sso.system, shown, shown.pending_trust["digest"])
    assert metadata_refresh.waiting(cast.again(provider)) is not None
    assert cast.happened(sso, "identity_provider_change_discarded.v0") == []


def test_what_waits_is_gone_when_the_provider_takes_it_back(site: https.Site, provider: IdentityProvider) -> None:
    """There is nothing to accept any more."""
    site.documents[PATH] = DIFFERENT["one more key"]
    assert refreshed(provider).pending_trust
    site.documents[PATH] = entity()
    assert refreshed(provider).pending_trust is None


@pytest.mark.parametrize("option", [{"trust": True}, {"metadata_url": None}])
def test_an_administrators_own_change_settles_what_waits(
    sso: World, site: https.Site, provider: IdentityProvider, option: dict[str, Any]
) -> None:
    """New metadata by hand, or no URL any more: what a refresh found is not asked about again."""
    site.documents[PATH] = DIFFERENT["one more key"]
    refreshed(provider)
    options = {"trust": idps.read_metadata(entity(MOVED))} if "trust" in option else option
    assert change(sso, **options).pending_trust is None


# --- a pinned key -----------------------------------------------------------------------------------------------


@pytest.fixture
def vouched(sso: World, provider: IdentityProvider) -> IdentityProvider:
    """A connection whose metadata is signed by a key that an administrator pinned."""
    return change(sso, metadata_certificate=signing_idp.pair("metadata").certificate.pem)


def by_pinned(document: str) -> str:
    return signed(document, signing_idp.pair("metadata"))


def test_what_a_pinned_key_vouches_for_is_taken(sso: World, site: https.Site, vouched: IdentityProvider) -> None:
    """A roll-over without anybody's doing: first both keys, then the new one only; the system's events tell."""
    before = len(cast.happened(sso, "identity_provider_updated.v0"))
    site.documents[PATH] = by_pinned(entity(BOTH, attributes=ID))
    after = refreshed(vouched)
    assert pinned(after) == fingerprints(OLD, NEW)
    site.documents[PATH] = by_pinned(entity(role(keys=key(NEW.certificate.base64_der)), attributes=ID))
    after = refreshed(vouched)
    assert pinned(after) == fingerprints(NEW)
    assert (after.pending_trust, after.metadata_error) == (None, None)
    events = cast.happened(sso, "identity_provider_updated.v0")[before:]
    assert [event.principal_type for event in events] == ["system", "system"]


def until(year: int) -> str:
    return f'{ID} validUntil="{year}-01-01T00:00:00Z"'


ONLY_NEW = role(keys=key(NEW.certificate.base64_der))
TO_AND_FRO = endpoint("SingleSignOnService", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect", "https://there.test")


@pytest.mark.parametrize(
    ("newer", "older", "words"),
    [
        (entity(ONLY_NEW, attributes=until(2099)), entity(attributes=until(2098)), "valid for less long"),
        (entity(ONLY_NEW, attributes=until(2099)), entity(MOVED, attributes=until(2098)), "valid for less long"),
        (entity(ONLY_NEW, attributes=until(2099)), entity(MOVED, attributes=ID), "valid for less long"),
        (entity(ONLY_NEW, attributes=ID), entity(attributes=ID), "brings back a certificate given up"),
        (entity(ONLY_NEW, attributes=until(2098)), entity(BOTH, attributes=until(2099)), "brings back a certificate"),
        (entity(role(sso=TO_AND_FRO), attributes=ID), entity(attributes=ID), "brings back the sso_url given up"),
    ],
)
def test_an_old_document_waits_though_the_pinned_key_signed_it(
    sso: World, site: https.Site, vouched: IdentityProvider, newer: str, older: str, words: str
) -> None:
    """It stays signed for ever: whoever gets hold of the URL could bring a key back that was given up for cause.

    However often it comes, and until an administrator says otherwise."""
    site.documents[PATH] = by_pinned(newer)
    current = refreshed(vouched)
    assert idps.trust_of(current) != idps.trust_of(vouched)
    site.documents[PATH] = by_pinned(older)
    after = refreshed(refreshed(current))
    assert idps.trust_of(after) == idps.trust_of(current)
    waiting = metadata_refresh.waiting(after)
    assert waiting is not None
    assert words in waiting["reason"]
    assert after.metadata_error == waiting["reason"]
    assert len(cast.happened(sso, "identity_provider_change_proposed.v0")) == 1
    with db.transaction():
        metadata_refresh.accept(sso.system, after, waiting["digest"])
    after = refreshed(after)
    assert (after.metadata_error, after.pending_trust) == (None, None)
    assert idps.trust_of(after).certificates == idps.read_metadata(older).certificates


def test_a_newer_document_is_taken_after_an_old_one_waited(site: https.Site, vouched: IdentityProvider) -> None:
    """A cache that lags behind is no reason to ask anybody."""
    lagging = by_pinned(entity(attributes=until(2098)))
    for year, roles in ((2098, BOTH), (2099, ONLY_NEW)):
        site.documents[PATH] = by_pinned(entity(roles, attributes=until(year)))
        assert refreshed(vouched).metadata_valid_until.year == year
    site.documents[PATH] = lagging
    assert metadata_refresh.waiting(refreshed(vouched)) is not None
    site.documents[PATH] = by_pinned(entity(ONLY_NEW, attributes=until(2100)))
    after = refreshed(vouched)
    assert (after.pending_trust, after.metadata_error, after.metadata_valid_until.year) == (None, None, 2100)
    assert pinned(after) == fingerprints(NEW)


UNVOUCHED = {
    "unsigned": entity(BOTH),
    "another key": signed(entity(BOTH, attributes=ID), NEW),
    "the provider's own signing key": signed(entity(BOTH, attributes=ID), OLD),
    "changed after signing": by_pinned(entity(BOTH, attributes=ID)).replace("idp.example.com/sso", "evil.test/sso"),
}


@pytest.mark.parametrize("document", UNVOUCHED.values(), ids=UNVOUCHED)
def test_what_the_pinned_key_did_not_sign_waits_and_says_why(
    site: https.Site, vouched: IdentityProvider, document: str
) -> None:
    """Nothing of it is taken, not even its dates."""
    site.documents[PATH] = document
    after = refreshed(vouched)
    assert idps.trust_of(after) == idps.trust_of(vouched)
    assert "vouch" in after.metadata_error
    assert metadata_refresh.waiting(after) is not None
    site.documents[PATH] = by_pinned(entity(attributes=ID))
    after = refreshed(vouched)
    assert (after.metadata_error, after.pending_trust) == (None, None)


def test_expired_metadata_is_refused_though_vouched_for(site: https.Site, vouched: IdentityProvider) -> None:
    """An old document under the right key would bring an old key back."""
    site.documents[PATH] = by_pinned(entity(BOTH, attributes=ID + ' validUntil="2026-01-01T00:00:00Z"'))
    after = refreshed(vouched)
    assert "expired on 2026-01-01" in after.metadata_error
    assert pinned(after) == fingerprints(OLD)
    assert after.pending_trust is None


# --- what cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "404"),
        ("<html/>", "This is a web page, not metadata"),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "It has a document type (DOCTYPE)"),
        (entity(entity_id="https://other.test"), "of that name, but https://other.test"),
        (entity(role(sso=endpoint("SingleSignOnService", "urn:x", "javascript:alert(1)"))), "no sign-on URL"),
    ],
)
def test_an_error_is_kept_in_words_and_changes_nothing(
    site: https.Site, provider: IdentityProvider, document: str | None, words: str
) -> None:
    """A document of another entity is one: no connection is ever turned into another provider's."""
    site.documents = {} if document is None else {PATH: document}
    after = refreshed(provider)
    assert words in after.metadata_error
    assert idps.trust_of(after) == idps.trust_of(provider)
    assert after.pending_trust is None
    site.documents = {PATH: entity()}
    assert refreshed(provider).metadata_error is None


def test_the_connections_own_entity_is_chosen_of_several(site: https.Site, provider: IdentityProvider) -> None:
    """A federation's document is no error, and its other entities are none of this connection's business."""
    site.documents[PATH] = group(entity(entity_id="urn:b"), entity())
    after = refreshed(provider)
    assert (after.metadata_error, after.pending_trust) == (None, None)


def test_two_connections_to_one_entity_stay_apart(sso: World, site: https.Site, provider: IdentityProvider) -> None:
    """Each is trusted by its own document, in one account as in two."""
    second = cast.connect(cast.open_account("other"), entity_id=signing_idp.IDP)
    site.documents[PATH] = entity(BOTH)
    waiting = refreshed(provider)
    with db.transaction():
        metadata_refresh.accept(sso.system, waiting, waiting.pending_trust["digest"])
    assert pinned(cast.again(provider)) == fingerprints(OLD, NEW)
    assert pinned(cast.again(second)) == fingerprints(OLD)


# --- the job ----------------------------------------------------------------------------------------------------


def test_only_what_is_due_is_fetched(sso: World, site: https.Site, provider: IdentityProvider) -> None:
    """By its last look; never a connection without a URL, nor one that is switched off."""
    cast.connect(sso, name="By hand")
    now = clock.now()
    metadata_refresh.run(now)
    assert site.asked == []
    metadata_refresh.run(now + metadata_refresh.EVERY)
    assert site.asked == [PATH]
    IdentityProvider.update(enabled=False).where(IdentityProvider.id == provider.id).execute()
    metadata_refresh.run(now + 3 * metadata_refresh.EVERY)
    assert site.asked == [PATH]


def test_each_document_is_fetched_by_one_process(site: https.Site, provider: IdentityProvider) -> None:
    """However many look for it at once."""
    due = clock.now() + metadata_refresh.EVERY
    cast.at_once(*[lambda: metadata_refresh.run(due)] * 4, transaction=nullcontext)
    assert site.asked == [PATH]


def test_what_goes_wrong_with_one_does_not_keep_the_others_waiting(
    sso: World, site: https.Site, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it is: it is logged with the connection's id, and the next one is fetched."""
    broken = cast.connect(sso, name="Broken", metadata_url=site.origin + "/broken")
    IdentityProvider.update(certificates=[{}]).where(IdentityProvider.id == broken.id).execute()
    site.documents["/broken"] = entity(entity_id=broken.entity_id)
    metadata_refresh.run(clock.now() + metadata_refresh.EVERY)
    assert sorted(site.asked) == ["/broken", PATH]
    assert [record.identity_provider_id for record in caplog.records] == [broken.id]  # type: ignore[attr-defined]


def test_an_answer_that_fits_no_more_is_not_used(
    sso: World, site: https.Site, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an administrator gave another URL, or deleted the connection, while the document was on its way."""
    site.documents[PATH] = entity(BOTH)
    fetch = fetching.fetch

    def meanwhile(work: Any) -> None:
        def slow(*arguments: Any, **options: Any) -> str:
            document = fetch(*arguments, **options)
            with db.transaction():
                work()
            return document

        monkeypatch.setattr(fetching, "fetch", slow)
        metadata_refresh.refresh(provider.id)

    meanwhile(lambda: idps.change(sso.system, cast.again(provider), metadata_url="https://elsewhere.test/"))
    assert cast.again(provider).pending_trust is None
    monkeypatch.setattr(fetching, "fetch", fetch)
    change(sso, metadata_url=site.origin + PATH)
    meanwhile(lambda: idps.delete(sso.system, cast.again(provider)))
    assert not IdentityProvider.select().where(IdentityProvider.id == provider.id).exists()


def test_a_provider_whose_links_were_forgotten_is_refreshed_as_ever(
    sso: World, site: https.Site, provider: IdentityProvider
) -> None:
    """Not every event of a connection is about what is trusted: the roll-over of a key that is vouched for comes."""
    with db.transaction():
        identity_links.remember(provider, sso.owner, name_id="ann", name_id_format="x")
        assert identity_links.forget_all(sso.system, provider) == 1
    signing = signing_idp.pair("metadata")
    provider = change(sso, metadata_certificate=signing.certificate.pem)
    site.documents[PATH] = signed(entity(BOTH, attributes=ID), signing)
    assert pinned(refreshed(provider)) == fingerprints(OLD, NEW)


def test_what_an_administrator_looks_at_is_told_as_hers(
    sso: World, site: https.Site, provider: IdentityProvider
) -> None:
    """By her request, with its address; what the job finds is the job's."""
    site.documents[PATH] = entity(BOTH)
    actor = replace(cast.acting(sso, sso.owner), address="192.0.2.1", request_id="op_1")
    metadata_refresh.refresh(provider.id, actor=actor)
    (event,) = cast.happened(sso, "identity_provider_change_proposed.v0")
    assert (event.principal_id, event.source, event.address) == (sso.owner.id, "api", "192.0.2.1")
    site.documents[PATH] = entity()
    metadata_refresh.refresh(provider.id, actor=actor)
    (withdrawn,) = cast.happened(sso, "identity_provider_change_discarded.v0")
    assert (withdrawn.principal_id, "says again" in withdrawn.object["reason"]) == (sso.owner.id, True)


def test_a_site_that_is_slow_does_not_hold_a_lock(site: https.Site, provider: IdentityProvider) -> None:
    """The document is fetched outside of any transaction: SQLite has one write lock."""
    site_limits, seen = site.limits, []
    fetch = fetching.fetch

    def watched(*arguments: Any, **options: Any) -> str:
        seen.append(db.database.in_transaction())
        return fetch(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetching, "fetch", watched)
        patch.setattr(fetching, "PUBLIC", replace(site_limits, seconds=5.0))
        metadata_refresh.run(clock.now() + metadata_refresh.EVERY + timedelta(seconds=1))
    assert seen == [False]
