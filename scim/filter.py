"""Filters (RFC 7644 §3.4.2.2): text -> a small tree, resolved against the schema; and whether a resource matches.

The text is read by scim2-filter-parser, with the two corrections at the end of this file: literals keep their JSON
type, and `and` binds tighter than `or`. Its tree is then turned into ours, where every name is an attribute of the
schema, every literal has the attribute's type, and nothing is left that could be ignored by mistake.

    Or((And((title pr, userType eq "Employee")), emails[type eq "work"]))

Inside a `ValuePath` the names are relative to one value of the attribute: in `emails[type eq "work"]` the path of
the comparison is that of `type` itself. This is the only module that knows scim2_filter_parser.
"""

import json
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from scim2_filter_parser import ast
from scim2_filter_parser.lexer import SCIMLexer
from scim2_filter_parser.parser import SCIMParser, SCIMParserError

from scim import quirks
from scim.attributes import Attribute, AttrPath
from scim.errors import InvalidFilter, excerpt
from scim.resource import is_storable, parse_datetime

MAX_BYTES = 4096
MAX_TERMS = 100
MAX_DEPTH = 32

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Compare:
    """`path op value`; the value has the type of the attribute, or is None for `null`."""

    path: AttrPath
    op: str
    value: Value


@dataclass(frozen=True, slots=True)
class Present:
    """`path pr`: the attribute has a value, and not an empty one."""

    path: AttrPath


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more terms, none of which is an And itself."""

    terms: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Any of two or more terms, none of which is an Or itself."""

    terms: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of the term; true for a resource without the value."""

    term: "Filter"


@dataclass(frozen=True, slots=True)
class ValuePath:
    """`path[term]`: one and the same value of the attribute fulfils the whole term."""

    path: AttrPath
    term: "Filter"


Filter = Compare | Present | And | Or | Not | ValuePath

# How a name in the text is resolved: against a resource type, or against the sub-attributes inside `[…]`.
_Scope = Callable[[str], AttrPath]


class Names(Protocol):
    """Whose attributes a filter may name: a resource type, or several at once."""

    @property
    def name(self) -> str:
        """What it is called in a refusal."""

    def resolve(self, text: str) -> AttrPath | None:
        """What a name means; None if it means nothing."""


def parse_filter(text: str, resource_type: Names) -> Filter:
    """The filter as a tree. Raises InvalidFilter if it is malformed, too large, or does not fit the schema."""

    def resolve(name: str) -> AttrPath:
        path = resource_type.resolve(name)
        if path is None:
            raise InvalidFilter(f"{excerpt(name)} is not an attribute of {resource_type.name}.")
        return path

    return _build(_syntax_tree(text), resolve)


def parse_value_filter(text: str, path: AttrPath) -> Filter:
    """What stands between the brackets of `path[…]`, as a tree with paths relative to one value."""
    return _build(_syntax_tree(text), _values_of(path))


def equalities(filter_: Filter) -> dict[str, Any] | None:
    """What a value must hold to match a filter made of `eq` and `and` alone; None for any other filter."""
    wanted: dict[str, Any] = {}
    for term in filter_.terms if isinstance(filter_, And) else (filter_,):
        if not isinstance(term, Compare) or term.op != "eq" or quirks.unassigned(term.value):
            return None
        if wanted.setdefault(term.path.leaf.name, term.value) != term.value:
            return None
    return wanted


def terms(filter_: Filter | None) -> int:
    """How many comparisons it takes to tell whether a value matches; without a filter one."""
    match filter_:
        case And(inner) | Or(inner):
            return sum(map(terms, inner))
        case Not(term) | ValuePath(_, term):
            return terms(term)
    return 1


# Writing


def unparse(filter_: Filter) -> str:
    """The filter as a client would write it; read again it is the same tree."""
    match filter_:
        case Compare(path, op, value):
            return f"{path} {op} {json.dumps(value, ensure_ascii=False)}"
        case Present(path):
            return f"{path} pr"
        case And(terms):
            return " and ".join(f"({unparse(term)})" if isinstance(term, Or) else unparse(term) for term in terms)
        case Or(terms):
            return " or ".join(map(unparse, terms))
        case Not(term):
            return f"not ({unparse(term)})"
        case ValuePath(path, term):
            return f"{path}[{unparse(term)}]"


# Matching


def matches(filter_: Filter, resource: dict[str, Any]) -> bool:
    """Whether the resource, or the one value inside a `ValuePath`, fulfils the filter.

    `id`, `meta` and `schemas` are compared only if the dict holds them, as the wire form does.
    """
    match filter_:
        case Compare():
            return _compares(filter_, resource)
        case Present(path):
            return any(not quirks.unassigned(leaf) for leaf in _leaves(resource, path.keys))
        case And(terms):
            return all(matches(term, resource) for term in terms)
        case Or(terms):
            return any(matches(term, resource) for term in terms)
        case Not(term):
            return not matches(term, resource)
        case ValuePath(path, term):
            entries = _leaves(resource, path.keys)
            return any(entry is not None and matches(term, entry) for entry in entries)


def _leaves(value: Any, keys: tuple[str, ...]) -> list[Any]:
    """The values at the end of the keys; None stands for each place where there is none, so never empty."""
    found = value.get(keys[0])
    entries = found if isinstance(found, list) else [found]
    if len(keys) == 1:
        return entries or [None]
    nested = [_leaves(entry, keys[1:]) if entry else [None] for entry in entries or [None]]
    return [leaf for leaves in nested for leaf in leaves]


def _compares(comparison: Compare, resource: dict[str, Any]) -> bool:
    """A multi-valued attribute matches if any value does; an absent one equals null and differs from the rest."""
    compare, attribute = _OPERATORS[comparison.op], comparison.path.leaf
    literal = _comparable(attribute, comparison.value)
    for leaf in _leaves(resource, comparison.path.keys):
        value = _comparable(attribute, leaf)
        if (value is not None or comparison.op in _EQUALITY) and compare(value, literal):
            return True
    return False


def _comparable(attribute: Attribute, value: Any) -> Any:
    if attribute.type == "dateTime" and isinstance(value, str):
        return parse_datetime(value)
    return attribute.comparable(value)


_EQUALITY = frozenset({"eq", "ne"})
_ORDER = frozenset({"gt", "ge", "lt", "le"})
_SUBSTRING = frozenset({"co", "sw", "ew"})
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "co": operator.contains,
    "sw": str.startswith,
    "ew": str.endswith,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}

# The operators that mean something for a type; RFC 7644 table 3 demands a refusal of the order of booleans and
# binaries, and substrings of what is no text could only be guessed.
_ALLOWED = {
    "string": _EQUALITY | _ORDER | _SUBSTRING,
    "reference": _EQUALITY | _ORDER | _SUBSTRING,
    "binary": _EQUALITY | _SUBSTRING,
    "boolean": _EQUALITY,
    "integer": _EQUALITY | _ORDER,
    "decimal": _EQUALITY | _ORDER,
    "dateTime": _EQUALITY | _ORDER,
}


# From the library's tree to ours. Only brackets nest, and their depth is limited; chains are walked in a loop.


def _build(node: Any, resolve: _Scope) -> Filter:
    if node.namespace is not None:
        built: Filter = _value_path(node, resolve)
    elif isinstance(node.expr, ast.LogExpr):
        built = _logical(node.expr, resolve)
    elif isinstance(node.expr, ast.AttrExpr):
        built = _attribute_expression(node.expr, resolve)
    else:
        built = _build(node.expr, resolve)
    return Not(built) if node.negated else built


def _logical(expression: Any, resolve: _Scope) -> And | Or:
    """A chain of the same operator leans to the left: `((a or b) or c) or d`."""
    op, nodes = expression.op.lower(), []
    while True:
        nodes.append(expression.expr2)
        left = expression.expr1
        if not _is_chained(left, op):
            break
        expression = left.expr
    terms = [_build(node, resolve) for node in (left, *reversed(nodes))]
    return _joined(And if op == "and" else Or, terms)


def _is_chained(node: Any, op: str) -> bool:
    bare = not node.negated and node.namespace is None and isinstance(node.expr, ast.LogExpr)
    return bare and node.expr.op.lower() == op


def _joined(kind: type[And] | type[Or], terms: list[Filter]) -> And | Or:
    """Brackets around terms of the same operator add nothing: `a and (b and c)`."""
    flat = (inner for term in terms for inner in (term.terms if isinstance(term, kind) else (term,)))
    return kind(tuple(flat))


def _attribute_expression(expression: Any, resolve: _Scope) -> Filter:
    selection = expression.attr_path.attr_name
    if not isinstance(selection, ast.Filter):
        return _comparison(expression, resolve(_spelling(expression.attr_path)))
    # `emails[type eq "work"].value eq "x"`, as Entra ID looks users up, is one condition on one value. The library
    # has moved the sub-attribute from behind the brackets to before them.
    sub, selection.namespace.sub_attr = selection.namespace.sub_attr, None
    if sub is None:
        raise InvalidFilter("A comparison after brackets needs a sub-attribute: `emails[…].value eq …`.")
    found = _value_path(selection, resolve)
    compared = _comparison(expression, _values_of(found.path)(sub.value))
    return ValuePath(found.path, _joined(And, [found.term, compared]))


def _value_path(node: Any, resolve: _Scope) -> ValuePath:
    if isinstance(node.namespace.attr_name, ast.Filter):
        raise InvalidFilter("Brackets cannot follow brackets.")
    path = resolve(_spelling(node.namespace))
    return ValuePath(path, _build(node.expr, _values_of(path)))


def _values_of(path: AttrPath) -> _Scope:
    """The scope inside `path[…]`: the sub-attributes, without any prefix."""
    if path.leaf.type != "complex":
        raise InvalidFilter(f"{path} has no sub-attributes to put in brackets.")

    def resolve(name: str) -> AttrPath:
        sub = path.leaf.sub_attribute(name)
        if sub is None:
            raise InvalidFilter(f"{excerpt(name)} is not a sub-attribute of {path}.")
        return AttrPath(None, sub)

    return resolve


def _spelling(path: Any) -> str:
    prefix = f"{path.uri}:" if path.uri else ""
    suffix = f".{path.sub_attr.value}" if path.sub_attr else ""
    return f"{prefix}{path.attr_name}{suffix}"


def _comparison(expression: Any, path: AttrPath) -> Filter:
    op = expression.value.lower()
    if op == "pr":
        return Present(path)
    if path.leaf.type == "complex":
        path = _value_of(path)
    if op not in _ALLOWED[path.leaf.type]:
        raise InvalidFilter(f"{op} cannot compare {path}, which is of type {path.leaf.type}.")
    return Compare(path, op, _typed(path, op, expression.comp_value.value))


def _value_of(path: AttrPath) -> AttrPath:
    """Comparing a complex attribute compares its `value`: `members eq "…"`, `manager eq "…"`."""
    value = path.attribute.sub_attribute("value")
    if value is None or path.sub_attribute is not None:
        raise InvalidFilter(f"{path} is complex; compare one of its sub-attributes.")
    return AttrPath(path.schema_urn, path.attribute, value)


def _typed(path: AttrPath, op: str, literal: Any) -> Value:
    """The literal as a value of the attribute's type; null can only be equal or not."""
    if literal is None and op in _EQUALITY:
        return None
    typed: Value = _TYPED[path.leaf.type](literal)
    if typed is None:
        raise InvalidFilter(f"{path} is of type {path.leaf.type}; {excerpt(literal)} is not.")
    return typed


