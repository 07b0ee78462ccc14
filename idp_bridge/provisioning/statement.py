"""Statements whose SQL is written once. For those that run with every request: building one costs peewee five times
what running it costs SQLite."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from peewee import Database, Field, Value

from idp_bridge.db import database


@dataclass(frozen=True)
class _Parameter:
    name: str


def parameter(name: str) -> Any:
    """Where a value goes that is given with each run, as the column stores it."""
    return Value(_Parameter(name), converter=False)


@dataclass
class Statement:
    """What ``query`` builds, once for each database that is opened; ``columns`` are those of a SELECT, in order."""

    columns: Sequence[Field]
    query: Callable[[], Any]
    _written: tuple[Database, str, tuple[Any, ...]] | None = field(default=None, init=False, repr=False)

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        """Run it. Each row holds Python values in the order of the columns."""
        read: list[Any] = [column.python_value for column in self.columns]
        return [
            tuple([convert(value) for convert, value in zip(read, row, strict=True)])
            for row in self._execute(values).fetchall()
        ]

    def one(self, **values: Any) -> tuple[Any, ...] | None:
        """The first row, or None."""
        return next(iter(self.rows(**values)), None)

    def run(self, **values: Any) -> None:
        """Run what is no SELECT."""
        self._execute(values)

    def _execute(self, values: Mapping[str, Any]) -> Any:
        sql, parameters = self._sql()
        bound = [values[item.name] if isinstance(item, _Parameter) else item for item in parameters]
        return database.execute_sql(sql, bound)

    def _sql(self) -> tuple[str, tuple[Any, ...]]:
        written = self._written
        if written is None or written[0] is not database.obj:
            sql, parameters = self.query().sql()
            written = self._written = (database.obj, sql, tuple(parameters))
        return written[1], written[2]
