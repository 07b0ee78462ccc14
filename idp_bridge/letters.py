"""Letters: what a mail says, as plain text and as HTML. Pure; mail.py sends them.

A letter is a row of words with ``{facts}`` in them. Facts are other people's words (the name of an account, of whoever
invites): they stay on their line, are text in the HTML, and never become a link, so that nobody can have this service
send pages of his choice to an address of his choice. The one link of a letter is ours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

LONGEST_FACT = 200

_ADDRESS = re.compile(r"[^\s/@:,;<>]+@[^\s/@:,;<>]+")
_LINKED = re.compile(
    r"(?<=\S)(://|\.(?=[^\W\d]))"
)  # what mail programs take for a page, when it is in the midst of text

_HTML = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{subject}</title></head>
<body style="margin:0;padding:24px;font:16px/1.5 system-ui,sans-serif;color:#1b1f24;background:#fff">
<div style="max-width:34em">
{before}
<p style="margin:24px 0"><a href="{link}" style="padding:10px 18px;border-radius:6px;background:#1f4e8c;color:#fff;\
text-decoration:none">{button}</a></p>
<p style="font-size:14px;color:#57606a">If the button does not work, open this address:<br>{link}</p>
{after}
</div>
</body>
</html>
"""


@dataclass(frozen=True)
class Letter:
    """``before`` and ``after`` are the paragraphs around the link, for which the HTML has a button."""

    subject: str
    before: tuple[str, ...]
    button: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Message:
    """A letter with its facts: ready to be sent, and secret where its link is."""

    subject: str
    text: str
    html: str


def compose(letter: Letter, *, link: str, facts: Mapping[str, object]) -> Message:
    """The letter about these facts. Raises KeyError where it speaks of one that is not given."""
    said = {name: _said(value) for name, value in facts.items()}
    told = {name: escape(value) for name, value in said.items()}
    subject = letter.subject.format(**said)
    text = (
        *(line.format(**said) for line in letter.before),
        f"{letter.button}:\n{link}",
        *(line.format(**said) for line in letter.after),
    )
    before, after = (
        "\n".join(f"<p>{escape(line, quote=False).format(**told)}</p>" for line in lines)
        for lines in (letter.before, letter.after)
    )
    html = _HTML.format(
        subject=escape(subject), before=before, after=after, link=escape(link), button=escape(letter.button)
    )
    return Message(subject, "\n\n".join(text) + "\n", html)


def _said(fact: object) -> str:
    """Somebody else's words on one line: no control characters, none that turn the writing round, no page's address.
    Several are parted by commas."""
    if isinstance(fact, list | tuple):
        return ", ".join(map(_said, fact)) or "none"
    shown = "".join(character if character.isprintable() else " " for character in str(fact)[:LONGEST_FACT])
    return " ".join(word if _ADDRESS.fullmatch(word) else _LINKED.sub(r"\1 ", word) for word in shown.split())
