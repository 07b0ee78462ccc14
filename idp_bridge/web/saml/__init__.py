"""/saml/<idp_id>: sending requests, consuming responses, refusing them, our metadata, logout.

One entity ID, one ACS URL and one set of pending requests for each connection: the row is chosen by the URL, never by
anything in a message.
"""

from flask import Flask

from idp_bridge.web.saml import consuming, finishing, logout, metadata, sending
from idp_bridge.web.saml.blueprint import blueprint

__all__ = ["consuming", "finishing", "logout", "metadata", "register", "sending"]


def register(app: Flask) -> None:
    """Mount the blueprint. The ACS takes cross-site posts: its proof is the signature, not a CSRF token."""
    app.register_blueprint(blueprint)
