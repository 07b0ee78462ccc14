"""Handing a SAML message to the browser, which carries it to the provider: a redirect, or a form that sends itself."""

from flask import redirect, render_template
from werkzeug.wrappers import Response

from idp_bridge.saml.sending import Sent
from idp_bridge.web import headers


def carry(sent: Sent, *, to: str, words: str, framed_by: str | None = None) -> Response:
    """On to the provider, whose name is ``to``; ``words`` tell the person why, where there is a page at all."""
    if sent.method == "GET":
        return redirect(sent.url, 303)
    page = render_template("saml_post.html", url=sent.url, fields=sent.fields, to=to, words=words)
    policy = headers.policy(form_action=sent.url, framed_by=framed_by)
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": policy})
