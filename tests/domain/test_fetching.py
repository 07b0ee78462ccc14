"""Fetching what a customer names: only public https servers, small and quick, whatever they try."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from threading import Event

import pytest

from idp_bridge.errors import Invalid
from idp_bridge.fetching import Limits, fetch
from tests import https

stopped = Event()


class _Site(BaseHTTPRequestHandler):
    """A server that behaves as its path says."""

    def do_GET(self) -> None:
        status = {"/moved": 302, "/missing": 404}.get(self.path, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/good")
        self.end_headers()
        if self.path == "/drip":
            while not stopped.wait(0.05):
                self.wfile.write(b"x")
        else:
            self.wfile.write({"/large": b"x" * 2048, "/binary": b"\xff\xfe"}.get(self.path, b"<good/>"))

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
        ("/missing", "404"),
        ("/large", "larger"),
        ("/binary", "UTF-8"),
        ("/drip", "did not answer within 1 seconds"),
    ],
)
def test_a_server_that_misbehaves_is_refused(local: Callable[[str], str], path: str, words: str) -> None:
    """No redirect is followed, no error page read, nothing large, nothing slow."""
    with pytest.raises(Invalid, match=words) as refused:
        local(path)
    assert list(refused.value.fields) == ["metadata_url"]


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
