"""Addresses that pass for others: letters of several scripts in one, or of another script in the shape of Latin ones;
and what is not to be seen at all, or strikes another letter through.

UTS 39 (Unicode security mechanisms) is what this follows: section 5.2's restriction level *Highly Restrictive* says
which scripts may stand in one part of an address, section 4 what passes for what. Python knows no script of a
character, but its name begins with it (``CYRILLIC SMALL LETTER A``).

What is plain ASCII is never a look-alike here: it is what the others are compared with, and costs nothing.
"""

import re
import unicodedata

from idp_bridge.errors import Invalid
from idp_bridge.text import fold

#: Scripts that are written together (UTS 39 section 5.2): the script of Japan, of Taiwan and of Korea.
_TOGETHER = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)

#: A script by the word with which the names of some of its letters begin instead: 々 is ``IDEOGRAPHIC ITERATION MARK``,
#: and 〱, for kana that stand below each other, ``VERTICAL KANA REPEAT MARK`` (Unicode Standard Annex 24).
_SCRIPTS = {"IDEOGRAPHIC": "CJK", "VERTICAL": "KATAKANA"}

#: Latin letter -> small letters of Cyrillic, Greek, Armenian and phonetic Latin, and the dotless i, that pass for it
#: (confusables.txt of UTS 39, what looks like a small capital included). A compatibility form of an ASCII letter, such
#: as a full-width one, needs no row; nor does a Latin small capital, whose name says which it is.
_SHAPES = {
    "a": "аαɑ", "b": "в", "c": "сϲ", "d": "ԁ", "e": "е", "g": "ցɡ", "h": "һհ", "i": "іιıɩ", "j": "јϳյ", "k": "кκ",
    "l": "ӏ", "m": "м", "n": "ո", "o": "оοσօ", "p": "рρ", "q": "ԛզ", "r": "г", "s": "ѕ", "t": "тτ", "u": "υս",
    "v": "ѵν", "w": "ԝա", "x": "хχ", "y": "уγ",
}  # fmt: skip
#: What nobody sees beside the format and control characters (category C): the other default ignorables of Unicode's
#: DerivedCoreProperties, and the strokes of U+0334 to U+0338 that lie over a letter.
_UNSEEN = frozenset(
    {"\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u3164", "\uffa0"}
    | {chr(code) for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F)) for code in range(first, last + 1)}
    | {chr(code) for first, last in ((0x0334, 0x0338), (0xE0100, 0xE01EF)) for code in range(first, last + 1)}
)
_LATIN = str.maketrans({other: letter for letter, others in _SHAPES.items() for other in others})
_SMALL_CAPITAL = re.compile(r"LATIN LETTER SMALL CAPITAL ([A-Z])")

#: A dot above a letter that has one already (``Soft_Dotted`` of Unicode's PropList) is drawn in its place.
_HIDDEN_DOT = re.compile("(?<=[ij])\u0307")


def mixed_scripts(address: str) -> tuple[str, ...]:
    """The scripts that one part of an address mixes, its local part or a label of its domain; empty where none does."""
    if address.isascii():
        return ()
    local, _, domain = address.rpartition("@")
    for part in (local, *domain.split(".")):
        scripts = {_script(character) for character in unicodedata.normalize("NFC", part) if _is_letter(character)}
        if len(scripts) > 1 and not any(scripts <= allowed for allowed in _TOGETHER):
            return tuple(sorted(script.capitalize() for script in scripts))
    return ()


def unseen(address: str) -> tuple[str, ...]:
    """The code points in an address that nobody sees as letters of it; empty where there are none."""
    if address.isascii():
        return ()
    hidden = [*filter(_is_unseen, address), *_HIDDEN_DOT.findall(address)]
    return tuple(sorted({f"U+{ord(character):04X}" for character in hidden}))


def is_disguised(address: str) -> bool:
    """Whether nobody is to be known, or made a member, by an address that is written so."""
    return bool(mixed_scripts(address) or unseen(address))


def _is_unseen(character: str) -> bool:
    return character in _UNSEEN or unicodedata.category(character) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}


def passes_for(address: str) -> str | None:
    """The folded ASCII address that this one looks like without being it; None where it looks like none."""
    if address.isascii():
        return None
    seen = "".join(character for character in _HIDDEN_DOT.sub("", address) if not _is_unseen(character))
    letters = unicodedata.normalize("NFKC", seen).lower().translate(_LATIN)
    shape = "".join(letter if letter.isascii() else _capital(letter) for letter in letters)
    return fold(shape) if shape.isascii() else None


def _capital(letter: str) -> str:
    """A small capital as the letter that it is the picture of; what is none as it is."""
    named = _SMALL_CAPITAL.fullmatch(unicodedata.name(letter, ""))
    return named[1].lower() if named else letter


def check(address: str) -> None:
    """For an address that somebody types: one that mixes scripts, or holds what nobody sees, is hardly what she means.
    Raises Invalid."""
    if hidden := unseen(address):
        raise Invalid(
            f"The address holds {' and '.join(hidden)}, which nobody sees, so that it could pass for another address. "
            "Type it instead of pasting it.",
            fields={"email": [f"It holds {' and '.join(hidden)}."]},
        )
    if mixed := mixed_scripts(address):
        raise Invalid(
            f"{address} mixes {' and '.join(mixed)} letters, so that it could pass for another address. "
            "Type it instead of pasting it.",
            fields={"email": [f"It mixes {' and '.join(mixed)} letters."]},
        )


def _is_letter(character: str) -> bool:
    return unicodedata.category(character).startswith("L")


def _script(character: str) -> str:
    """The first word of its name, or what that stands for; what has none stands for itself."""
    word = re.split(r"[ -]", unicodedata.name(character, character), maxsplit=1)[0]
    return _SCRIPTS.get(word, word)
