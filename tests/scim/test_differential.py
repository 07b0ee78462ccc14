"""Random filters and PATCHes over random users, our answer beside scim2-models'; and noise (see tests/fuzz).

`make fuzz` does the same for longer and with other seeds.
"""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from scim.filter import Compare, parse_filter
from scim.patch import apply, parse_patch
from scim.resource import parse
from scim.schemas import ENTERPRISE_URN, GROUP_TYPE
from tests.fuzz import agreement, cases, known, noise, oracle
from tests.fuzz.exploring import Case, Disagreement, explore, smallest
from tests.fuzz.filters import OPERATORS, PATHS, compared
from tests.fuzz.resources import TYPE, simple


def test_filters_match_whom_the_oracle_matches() -> None:
    """RFC 7644 §3.4.2.2, read twice by different people."""
    explore(agreement.of_filter, cases.filter_case)


def test_patches_leave_what_the_oracle_leaves() -> None:
    """RFC 7644 §3.5.2, operation by operation; and all at once come to the same as one by one."""
    explore(agreement.of_patch, cases.patch_case)


def test_noise_is_refused_as_scim_refuses() -> None:
    """No input to a parser brings forth another exception than ScimError."""
    noise.survive(number=500, seed=7644)


def test_enough_noise_passes_the_parsers() -> None:
    """Input that is always refused at once would show little."""
    accepted = dict.fromkeys(noise.READERS, 0)
    for reader in noise.READERS:
        for n in range(100):
            try:
                reader(Random(n), TYPE)
            except Exception:
                continue
            accepted[reader] += 1
    assert all(passed >= 3 for passed in accepted.values()), accepted


_LITERALS = ('"a"', '""', '"true"', "true", "5", "-0.5", "null", '"2011-05-13T04:42:34Z"', '"QUFB"', '"urn:x:a"')


def _judged_otherwise(kind: str, op: str, literal: str) -> str | None:
    """Why we take a comparison that the oracle refuses, or refuse one that it takes."""
    text = literal.startswith('"')
    if kind in ("reference", "binary") and text:
        return "URIs and base64 are not checked: Microsoft's validator sends any text (RFC 7643 §2.3.6, §2.3.7)."
    if literal == "null":
        return "Null has no order and no parts, only equality (RFC 7644 §3.4.2.2)." if op not in ("eq", "ne") else None
    if kind == "integer" and literal == "-0.5":
        return "Every number lies before or behind every integer."
    if op in ("co", "sw", "ew") and kind in ("dateTime", "integer", "decimal", "reference", "binary"):
        return "Substrings are parts of texts: what is none has none."
    fits = {"boolean": literal in ("true", '"true"'), "dateTime": literal.startswith('"2011'), "string": text}
    if not fits.get(kind, text if kind in ("reference", "binary") else literal[0] not in '"t'):
        return "A literal has the attribute's type; the oracle takes what can be made one, as 5 is of true."
    return None