def _text(literal: Any) -> str | None:
    return literal if isinstance(literal, str) and is_storable(literal) else None


def _number(literal: Any) -> int | float | None:
    if isinstance(literal, bool) or not isinstance(literal, int | float):
        return None
    return literal if abs(literal) < float("inf") else None


def _datetime(literal: Any) -> str | None:
    return literal if isinstance(literal, str) and parse_datetime(literal) else None


_TYPED: dict[str, Callable[[Any], Value]] = {
    "string": _text,
    "reference": _text,
    "binary": _text,
    "boolean": quirks.boolean,
    "integer": _number,
    "decimal": _number,
    "dateTime": _datetime,
}


# The library, corrected from outside. Both corrections rest on sly's internals: hence the exact pin of the version.


def _literal(pattern: str) -> Callable[[Any, Any], Any]:
    """A lexer rule whose token carries the JSON value instead of its spelling."""

    def rule(_lexer: Any, token: Any) -> Any:
        text = token.value
        try:
            token.value = json.loads(text if text.startswith('"') else text.lower())
        except json.JSONDecodeError:
            raise InvalidFilter(f"{excerpt(text)} is no JSON string or number.") from None
        return token

    rule.pattern = pattern  # type: ignore[attr-defined]  # where sly looks for it
    return rule


