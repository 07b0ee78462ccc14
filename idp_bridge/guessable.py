"""How soon a password would be guessed, by zxcvbn: lists of leaked passwords, names and words, rows of keys, dates, and
all of them with letters written as digits. The only importer of it.
"""

import re
from collections.abc import Iterable
from threading import Lock

ENOUGH = 3  # of zxcvbn's scores, 0 to 4: a hundred million guesses, for whoever guesses at a form that counts them
LOOKED_AT = 24  # characters: with the letters that digits stand for it takes twice as long for each few more

_lock = Lock()  # it keeps what is known of the person in a global while it works


def warning(password: str, about: Iterable[str] = ()) -> str | None:
    """What is wrong with a password that is guessed soon, in a sentence; None where nothing is. ``about``: what whoever
    knows the person would try, such as her address."""
    from zxcvbn import zxcvbn  # noqa: PLC0415 - 14 MB of lists, which most commands and many processes never need

    names = [word for text in about for word in (text, *re.split(r"[\W_]+", text)) if word]
    with _lock:
        found = zxcvbn(password[:LOOKED_AT], user_inputs=names)
    if found["score"] >= ENOUGH:
        return None
    return str(found["feedback"]["warning"]).rstrip(".") or "This password is easy to guess"
