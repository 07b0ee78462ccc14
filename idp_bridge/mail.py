"""Mail: an outbox in our own database, and the job that empties it through the operator's SMTP server.

A message is a row written in the transaction of the change that it tells of: what is undone mails nothing, and what is
committed is mailed even where the process dies at once. It waits sealed under SECRET_KEY, because most links in it are
secrets that the database else knows the digests of only; it is forgotten when it was sent, or given up.

Among many processes each message is sent by the one that moved its time on. One that dies between the server's yes and
the row sends it again: twice is possible, never is not. Both then carry one Message-ID, so most programs show one.
"""

import json
import logging
import re
import smtplib
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

from idp_bridge import clock, db, ids, keyring
from idp_bridge.config import Config
from idp_bridge.keyring import Purpose
from idp_bridge.letters import Letter, Message, compose
from idp_bridge.models import Account, Mail

PATIENCE = timedelta(days=1)  # a message is tried for so long, unless it says sooner that it is worth nothing any more
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)  # doubled from the one to the other
LEASE = timedelta(minutes=10)  # after this another process takes up what one has begun
KEPT = timedelta(days=30)  # rows of what was sent or given up
BATCH = 500  # of one pass
TIMEOUT = 20  # seconds for each answer of the server

_PLAIN = re.compile(r"""[^\s"'(),:;<>@\[\]\\]+@[^\s"'(),:;<>@\[\]\\]+""")

log = logging.getLogger(__name__)

arrived = threading.Event()  # a message of this process waits: the job looks at once instead of in a while


@dataclass(frozen=True)
class Server:
    """The operator's SMTP server. ``implicit_tls``: smtps."""

    host: str
    port: int
    implicit_tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> "Server":
        """``smtp[s]://[USER:PASSWORD@]HOST[:PORT]``, percent-encoded."""
        parts = urlsplit(url)
        implicit_tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname or "",
            port=parts.port or (465 if implicit_tls else 587 if parts.username else 25),
            implicit_tls=implicit_tls,
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password or "") if parts.username else None,
        )


@dataclass
class _Service:
    """What the configuration says, once for the process."""

    base_url: str = ""
    sender: str = ""
    server: Server | None = None


_service = _Service()


def configure(config: Config) -> None:
    """Take the operator's settings; once, at the start of the process."""
    _service.base_url, _service.sender = config.base_url, config.sender
    _service.server = Server.of(config.smtp_url) if config.smtp_url else None


def greet(url: str) -> None:
    """Say hello to that server, and sign in where there is a user; nothing is sent. Raises OSError, SMTPException."""
    with _connected(Server.of(url)):
        pass


def enabled() -> bool:
    """Whether there is a server to send by."""
    return _service.server is not None


# --- the outbox -------------------------------------------------------------------------------------------------


def post(
    kind: str,
    recipient: str,
    letter: Letter,
    *,
    path: str,
    facts: Mapping[str, object],
    account: Account | None = None,
    about: str | None = None,
    expires_at: datetime | None = None,
) -> bool:
    """Put a letter into the outbox, in the caller's transaction; whether it is there. It is not where mail is not
    configured, or the recipient's is no address.

    ``path`` is the link's, on our own origin. ``about`` is the id of what it tells of, for ``take_back`` and ``last``.
    After ``expires_at`` it is not worth sending.
    """
    if not enabled() or _address(recipient) is None:
        return False
    message = compose(letter, link=_service.base_url + path, facts=facts)
    moment = clock.now()
    Mail.create(
        id=ids.new("mail"),
        account=account,
        kind=kind,
        about=about,
        recipient=recipient,
        sealed=keyring.seal(json.dumps(asdict(message)), Purpose.MAIL),
        due_at=moment,
        expires_at=min(moment + PATIENCE, expires_at or moment + PATIENCE),
        created_at=moment,
    )
    db.after_commit(arrived.set)
    return True


def take_back(about: str) -> None:
    """What has not been sent about this thing yet is not sent any more."""
    Mail.delete().where(Mail.about == about, Mail.sealed.is_null(False)).execute()


def last(abouts: list[str]) -> dict[str, Mail]:
    """For each of these things the last message about it, where there is one."""
    return {str(row.about): row for row in Mail.select().where(Mail.about.in_(abouts)).order_by(Mail.id)}


# --- sending ----------------------------------------------------------------------------------------------------


def deliver(now: datetime) -> None:
    """Send what is due. A server that cannot be reached ends this pass: the next one comes soon enough."""
    _sweep(now)
    if _service.server is None:
        return
    due = Mail.select().where(Mail.sealed.is_null(False), Mail.due_at <= now).order_by(Mail.due_at).limit(BATCH)
    for row in list(due):
        if _is_ours(row, now) and not _try(row, _service.server, now):
            return


def _is_ours(row: Mail, now: datetime) -> bool:
    """Whether this process moved its time on. Its next time is there before it is tried, for the process that dies."""
    claim = Mail.update(attempts=row.attempts + 1, due_at=now + LEASE).where(
        Mail.id == row.id, Mail.due_at == row.due_at, Mail.sealed.is_null(False)
    )
    with db.transaction():
        return bool(claim.execute())


