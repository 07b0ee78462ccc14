"""The pages hang together: links and anchors lead somewhere; no refusal, command or setting is without its words."""

import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote

import pytest

from idp_bridge import cli
from idp_bridge.config import PREFIX, Config
from idp_bridge.providers import catalogue
from idp_bridge.saml.errors import Reason
from idp_bridge.sign_in import ADMITTING, Outcome
from idp_bridge.web.dashboard.page import NAVIGATION

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def _prose(path: Path) -> str:
    """The page without its blocks of code, where a bracket is no link and a # no heading."""
    return _FENCE.sub("", path.read_text())


def _anchors(path: Path) -> set[str]:
    """What can be linked to: each heading as GitHub spells it, the second of its kind with -1, the third with -2."""
    seen: Counter[str] = Counter()
    anchors = set()
    for heading in _HEADING.findall(_prose(path)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return anchors


def _broken(path: Path, *, root: Path = ROOT) -> list[str]:
    """The relative links of a page that lead nowhere, or out of the project."""
    relative = [target for target in _LINK.findall(_prose(path)) if not re.match(r"[a-z]+:", target)]
    return [target for target in relative if not _leads_somewhere(path, unquote(target), root)]


def _leads_somewhere(path: Path, target: str, root: Path) -> bool:
    name, _, anchor = target.partition("#")
    there = (path.parent / name).resolve() if name else path
    return there.is_relative_to(root) and there.exists() and (not anchor or anchor in _anchors(there))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_relative_links_lead_to_a_file_and_a_heading(path: Path) -> None:
    """Out of every page, down to the anchor."""
    assert _broken(path) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A page, an anchor or a way out of the project that is not there; code is not looked at."""
    (tmp_path / "there.md").write_text("# What it *does*\n\n## Again\n\n## Again\n")
    page = tmp_path / "page.md"
    good = "[a](there.md) [b](there.md#what-it-does) [c](there.md#again-1) [d](https://example.com/x) [e](#here)"
    bad = "[f](gone.md) [g](there.md#again-2) [h](../../etc/hosts) [i](#nowhere)"
    page.write_text(f"# Here\n\n{good}\n{bad}\n\n```\n[j](also-gone.md)\n```\n")
    assert _broken(page, root=tmp_path) == ["gone.md", "there.md#again-2", "../../etc/hosts", "#nowhere"]


@pytest.mark.parametrize("path", [page for page in PAGES if page.parent == ROOT / "docs"], ids=_name)
def test_every_page_is_in_the_index(path: Path) -> None:
    """docs/README.md names it, so that nobody has to list the folder."""
    index = ROOT / "docs" / "README.md"
    named = {target.partition("#")[0] for target in _LINK.findall(index.read_text())}
    assert path == index or path.name in named


def test_every_refused_sign_in_has_an_entry() -> None:
    """The reason that an event records is found on the troubleshooting page, in a table, with what to do."""
    rows = [line for line in (ROOT / "docs" / "troubleshooting.md").read_text().splitlines() if line.startswith("|")]
    entries = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    reasons = {reason.value for reason in Reason}
    outcomes = {outcome.value for outcome in Outcome if outcome not in ADMITTING}
    assert (reasons | outcomes) - entries == set()


def test_every_reason_stands_in_the_order_of_the_checks() -> None:
    """docs/security.md names each check of the SAML door."""
    named = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "security.md").read_text()))
    assert {reason.value for reason in Reason} - named == set()


def test_every_command_is_on_some_page() -> None:
    """An operator who looks for it finds it, and what the pages let her type is there."""
    pages = "\n".join(path.read_text() for path in PAGES)
    typed = set(re.findall(r"idp-bridge ([a-z][a-z-]+)(?=[ `\n])", "\n".join(_typed(path) for path in PAGES)))
    assert {name for name in cli.main.commands if f"idp-bridge {name}" not in pages} == set()
    assert typed - set(cli.main.commands) == set()


def _typed(path: Path) -> str:
    """What a page shows as code: lines after a prompt, and what stands between backticks."""
    page = path.read_text()
    return "\n".join(re.findall(r"^ *\$ (.+)$", page, re.MULTILINE) + [f"{code} " for code in _spans(page)])


def _spans(page: str) -> list[str]:
    return re.findall(r"(?<!`)`([^`]+)`(?!`)", _FENCE.sub("", page))


def test_every_setting_that_a_page_names_is_read() -> None:
    """Also with _FILE, for a secret in a file."""
    known = {PREFIX + field.name.upper() for field in fields(Config)}
    named = {name for path in PAGES for name in re.findall(rf"{PREFIX}[A-Z][A-Z_]*[A-Z]", path.read_text())}
    assert {name for name in named if name.removesuffix("_FILE") not in known} == set()


# --- labels -----------------------------------------------------------------------------------------------------

#: All words that our own screens show, and where they come from.
_SCREENS = "\n".join(
    path.read_text()
    for path in sorted((ROOT / "idp_bridge" / "web").rglob("*"))
    if path.parent.name in ("templates", "dashboard", "set_up", "login") and path.suffix in (".html", ".py")
)


@pytest.mark.parametrize(
    "path", [page for page in PAGES if page.stem.endswith(("-saml", "-scim"))], ids=lambda path: path.name
)
def test_a_how_to_names_what_our_screens_show(path: Path) -> None:
    """What is bold in a step "In idp-bridge" is a label there, word for word."""
    steps = re.findall(r"^## [^\n]*In idp-bridge.*?(?=^## )", _prose(path), re.MULTILINE | re.DOTALL)
    bold = {" ".join(label.split()) for step in steps for label in re.findall(r"\*\*([^*]+)\*\*", step)}
    assert steps
    assert {label for label in bold if label not in _SCREENS} == set()


@pytest.mark.parametrize("kind", ["okta", "entra"])
def test_a_how_to_uses_the_labels_of_the_set_up_page(kind: str) -> None:
    """The page of a connection and the how-to beside it call the provider's fields alike."""
    saml, scim = ((ROOT / "docs" / f"{kind}-{part}.md").read_text() for part in ("saml", "scim"))
    labels = catalogue()[kind].labels
    assert f"**{labels['acs_url']}**" in saml
    assert f"**{labels['sp_entity_id']}**" in saml
    assert f"**{labels['scim_base_url']}**" in scim


def test_every_page_of_the_navigation_is_somewhere_in_the_docs() -> None:
    """In bold, under the name that the navigation shows."""
    pages = "\n".join(path.read_text() for path in PAGES)
    labels = [entry.label for entries in NAVIGATION.values() for entry in entries]
    assert [label for label in labels if f"**{label}**" not in pages] == []
