"""Where SCIM is mounted, and how its routes are written."""

from collections.abc import Callable

from flask import Blueprint, Response

PREFIX = "/scim/v2"

View = Callable[..., Response]

blueprint = Blueprint("scim", __name__, url_prefix=PREFIX)


def route(path: str, *methods: str) -> Callable[[View], View]:
    """Every path also with a slash at the end: Microsoft's Postman collection asks for /Users/?filter=."""
    return blueprint.route(path, methods=methods, strict_slashes=False)
