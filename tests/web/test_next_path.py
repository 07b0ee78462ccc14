"""Where a browser may be led after signing in."""

import pytest

from idp_bridge.web.next_path import safe


@pytest.mark.parametrize("path", ["/", "/accounts/acme/events?type=a&b=%2F%2F", "/a//b", "/ü"])
def test_paths_of_our_own_stay(path: str) -> None:
    """One slash and then anything printable is ours."""
    assert safe(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "accounts",
        "//evil.test",
        "///evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "/a\\b",
        "/\t/evil.test",
        "/\n/evil.test",
        "/\r\nSet-Cookie: a=b",
        "\t//evil.test",
        " /x",
        "https://evil.test/",
        "https:evil.test",
        "javascript:alert(1)",
        "/\u2028/evil.test",
    ],
)
def test_everything_that_could_lead_elsewhere_is_dropped(path: str | None) -> None:
    """Other origins, in every way that browsers read them."""
    assert safe(path) is None
