"""Comparing names: the folded form that lookups and unique indexes use."""

import unicodedata


def fold(text: str) -> str:
    """The form under which two spellings of one name are equal: NFC and case-folded.

    No folding may turn a non-ASCII letter into an ASCII one: ``K`` (U+212A, the Kelvin sign) or ``ſ`` would let a
    look-alike address match somebody else's (the GitHub reset bug of 2016). A text with such a letter is equal to
    itself only.
    """
    if text.isascii():
        return text.lower()
    if any(not c.isascii() and unicodedata.normalize("NFC", c).casefold().isascii() for c in text):
        return text
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
