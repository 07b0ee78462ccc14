"""Filters: what they mean, what is refused, and which resources match."""

import inspect
import sys
import threading
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim.attributes import Attribute, AttrPath, Schema, fold
from scim.errors import InvalidFilter
from scim.filter import (
    MAX_DEPTH,
    MAX_TERMS,
    And,
    Compare,
    Filter,
    Not,
    Or,
    Present,
    ValuePath,
    equalities,
    matches,
    parse_filter,
    parse_value_filter,
    unparse,
)
from scim.schemas import ENTERPRISE_URN, GROUP_TYPE, USER_TYPE, USER_URN, ResourceType
from tests.fuzz.filters import filter_ as random_filter
from tests.fuzz.resources import TYPE

BABS: dict[str, Any] = {
    "schemas": [USER_URN, ENTERPRISE_URN],
    "id": "2819c223",
    "externalId": "Ext-7",
    "userName": "bjensen",
    "name": {"familyName": "O'Malley", "givenName": "Barbara"},
    "title": "Vice President",
    "userType": "Employee",
    "active": True,
    "emails": [
        {"value": "babs@example.com", "type": "work", "primary": True},
        {"value": "babs@home.org", "type": "home"},
        {"value": "babs@other.net"},
    ],
    "ims": [{"type": "xmpp", "value": "babs@foo.com"}],
    ENTERPRISE_URN: {"department": "Tours", "manager": {"value": "26118915"}},
    "meta": {"resourceType": "User", "lastModified": "2011-05-13T06:42:34+02:00", "version": 'W/"A"'},
}
BARE = {"schemas": [USER_URN], "id": "1", "userName": "bare", "meta": {"lastModified": "2012-01-01T00:00:00Z"}}

# (filter, matches BABS, matches BARE)
RFC_7644_FIGURE_2 = [
    ('userName eq "bjensen"', True, False),
    ('name.familyName co "O\'Malley"', True, False),
    ('userName sw "J"', False, False),
    ('urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J"', False, False),
    ("title pr", True, False),
    ('meta.lastModified gt "2011-05-13T04:42:34Z"', False, True),
    ('meta.lastModified ge "2011-05-13T04:42:34Z"', True, True),
    ('meta.lastModified lt "2011-05-13T04:42:34Z"', False, False),
    ('meta.lastModified le "2011-05-13T04:42:34Z"', True, False),
    ('title pr and userType eq "Employee"', True, False),
    ('title pr or userType eq "Intern"', True, False),
    ('schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"', True, False),
    ('userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")', True, False),
    ('userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")', False, True),
    ('userType eq "Employee" and (emails.type eq "work")', True, False),
    ('userType eq "Employee" and emails[type eq "work" and value co "@example.com"]', True, False),
    (
        'emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]',
        True,
        False,
    ),
]

