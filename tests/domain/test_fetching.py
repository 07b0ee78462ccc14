"""Fetching what a customer names: only public https servers, small and quick, whatever they try."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from idp_bridge.errors import Invalid, TooManyRequests
from idp_bridge.fetching import AT_ONCE, Answer, Limits, fetch, post
from tests import https

stopped = threading.Event()

#: Where the drip begins that never ends: path -> what comes before it.
_DRIPS = {
    "/drip": b"HTTP/1.1 200 OK\r\n\r\n",
    "/drip/chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400;",
    "/drip/header": b"HTTP/1.1 200 OK\r\nX-A: ",
    "/drip/status": b"HTTP/1.1 200 ",
}


class _Site(BaseHTTPRequestHandler):
    """A server that behaves as its path says."""

    def do_GET(self) -> None:
        if self.path == "/moved/drip":
            self.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /good\r\n\r\n")
            while not stopped.wait(0.05):
                self.wfile.write(b"x")
            return
        if self.path in _DRIPS:
            self.wfile.write(_DRIPS[self.path])
            while not stopped.wait(0.05):
                self.wfile.write(b"x")
            return
        status = {"/moved": 302, "/missing": 404}.get(self.path, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/good")
        self.end_headers()
        self.wfile.write({"/large": b"x" * 2048, "/binary": b"\xff\xfe"}.get(self.path, b"<good/>"))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """An https server on this machine: its origin, and the CA file that vouches for it."""
    with https.listening(_Site, tmp_path_factory.mktemp("tls")) as served:
        yield served
        stopped.set()


@pytest.fixture
def local(site: tuple[str, str]) -> Callable[[str], str]:
    """Fetches a path of the server on this machine, which the limits allow for once."""
    limits = Limits(octets=1024, seconds=1.0, loopback=True, authority=site[1])
    return lambda path: fetch(site[0] + path, field="metadata_url", limits=limits)


def test_a_document_is_fetched(local: Callable[[str], str]) -> None:
    """The text as it was sent."""
    assert local("/good") == "<good/>"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/moved", "redirects"),
        ("/moved/drip", "redirects"),
        ("/missing", "404"),
        ("/large", "larger"),
        ("/binary", "UTF-8"),
        *((path, "did not answer within 1 seconds") for path in _DRIPS),
    ],
)
def test_a_server_that_misbehaves_is_refused(local: Callable[[str], str], path: str, words: str) -> None:
    """No redirect is followed, no error page read, nothing large, nothing slow."""
    began = time.monotonic()
    with pytest.raises(Invalid, match=words) as refused:
        local(path)
    assert list(refused.value.fields) == ["metadata_url"]
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/good", Answer(200, b"<good/>")),
        ("/missing", Answer(404, b"<good/>")),
        ("/moved", Answer(302, b"<good/>")),
        ("/large", Answer(200, b"x" * 1024)),
    ],
)
def test_a_post_hears_the_answer_whatever_it_is(site: tuple[str, str], path: str, answer: Answer) -> None:
    """No redirect is followed, and no more is read than was asked for."""
    limits = Limits(octets=1024, seconds=1.0, loopback=True, authority=site[1])
    assert post(site[0] + path, b"{}", headers={"webhook-id": "x"}, limits=limits) == answer


@pytest.mark.parametrize("path", ["/drip/header", "/drip/status"])
def test_a_post_that_nobody_answers_is_over_in_time(site: tuple[str, str], path: str) -> None:
    """Whoever drips does not keep the job."""
    limits = Limits(octets=1024, seconds=1.0, loopback=True, authority=site[1])
    began = time.monotonic()
    with pytest.raises(Invalid, match="did not answer within 1 seconds"):
        post(site[0] + path, b"{}", headers={}, limits=limits)
    assert time.monotonic() - began < 2


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that takes connections and says nothing: not even its part of the TLS handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}/"


def is_over(limits: Limits, url: str) -> float:
    """How long it takes until nobody waits for this URL any more."""
    began = time.monotonic()
    with pytest.raises(Invalid, match="did not answer"):
        fetch(url, field="metadata_url", limits=limits)
    return time.monotonic() - began


QUICK = Limits(seconds=0.3, loopback=True)


def test_a_handshake_that_stalls_is_over_in_time(mute: str) -> None:
    """Nothing of HTTP has begun by then."""
    assert 0.25 < is_over(QUICK, mute) < 2


@dataclass
class Resolver:
    """The system's resolver as it is for a name server that does not answer, until it is ``woken``."""

    asked: threading.Semaphore
    woken: threading.Event


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    """No name resolves."""
    resolver, resolve = Resolver(threading.Semaphore(0), threading.Event()), socket.getaddrinfo

    def stalled(*arguments: Any, **options: Any) -> Any:
        resolver.asked.release()
        resolver.woken.wait(20)
        return resolve(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", stalled)
    yield resolver
    resolver.woken.set()
    for thread in threading.enumerate():
        if thread.name == "fetching":  # left behind: it still resolves, and holds a place
            thread.join(20)


def test_a_name_that_does_not_resolve_is_over_in_time(asleep: Resolver) -> None:
    """Nothing can interrupt the system's resolver; its thread is left behind."""
    assert is_over(QUICK, "https://127.0.0.1/") < 2


def test_only_so_many_wait_at_once(asleep: Resolver, mute: str) -> None:
    """The others are told at once, so that our own threads serve everybody else; a job takes nobody's place, and a
    place is free again when its exchange has ended."""
    closed, patient = "https://127.0.0.1:1/", replace(QUICK, seconds=10.0)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(fetch, closed, field="metadata_url", limits=patient) for _ in range(AT_ONCE)]
        assert all(asleep.asked.acquire(timeout=20) for _ in waiting)
        with pytest.raises(TooManyRequests) as told:
            fetch(closed, field="metadata_url", limits=patient)
        assert told.value.retry_after == 10
        with pytest.raises(Invalid, match="did not answer"):
            fetch(closed, field="metadata_url", limits=QUICK, background=True)
        asleep.woken.set()
        assert {type(one.exception(20)) for one in waiting} == {Invalid}
    is_over(QUICK, mute)


def test_a_certificate_must_be_valid(site: tuple[str, str]) -> None:
    """A server that only vouches for itself is not believed."""
    with pytest.raises(Invalid, match="certificate"):
        fetch(site[0], field="metadata_url", limits=Limits(loopback=True))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[fd00::1]",
        "[fe80::1]",
        "localhost",
    ],
)
def test_our_own_network_is_out_of_reach(host: str) -> None:
    """However the address is written."""
    with pytest.raises(Invalid, match="not public"):
        fetch(f"https://{host}/", field="metadata_url")


@pytest.mark.parametrize(
    "url", ["http://idp.example.test/", "file:///etc/passwd", "ftp://x/", "//x", "x", "https://", ""]
)
def test_only_https_is_fetched(url: str) -> None:
    """Every other scheme, and what is no URL, is refused."""
    with pytest.raises(Invalid):
        fetch(url, field="metadata_url")


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch, local: Callable[[str], str]) -> None:
    """A proxy would resolve the name anew, and its address would not be checked."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert local("/good") == "<good/>"