class _Lexer(SCIMLexer):  # type: ignore[misc]  # the library has no types
    """Strings with escapes, numbers of any length, and words that only begin with `true` left alone."""

    tokens = set(SCIMLexer.tokens)
    COMP_VALUE = _literal(r'"(?:[^"\\]|\\.)*"')
    NUMBER = _literal(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.])")
    TRUE = _literal(r"(?i:true)(?![\w$-])")
    FALSE = _literal(r"(?i:false)(?![\w$-])")
    NULL = _literal(r"(?i:null)(?![\w$-])")

    def error(self, token: Any) -> None:
        """Called by sly where no token begins."""
        raise InvalidFilter(f"{excerpt(token.value[0])} is not expected at character {self.index + 1}.")


class _Parser(SCIMParser):  # type: ignore[misc]  # the library has no types
    """The library's own rules, with a precedence of `and` over `or` (RFC 7644 §3.4.2.2)."""

    tokens = _Lexer.tokens
    track_positions = False
    precedence = (("left", "OR"), ("left", "AND"), ("right", "NOT"))

    filter = SCIMParser.filter
    value_path = SCIMParser.value_path
    attr_exp = SCIMParser.attr_exp
    log_exp = SCIMParser.log_exp
    comp_value = SCIMParser.comp_value
    attr_path = SCIMParser.attr_path
    sub_attr = SCIMParser.sub_attr

    def error(self, token: Any) -> None:
        """Called by sly where no rule fits; it would go on to guess, so this must raise."""
        if token is None:
            raise InvalidFilter("The filter ends too early.")
        if token.type == "ATTRNAME" and self.symstack[-1].type in _ENDS_OF_A_NAME:
            raise InvalidFilter(f"The operator {excerpt(token.value)} is not supported.")
        raise InvalidFilter(f"{excerpt(token.value)} is not expected at character {token.index + 1}.")


