"""What an administrator should know of a connection: a warning for each, with what to do."""

from datetime import timedelta
from typing import Any

import pytest

from idp_bridge import clock, connection_warnings, db, sp_keys
from idp_bridge.models import Account, IdentityProvider
from tests.conftest import World
from tests.domain import cast
from tests.saml import idp as signing_idp

DAY = timedelta(days=1)
END = signing_idp.idp().certificate.not_after
WEAK = signing_idp.pair("weak", "rsa1024").certificate


@pytest.fixture
def provider(sso: World) -> IdentityProvider:
    """acme's connection."""
    assert sso.provider is not None
    return cast.again(sso.provider)


def codes(provider: IdentityProvider, **options: Any) -> list[str]:
    return [warned.code for warned in connection_warnings.of_provider(provider, **options)]


def test_a_sound_connection_has_none(provider: IdentityProvider) -> None:
    """Nor does it get one by having a key of ours."""
    with db.transaction():
        sp_keys.signing(provider)
    assert codes(provider, now=END - 100 * DAY) == []


def _weak_certificate() -> dict[str, str]:
    return {
        "pem": WEAK.pem,
        "fingerprint_sha256": WEAK.fingerprint_sha256,
        "not_before": clock.rfc3339(WEAK.not_before),
        "not_after": clock.rfc3339(WEAK.not_after),
    }


@pytest.mark.parametrize(
    ("columns", "code", "words"),
    [
        ({"allow_weak_signatures": True}, "weak_signatures_allowed", "SHA-256"),
        ({"metadata_error": "The server answered with status 404."}, "metadata_error", "404"),
        ({"metadata_valid_until": END - 101 * DAY}, "metadata_expired", "valid until"),
        ({"pending_trust": {"digest": "x"}}, "pending_trust", "Accept it or discard it"),
        ({"certificates": [_weak_certificate()]}, "certificate_unusable", "too weak"),
    ],
)
def test_each_state_has_its_warning(provider: IdentityProvider, columns: dict[str, Any], code: str, words: str) -> None:
    """With words that say what to do."""
    for name, value in columns.items():
        setattr(provider, name, value)
    (warned,) = connection_warnings.of_provider(provider, END - 100 * DAY)
    assert warned.code == code
    assert words in warned.message


def test_what_was_discarded_is_no_warning(provider: IdentityProvider) -> None:
    """It has been decided."""
    provider.pending_trust = {"digest": "x", "discarded_at": clock.rfc3339(clock.now())}
    assert codes(provider, now=END - 100 * DAY) == []


def test_weak_keys_are_usable_where_they_are_allowed(provider: IdentityProvider) -> None:
    """Then only the switch is warned about."""
    provider.certificates, provider.allow_weak_signatures = [_weak_certificate()], True
    assert codes(provider, now=END - 100 * DAY) == ["weak_signatures_allowed"]


@pytest.mark.parametrize(("left", "words"), [(59, "runs out on"), (-1, "ran out on")])
def test_certificates_warn_before_and_after_their_end(provider: IdentityProvider, left: int, words: str) -> None:
    """Sign-ins go on either way, and the warning stays."""
    (warned,) = connection_warnings.of_provider(provider, END - left * DAY)
    assert warned.code == "certificate_expiring"
    assert words in warned.message


def test_our_own_certificate_warns_with_the_steps_of_a_roll_over(sso: World, provider: IdentityProvider) -> None:
    """Until another key is the current one."""
    with db.transaction():
        end = sp_keys.signing(provider).certificate.not_after
    assert "own_certificate_expiring" in codes(provider, now=end - 30 * DAY)
    assert "own_certificate_expiring" in codes(provider, now=end + DAY)


def test_the_only_way_in_under_enforcement_warns_before_and_after_a_change(
    sso: World, provider: IdentityProvider
) -> None:
    """Not in mixed mode, nor while another connection is known to work, nor where it is switched off."""
    IdentityProvider.update(administrator_signed_in_at=clock.now(), proven_by=sso.owner.id).execute()
    assert codes(cast.again(provider), now=END - 100 * DAY) == []
    Account.update(sso_mode="enforced").execute()
    assert codes(cast.again(provider), now=END - 100 * DAY) == ["only_way_in"]
    IdentityProvider.update(changed_at=clock.now() + DAY).execute()
    assert codes(cast.again(provider), now=END - 100 * DAY) == ["unproven_under_enforcement"]
    assert [one.code for one in connection_warnings.under_enforcement(cast.again(provider))] == [
        "unproven_under_enforcement"
    ]
    second = cast.connect(sso, name="Second")
    IdentityProvider.update(administrator_signed_in_at=clock.now(), proven_by=sso.owner.id).where(
        IdentityProvider.id == second.id
    ).execute()
    assert codes(cast.again(provider), now=END - 100 * DAY) == []
    IdentityProvider.update(enabled=False).execute()
    assert codes(cast.again(provider), now=END - 100 * DAY) == []
