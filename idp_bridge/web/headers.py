"""Headers of every answer: a strict content security policy, no framing, no sniffing, the request's id."""

from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from idp_bridge import clock, ids

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action {form_action}; frame-ancestors {framed_by}; base-uri 'none'"
)

#: Where programs call. Three fields, as drafts -03 to -06 of RateLimit header fields had them, because that is what
#: clients read; the one structured field of the later drafts has changed its form with almost each of them.
_WITH_RATES = ("/api/", "/scim/")


def policy(*, form_action: str | None = None, framed_by: str | None = None) -> str:
    """The content security policy of a page; ``form_action`` is the foreign URL that its form leads to.

    Only that URL's scheme is named: Chromium holds every redirect after the post to this rule too, and a provider may
    send the browser on to any host of its own. ``framed_by`` is a URL of the one site that may frame the page; browsers
    that know this rule do not look at X-Frame-Options.
    """
    foreign = "" if form_action is None else f" https: {urlsplit(form_action).scheme}:"
    framer = "'none'" if framed_by is None else "{0.scheme}://{0.netloc}".format(urlsplit(framed_by))
    return _POLICY.format(form_action=f"'self'{foreign}", framed_by=framer)


def scim_media_type() -> str:
    """SCIM's own (RFC 7644 section 8.1), unless the client takes plain JSON only, as OneLogin's documentation demands
    of every answer, errors included."""
    accept = request.headers.get("Accept", "")
    plain = "application/json" in accept and "scim+json" not in accept and "*/*" not in accept
    return "application/json" if plain else "application/scim+json"


def register(app: Flask) -> None:
    """Give each request an id (a proxy's own is kept beside it) and each answer its headers."""
    app.before_request(_identify)
    app.after_request(_protect)


def _identify() -> None:
    g.began_at = clock.now()
    g.request_id = ids.new("op")  # never one that was sent: events and refusals are found by it


def _protect(response: Response) -> Response:
    headers = response.headers
    headers.add("X-Request-Id", g.get("request_id", ""))
    headers.add("X-Content-Type-Options", "nosniff")
    if response.mimetype == "text/html":
        headers.setdefault("Content-Security-Policy", policy())
        headers.setdefault("Referrer-Policy", "same-origin")
        headers["X-Frame-Options"] = "DENY"
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
    rate = g.get("rate")
    if rate is not None and request.path.startswith(_WITH_RATES):
        headers.add("RateLimit-Limit", str(rate.limit))
        headers.add("RateLimit-Remaining", str(rate.remaining))
        headers.add("RateLimit-Reset", str(rate.reset))
    if request.is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return response
