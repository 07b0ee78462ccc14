"""Each threat in docs/security.md points to a test that is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _section() -> str:
    return (ROOT / "docs" / "security.md").read_text().partition("\n## Threats\n")[2].partition("\n## ")[0]


def test_every_threat_has_a_test_and_every_test_is_there() -> None:
    """A test that is renamed takes its row along."""
    rows = [line for line in _section().splitlines() if line.startswith("|")][2:]
    assert len(rows) > 20
    for row in rows:
        shown = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert shown, row
        for path, name in shown:
            assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_the_examples_for_operators_name_settings_that_there_are() -> None:
    """And commands as they are called."""
    settings = set(re.findall(r"IDP_BRIDGE_\w+", (ROOT / ".env.example").read_text()))
    for path in (ROOT / "docs" / "deploy").iterdir():
        named = {name.removesuffix("_FILE") for name in re.findall(r"IDP_BRIDGE_\w+", path.read_text())}
        assert named <= settings, path
