"""Mail: written with the change it tells of, sent once by a real SMTP server, tried again, given up, forgotten."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from idp_bridge import clock, db, jobs, keyring, mail
from idp_bridge.config import Config
from idp_bridge.letters import Letter
from idp_bridge.mail import Server
from idp_bridge.models import Mail
from tests import smtp
from tests.conftest import SECRET_KEY
from tests.domain import cast
from tests.smtp import Mailbox

LETTER = Letter("To {name}", ("Hello {name}.",), "Open", ("Bye.",))
ANN = "ann@example.test"
LOGIN = f"{smtp.USER}:{quote(smtp.PASSWORD, safe='')}"

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def configured(config: Config) -> Iterator[Config]:
    """The settings that a test changes and takes on; afterwards there is no server again."""
    yield replace(config, base_url="https://sso.example.com", mail_from="Acme <no-reply@example.com>")
    mail.configure(config)


@pytest.fixture
def mailbox(configured: Config, tmp_path: Path) -> Iterator[Mailbox]:
    """A server without TLS, taken on."""
    with smtp.serving(tmp_path) as box:
        mail.configure(replace(configured, smtp_url=f"smtp://127.0.0.1:{box.port}"))
        yield box


def put(recipient: str = ANN, **options: Any) -> None:
    with db.transaction():
        assert mail.post("test", recipient, LETTER, path="/x?t=1", facts={"name": "Ann"}, **options)


def row() -> Mail:
    return Mail.select().get()


def test_a_letter_arrives_with_both_parts_and_one_link(mailbox: Mailbox) -> None:
    """From whom the operator says, as text and as HTML; the row forgets what it said."""
    put()
    assert mail.arrived.is_set()
    mail.deliver(clock.now())
    (message,) = mailbox.to(ANN)
    assert (message["From"], message["To"]) == ("Acme <no-reply@example.com>", ANN)
    assert (message["Subject"], message["Auto-Submitted"]) == ("To Ann", "auto-generated")
    assert message["Message-ID"] == f"<{row().id}@sso.example.com>"
    assert smtp.text_of(message) == "Hello Ann.\n\nOpen:\nhttps://sso.example.com/x?t=1\n\nBye.\n"
    assert mailbox.link_to(ANN) == "https://sso.example.com/x?t=1"
    assert (row().sealed, row().error) == (None, "")
    assert row().sent_at is not None
    mail.deliver(clock.now() + timedelta(days=1))
    assert len(mailbox.messages) == 1


def test_what_is_undone_mails_nothing(mailbox: Mailbox) -> None:
    """Nor does it wake the job."""
    mail.arrived.clear()

    def fail() -> None:
        with db.transaction():
            assert mail.post("test", ANN, LETTER, path="/x", facts={"name": "Ann"})
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert not mail.arrived.is_set()
    mail.deliver(clock.now())
    assert (mailbox.messages, Mail.select().count()) == ([], 0)


def test_without_a_server_or_an_address_nothing_is_put(configured: Config, mailbox: Mailbox) -> None:
    """Several addresses in one, or a line of headers, are none."""
    for address in ("", "ann", "a@b.test, c@d.test", "a@b.test\r\nBcc: c@d.test", "Ann <a@b.test>"):
        assert not mail.post("test", address, LETTER, path="/", facts={"name": "Ann"})
    mail.configure(configured)
    assert not mail.enabled()
    assert not mail.post("test", ANN, LETTER, path="/", facts={"name": "Ann"})
    assert Mail.select().count() == 0


def test_it_waits_sealed(mailbox: Mailbox) -> None:
    """A copy of the database alone holds no link; under another key it is given up, not sent."""
    put()
    assert "sso.example.com" not in str(row().sealed)
    keyring.unlock("another secret key of the operator, long enough")
    mail.deliver(clock.now())
    keyring.unlock(SECRET_KEY)
    assert (row().sealed, row().error) == (None, "it was sealed under another SECRET_KEY")
    assert mailbox.messages == []


def test_many_processes_send_it_once(mailbox: Mailbox) -> None:
    """Each message is sent by whoever moved its time on."""
    for number in range(4):
        put(f"{number}@example.test")
    now = clock.now()
    cast.at_once(*[lambda: mail.deliver(now)] * 4, transaction=nullcontext)
    assert sorted(mailbox.recipients) == [[f"{number}@example.test"] for number in range(4)]


def test_a_process_that_died_is_made_up_for(mailbox: Mailbox) -> None:
    """After a while another one takes up what it had begun."""
    put()
    now = clock.now()
    assert mail._is_ours(row(), now)
    mail.deliver(now)
    assert mailbox.messages == []
    mail.deliver(now + mail.LEASE)
    assert len(mailbox.messages) == 1


def test_a_no_for_now_is_tried_again_ever_less_often(mailbox: Mailbox) -> None:
    """A minute later, then two, then four."""
    mailbox.refusals[ANN] = ["450 later", "451 later still"]
    put()
    now = clock.now()
    for minutes in (0, 1, 3):
        mail.deliver(now + timedelta(minutes=minutes, seconds=-1))
        before = len(mailbox.messages)
        mail.deliver(now + timedelta(minutes=minutes))
    assert (before, len(mailbox.messages), row().attempts) == (0, 1, 3)


def test_an_address_in_other_letters_needs_a_server_that_takes_them(configured: Config, mailbox: Mailbox) -> None:
    """RFC 6531; where it does not, the message is given up and the next one goes."""
    put("ann\N{LATIN SMALL LETTER E WITH ACUTE}e@example.test")
    put()
    mail.deliver(clock.now())
    taken = [one.recipient for one in Mail.select() if one.sent_at]
    refused = [one for one in Mail.select() if not one.sent_at]
    assert ANN in taken
    assert all(one.sealed is None and "no such address" in one.error for one in refused)
    assert len(taken) + len(refused) == 2


@pytest.mark.parametrize("stage", ["recipient", "data"])
def test_a_no_for_ever_gives_up_at_once(mailbox: Mailbox, stage: str) -> None:
    """With the server's words; the next message goes all the same."""
    if stage == "recipient":
        mailbox.refusals[ANN] = ["550 nobody of that name"]
    else:
        mailbox.at_data = ["554 nobody of that name"]
    put()
    put("bob@example.test")
    mail.deliver(clock.now())
    refused = Mail.get(Mail.recipient == ANN)
    assert (refused.sealed, refused.sent_at) == (None, None)
    assert "nobody of that name" in refused.error
    assert len(mailbox.to("bob@example.test")) == 1


