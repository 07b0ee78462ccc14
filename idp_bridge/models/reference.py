"""The foreign key that all tables use."""

from typing import Any

from peewee import ForeignKeyField


def reference(model: Any, **options: Any) -> ForeignKeyField:
    """A foreign key that cascades; its raw value is ``<name>_id``, declared beside each for the types.

    ``index=False`` where a composite index or key below begins with the column.
    """
    return ForeignKeyField(model, on_delete=options.pop("on_delete", "CASCADE"), **options)
