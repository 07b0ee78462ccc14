"""Passwords: argon2id, and one answer for a wrong one and none at all."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher

from idp_bridge import guessable, passwords
from idp_bridge.errors import Invalid


@pytest.mark.parametrize("password", ["", "x" * (passwords.SHORTEST - 1), "x" * (passwords.LONGEST + 1)])
def test_too_short_and_too_long_are_refused(password: str) -> None:
    """The refusal names the field."""
    with pytest.raises(Invalid) as caught:
        passwords.hash_password(password)
    assert "password" in caught.value.fields


OWNER = ["owner@acme.test", "Acme Corporation", "acme-corp"]

GUESSED_FIRST = [
    "password1234",
    "P@ssword1234",
    "qwertyuiop12",
    "123456789012",
    "aaaaaaaaaaaaaaaa",
    "abcabcabcabc",
    "administrator1",
    "1q2w3e4r5t6y",
    "owner@acme.test1",
    "OWNER@ACME.TEST!",
    "Acme Corporation 2026",
    "acme-corp-acme-corp-1",
]


@pytest.mark.parametrize("password", GUESSED_FIRST)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    """With a sentence on what is wrong with it, which does not repeat the password."""
    with pytest.raises(Invalid) as caught:
        passwords.check(password, about=OWNER)
    assert "password" in caught.value.fields
    assert password not in caught.value.message


@pytest.mark.parametrize(
    "password",
    ["correct horse battery staple", "tulip river forty two", "xK9#mQ2$vL7p", "acme is where my garden grows tall"],
)
def test_a_few_words_are_good(password: str) -> None:
    """No digit, sign or capital letter is asked for; one of the names may be among them."""
    passwords.check(password, about=OWNER)


def test_no_password_takes_long_to_judge() -> None:
    """Digits that may stand for letters multiply what there is to look at: only the beginning is looked at."""
    started = time.perf_counter()
    passwords.check("4@8({[<6391!|70$5+%2" * 12)
    assert time.perf_counter() - started < 5


def test_those_judged_at_once_do_not_mix() -> None:
    """The library keeps what is known of a person in a global while it works."""
    with ThreadPoolExecutor(8) as pool:
        names = [f"gertrude{number}@heliotrope{number}.test" for number in range(40)]
        alone = [guessable.warning(f"{name}!", [name]) for name in names]
        assert list(pool.map(lambda name: guessable.warning(f"{name}!", [name]), names)) == alone


def test_the_right_password_and_only_that() -> None:
    """Hashed with argon2id; a text that is no hash opens nothing."""
    stored = passwords.hash_password("pass phrase \N{KEY} " + "x" * 200)
    assert stored.startswith("$argon2id$")
    assert passwords.verify(stored, "pass phrase \N{KEY} " + "x" * 200)
    assert not passwords.verify(stored, "pass phrase")
    assert not passwords.verify("no hash", "pass phrase")


def test_a_longer_text_with_the_password_in_front_is_wrong() -> None:
    """Cutting what is typed must not cut it down to the right password."""
    stored = passwords.hash_password("x" * passwords.LONGEST)
    assert not passwords.verify(stored, "x" * (passwords.LONGEST + 500))


def test_no_password_is_as_slow_as_a_wrong_one() -> None:
    """Else the time of an answer would tell who has an account."""
    started = time.perf_counter()
    assert not passwords.verify(None, "nobody's password, for the time it takes")
    assert time.perf_counter() - started > 0.005


def test_those_who_share_a_salt_are_told_apart() -> None:
    """One computation, and each with her own answer; who has no password is never meant."""
    first = passwords.hash_password("the first pass phrase")
    second = passwords.hash_password("the second pass phrase", salt=passwords.salt_of(first))
    other = passwords.hash_password("the second pass phrase")
    assert passwords.salt_of(second) == passwords.salt_of(first) != passwords.salt_of(other)
    assert passwords.which([first, None, second, other, "no hash"], "the second pass phrase") == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert passwords.which([], "the second pass phrase") == []


def test_one_password_however_a_keyboard_writes_it() -> None:
    """RFC 8265 section 4.2: composed or not, with whichever space; in any case of its letters it is another one."""
    composed, decomposed = "caf\u00e9 river forty two", "cafe\u0301\u00a0river forty two"
    stored = passwords.hash_password(decomposed)
    assert passwords.which([stored, passwords.hash_password(composed)], composed) == [True, True]
    assert passwords.verify(stored, decomposed)
    assert not passwords.verify(stored, composed.upper())


def test_a_password_of_before_that_opens_as_it_was_typed() -> None:
    """It was hashed as it came."""
    typed = "cafe\u0301 river forty two"
    former = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(typed)
    assert passwords.verify(former, typed)
