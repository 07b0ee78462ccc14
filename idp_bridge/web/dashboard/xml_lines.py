"""XML as lines of text, for people to read. It is not parsed: what was refused may be none, or meant to do harm."""

import re

DEEPEST = 30  # a message may be nested as deep as it likes; its picture may not

_TAG = re.compile(r"(<[^<>]*>)")


def pretty(xml: str) -> str:
    """The text with a line for each element, indented; every character but the blanks between stays."""
    lines: list[str] = []
    depth = 0
    joined = False  # whether what follows belongs on the line of the tag before it
    for part in filter(str.strip, _TAG.split(xml)):
        tag, closing = part.startswith("<"), part.startswith("</")
        opening = tag and not closing and not part.endswith("/>") and part[1:2] not in "?!"
        depth = max(depth - closing, 0)
        if joined and (closing or not tag):
            lines[-1] += part.strip()
        else:
            lines.append("  " * min(depth, DEEPEST) + part.strip())
        depth += opening
        joined = opening or (joined and not tag)
    return "\n".join(lines)
