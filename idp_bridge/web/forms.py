"""Form posts -> plain values. What is wrong becomes one Invalid that names each field in words."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from flask import request
from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load, validate

from idp_bridge import clock
from idp_bridge.errors import Invalid

LONGEST_NAME = 255


class Form(Schema):
    """Base of the forms. Fields that no form knows (the CSRF token, a button's name) are left out."""

    class Meta:
        unknown = EXCLUDE

    @pre_load
    def _gather(self, data: Any, **_: Any) -> dict[str, Any]:
        """A list where the form takes several values, else the one value; spaces around it are typing, not meaning."""
        taken: dict[str, Any] = {}
        for name, field in self.fields.items():
            if isinstance(field, Several):
                taken[name] = data.getlist(name)
            elif name in data:
                taken[name] = data[name] if isinstance(field, Secret) else data[name].strip()
        return taken


def read(form: type[Form]) -> dict[str, Any]:
    """The values of this request's form. Raises Invalid with the fields that are wrong."""
    try:
        values: Mapping[str, Any] = form().load(request.form)
    except ValidationError as error:
        faults = {name: [str(text) for text in _flat(texts)] for name, texts in _by_field(error).items()}
        raise Invalid("Please correct the form.", fields=faults) from error
    return dict(values)


def _by_field(error: ValidationError) -> dict[str, Any]:
    return dict(error.messages) if isinstance(error.messages, dict) else {"form": error.messages}


def _flat(texts: Any) -> list[Any]:
    return [text for part in texts.values() for text in _flat(part)] if isinstance(texts, dict) else list(texts)


def _printable(text: str) -> None:
    if any(not (character.isprintable() or character in "\r\n\t") for character in text):
        raise ValidationError("This has a character that cannot be shown.")


class Text(fields.String):
    """One line or several, without control characters (PostgreSQL stores no NUL)."""

    def __init__(self, *, longest: int = LONGEST_NAME, **options: Any) -> None:
        super().__init__(**options)
        self.validators = [*self.validators, _printable, validate.Length(max=longest)]
        if self.required:
            self.error_messages["required"] = "Fill this in."
            self.validators.append(validate.Length(min=1, error="Fill this in."))


class Secret(fields.String):
    """A password: taken as it is, spaces too."""


class Email(fields.Email):
    """An address; those under reserved domains such as .test are valid."""

    default_error_messages = {"invalid": "Write an address such as ana@example.com.", "required": "Fill this in."}


class Several(fields.List[str]):
    """The values of checkboxes that share a name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(fields.String(validate=_printable), **options)


class Checkbox(fields.Boolean):
    """Ticked, or not sent at all."""

    def __init__(self, **options: Any) -> None:
        super().__init__(load_default=False, **options)


class Words(fields.Field[list[str]]):
    """Words parted by commas, spaces or lines."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> list[str]:
        _printable(str(value))
        return str(value).replace(",", " ").split()


class Number(fields.Field[int]):
    """Digits, from ``least`` to ``most``; empty = None."""

    def __init__(self, *, least: int, most: int, **options: Any) -> None:
        self.least, self.most = least, most
        super().__init__(**options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int | None:  # type: ignore[override]
        if value == "":
            return None
        if not (str(value).isascii() and str(value).isdigit() and self.least <= int(value) <= self.most):
            raise ValidationError(f"Give a number from {self.least} to {self.most}.")
        return int(value)


class Days(fields.Field[datetime]):
    """``30`` -> the instant in that many days; empty = never."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> datetime | None:  # type: ignore[override]
        if value == "":
            return None
        if not (str(value).isascii() and str(value).isdigit() and 0 < int(value) <= 3650):
            raise ValidationError("Give a number of days from 1 to 3650.")
        return clock.now() + timedelta(days=int(value))
