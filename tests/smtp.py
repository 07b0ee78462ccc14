"""A real SMTP server on this machine: what it was sent, and how it is made to refuse."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from threading import Semaphore
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.https import certificate_in

USER, PASSWORD = "mailer", "a pass/word"


@dataclass
class Mailbox:
    """Everything that arrived, and the server's answers: ``refusals`` are taken one for each message, by recipient."""

    port: int = 0
    authority: str = ""
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refusals: dict[str, list[str]] = field(default_factory=dict)
    at_data: list[str] = field(default_factory=list)
    authenticated: list[bool] = field(default_factory=list)
    arrived: Semaphore = field(default_factory=lambda: Semaphore(0))

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if refusals := self.refusals.get(address):
            return refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.at_data:
            return self.at_data.pop(0)
        assert isinstance(envelope.content, bytes)
        parsed = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.messages.append(parsed)
        self.recipients.append(list(envelope.rcpt_tos))
        self.authenticated.append(bool(session.authenticated))
        self.arrived.release()
        return "250 taken"

    def to(self, address: str) -> list[EmailMessage]:
        """What this address was sent, oldest first."""
        return [message for message, to in zip(self.messages, self.recipients, strict=True) if to == [address]]

    def link_to(self, address: str) -> str:
        """The link of the last mail to this address: the one of the text, which is that of the button too."""
        message = self.to(address)[-1]
        (link,) = (line for line in text_of(message).splitlines() if line.startswith("http"))
        assert set(links_in(html_of(message))) == {link}
        return link


def text_of(message: EmailMessage) -> str:
    """The plain part."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def html_of(message: EmailMessage) -> str:
    """The HTML part."""
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def links_in(html: str) -> list[str]:
    """Where its links lead."""
    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value or "" for name, value in attrs if name == "href")

    Links().feed(html)
    return found


class _AnyPort(Controller):
    """A controller that takes a free port."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def serving(folder: Path, *, tls: str | None = None) -> Iterator[Mailbox]:
    """A running server. ``tls``: starttls, which it then insists on together with a password, or implicit."""
    box = Mailbox()
    certificate, key = certificate_in(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    options: dict[str, Any] = {"authenticator": _known, "auth_require_tls": False}
    if tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True, "auth_required": True, "auth_require_tls": True}
    if tls == "implicit":
        options |= {"ssl_context": context}
    controller = _AnyPort(box, hostname="127.0.0.1", port=0, server_hostname="mail.test", **options)
    controller.start()
    box.port, box.authority = controller.port, str(certificate)
    try:
        yield box
    finally:
        controller.stop()


def _known(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good)
