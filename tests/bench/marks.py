"""What the figures are held against. A mark is a promise to keep, not a measurement: it is written before measuring."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.bench.lanes import Figures


@dataclass(frozen=True)
class Mark:
    """At least this ratio to the floor, this many a second, or this share of another row's speed."""

    ratio: float | None = None
    rate: float | None = None
    beside: str | None = None
    share: float = 0.0

    def __str__(self) -> str:
        told = [
            self.ratio and f"≥{self.ratio:.2f}",
            self.rate and f"≥{self.rate:.0f}/s",
            self.beside and f"≥{self.share:.2f} of {self.beside.rpartition(', ')[2].removeprefix('of ')}",
        ]
        return ", ".join(each for each in told if each)

    def met(self, row: Figures, rows: Mapping[str, Figures]) -> bool:
        """Whether all of it holds. Two rows with a floor are compared by their ratios, which noise disturbs less."""
        if self.ratio is not None and (row.ratio is None or row.ratio < self.ratio):
            return False
        if self.rate is not None and row.rate < self.rate:
            return False
        if self.beside is None:
            return True
        other = rows[self.beside]
        share = row.ratio / other.ratio if row.ratio and other.ratio else row.rate / other.rate
        return share >= self.share


FLAT = 0.8  # a large group beside a small one: what is left for noise, and for an index one level deeper

_READ, _FILTER, _INSERT, _UPDATE, _MEMBER, _HEAD = 0.75, 0.65, 0.45, 0.40, 0.35, 0.70
_INTROSPECTION = 0.70

_BY_NAME = {
    "GET /Users/{id}": Mark(ratio=_READ),
    "filter userName eq, hit": Mark(ratio=_FILTER),
    "filter userName eq, miss": Mark(ratio=_FILTER),
    "filter externalId eq, hit": Mark(ratio=_FILTER),
    "filter externalId eq, miss": Mark(ratio=_FILTER),
    "POST introspect by operator key": Mark(ratio=_INTROSPECTION),
    "POST introspect by API key": Mark(ratio=_INTROSPECTION),
    "POST /Users": Mark(ratio=_INSERT),
    "PATCH active=false": Mark(ratio=_UPDATE),
    "list count=100, first page": Mark(rate=400),
    "list count=100, deep page": Mark(rate=400, beside="list count=100, first page", share=1 / 1.3),
    "POST acs, session opened": Mark(rate=150),
}

_BY_GROUP = {
    "GET group without members": Mark(ratio=_HEAD),
    "PATCH group add one": Mark(ratio=_MEMBER),
    "PATCH group remove one": Mark(ratio=_MEMBER),
    "PATCH group add 100": Mark(rate=150),
}


def mark(row: Figures) -> Mark | None:
    """The row's mark; they are set for one connection. A group's rows are named by their size, and the larger one is
    also held against that of ten."""
    if row.connections != 1:
        return None
    kind, _, size = row.name.partition(", of ")
    of_group = _BY_GROUP.get(kind)
    if of_group is None or size == "10":
        return _BY_NAME.get(row.name) or of_group
    return Mark(ratio=of_group.ratio, rate=of_group.rate, beside=f"{kind}, of 10", share=FLAT)


def verdict(row: Figures, rows: Iterable[Figures]) -> str:
    """``ok`` or ``below``; empty where no mark is set."""
    wanted = mark(row)
    if wanted is None:
        return ""
    return "ok" if wanted.met(row, {each.name: each for each in rows if each.connections == 1}) else "below"
