"""A month of one measure as bars, one a day: their geometry, and what is said of them to who does not see them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from idp_bridge.plans import Metric
from idp_bridge.usage import Days

STEP, BAR, HEIGHT = 10, 8, 100  # of a day, of its bar, and of the plot; the page stretches it
_UNITS = ("kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True)
class Bar:
    """One day's."""

    day: date
    amount: int
    x: int
    y: float
    height: float


@dataclass(frozen=True)
class Plot:
    """The bars of all days, the days without any included."""

    metric: str
    bars: tuple[Bar, ...]

    @property
    def width(self) -> int:
        """Of all of it."""
        return STEP * len(self.bars)

    @property
    def total(self) -> int:
        """Of all days."""
        return sum(bar.amount for bar in self.bars)

    @property
    def highest(self) -> Bar | None:
        """The first of the days with most; None where there is nothing."""
        return max(self.bars, key=lambda bar: bar.amount) if self.total else None

    @property
    def words(self) -> str:
        """What the bars show."""
        if self.highest is None:
            return "Nothing was reported in these days." if self.metric in set(Metric) else "None in these days."
        used = [bar for bar in self.bars if bar.amount]
        most = f"{shown(self.highest.amount, self.metric)} on {self.highest.day}"
        return f"{shown(self.total, self.metric)} on {len(used)} of {len(self.bars)} days, most of it {most}."


def of(metric: str, days: Days, amounts: Mapping[str, int]) -> Plot:
    """``amounts`` by day; a day with anything has a bar that can be seen."""
    every = [(day, amounts.get(day.isoformat(), 0)) for day in days]
    top = max((amount for _, amount in every), default=0) or 1
    heights = [round(max(1.0, amount * HEIGHT / top), 2) if amount else 0.0 for _, amount in every]
    return Plot(
        metric,
        tuple(
            Bar(day, amount, place * STEP + (STEP - BAR) // 2, round(HEIGHT - height, 2), height)
            for place, ((day, amount), height) in enumerate(zip(every, heights, strict=True))
        ),
    )


def shown(amount: int, metric: str) -> str:
    """``1.5 GB`` of bytes, by powers of a thousand and rounded down; else the number, its thousands parted."""
    if metric != Metric.BANDWIDTH:
        return f"{amount:,}"
    if amount < 1000:
        return f"{amount} B"
    power = min((len(str(amount)) - 1) // 3, len(_UNITS))
    tenths = amount * 10 // 1000**power
    return f"{tenths // 10:,}{f'.{tenths % 10}' if tenths % 10 else ''} {_UNITS[power - 1]}"
