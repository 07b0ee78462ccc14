"""Notices: each administrator is told by mail, and nobody else."""

from datetime import timedelta

import pytest

from idp_bridge import certificate_notices, clock, db, mail, member_lifecycle, notices
from idp_bridge.config import Config
from idp_bridge.models import Mail
from idp_bridge.notices import CHANGES, Notice
from tests import smtp
from tests.conftest import World
from tests.domain import cast
from tests.saml import idp as signing_idp
from tests.smtp import Mailbox

#: The facts that those who tell of it give.
FACTS: dict[Notice, dict[str, object]] = {
    Notice.RECOVERY_CODE_USED: {"member": "o@acme.test", "left": 9},
    Notice.BREAK_GLASS_USED: {"member": "o@acme.test"},
    Notice.ENFORCEMENT_CHANGED: {"change": "mixed", "by": "o@acme.test", "falls_back_at": None, "missing": []},
    Notice.PLAN_LEFT_SSO: {
        "plan": "pro",
        "identity_providers": ["Okta"],
        "sessions_ended": 3,
        "administrators": [],
        "without_password": 2,
    },
    Notice.ADMINISTRATORS_BY_PLAN: {"plan": "free", "administrators": ["dev@acme.test"]},
    Notice.CERTIFICATE_EXPIRING: {
        "provider": "Okta",
        "provider_id": "idp_1",
        "certificate": "The certificate with which the provider signs",
        "days": 7,
        "not_after": "2026-12-01 00:00 UTC",
    },
    Notice.IDENTITY_CONFLICT: {"email": "ann@acme.test", "provider": "Okta"},
    Notice.PASSWORD_LINK_CREATED: {"member": "eve@acme.test", "by": "owner@acme.test"},
    Notice.USAGE_THRESHOLD_REACHED: {
        "percent": 80,
        "month": "2026-11",
        "plan": "Free",
        "what": "sessions",
        "amount": "16,000",
        "limit": "20,000",
    },
}


@pytest.mark.parametrize("notice", Notice)
def test_every_notice_reaches_the_active_administrators(acme: World, mailbox: Mailbox, notice: Notice) -> None:
    """One mail each, with a link into the account."""
    cast.join(acme, "second@acme.test", "admin")
    cast.join(acme, "dev@acme.test", "developer")
    gone = cast.join(acme, "gone@acme.test", "admin")
    with db.transaction():
        member_lifecycle.suspend(acme.system, gone)
        assert notices.to_administrators(acme.account, notice, **FACTS[notice]) == 2
    mail.deliver(clock.now())
    assert sorted(mailbox.recipients) == [["owner@acme.test"], ["second@acme.test"]]
    message = mailbox.messages[0]
    assert "Acme" in smtp.text_of(message)
    assert "{" not in message["Subject"] + smtp.text_of(message)
    assert mailbox.link_to("owner@acme.test").startswith("http://localhost/accounts/acme/")


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_enforcement_has_its_words(acme: World, mailbox: Mailbox, change: str) -> None:
    """And a trial says when it ends."""
    facts = {"change": change, "by": "o@acme.test", "falls_back_at": None, "missing": ["No recovery codes."]}
    if change == "on_trial":
        facts |= {"change": "enforced", "falls_back_at": "2026-11-25T12:00:00Z"}
    with db.transaction():
        notices.to_administrators(acme.account, Notice.ENFORCEMENT_CHANGED, **facts)
    mail.deliver(clock.now())
    text = smtp.text_of(mailbox.messages[0])
    assert ("2026-11-25T12:00:00Z" in text) == (change == "on_trial")
    assert ("No recovery codes." in text) == (change == "not_restored")


def test_without_a_server_nobody_is_told(acme: World, config: Config) -> None:
    """Nothing piles up in the outbox."""
    mail.configure(config)
    assert notices.to_administrators(acme.account, Notice.IDENTITY_CONFLICT, email="a@b.test", provider="Okta") == 0
    assert Mail.select().count() == 0


def test_a_certificate_that_runs_out_is_mailed_once_a_distance(sso: World, mailbox: Mailbox) -> None:
    """With whose it is, and until when."""
    end = signing_idp.idp().certificate.not_after
    for _ in range(2):
        certificate_notices.run(end - timedelta(days=7))
    mail.deliver(clock.now())
    (message,) = mailbox.messages
    assert message["Subject"] == "A certificate of Okta runs out in 7 days"
    assert f"{end:%Y-%m-%d}" in smtp.text_of(message)
