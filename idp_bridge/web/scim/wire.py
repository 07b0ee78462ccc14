"""Bodies in, answers out: JSON in the media types of SCIM (RFC 7644 §3.1)."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Response, g, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge

from idp_bridge.db import encode
from idp_bridge.web.headers import scim_media_type
from scim import errors

MEDIA_TYPE = "application/scim+json"


def body() -> Any:
    """The JSON of the body; its form is the parser's to judge. Raises UnsupportedMediaType, InvalidSyntax."""
    if request.mimetype not in (MEDIA_TYPE, "application/json"):
        raise errors.UnsupportedMediaType(f"Send {MEDIA_TYPE} or application/json, in UTF-8.")
    if request.mimetype_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise errors.UnsupportedMediaType("JSON is sent in UTF-8.")
    if (request.content_encoding or "identity").lower() != "identity":
        raise errors.UnsupportedMediaType("Send the body uncompressed, without Content-Encoding.")
    g.scim_body = request.get_data(cache=False)  # for the request log, once more as it came
    if request.content_length is None and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge  # what comes in chunks, of a length that nobody said, is cut at the limit
    try:
        read = _decode(g.scim_body.decode("utf-8-sig"))  # a byte order mark may be passed over (RFC 8259 §8.1)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidSyntax("The body is not JSON that can be read.") from error
    g.scim_body_is_json = True
    return read


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8259 §4 leaves open which of two equal names counts: who checks a body and who reads it could differ."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise errors.InvalidSyntax(f"The name {errors.excerpt(twice)} stands more than once in one object.")
    return found


_decode = json.JSONDecoder(object_pairs_hook=_each_name_once, parse_constant=_refuse_constant).decode


def answer(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The document as JSON."""
    return text_answer(encode(document), status, headers)


def text_answer(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The text of a JSON document."""
    return _Document(text, status, headers, content_type=scim_media_type())


class _Document(Response):
    """A text of known length, whose headers are said as they are sent. Werkzeug would copy them and go through them for
    what other answers need, with every request (a Location that is no URI yet, a body whose length nobody knows)."""

    def get_wsgi_headers(self, environ: object) -> Headers:
        return self.headers