@pytest.mark.parametrize("op", ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"])
def test_comparisons_are_refused_that_the_oracle_refuses(op: str) -> None:
    """Every attribute with every operator and every kind of literal (RFC 7644 §3.4.2.2, table 3)."""
    resource = oracle.user(agreement.wire({"userName": "u"}))
    for path in PATHS:
        kind = compared(path).type
        for literal in _LITERALS:
            if kind == "complex" or _judged_otherwise(kind, op, literal):
                continue
            text = f"{path} {op} {literal}"
            assert _accepts(lambda text=text: parse_filter(text, TYPE)) == _accepts(
                lambda text=text: oracle.matches(text, resource)
            ), text


def _accepts(question: Any) -> bool:
    try:
        question()
    except Exception:
        return False
    return True


def test_each_known_difference_is_told_whole() -> None:
    """A row that gives no reason or no RFC is an excuse; docs/scim.md has them all."""
    rows = (*known.FILTERS, *known.DATABASE, *known.PATCHES)
    assert len({row.name for row in rows}) == len(rows)
    table = "\n".join(f"| {row.name} | {row.rfc} | {row.reason} |" for row in rows)
    assert table in DOCUMENT.read_text(encoding="utf-8")
    assert all(len(row.reason) > 10 and (row.rfc == "none" or row.rfc.startswith("RFC 764")) for row in rows)


DOCUMENT = Path(__file__).parents[2] / "docs" / "scim.md"
MANAGER = f"{ENTERPRISE_URN}:manager"

#: A case for each row of the table: the row is needed, and the case is one of its class.
SHOWN: dict[str, Case] = {
    "ne over several values": Case({"userName": "u", "emails": [{"value": "a"}, {"value": "b"}]}, 'emails ne "a"'),
    "comparing a single reference": Case({"userName": "u", "manager": {"value": "m"}}, f'{MANAGER} eq "m"'),
    "case mapping": Case({"userName": "u", "title": "Straße"}, 'title eq "STRASSE"'),
    "replace selects nothing": Case(
        {"userName": "u"}, [{"op": "replace", "path": 'emails[type eq "work"]', "value": {"value": "a"}}]
    ),
    "replace of selected values": Case(
        {"userName": "u", "roles": [{"type": "a", "display": "d"}]},
        [{"op": "replace", "path": 'roles[type eq "a"]', "value": {"value": "v"}}],
    ),
    "add in another case": Case(
        {"userName": "u", "roles": [{"value": "v", "display": "D"}]},
        [{"op": "add", "path": "roles", "value": [{"value": "v", "display": "d"}]}],
    ),
    "case mapping in a path": Case(
        {"userName": "u", "roles": [{"display": "w", "type": "t"}]},
        [{"op": "remove", "path": 'roles[display gt "ß"]'}],
    ),
    "null describes no value": Case(
        {"userName": "u"}, [{"op": "replace", "path": "roles[type eq null].value", "value": "a"}]
    ),
    "created otherwise than selected": Case(
        {"userName": "u"}, [{"op": "add", "path": 'roles[type eq "a"].type', "value": "b"}]
    ),
    "sub-attribute of no value": Case({"userName": "u"}, [{"op": "add", "path": "roles.value", "value": "a"}]),
    "a label alone is no value": Case(
        {"userName": "u", "roles": [{"type": "a", "value": "v"}]},
        [{"op": "remove", "path": 'roles[type eq "a"].value'}],
    ),
    "several made primary at once": Case(
        {"userName": "u", "roles": [{"value": "a", "primary": True}, {"value": "b"}]},
        [{"op": "replace", "path": "roles.primary", "value": True}],
    ),
    "manager without an id": Case(
        {"userName": "u", "manager": {"value": "m", "displayName": "d"}}, [{"op": "remove", "path": f"{MANAGER}.value"}]
    ),
    "another manager": Case(
        {"userName": "u", "manager": {"value": "m", "displayName": "d"}},
        [{"op": "replace", "path": MANAGER, "value": {"value": "n"}}],
    ),
}


@pytest.mark.parametrize("row", [*known.FILTERS, *known.PATCHES], ids=lambda row: row.name)
def test_each_known_difference_is_there(row: known.Difference, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the oracle or we have changed, the row must go: without it the case is a complaint, with it none."""
    case = SHOWN[row.name]
    check = agreement.of_filter if isinstance(case.question, str) else agreement.of_patch
    assert check(case) is None
    monkeypatch.setattr(known, "FILTERS", [other for other in known.FILTERS if other is not row])
    monkeypatch.setattr(known, "PATCHES", [other for other in known.PATCHES if other is not row])
    assert check(case)


def test_a_disagreement_is_shown_small() -> None:
    """With its seed, and without what it does not need."""

    def complains(case: Case) -> str | None:
        tree = parse_filter(case.question, TYPE)
        needed = isinstance(tree, Compare) or "userName" in case.question
        return "no" if needed and "title" in case.body else None

    case = Case({"userName": "u", "title": "t", "roles": [{"value": "a"}]}, 'title pr and (userName eq "u" or id pr)')
    assert smallest(case, complains) == Case({"userName": "u", "title": "t"}, 'userName eq "u"')
    with pytest.raises(Disagreement, match="seed 3, case 0: always"):
        explore(lambda case: "always", lambda dice: case, number=1, seed=3)


def test_values_of_every_type_are_compared() -> None:
    """The cases hold every type of RFC 7643 §2.3."""
    assert {compared(path).type for path in PATHS} >= OPERATORS.keys()
    assert simple(Random(1), next(path.leaf for path in PATHS if path.leaf.type == "integer")) is not None


def test_members_of_a_group_follow_the_same_rules() -> None:
    """A group in hand is patched as any resource is."""
    before = parse(GROUP_TYPE, {"displayName": "g", "members": [{"value": "a"}]})
    body = {"Operations": [{"op": "add", "path": "members", "value": [{"value": "b"}]}]}
    after, _ = apply(before, parse_patch(body, GROUP_TYPE), GROUP_TYPE)
    assert [member["value"] for member in after["members"]] == ["a", "b"]
