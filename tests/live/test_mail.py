"""Mail from the processes of the production server: it leaves at once, and once."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import requests

from idp_bridge import db, keyring
from tests import smtp
from tests.conftest import PASSWORD, SECRET_KEY, make_account
from tests.live.processes import SECONDS, serving

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
    with (
        smtp.serving(tmp_path) as mailbox,
        serving(database_url, smtp_url=f"smtp://127.0.0.1:{mailbox.port}") as server,
        requests.Session() as browser,
    ):
        url = server.url
        page = browser.get(f"{url}/login/forgot", timeout=SECONDS).text
        form = {"csrf_token": _token(page), "email": OWNER}
        assert "on its way" in browser.post(f"{url}/login/forgot", data=form, timeout=SECONDS).text
        assert mailbox.arrived.acquire(timeout=20), "half a minute is the pause between two looks"
        link = mailbox.link_to(OWNER)
        assert urlsplit(link).netloc == urlsplit(url).netloc
        form = {"csrf_token": _token(browser.get(link, timeout=SECONDS).text), "password": NEW}
        assert "Sign in with it" in browser.post(link, data=form, timeout=SECONDS).text
        assert mailbox.arrived.acquire(timeout=20)
        for password, lands in ((PASSWORD, "/login"), (NEW, "/accounts/acme/overview")):
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
