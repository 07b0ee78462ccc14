"""Bodies in, answers out: JSON in the media types of SCIM (RFC 7644 §3.1)."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Response, request

from idp_bridge.web.headers import scim_media_type
from scim import errors

MEDIA_TYPE = "application/scim+json"


def body() -> Any:
    """The JSON of the body; its form is the parser's to judge. Raises UnsupportedMediaType, InvalidSyntax."""
    if request.mimetype not in (MEDIA_TYPE, "application/json"):
        raise errors.UnsupportedMediaType(f"Send {MEDIA_TYPE} or application/json, in UTF-8.")
    if request.mimetype_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise errors.UnsupportedMediaType("JSON is sent in UTF-8.")
    try:
        return json.loads(request.get_data(cache=False).decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidSyntax("The body is not JSON that can be read.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def answer(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The document as JSON."""
    return Response(encode(document), status, headers, content_type=scim_media_type())