def test_a_server_that_is_away_ends_the_pass_and_then_the_patience(configured: Config, mailbox: Mailbox) -> None:
    """One attempt a pass; after a day the message is given up, and what it said forgotten."""
    port = mailbox.port
    mail.configure(replace(configured, smtp_url=f"smtp://127.0.0.1:{port + 1 if port < 65535 else port - 1}"))
    put()
    put("bob@example.test")
    now = clock.now()
    mail.deliver(now)
    assert sorted(one.attempts for one in Mail.select()) == [0, 1]
    for hours in range(1, 25):
        mail.deliver(now + timedelta(hours=hours))
    assert all(one.sealed is None and one.sent_at is None and one.error for one in Mail.select())


def test_what_is_worth_nothing_any_more_is_not_sent(mailbox: Mailbox) -> None:
    """A link that has expired; and what was taken back."""
    put(expires_at=clock.now() + timedelta(minutes=15), about="inv_1")
    put(about="inv_2")
    with db.transaction():
        mail.take_back("inv_2")
    mail.deliver(clock.now() + timedelta(minutes=15))
    assert mailbox.messages == []
    assert list(mail.last(["inv_1", "inv_2"])) == ["inv_1"]
    assert mail.last(["inv_1"])["inv_1"].error == "it could not be sent in time"


def test_old_rows_are_deleted(mailbox: Mailbox) -> None:
    """Addresses are not kept for ever."""
    put()
    mail.deliver(clock.now())
    mail.deliver(clock.now() + mail.KEPT - timedelta(minutes=1))
    assert Mail.select().count() == 1
    mail.deliver(clock.now() + mail.KEPT + timedelta(minutes=1))
    assert Mail.select().count() == 0


@pytest.mark.parametrize(("tls", "scheme"), [("starttls", "smtp"), ("implicit", "smtps")])
def test_a_password_goes_over_verified_tls_only(
    configured: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: str, scheme: str
) -> None:
    """A server that nobody vouches for gets neither the password nor the mail."""
    with smtp.serving(tmp_path, tls=tls) as box:
        mail.configure(replace(configured, smtp_url=f"{scheme}://{LOGIN}@127.0.0.1:{box.port}"))
        put()
        now = clock.now()
        mail.deliver(now)
        assert box.messages == []
        assert "CERTIFICATE_VERIFY_FAILED" in row().error
        monkeypatch.setenv("SSL_CERT_FILE", box.authority)
        mail.deliver(now + timedelta(hours=1))
        assert (box.recipients, box.authenticated) == ([[ANN]], [True])


def test_a_password_is_not_given_to_a_server_without_tls(configured: Config, mailbox: Mailbox) -> None:
    """Not even where it would take it."""
    mail.configure(replace(configured, smtp_url=f"smtp://{LOGIN}@127.0.0.1:{mailbox.port}"))
    put()
    mail.deliver(clock.now())
    assert mailbox.messages == []
    assert "STARTTLS" in row().error
    assert row().sealed, "it waits for the operator to mend that"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://relay.test", Server("relay.test", 25, implicit_tls=False)),
        ("smtp://u:p%2Fw@mail.test", Server("mail.test", 587, implicit_tls=False, user="u", password="p/w")),
        ("smtps://u@mail.test", Server("mail.test", 465, implicit_tls=True, user="u", password="")),
        ("smtps://mail.test:1465", Server("mail.test", 1465, implicit_tls=True)),
    ],
)
def test_ports_are_those_that_servers_expect(url: str, server: Server) -> None:
    """Relays at 25, submission at 587, implicit TLS at 465 (RFC 8314)."""
    assert Server.of(url) == server


def test_the_job_sends_at_once(mailbox: Mailbox) -> None:
    """Woken by the commit, in this process; not half a minute later."""
    runner = jobs.Runner(pause=timedelta(hours=1), jobs=[job for job in jobs.JOBS if job.lane == "mail"])
    runner.start()
    try:
        put()
        assert mailbox.arrived.acquire(timeout=20)
    finally:
        runner.stop()
