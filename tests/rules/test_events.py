"""Events are written in one place, and changed or deleted in none."""

import re
from pathlib import Path

import pytest

PRODUCT = Path(__file__).parents[2] / "idp_bridge"
SOURCES = {path: path.read_text() for path in PRODUCT.rglob("*.py") if path.parent.name != "migrations"}

#: What would write, change or delete rows of the model in the brackets.
_WRITES = r"\b{0}\.(?:insert|insert_many|insert_from|create|get_or_create|replace|bulk_create)\(|Table\({0}\)"
_CHANGES = r"\b{0}\.(?:update|delete|delete_by_id|set_by_id|bulk_update|replace|truncate_table)\("
_SQL = r"(?i)(?:update|delete from|truncate(?: table)?) +\"?event(?:_seal)?\b"


def _where(pattern: str) -> set[str]:
    return {str(path.relative_to(PRODUCT)) for path, text in SOURCES.items() if re.search(pattern, text)}


@pytest.mark.parametrize(
    ("model", "homes", "changes"),
    [
        ("Event", {"events.py"}, set()),
        (
            "EventSeal",
            {"event_sealing.py"},
            {"rotation.py"},
        ),  # vouched for anew under another SECRET_KEY: the mac alone
    ],
)
def test_events_and_links_are_written_in_one_place_and_changed_in_none(
    model: str, homes: set[str], changes: set[str]
) -> None:
    """A second door would forget what the first one writes; there is no retention that lets one go."""
    assert _where(_WRITES.format(model)) == homes
    assert _where(_CHANGES.format(model)) == changes


def test_of_a_link_nothing_but_who_vouches_for_it_is_ever_written_anew() -> None:
    """Its digest, and so all that it names, stays what it was."""
    changed = re.findall(r"\bEventSeal\.update\(([^)]*\)?)\)", SOURCES[PRODUCT / "rotation.py"])
    assert changed == ["mac=keyring.vouch(row.digest)"]


def test_no_sql_of_our_own_changes_an_event() -> None:
    """Outside the migrations, which make the tables."""
    assert _where(_SQL) == set()


def test_an_event_is_written_in_a_transaction_of_its_change() -> None:
    """``record`` opens none: a rolled back change would keep its event."""
    written = SOURCES[PRODUCT / "events.py"].partition("def record(")[2]
    assert "transaction(" not in written.partition("\n\n\n")[0]