MEANINGS = [
    ('USERNAME EQ "BJENSEN"', True, False),
    ('externalId eq "Ext-7"', True, False),
    ('externalId eq "ext-7"', False, False),
    ('id eq "2819C223"', False, False),
    ('meta.version eq "W/\\"A\\""', True, False),
    ('meta.version eq "W/\\"a\\""', False, False),
    ('EMAILS.VALUE eq "BABS@example.COM"', True, False),
    ("active eq true", True, False),
    ('active eq "True"', True, False),
    ("active eq False", False, False),
    ("active ne false", True, True),
    ("active pr", True, False),
    ('emails[type eq "work"].value eq "babs@example.com"', True, False),
    ('emails[type eq "work"].value eq "babs@home.org"', False, False),
    ('emails[primary eq "True"].value pr', True, False),
    ('emails.type eq "work" and emails.value co "home"', True, False),
    ('emails[type eq "work" and value co "home"]', False, False),
    ('emails[not (type eq "work" or type eq "home")]', True, False),
    ('emails[type ne "work"]', True, False),
    ('emails.type ne "work"', True, True),
    ('not (emails[type eq "work"])', False, True),
    ('id eq "2819c223" and manager eq "26118915"', True, False),
    (f'{ENTERPRISE_URN}:manager.value eq "26118915"', True, False),
    (f'{ENTERPRISE_URN.upper()}:DEPARTMENT eq "tours"', True, False),
    (f'{ENTERPRISE_URN}.department eq "tours"', True, False),
    (f"{ENTERPRISE_URN} pr", True, False),
    ("name pr", True, False),
    ("name.middleName pr", False, False),
    ("not (title pr)", False, True),
    ('title ne "x"', True, True),
    ("title eq null", False, True),
    ("title ne null", True, False),
    ("emails.type eq null", True, True),
    ("emails.primary ne null", True, False),
    ('title gt "Vice"', True, False),
    ('title lt "vice president"', False, False),
    ('title le "VICE president"', True, False),
    ('title ew "dent"', True, False),
    ('title eq ""', False, False),
    ('title sw ""', True, False),
    ('schemas eq "URN:IETF:params:scim:schemas:core:2.0:User"', True, True),
    # `and` binds tighter than `or`, `not` tighter than both.
    ('title pr or userType eq "x" and active eq false', True, False),
    ('active eq false and userType eq "x" or title pr', True, False),
    ('not (title pr) or userName eq "bjensen"', True, True),
    ('not (title pr) and userName eq "bjensen"', False, False),
]

REFUSED = [
    ("", "ends too early"),
    ("userName", "ends too early"),
    ("userName eq", "ends too early"),
    ('userName eq "a" and', "ends too early"),
    ('(userName eq "a"', "ends too early"),
    ('userName eq "a")', r"'\)' is not expected at character 16"),
    ('userName regex "x"', "The operator 'regex' is not supported"),
    ('name.givenName like "x"', "The operator 'like' is not supported"),
    ('nosuch eq "x"', "'nosuch' is not an attribute of User"),
    ('not (nosuch eq "x")', "'nosuch' is not an attribute of User"),
    ('password eq "x"', "'password' is not an attribute of User"),
    ('members eq "x"', "'members' is not an attribute of User"),
    ('emails[nosuch eq "x"]', "'nosuch' is not a sub-attribute of emails"),
    ('emails[emails.type eq "x"]', "'emails.type' is not a sub-attribute of emails"),
    ('name.givenName.x eq "x"', "not expected"),
    ('name eq "x"', "name is complex"),
    ('addresses co "x"', "addresses is complex"),
    ('userName[value eq "x"]', "userName has no sub-attributes"),
    ('emails[type[value eq "x"]]', "type has no sub-attributes"),
    ('emails[type eq "x"][value eq "y"]', "Brackets cannot follow brackets"),
    ('emails[type eq "x"] eq "y"', "needs a sub-attribute"),
    ('emails.value[type eq "x"]', "emails.value has no sub-attributes"),
    ('emails.value[type eq "x"].value eq "y"', "before the brackets or behind them"),
    ("active gt true", "gt cannot compare active"),
    ('active co "t"', "co cannot compare active"),
    ('x509Certificates.value ge "x"', "ge cannot compare x509Certificates.value"),
    ('meta.lastModified sw "2011"', "sw cannot compare"),
    ('active eq "yes"', "active is of type boolean; 'yes' is not"),
    ("active eq 1", "active is of type boolean; 1 is not"),
    ("userName eq 5", "userName is of type string; 5 is not"),
    ("userName eq true", "userName is of type string; True is not"),
    ("userName co null", "userName is of type string; None is not"),
    ('meta.created gt "yesterday"', "meta.created is of type dateTime; 'yesterday' is not"),
    ("userName eq userName", "not expected"),
    ("userName eq 'x'", "is not expected at character 13"),
    ('userName eq "x', "is not expected at character 13"),
    ('userName eq "\\x"', "no JSON string"),
    ('userName eq "a\tb"', "no JSON string"),
    ('userName eq "\\u0000"', "is of type string"),
    ('userName eq "\\ud800"', "is of type string"),
    ("userName eq \ud800", "is not expected"),
    ("meta.created eq 007", "no JSON string or number"),
    ('userName eq "x" userType eq "y"', "not expected"),
    ("true eq true", "not expected"),
]


