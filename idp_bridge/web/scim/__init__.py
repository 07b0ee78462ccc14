"""SCIM at /scim/v2: HTTP in front of ``provisioning``. What a request says is read here, once; what it means is there.

    blueprint   where all of it is mounted
    door        whose token it is, and what stands before every view
    wire        bodies in, answers out
    resources   Users and Groups: create, read, change, delete, list, search
    discovery   what the server can do

Every error is answered by web/errors.py.
"""

from flask import Flask

from idp_bridge.web.scim import discovery, resources  # their routes are made as they are imported
from idp_bridge.web.scim.blueprint import PREFIX, blueprint

__all__ = ["PREFIX", "discovery", "register", "resources"]


def register(app: Flask) -> None:
    """Mount /scim/v2."""
    app.register_blueprint(blueprint)
