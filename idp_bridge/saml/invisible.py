"""Text that looks like other text because a part of it is not seen.

`str.isprintable` refuses what Unicode calls control, format, surrogate, private, unassigned and separator; some letters
and marks show nothing all the same.
"""

from itertools import chain

# Unicode 16, DerivedCoreProperties.txt, Default_Ignorable_Code_Point: `unicodedata` does not have that property.
_IGNORABLE = frozenset(
    map(
        chr,
        chain.from_iterable(
            range(first, last + 1)
            for first, last in (
                (0x00AD, 0x00AD),  # soft hyphen
                (0x034F, 0x034F),  # combining grapheme joiner
                (0x061C, 0x061C),  # Arabic letter mark
                (0x115F, 0x1160),  # Hangul fillers
                (0x17B4, 0x17B5),  # Khmer inherent vowels
                (0x180B, 0x180F),  # Mongolian variation selectors and vowel separator
                (0x200B, 0x200F),  # zero width space, joiners, directional marks
                (0x202A, 0x202E),  # directional formatting
                (0x2060, 0x206F),  # word joiner, invisible operators, directional isolates
                (0x3164, 0x3164),  # Hangul filler
                (0xFE00, 0xFE0F),  # variation selectors
                (0xFEFF, 0xFEFF),  # zero width no-break space
                (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
                (0xFFF0, 0xFFF8),
                (0x1BCA0, 0x1BCA3),  # shorthand format controls
                (0x1D173, 0x1D17A),  # musical symbol format controls
                (0xE0000, 0xE0FFF),  # tags, variation selectors supplement
            )
        ),
    )
)


def all_visible(text: str) -> bool:
    """Whether every character of it can be seen, or is a plain space."""
    return text.isprintable() and _IGNORABLE.isdisjoint(text)
