"""Letters: other people's words stay words, in the subject, the text and the HTML."""

import pytest

from idp_bridge.letters import Letter, compose
from tests import smtp

LETTER = Letter("{name} invites you", ("{name} asks {email}.", "Roles: {roles}."), "Join")
LINK = "https://sso.example.com/x?a=1&b=2"


def _composed(name: object, **facts: object) -> tuple[str, str, str]:
    known = {"email": "ann@example.test", "roles": ["admin", "viewer"], **facts}
    message = compose(LETTER, link=LINK, facts={"name": name, **known})
    return message.subject, message.text, message.html


def test_a_letter_says_the_same_in_both_parts() -> None:
    """Several are parted by commas; an address stays one."""
    subject, text, html = _composed("Acme")
    assert subject == "Acme invites you"
    assert text == f"Acme asks ann@example.test.\n\nRoles: admin, viewer.\n\nJoin:\n{LINK}\n"
    assert "<p>Acme asks ann@example.test.</p>" in html
    assert set(smtp.links_in(html)) == {LINK}


@pytest.mark.parametrize(
    "name",
    [
        "<a href=https://evil.test>Acme</a>",
        '"><script>alert(1)</script>',
        "{link} {0} {email.__class__}",
        "Acme\r\nBcc: everybody@example.test\r\n\r\nBuy",
        "x" * 5000,
        "\u202etxt.exe",
    ],
)
def test_a_name_is_no_markup_no_header_and_no_template(name: str) -> None:
    """Whatever an account is called."""
    subject, text, html = _composed(name)
    assert "\n" not in subject
    assert "\r" not in text
    assert len(subject) < 300
    assert set(smtp.links_in(html)) == {LINK}
    assert "<script" not in html
    assert "\u202e" not in subject + text + html
    assert "class 'str'" not in text


@pytest.mark.parametrize("name", ["https://evil.test/login", "Verify at evil.test now", "WWW.Evil.test", "a.b/c@d"])
def test_a_name_is_no_page_either(name: str) -> None:
    """Mail programs make links of what looks like one: nobody has us send his."""
    for part in _composed(name)[1:]:
        assert not any(shown in part.lower() for shown in ("://evil", "evil.test", "a.b/"))


def test_a_fact_that_is_missing_is_an_error() -> None:
    """Not a hole in a mail."""
    with pytest.raises(KeyError):
        compose(LETTER, link=LINK, facts={"name": "Acme"})
