"""The production server as its operator meets it: reload and stop, limits, metrics and log, in processes of its own."""

import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.live.processes import SECONDS, Server, serving

linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc, which is Linux's")

#: As in production, but for how long a request may take to come, and where the log goes.
_SERVE = """
import os
from idp_bridge import cli, server
server.HEAD_SECONDS = 1
os.dup2(os.open(os.environ["IDP_BRIDGE_TEST_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
cli.main()
"""

TOKEN = {"Authorization": "Bearer of the scraper of the tests"}


def _url(tmp_path: Path, template: bytes) -> str:
    path = tmp_path / "idp-bridge.db"
    path.write_bytes(template)
    return f"sqlite:///{path}"


@pytest.fixture
def server(tmp_path: Path, sqlite_template: bytes) -> Iterator[Server]:
    """Two processes, JSON into the file ``log``, and a token that comes from the file ``token``."""
    (tmp_path / "token").write_text("of the scraper of the tests")
    with serving(
        _url(tmp_path, sqlite_template),
        program=("-c", _SERVE),
        log_format="json",
        metrics_token_file=str(tmp_path / "token"),
        test_log=str(tmp_path / "log"),
    ) as running:
        yield running


def children(parent: int) -> set[str]:
    """The processes that serve."""
    return set(Path(f"/proc/{parent}/task/{parent}/children").read_text().split())


def wait_until(met: Callable[[], Any]) -> None:
    """Or fail, long afterwards."""
    deadline = time.monotonic() + SECONDS
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Upload:
    """A request whose body has not come whole yet."""

    BODY = b"email=a%40b.test&password=x"

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=SECONDS)
        head = "Host: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length"
        self._socket.sendall(f"POST /login HTTP/1.1\r\n{head}: {len(self.BODY)}\r\n\r\n".encode() + self.BODY[:5])

    def finish(self) -> bytes:
        """Send the rest; the whole answer, to the end of the connection."""
        self._socket.sendall(self.BODY[5:])
        with self._socket, self._socket.makefile("rb") as answer:
            return answer.read()


@contextlib.contextmanager
def asking(url: str) -> Iterator[list[int]]:
    """Clients that ask all the while, on connections that they keep; the status of each answer."""
    statuses: list[int] = []
    done = threading.Event()

    def ask() -> None:
        with requests.Session() as client:
            while not done.is_set():
                statuses.append(client.get(f"{url}/login", timeout=SECONDS).status_code)

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield statuses
    finally:
        done.set()
        for client in clients:
            client.join()


def samples(url: str, **headers: str) -> dict[tuple[str, ...], float]:
    """What /metrics says: name and values of labels."""
    answer = requests.get(f"{url}/metrics", headers=TOKEN | headers, timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


# --- reload and stop --------------------------------------------------------------------------------------------


@linux
def test_a_reload_cuts_nothing_and_takes_new_settings(server: Server, tmp_path: Path) -> None:
    """SIGHUP: other processes, the request that was under way is answered, nobody is refused meanwhile; a secret that
    comes from a file is the new one. Settings that are wrong by then change nothing."""
    first = children(server.pid)
    slow = Upload(server.url)
    wait_until(lambda: samples(server.url)[("idp_bridge_requests_in_flight",)] >= 1)
    with asking(server.url) as statuses:
        (tmp_path / "token").write_text("another one of the scraper")
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: len(children(server.pid) - first) == 2)
        time.sleep(0.2)  # old and new answer side by side
        assert slow.finish().startswith(b"HTTP/1.1 403 ")  # without a CSRF token, but answered
        wait_until(lambda: not first & children(server.pid))
        begun = len(statuses)
        wait_until(lambda: len(statuses) > begun + 20)
    assert set(statuses) == {200}
    assert requests.get(f"{server.url}/metrics", headers=TOKEN, timeout=SECONDS).status_code == 401
    second = children(server.pid)
    (tmp_path / "token").write_text("short")
    os.kill(server.pid, signal.SIGHUP)
    wait_until(lambda: not second & children(server.pid))
    assert samples(server.url, Authorization="Bearer another one of the scraper")
    assert "wrong settings" in (tmp_path / "log").read_text()


@linux
def test_a_stop_answers_what_has_begun_and_takes_nothing_more(server: Server) -> None:
    """SIGTERM: the listening socket closes at once, the request under way is answered; the fixture sees exit code 0."""
    slow = Upload(server.url)
    wait_until(lambda: samples(server.url)[("idp_bridge_requests_in_flight",)] >= 1)
    os.kill(server.pid, signal.SIGTERM)

    def refused() -> bool:
        try:
            requests.get(f"{server.url}/healthz", timeout=SECONDS)
        except requests.ConnectionError:
            return True
        return False

    wait_until(refused)
    assert slow.finish().startswith(b"HTTP/1.1 403 ")