_ENDS_OF_A_NAME = frozenset({"ATTRNAME", "SUBATTR", "sub_attr", "attr_path"})
_COMPARISON_TOKENS = frozenset({"EQ", "NE", "CO", "SW", "EW", "PR", "GT", "LT", "GE", "LE"})
_DEPTH_CHANGE = {"LPAREN": 1, "LBRACKET": 1, "RPAREN": -1, "RBRACKET": -1}


def _syntax_tree(text: str) -> Any:
    """The library's tree. Lexer and parser are made for each text: they keep state and threads share nothing."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise InvalidFilter(f"The filter is longer than {MAX_BYTES} bytes.")
    tokens = list(_Lexer().tokenize(text))
    _check_size(tokens)
    try:
        return _Parser().parse(iter(tokens))
    except SCIMParserError:  # its own check, of a sub-attribute before and behind the brackets
        raise InvalidFilter("A sub-attribute can stand before the brackets or behind them, not both.") from None


def _check_size(tokens: list[Any]) -> None:
    """Before anything is built: how many comparisons there are and how deep the brackets go."""
    if sum(token.type in _COMPARISON_TOKENS for token in tokens) > MAX_TERMS:
        raise InvalidFilter(f"The filter has more than {MAX_TERMS} terms.")
    depth = 0
    for token in tokens:
        depth += _DEPTH_CHANGE.get(token.type, 0)
        if depth > MAX_DEPTH:
            raise InvalidFilter(f"The filter is nested more than {MAX_DEPTH} deep.")