@pytest.mark.parametrize(("text", "babs", "bare"), RFC_7644_FIGURE_2 + MEANINGS)
def test_a_filter_matches_what_the_rfc_says(text: str, babs: bool, bare: bool) -> None:
    """RFC 7644 §3.4.2.2: figure 2, then case, types, precedence, brackets and absent values."""
    parsed = parse_filter(text, USER_TYPE)
    assert (matches(parsed, BABS), matches(parsed, BARE)) == (babs, bare)


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_is_not_understood_is_refused(text: str, words: str) -> None:
    """A filter that cannot be answered is an error; it never matches everything."""
    with pytest.raises(InvalidFilter, match=words):
        parse_filter(text, USER_TYPE)


def _path(text: str) -> AttrPath:
    path = USER_TYPE.resolve(text)
    assert path is not None
    return path


def _sub(attribute: str, name: str) -> AttrPath:
    sub = _path(attribute).attribute.sub_attribute(name)
    assert sub is not None
    return AttrPath(None, sub)


def test_and_binds_tighter_than_or() -> None:
    """RFC 7644 §3.4.2.2; the library alone reads both from left to right."""
    a, b, c = Present(_path("title")), Present(_path("userType")), Compare(_path("active"), "eq", True)
    assert parse_filter("title pr or userType pr and active eq true", USER_TYPE) == Or((a, And((b, c))))
    assert parse_filter("title pr and userType pr or active eq true", USER_TYPE) == Or((And((a, b)), c))
    assert parse_filter("(title pr or userType pr) and active eq true", USER_TYPE) == And((Or((a, b)), c))
    assert parse_filter("not (title pr) and userType pr", USER_TYPE) == And((Not(a), b))
    assert parse_filter("title pr and (userType pr and active eq true)", USER_TYPE) == And((a, b, c))


def test_the_entra_lookup_is_one_condition_on_one_value() -> None:
    """Entra ID compares behind the brackets; it means the same as inside them."""
    inside = parse_filter('emails[type eq "work" and value eq "x"]', USER_TYPE)
    assert parse_filter('emails[type eq "work"].value eq "x"', USER_TYPE) == inside
    assert inside == ValuePath(
        _path("emails"),
        And((Compare(_sub("emails", "type"), "eq", "work"), Compare(_sub("emails", "value"), "eq", "x"))),
    )


def test_comparing_a_complex_attribute_compares_its_value() -> None:
    """Entra ID asks `members eq "<id>"`; RFC 7644 figure 2 has `emails co "example.com"`."""
    members = GROUP_TYPE.resolve("members.value")
    assert members is not None
    assert parse_filter('members eq "7"', GROUP_TYPE) == Compare(members, "eq", "7")
    assert parse_filter('emails co "x"', USER_TYPE) == Compare(_path("emails.value"), "co", "x")


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (r'"say \"hi\""', 'say "hi"'),
        (r'"a\\b"', "a\\b"),
        (r'"caf\u00e9"', "café"),
        (r'"line\nbreak"', "line\nbreak"),
        ('"true"', "true"),
        ('"null"', "null"),
        ('"5"', "5"),
        ('"a and b) or ["', "a and b) or ["),
        ('"100% _ sure"', "100% _ sure"),
        ("null", None),
        ("NULL", None),
    ],
)
def test_literals_are_json(literal: str, value: str | None) -> None:
    """RFC 7644 figure 1: compValue is a JSON value, and its type matters."""
    assert parse_filter(f"displayName eq {literal}", USER_TYPE) == Compare(_path("displayName"), "eq", value)


@pytest.mark.parametrize("literal", ["5", "-5", "21", "1.5", "1E5", "true", "1e999"])
def test_numbers_are_read_whole_before_they_are_refused(literal: str) -> None:
    """No attribute of a User is a number, so the type is what is wrong and not the syntax."""
    with pytest.raises(InvalidFilter, match="displayName is of type string"):
        parse_filter(f"displayName eq {literal}", USER_TYPE)


