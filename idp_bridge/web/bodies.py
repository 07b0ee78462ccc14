"""Bodies of requests, whole or not at all: werkzeug cuts one that comes in chunks, of a length that nobody said, at the
limit, and what is left of it could be another request than the one that was sent."""

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge


def read() -> bytes:
    """All of it; it is kept for whoever asks for it again. Raises RequestEntityTooLarge."""
    body = request.get_data()
    limit = request.max_content_length
    if limit is not None and len(body) >= limit and _goes_on():
        raise RequestEntityTooLarge
    return body


def _goes_on() -> bool:
    """Asked only of a server that says where the body ends: of another's socket it would be waited for."""
    return bool(request.environ.get("wsgi.input_terminated") and request.environ["wsgi.input"].read(1))
