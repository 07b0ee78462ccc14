"""Fetching a document from a URL that a customer names, or posting one, without becoming her way into our own network.

https only, no redirects, no proxy or credential from the environment, and only public addresses: the name is resolved
once, the address checked, and the connection made to that very address, so a name that changes between check and use
gains nothing.

Whoever waits is free again when the time is over, whatever the server and its name server do: the exchange has a thread
of its own, since nothing can interrupt the system's resolver. No server keeps that thread: each read of its socket gets
the time that is left, and no more; what comes before the first read is bounded by the timeout of the socket.
"""

import math
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import BoundedSemaphore, Thread
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests_hardened import Config, Manager
from requests_hardened.ip_filter import InvalidIPAddress

from idp_bridge.errors import Code, Invalid, TooManyRequests

CHUNK = 16 * 1024
ANSWER = 1024  # of what is said to a POST
AT_ONCE = 4  # for people, in one process: half of its threads (server.THREADS) always serve everybody else

Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """How much and how long; ``loopback`` and ``authority`` (a CA file) are for a server on this machine."""

    octets: int = 1024 * 1024
    seconds: float = 5.0
    loopback: bool = False
    authority: str | None = None


PUBLIC = Limits()


_places = BoundedSemaphore(AT_ONCE)


def fetch(url: str, *, field: str, limits: Limits | None = None, background: bool = False) -> str:
    """The text at ``url``. Raises Invalid, which names ``field``, in words that tell nothing of our network; and
    TooManyRequests where many wait for documents already. A job is in the ``background``: it takes nobody's place.
    """
    limits = limits or PUBLIC
    place = ExitStack() if background else _place(limits)
    with _in_words(field, limits, instead="; paste the document instead"):
        return _within(limits.seconds, place, lambda: _read(url, field, limits)).decode()


@dataclass(frozen=True)
class Answer:
    """What a server says to a POST: its status, and how its words begin."""

    status: int
    begins: bytes


def post(url: str, body: bytes, *, headers: Mapping[str, str], limits: Limits | None = None) -> Answer:
    """POST it, from a job, and hear the answer; a redirect is one like others. Raises Invalid where there is none."""
    limits = limits or replace(PUBLIC, octets=ANSWER)

    def send() -> Answer:
        with _exchange("POST", url, "url", limits, data=body, headers=headers) as response:
            return Answer(response.status_code, response.raw.read1(limits.octets) or b"")

    with _in_words("url", limits):
        return _within(limits.seconds, ExitStack(), send)


def where_to(url: str) -> str:
    """The server that a URL leads to. What follows is often the secret that lets somebody post there."""
    parts = urlsplit(url)
    return f"https://{parts.netloc}/" + ("…" if parts.path.strip("/") or parts.query else "")


@contextmanager
def _in_words(field: str, limits: Limits, *, instead: str = "") -> Iterator[None]:
    """What goes wrong, as the refusal of a field, in words that tell nothing of our network."""
    try:
        yield
    except InvalidIPAddress as error:
        raise _refused(field, f"The URL leads to an address that is not public{instead}.") from error
    except requests.exceptions.SSLError as error:
        raise _refused(field, "The server's TLS certificate is not valid.") from error
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError) as error:
        raise _refused(field, f"The server did not answer within {limits.seconds:g} seconds.") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _refused(field, "The server could not be reached.") from error
    except UnicodeDecodeError as error:
        raise _refused(field, "The document is not UTF-8 text.") from error
    except ValueError as error:
        raise _refused(field, "This is not a URL.") from error


def _place(limits: Limits) -> ExitStack:
    """One of the places, taken; its end gives it back."""
    if not _places.acquire(blocking=False):
        raise TooManyRequests(
            "Many documents are being fetched just now. Try again in a moment, or paste the document.",
            retry_after=math.ceil(limits.seconds),
        )
    place = ExitStack()
    place.callback(_places.release)
    return place


def _within(seconds: float, place: ExitStack, work: Callable[[], Result]) -> Result:
    """What ``work`` comes to in a thread of its own. Raises TimeoutError when the time is over; its place is taken
    until it has really ended."""
    answer: Future[Result] = Future()

    def run() -> None:
        try:
            with place:
                found = work()
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(found)

    Thread(target=run, name="fetching", daemon=True).start()
    return answer.result(timeout=seconds)


# --- the exchange -----------------------------------------------------------------------------------------------


class _Socket(ssl.SSLSocket):
    """Each read has the time that is left: a timeout of its own for each is one that a drip never meets."""

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        left = self.context.deadline - time.monotonic()  # type: ignore[attr-defined]  # it is a _Tls
        if left <= 0:
            raise TimeoutError("the time for the whole exchange is over")
        self.settimeout(left)
        return super().recv_into(*arguments, **options)


class _Tls(ssl.SSLContext):
    """TLS of one exchange, which is over at ``deadline``. A handshake, and one read, are bounded as a whole by the
    timeout of the socket (CPython, Modules/_ssl.c), so the bytes of a TLS record cannot drip either."""

    sslsocket_class = _Socket
    deadline: float


def _read(url: str, field: str, limits: Limits) -> bytes:
    with _exchange("GET", url, field, limits) as response:
        if response.is_redirect:
            raise _refused(field, "The server redirects; give the address where the document is.")
        if response.status_code != 200:
            raise _refused(field, f"The server answered with status {response.status_code}.")
        received = bytearray()
        # read1 gives what has come; iter_content would wait for a whole chunk.
        while chunk := response.raw.read1(CHUNK):
            received += chunk
            if len(received) > limits.octets:
                raise _refused(field, f"The document is larger than {limits.octets} bytes.")
        return bytes(received)


@contextmanager
def _exchange(method: str, url: str, field: str, limits: Limits, **sent: Any) -> Iterator[requests.Response]:
    """The answer with its body still to be read."""
    if urlsplit(url).scheme != "https":
        raise _refused(field, "The URL must begin with https://.")
    tls = _Tls(ssl.PROTOCOL_TLS_CLIENT)
    tls.deadline = time.monotonic() + limits.seconds
    manager = Manager(
        Config(
            ip_filter_enable=True,
            ip_filter_allow_loopback_ips=limits.loopback,
            never_redirect=True,
            default_timeout=(limits.seconds, limits.seconds),
            user_agent_override="idp-bridge",
        )
    )
    with manager.get_session() as session:
        session.trust_env = False
        # requests reads the body of a redirect, however large, to say where it would go on.
        session.get_redirect_target = lambda _: None
        session.get_adapter("https://").init_poolmanager(1, 1, ssl_context=tls)
        headers = {"Accept-Encoding": "identity", **sent.pop("headers", {})}
        verify = limits.authority or True
        with session.request(method, url, stream=True, verify=verify, headers=headers, **sent) as response:
            yield response


def _refused(field: str, words: str) -> Invalid:
    return Invalid(f"{field} cannot be used: {words}", code=Code.INVALID_METADATA, fields={field: [words]})
