"""Secrets: recognisable, checksummed, stored as digests."""

import hashlib
import re
from pathlib import Path

import pytest

from idp_bridge import tokens
from idp_bridge.tokens import Kind


@pytest.mark.parametrize("kind", Kind)
def test_a_secret_says_its_kind(kind: Kind) -> None:
    """Prefix, 43 characters of randomness, 6 of checksum."""
    secret = tokens.new(kind)
    assert re.fullmatch(rf"{kind.value}_[0-9A-Za-z]{{49}}", secret)
    assert tokens.kind_of(secret) is kind


def test_no_two_secrets_are_equal() -> None:
    """256 random bits."""
    assert len({tokens.new(Kind.API_KEY) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "spoil",
    [
        lambda secret: secret[:-1],
        lambda secret: secret + "0",
        lambda secret: secret[:-1] + ("0" if secret[-1] != "0" else "1"),
        lambda secret: secret[:10] + ("0" if secret[10] != "0" else "1") + secret[11:],
        lambda secret: "ibat" + secret[4:],
        lambda secret: "nope" + secret[4:],
        lambda secret: secret[5:],
        lambda secret: "",
        lambda secret: " " + secret,
    ],
)
def test_a_spoilt_secret_is_of_no_kind(spoil: object) -> None:
    """The checksum tells a typing error from a revoked secret, and covers the prefix too."""
    assert callable(spoil)
    assert tokens.kind_of(spoil(tokens.new(Kind.API_KEY))) is None


def test_only_the_digest_is_kept() -> None:
    """SHA-256 in hex: the secret has too many bits to be guessed, so no slow hash is needed."""
    assert tokens.digest("abc") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(tokens.new(Kind.API_KEY), None, id="whole"),
        pytest.param(tokens.new(Kind.API_KEY)[:-1], "checksum", id="cut short"),
        ("ibat_short", "checksum"),
        ("ak_01m882q9e814sbwghmvbk183fa", "an id, not the secret"),
        ("op_01m882q9e8", "an id, not the secret"),
        ("hello", None),
        ("", None),
        ("ghp_0123456789ABCdef", None),
    ],
)
def test_the_form_alone_tells_what_is_wrong(text: str, words: str | None) -> None:
    """Of what was never ours nothing is said."""
    said = tokens.fault(text)
    assert said == words or (said and words and words in said)


def test_scanners_have_a_pattern_of_every_kind() -> None:
    """The one that the security page gives."""
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    pattern = re.search(r"^\\bib.*$", page, flags=re.MULTILINE)
    assert pattern
    for kind in Kind:
        assert re.fullmatch(pattern[0], tokens.new(kind))
