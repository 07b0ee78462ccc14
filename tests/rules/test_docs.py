"""What an administrator can meet is in the docs, and the docs name nothing that is not there."""

import dataclasses
import re
from pathlib import Path

import pytest

from idp_bridge import roles
from idp_bridge.config import PREFIX, Config
from idp_bridge.errors import Code
from idp_bridge.events import Type
from idp_bridge.roles import BUILT_IN, Permission

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