def _try(row: Mail, server: Server, now: datetime) -> bool:
    """Send it, put it off or give it up; False where the server cannot be reached."""
    attempts = row.attempts + 1
    try:
        message = _message(row)
        with _connected(server) as connection:
            connection.send_message(message, to_addrs=[row.recipient])
    except keyring.WrongSecretKey:
        _give_up(row, "it was sealed under another SECRET_KEY")
    except smtplib.SMTPRecipientsRefused as refused:
        ((code, words),) = refused.recipients.values()
        _refused(row, code, words, attempts, now)
    except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as refused:
        _refused(row, refused.smtp_code, refused.smtp_error, attempts, now)
    except UnicodeEncodeError as error:
        _give_up(row, str(error))
    except OSError as error:  # no connection, no TLS, no time, wrong password: every SMTPException too
        if isinstance(error, smtplib.SMTPNotSupportedError) and not row.recipient.isascii():
            _give_up(row, f"the server takes no such address: {error}")
            return True
        _put_off(row, _words(error), attempts, now)
        return False
    else:
        _finish(row, sent_at=now, error="")
    return True


def _refused(row: Mail, code: int, words: bytes | str, attempts: int, now: datetime) -> None:
    """RFC 5321 section 4.2.1: 5yz is a no for ever, 4yz one for now."""
    said = f"{code} {words.decode('utf-8', 'replace') if isinstance(words, bytes) else words}"
    if code >= 500:
        _give_up(row, said)
    else:
        _put_off(row, said, attempts, now)


def _put_off(row: Mail, error: str, attempts: int, now: datetime) -> None:
    due_at = now + min(FIRST_PAUSE * 2 ** min(attempts - 1, 10), LONGEST_PAUSE)
    if due_at > row.expires_at:
        _give_up(row, error)
        return
    log.warning("a mail could not be sent yet", extra={"mail_id": row.id, "kind": row.kind, "attempts": attempts})
    with db.transaction():
        Mail.update(due_at=due_at, error=error[:500]).where(Mail.id == row.id).execute()


def _give_up(row: Mail, error: str) -> None:
    log.error("a mail is given up", extra={"mail_id": row.id, "kind": row.kind})
    _finish(row, sent_at=None, error=error[:500] or "given up")


def _finish(row: Mail, *, sent_at: datetime | None, error: str) -> None:
    """Whatever it said, its secret with it, is forgotten."""
    with db.transaction():
        Mail.update(sealed=None, sent_at=sent_at, error=error).where(Mail.id == row.id).execute()


def _sweep(now: datetime) -> None:
    expired = Mail.select(Mail.id).where(Mail.sealed.is_null(False), Mail.expires_at <= now, Mail.due_at <= now)
    old = (Mail.created_at < now - KEPT) & Mail.sealed.is_null()
    for row in list(expired):
        _give_up(row, "it could not be sent in time")
    if Mail.select().where(old).exists():
        with db.transaction():
            Mail.delete().where(old).execute()


@contextmanager
def _connected(server: Server) -> Iterator[smtplib.SMTP]:
    """A connection that has said hello. A password goes over verified TLS only; without one, ``smtp`` is a relay on the
    operator's own network, in plain text."""
    options: dict[str, Any] = {"timeout": TIMEOUT, "local_hostname": _hostname()}  # its own guess may ask DNS, slowly
    verified = ssl.create_default_context()
    made = (
        smtplib.SMTP_SSL(server.host, server.port, context=verified, **options)
        if server.implicit_tls
        else smtplib.SMTP(server.host, server.port, **options)
    )
    try:
        if not server.implicit_tls and server.user is not None:
            made.starttls(context=verified)
        if server.user is not None:
            made.login(server.user, server.password or "")
        yield made
    finally:  # what the server says to the farewell changes nothing about what it has taken
        with suppress(smtplib.SMTPException):
            made.quit()
        made.close()


def _message(row: Mail) -> EmailMessage:
    said = Message(**json.loads(keyring.unseal(str(row.sealed), Purpose.MAIL)))
    message = EmailMessage()
    message["From"] = _service.sender
    message["To"] = _address(row.recipient)
    message["Subject"] = said.subject
    message["Date"] = row.created_at
    message["Message-ID"] = f"<{row.id}@{_hostname()}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence is answered to us
    message.set_content(said.text)
    message.add_alternative(said.html, subtype="html")
    return message


def _address(text: str) -> Address | None:
    """One address, and nothing that a header would read as several; None where it is none. Python's parser takes only
    ASCII, so of others (RFC 6531) none is taken whose meaning would rest on a quote, a bracket or a comma."""
    if _PLAIN.fullmatch(text) and text.isprintable():
        local, _, domain = text.rpartition("@")
        return Address(username=local, domain=domain)
    try:
        return Address(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        return None


def _hostname() -> str:
    return urlsplit(_service.base_url).hostname or "localhost"


def _words(error: OSError) -> str:
    return f"{type(error).__name__}: {error}"