# --- limits -----------------------------------------------------------------------------------------------------

REFUSED = {
    "line": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "ERR_TOO_LARGE"),
    "header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 9000 + b"\r\n\r\n", 431, "ERR_TOO_LARGE"),
    "headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431, "ERR_TOO_LARGE"),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400, "ERR_INVALID_BODY"),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "ERR_INVALID_BODY"),
    "slow": (b"GET / HTTP/1.1\r\nHost: x\r\n", 408, "ERR_INVALID_BODY"),
}


def test_what_reaches_no_view_is_answered_in_our_words(server: Server, tmp_path: Path) -> None:
    """Each in the API's form, with a reference that the log has; of what came nothing is repeated, there or there."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    for name, (sent, status, code) in REFUSED.items():
        with socket.create_connection((host, int(port)), timeout=SECONDS) as client:
            client.sendall(sent)
            with client.makefile("rb") as answer:
                head, _, body = answer.read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), (name, head, body)
        told = json.loads(body)
        assert (told["error_code"], told["status_code"]) == (code, status), name
        reference = told["details"]["operation_id"]
        assert f"X-Request-Id: {reference}".encode() in head
        assert reference in (tmp_path / "log").read_text()
    assert "aaaa" not in (tmp_path / "log").read_text()
    assert requests.get(f"{server.url}/healthz", timeout=SECONDS).ok


def test_a_client_that_sends_an_octet_now_and_then_keeps_no_thread(server: Server) -> None:
    """The time is for the whole of the headers, whatever drips in meanwhile: others are served by then."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    clients = [socket.create_connection((host, int(port)), timeout=SECONDS) for _ in range(16)]  # one for each thread
    try:
        begun, ended = time.monotonic(), False
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
        while not ended:
            assert time.monotonic() - begun < SECONDS
            for client in clients:
                with contextlib.suppress(OSError):
                    client.sendall(b"a")
            clients[-1].settimeout(0.3)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                ended = clients[-1].recv(100).startswith(b"HTTP/1.1 408 ")
        assert requests.get(f"{server.url}/healthz", timeout=SECONDS).ok
    finally:
        for client in clients:
            client.close()


# --- metrics and log --------------------------------------------------------------------------------------------


@linux
def test_metrics_are_of_all_processes_and_outlive_each(server: Server) -> None:
    """Whichever process is asked. After a reload the numbers go on, in as many files as before."""
    count = ("idp_bridge_request_duration_seconds_count", "GET", "/healthz", "2xx")

    def ask(times: int) -> None:
        for _ in range(times):  # a connection each: it is chance which process has it
            assert requests.get(f"{server.url}/healthz", timeout=SECONDS).ok

    ask(40)
    wait_until(lambda: samples(server.url)[count] == 40)
    assert samples(server.url)[("idp_bridge_threads",)] == 16
    for round in range(1, 4):
        before = children(server.pid)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda gone=before: not gone & children(server.pid))
        ask(10)
        wait_until(lambda wanted=40 + 10 * round: samples(server.url)[count] == wanted)
    wait_until(lambda: samples(server.url)[("idp_bridge_threads",)] == 16)
    (directory,) = _directories(server.pid)
    assert (
        len({re.findall(r"\d+", path.stem)[-1] for path in directory.iterdir()}) <= 5
    )  # slots: 4, and the first one's


def _directories(pid: int) -> list[Path]:
    places = (Path("/dev/shm"), Path("/tmp"))
    return [path for place in places for path in place.glob(f"idp-bridge-metrics-{pid}-*")]


@linux
def test_nothing_of_metrics_is_left_when_the_server_is_gone(tmp_path: Path, sqlite_template: bytes) -> None:
    """What SIGKILL leaves behind is gone at the next start, and what a stop would leave at once."""
    url = _url(tmp_path, sqlite_template)
    found: list[Path] = []

    def killed() -> None:
        with serving(url, workers=1) as server:
            found.extend(_directories(server.pid))
            workers = children(server.pid)
            os.kill(server.pid, signal.SIGKILL)
            wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))

    with pytest.raises(AssertionError):  # it did not end cleanly
        killed()
    (left,) = found
    assert left.is_dir()
    with serving(url, workers=1) as server:
        assert not left.exists()
        assert _directories(server.pid)
    assert not _directories(server.pid)


def test_each_request_is_one_line_of_json_whatever_process_answers(server: Server, tmp_path: Path) -> None:
    """Lines of several processes and threads do not mix."""

    def ask() -> None:
        with requests.Session() as client:
            for _ in range(50):
                client.get(f"{server.url}/healthz", timeout=SECONDS)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    asked = [line for line in lines if line.get("route") == "/healthz"]
    assert len(asked) == len({line["request_id"] for line in asked}) == 200
