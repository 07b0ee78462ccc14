"""A browser without a browser: reads the CSRF token of a page and posts its form."""

import re
from typing import Any

from flask.testing import FlaskClient

from tests.conftest import PASSWORD


def csrf_of(client: FlaskClient, page: str) -> str:
    """The token in the page's meta tag."""
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get(page).get_data(as_text=True))
    assert found, f"{page} has no CSRF token"
    return found.group(1)


def post(client: FlaskClient, path: str, *, page: str = "/login", **fields: Any) -> Any:
    """Submit a form of ``page``; the answer, redirects not followed."""
    return client.post(path, data={"csrf_token": csrf_of(client, page), **fields})


def sign_in(client: FlaskClient, email: str = "owner@acme.test", password: str = PASSWORD, **fields: Any) -> Any:
    """Sign in by password."""
    return post(client, "/login", email=email, password=password, **fields)
