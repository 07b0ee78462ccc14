"""What an administrator can meet is in the docs, and the docs name nothing that is not there."""

import dataclasses
import re
from pathlib import Path

import pytest

from idp_bridge import roles
from idp_bridge.config import PREFIX, Config
from idp_bridge.errors import Code
from idp_bridge.events import Type
from idp_bridge.plans import METRICS, PLANS, Feature
from idp_bridge.roles import BUILT_IN, CredentialKind, Permission, kinds_of

ROOT = Path(__file__).parents[2]
SOURCES = {path: path.read_text() for path in (ROOT / "idp_bridge").rglob("*.py")}


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def _rows(page: str) -> list[list[str]]:
    """The cells of every table row of a page, its heads and lines left out."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0].startswith("`")]


def _named(page: str) -> list[str]:
    """What the first cells name in backticks."""
    return [name for row in _rows(page) for name in re.findall(r"`([^`]+)`", row[0])]


def _settings() -> set[str]:
    return {PREFIX + field.name.upper() for field in dataclasses.fields(Config)}


def test_every_error_code_has_its_row_and_no_other() -> None:
    """Once each, in docs/errors.md, with what to do about it."""
    named = _named(_page("errors.md"))
    assert sorted(named) == sorted(code.value for code in Code)
    assert all(len(row) >= 3 and all(row) for row in _rows(_page("errors.md")))


def test_every_event_type_has_its_row_and_no_other() -> None:
    """Once each, in docs/events.md."""
    assert sorted(_named(_page("events.md"))) == sorted(kind.value for kind in Type)


@pytest.mark.parametrize(("kind", "home"), [(Code, "errors.py"), (Type, "events.py")])
def test_no_code_and_no_event_type_is_idle(kind: type[Code] | type[Type], home: str) -> None:
    """What nothing raises or records only misleads who reads the list."""
    elsewhere = "\n".join(text for path, text in SOURCES.items() if path != ROOT / "idp_bridge" / home)
    defaults = re.findall(r"default_code = Code\.(\w+)", SOURCES[ROOT / "idp_bridge" / "errors.py"])
    used = set(re.findall(rf"\b{kind.__name__}\.([A-Z_]+)", elsewhere)) | set(defaults)
    assert {member.name for member in kind} - used == set()


def test_the_roles_page_shows_the_table_that_is_enforced() -> None:
    """Every permission, every built-in role, every mark; a star for the administrative ones."""
    page = _page("roles.md")
    head = next(line for line in page.splitlines() if line.startswith("| permission |"))
    names = [cell.strip() for cell in head.strip("|").split("|")][1:]
    assert names == list(BUILT_IN)
    rows = {row[0]: row[1:] for row in _rows(page) if len(row) == len(names) + 1}
    shown = {re.findall(r"`(.+?)`", name)[0]: marks for name, marks in rows.items()}
    assert set(shown) == {permission.value for permission in Permission}
    for index, name in enumerate(names):
        assert {permission for permission, marks in shown.items() if marks[index]} == {p.value for p in BUILT_IN[name]}
    starred = {re.findall(r"`(.+?)`", name)[0] for name in rows if name.endswith("*")}
    assert starred == {permission.value for permission in roles.ADMINISTRATIVE}


def test_the_plans_page_shows_the_table_that_is_enforced() -> None:
    """Seats, what is included of each metric, and features of every plan; and no feature that there is not."""
    lines = [line for line in _page("plans.md").splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    assert head[1:] == list(PLANS)
    shown = {row[0]: row[1:] for row in rows}
    limits = shown.pop("Seats that come with it")
    assert limits == [str(plan.seats) if plan.seats is not None else "no limit" for plan in PLANS.values()]
    for metric in METRICS.values():
        included = [metric.included[plan] for plan in PLANS]
        marks = ["no limit" if amount is None else f"{amount:,}" for amount in included]
        assert shown.pop(f"{metric.label} a month") == marks
    assert list(shown) == [feature.value for feature in Feature]
    for index, plan in enumerate(PLANS.values()):
        assert {name for name, marks in shown.items() if marks[index]} == {f.value for f in plan.features}


def test_every_setting_is_on_its_page_and_in_the_example() -> None:
    """Both, and no setting that is not read."""
    assert set(_named(_page("configuration.md"))) == _settings()
    example = re.findall(rf"^#?({PREFIX}\w+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    assert sorted(example) == sorted(_settings())


def test_the_settings_page_shows_the_defaults() -> None:
    """Those that the code has."""
    shown = {row[0].strip("`"): row[1].strip("`") for row in _rows(_page("configuration.md"))}
    for field in dataclasses.fields(Config):
        if isinstance(field.default, int | str):
            assert shown[PREFIX + field.name.upper()] == str(field.default)


def test_the_roles_page_shows_which_credential_may_use_what() -> None:
    """Every permission, every kind of credential, every mark: the table that the guard asks."""
    section = _page("roles.md").partition("## Which credential may use what")[2]
    head = next(line for line in section.splitlines() if line.startswith("| permission |"))
    kinds = [cell.strip() for cell in head.strip("|").split("|")][1:]
    assert kinds == [kind.value for kind in CredentialKind]
    shown = {row[0].strip("`"): row[1:] for row in _rows(section) if len(row) == len(kinds) + 1}
    assert set(shown) == {permission.value for permission in Permission}
    for permission in Permission:
        marked = {kind for kind, mark in zip(CredentialKind, shown[permission.value], strict=True) if mark}
        assert marked == kinds_of(permission), permission


def test_the_table_of_guards_names_codes_and_their_status() -> None:
    """Each rule with a code that there is, and the status that docs/errors.md gives it."""
    section = _page("roles.md").partition("## What is always refused")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| [^|]+ \| (`ERR_\w+`) \| (\d+) \| [^|]+ \|$", section, flags=re.MULTILINE)
    assert len(rows) == section.count("`ERR_") >= 9
    for code, status in rows:
        chapter = _page("errors.md").partition(f"| {code} |")[0].rpartition("\n## ")[2].partition("\n")[0]
        assert status in chapter, code