@pytest.mark.parametrize("name", ["nullable", "trueName", "falsehood", "null-x"])
def test_words_that_begin_like_a_literal_are_names(name: str) -> None:
    """The library alone reads `nullable` as `null` and `able`."""
    with pytest.raises(InvalidFilter, match=f"'{name}' is not an attribute"):
        parse_filter(f"{name} pr", USER_TYPE)


_COUNT = Attribute("count", "integer")
_PARTS = Attribute("parts", "complex", sub_attributes=(Attribute("weight", "decimal"),), multi_valued=True)
_THING = ResourceType("Thing", "/Things", Schema("urn:x:Thing", "Thing", "", (_COUNT, _PARTS)))


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        ("count gt 21", True),
        ("count le 21", False),
        ("count eq 1.2E2", True),
        ("count ne -5", True),
        ("parts.weight lt 0.5", True),
        ("parts[weight ge 0.25 and weight lt 1]", True),
        ("not (parts.weight gt 10)", False),
    ],
)
def test_numbers_are_compared_as_numbers(text: str, matching: bool) -> None:
    """For extensions that have some; the library alone reads a single digit."""
    thing = {"count": 120, "parts": [{"weight": 0.25}, {"weight": 11}, {}]}
    assert matches(parse_filter(text, _THING), thing) is matching


@pytest.mark.parametrize("text", ["count eq true", 'count eq "5"', "count eq 1e999", "count sw 5", "parts eq 5"])
def test_numbers_are_compared_with_nothing_else(text: str) -> None:
    """A boolean is no integer, infinity is no number."""
    with pytest.raises(InvalidFilter):
        parse_filter(text, _THING)


def test_limits_are_checked_before_anything_is_built() -> None:
    """4096 bytes, 100 terms, 32 levels: at the limit fine, one above refused."""
    term = 'id eq "1"'
    assert parse_filter(" or ".join([term] * MAX_TERMS), USER_TYPE)
    assert parse_filter("(" * MAX_DEPTH + term + ")" * MAX_DEPTH, USER_TYPE)
    assert parse_filter(f'id eq "{"x" * 4088}"', USER_TYPE)
    for text, words in (
        (" and ".join([term] * (MAX_TERMS + 1)), "more than 100 terms"),
        ("(" * (MAX_DEPTH + 1) + term + ")" * (MAX_DEPTH + 1), "more than 32 deep"),
        (f'id eq "{"x" * 4089}"', "longer than 4096 bytes"),
        (f'id eq "{"é" * 2045}"', "longer than 4096 bytes"),
        ("(" * 1_000_000, "longer than 4096 bytes"),
    ):
        with pytest.raises(InvalidFilter, match=words):
            parse_filter(text, USER_TYPE)


def test_brackets_inside_strings_do_not_count() -> None:
    """The limits look at tokens, not at characters."""
    assert parse_filter(f'displayName eq "{"(" * 100} eq eq"', USER_TYPE)


def test_the_largest_filter_needs_few_frames() -> None:
    """A web server's stack is deep already: the recursion limit must stay far away."""
    chain = " and ".join(['id eq "1"'] * (MAX_TERMS - 1))
    text = "not (" * MAX_DEPTH + chain + ' or id eq "2"' + ")" * MAX_DEPTH
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 200)
    try:
        assert matches(parse_filter(text, USER_TYPE), {"id": "1"}) is True
    finally:
        sys.setrecursionlimit(limit)


