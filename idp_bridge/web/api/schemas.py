"""What the bodies and answers of all nouns are made of: strict fields, and the bases of the schemas.

Strict means that the JSON type is the one documented: no "true" for true, no 1 for "1". Control characters and lone
surrogates are refused everywhere; PostgreSQL could not store some of them.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import marshmallow
from marshmallow import RAISE, ValidationError, fields, post_load, pre_load

from idp_bridge import clock
from idp_bridge.errors import Code, Invalid
from idp_bridge.web.guard import base_url

NAME_BYTES = DESCRIPTION_BYTES = 255
METADATA_BYTES = 4096

PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*$"
PLAIN_LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
ID = r"^[A-Za-z0-9_-]{1,64}$"

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WORDS = dict.fromkeys((PLAIN, PLAIN_LINES), "Control characters are not allowed.")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_EMAIL = re.compile(r"[^\s@\"(),:;<>\[\]\\]{1,64}@([^\s@.,:;/]{1,63}\.)+[^\s@.,:;/]{1,63}")


# --- fields -----------------------------------------------------------------------------------------------------


class Text(fields.String):
    """A string of ``least`` to ``most`` bytes of UTF-8, without control characters; ``lines`` lets line breaks and
    tabs through. ``pattern`` is a JSON Schema pattern that begins with ^ and ends with $; ``words`` say what it asks
    for to somebody whose text does not match."""

    def __init__(
        self,
        *,
        most: int,
        least: int = 0,
        lines: bool = False,
        pattern: str | None = None,
        words: str = "",
        **options: Any,
    ) -> None:
        self.most, self.least = most, least
        self.pattern = pattern or (PLAIN_LINES if lines else PLAIN)
        self.words = words or _WORDS.get(self.pattern, f"Must match {self.pattern}")
        limits = {"minLength": least, "maxLength": most} if least else {"maxLength": most}
        super().__init__(metadata={**limits, "pattern": self.pattern, **options.pop("metadata", {})}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **options)
        if _SURROGATE.search(text) or not re.fullmatch(self.pattern[1:-1], text):
            raise ValidationError(self.words)
        if not self.least <= len(text.encode()) <= self.most:
            raise ValidationError(f"Must have {self.least} to {self.most} bytes.")
        return text


class Name(Text):
    """What people read a thing by, as the forms of the pages take it: what cannot be seen could not be typed there to
    confirm a deletion, and makes two names look like one."""

    def __init__(self, **options: Any) -> None:
        seen = "No space at either end, and only characters that can be seen."
        super().__init__(least=1, most=NAME_BYTES, metadata={"description": seen}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        name = super()._deserialize(value, attr, data, **options)
        if name != name.strip() or not name.isprintable():
            raise ValidationError("Must have no space at either end, and only characters that can be seen.")
        return name


class Email(Text):
    """An address, one under a reserved domain included: whether mail arrives is for the mail to show."""

    def __init__(self, **options: Any) -> None:
        super().__init__(most=254, least=3, metadata={"format": "email"}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        address = super()._deserialize(value, attr, data, **options)
        if not _EMAIL.fullmatch(address):
            raise ValidationError("Not an e-mail address.")
        return address


class Flag(fields.Boolean):
    """true or false."""

    truthy = {True}
    falsy = {False}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> bool:
        if not isinstance(value, bool):  # 1 == True, so the sets alone would let a number in
            raise self.make_error("invalid", input=value)
        return value


class Instant(fields.String):
    """A time as RFC 3339 writes it, with an offset; answered in UTC with ``Z``."""

    default_error_messages = {"invalid": "Must be an RFC 3339 time such as 2027-01-31T09:30:00Z."}

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"format": "date-time", **options.pop("metadata", {})}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        text = super()._deserialize(value, attr, data, **options)
        if not _RFC3339.fullmatch(text):
            raise self.make_error("invalid")
        try:
            return clock.parse(text.upper())
        except (ValueError, OverflowError) as error:
            raise self.make_error("invalid") from error

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> str | None:
        return clock.rfc3339(value) if isinstance(value, datetime) else value


class Names(fields.List[str]):
    """A list of short names: roles, scopes, domains."""

    def __init__(
        self, *, most: int = 100, each: int = 255, pattern: str | None = None, words: str = "", **options: Any
    ) -> None:
        one = Text(least=1, most=each, pattern=pattern, words=words)
        super().__init__(one, validate=marshmallow.validate.Length(max=most), **options)


class Uri(fields.String):
    """The thing's own absolute address: ``path`` filled in from its attributes."""

    _CHECK_ATTRIBUTE = False

    def __init__(self, path: str, **options: Any) -> None:
        self.path = path
        super().__init__(metadata={"format": "uri"}, **options)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> str:
        names = re.findall(r"{(\w+)}", self.path)
        return base_url() + self.path.format(**{name: _attribute(obj, name) for name in names})


def _attribute(obj: Any, name: str) -> Any:
    return obj[name] if isinstance(obj, Mapping) else getattr(obj, name)


# --- schemas ----------------------------------------------------------------------------------------------------


class Body(marshmallow.Schema):
    """A request's body: what is unknown is refused, never dropped."""

    class Meta:
        unknown = RAISE


class Patch(Body):
    """A body that says what to change. Raises Invalid where it says nothing."""

    @pre_load
    def _not_empty(self, data: Any, **_: Any) -> Any:
        if data == {}:
            raise Invalid("This changes nothing: name at least one field.", code=Code.EMPTY_PATCH)
        return data


class NullIsAbsent(marshmallow.Schema):
    """For what ngrok's API clients drive: they send null for every argument that was not given."""

    @post_load
    def _leave_out(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name: value for name, value in data.items() if value is not None}


class Answer(marshmallow.Schema):
    """What is answered: every field is always there."""

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Documented as required."""
        field_obj.required = True


def listing(plural: str, item: type[Answer]) -> type[marshmallow.Schema]:
    """The schema of one page of ``item``."""
    return Answer.from_dict(
        {
            plural: fields.List(fields.Nested(item)),
            "uri": fields.String(metadata={"format": "uri"}),
            "next_page_uri": fields.String(allow_none=True, metadata={"format": "uri"}),
        },
        name=f"{item.__name__}List",
    )
