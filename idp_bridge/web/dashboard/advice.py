"""The texts of providers/ as parts of a page: names of screens are bold, what is typed is code."""

import re
from collections.abc import Mapping

from markupsafe import Markup, escape

from idp_bridge import providers

_MARKS = ((re.compile(r"\*\*(.+?)\*\*"), r"<strong>\1</strong>"), (re.compile(r"`([^`]+)`"), r"<code>\1</code>"))


def marked(text: str, facts: Mapping[str, object] | None = None) -> Markup:
    """The text with its placeholders filled in. What is filled in came in a message or was typed: it is escaped."""
    html = str(escape(text))
    for mark, element in _MARKS:
        html = mark.sub(element, html)
    values: dict[str, str] = providers.values(facts or {})
    for name in ("got", "want"):
        if (facts or {}).get(name):
            values[name] = Markup("<code>{}</code>").format(values[name])
    return Markup(html).format_map(values)  # noqa: S704 - our own text, escaped above
