"""Mail from the processes of the production server: it leaves at once, and once."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests

from idp_bridge import db, keyring
from tests import smtp
from tests.conftest import PASSWORD, SECRET_KEY, make_account

SECONDS = 60
OWNER = "owner@acme.test"
NEW = "tulip river forty two lamps"


def test_a_forgotten_password_is_mailed_at_once_and_set(database_url: str, tmp_path: Path) -> None:
    """By whichever of two processes took the form: long before either looks by itself. The new password opens."""
    real = db.open_database(database_url)
    keyring.unlock(SECRET_KEY)
    with db.connection():
        make_account("acme")
    if hasattr(real, "close_all"):
        real.close_all()
    with smtp.serving(tmp_path) as mailbox, _serving(database_url, mailbox) as url, requests.Session() as browser:
        page = browser.get(f"{url}/login/forgot", timeout=SECONDS).text
        form = {"csrf_token": _token(page), "email": OWNER}
        assert "on its way" in browser.post(f"{url}/login/forgot", data=form, timeout=SECONDS).text
        assert mailbox.arrived.acquire(timeout=20), "half a minute is the pause between two looks"
        link = mailbox.link_to(OWNER)
        assert urlsplit(link).netloc == urlsplit(url).netloc
        form = {"csrf_token": _token(browser.get(link, timeout=SECONDS).text), "password": NEW}
        assert "Sign in with it" in browser.post(link, data=form, timeout=SECONDS).text
        assert mailbox.arrived.acquire(timeout=20)
        for password, lands in ((PASSWORD, "/login"), (NEW, "/accounts/acme/members")):
            token = _token(browser.get(f"{url}/login", timeout=SECONDS).text)
            form = {"csrf_token": token, "email": OWNER, "password": password}
            assert urlsplit(browser.post(f"{url}/login", data=form, timeout=SECONDS).url).path == lands
        assert [message["Subject"] for message in mailbox.messages] == [
            "Choose a new password",
            "Your password was changed",
        ]


def _token(page: str) -> str:
    found = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert found
    return found.group(1)


@contextmanager
def _serving(database_url: str, mailbox: smtp.Mailbox) -> Iterator[str]:
    """`idp-bridge serve --workers 2` with this mail server: its origin."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "IDP_BRIDGE_DATABASE_URL": database_url,
        "IDP_BRIDGE_SECRET_KEY": SECRET_KEY,
        "IDP_BRIDGE_BASE_URL": f"http://127.0.0.1:{port}",
        "IDP_BRIDGE_SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}",
    }
    command = [sys.executable, "-m", "idp_bridge.cli", "serve", "--port", str(port), "--workers", "2"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert "2 processes" in server.stdout.readline(), "it says so once it listens"
            yield environment["IDP_BRIDGE_BASE_URL"]
        finally:
            server.terminate()
            server.wait(timeout=SECONDS)