def test_filters_are_parsed_in_many_threads_at_once() -> None:
    """The library's lexer and parser keep state, so that each parse has its own."""
    texts = [f'userName eq "{i}" and emails[type eq "{i}"].value sw "{i}"' for i in range(8)]
    expected = [parse_filter(text, USER_TYPE) for text in texts]
    wrong: list[int] = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(50) if parse_filter(texts[i], USER_TYPE) != expected[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('type eq "work"', {"type": "work"}),
        ('type eq "work" and primary eq "True"', {"type": "work", "primary": True}),
        ('type eq "a" and type eq "a"', {"type": "a"}),
        ('type eq "a" and type eq "b"', None),
        ('type eq "a" or type eq "b"', None),
        ('type ne "a"', None),
        ("type pr", None),
        ("type eq null", None),
        ('not (type eq "a")', None),
    ],
)
def test_equalities_say_what_a_value_must_hold(text: str, wanted: dict[str, Any] | None) -> None:
    """Only `eq` joined by `and` describes a value."""
    assert equalities(parse_value_filter(text, _path("emails"))) == wanted


def test_a_value_filter_needs_sub_attributes() -> None:
    """There is nothing to compare in a simple value."""
    with pytest.raises(InvalidFilter, match="has no sub-attributes"):
        parse_value_filter('value eq "x"', _path("userName"))


@pytest.mark.parametrize(("a", "b"), [("STRASSE", "straße"), ("Ž", "Z\u030c"), ("ABC", "abc"), ("\u212b", "å")])
def test_folding_brings_spellings_together(a: str, b: str) -> None:
    """NFC and case folding (RFC 7644 §5 asks for no less)."""
    assert fold(a) == fold(b)


# Round trips: a tree, its text, and the tree again.

_STRINGS = ["userName", "name.givenName", "externalId", f"{ENTERPRISE_URN}:department", "emails.value"]
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
_OPS = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]


def _terms(paths: list[AttrPath], flag: AttrPath) -> st.SearchStrategy[Filter]:
    compare = st.builds(Compare, st.sampled_from(paths), st.sampled_from(_OPS), _TEXTS)
    boolean = st.builds(Compare, st.just(flag), st.sampled_from(["eq", "ne"]), st.booleans() | st.none())
    leaf: st.SearchStrategy[Filter] = compare | boolean | st.builds(Present, st.sampled_from(paths))
    return st.recursive(leaf, _combined, max_leaves=8)


def _combined(terms: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    def several(kind: type[And] | type[Or]) -> st.SearchStrategy[Filter]:
        other = terms.filter(lambda term: not isinstance(term, kind))
        return st.lists(other, min_size=2, max_size=3).map(lambda found: kind(tuple(found)))

    return several(And) | several(Or) | terms.map(Not)


_WITHIN = _terms([_sub("emails", "value"), _sub("emails", "type")], _sub("emails", "primary"))
_FILTERS = _combined(
    _terms([_path(name) for name in _STRINGS], _path("active"))
    | _WITHIN.map(lambda term: ValuePath(_path("emails"), term))
)


@given(_FILTERS)
def test_a_filter_written_and_read_is_the_same(tree: Filter) -> None:
    """Text and tree say the same, whatever the nesting and the strings in it."""
    assert parse_filter(unparse(tree), USER_TYPE) == tree


@given(st.integers())
def test_a_filter_over_any_attribute_written_and_read_is_the_same(seed: int) -> None:
    """Over all attributes of all types, in whatever spelling they came."""
    tree = parse_filter(random_filter(Random(seed)), TYPE)
    assert parse_filter(unparse(tree), TYPE) == tree


@given(_FILTERS, _FILTERS)
def test_matching_obeys_logic(a: Filter, b: Filter) -> None:
    """`not` has no third state, also for users without the value; De Morgan holds."""
    for user in (BABS, BARE):
        assert matches(Not(a), user) is not matches(a, user)
        assert matches(Not(And((a, b))), user) is matches(Or((Not(a), Not(b))), user)


@given(st.text(max_size=40) | st.lists(st.sampled_from([*'()[]". ', "eq", "emails", "not", "and", "or", '"x"', "pr"])))
def test_any_text_is_a_filter_or_refused(text: str | list[str]) -> None:
    """No input raises anything but InvalidFilter."""
    try:
        parsed = parse_filter(text if isinstance(text, str) else " ".join(text), USER_TYPE)
    except InvalidFilter:
        return
    assert matches(parsed, BABS) in (True, False)
