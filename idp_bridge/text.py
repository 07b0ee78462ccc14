"""Comparing names: the folded form that lookups and unique indexes use."""

import unicodedata

#: The letters whose folding is another letter although both are letters of domain names, and so of two domains: the
#: exceptions of IDNA2008 (RFC 5892 section 2.6) are these and the joiners, which folding leaves alone. ``ß`` folds to
#: ASCII, and is seen to below.
_FINAL_SIGMA = "\N{GREEK SMALL LETTER FINAL SIGMA}"


def fold(text: str) -> str:
    """The form under which two spellings of one name are equal: NFC and case-folded, but for what is another name.

    No folding may turn a non-ASCII letter into an ASCII one: ``K`` (U+212A, the Kelvin sign) or ``ſ`` would let a
    look-alike address match somebody else's (the GitHub reset bug of 2016). A text with such a letter is equal to
    itself only. Nor may it make one domain of two: a final sigma is equal to itself only, and ``Σ`` is ``σ``'s.
    """
    if text.isascii():
        return text.lower()
    if any(not c.isascii() and unicodedata.normalize("NFC", c).casefold().isascii() for c in text):
        return text
    parts = unicodedata.normalize("NFC", text).split(_FINAL_SIGMA)
    return unicodedata.normalize("NFC", _FINAL_SIGMA.join([part.casefold() for part in parts]))
