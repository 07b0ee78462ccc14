"""SCIM at /scim/v2: HTTP in front of ``provisioning``. What a request says is read here, once; what it means is there.

    blueprint   where all of it is mounted
    door        whose token it is, and what stands before every view
    wire        bodies in, answers out
    resources   Users and Groups: create, read, change, delete, list, search
    request_log when a request is written into its directory's log
    bulk        many changes of Users and Groups in one request
    discovery   what the server can do

Every error is answered by web/errors.py.
"""

from flask import Flask

from idp_bridge.web.scim import bulk, discovery, request_log, resources  # their routes are made as they are imported
from idp_bridge.web.scim.blueprint import PREFIX, blueprint

__all__ = ["PREFIX", "bulk", "discovery", "register", "resources"]


def register(app: Flask) -> None:
    """Mount /scim/v2."""
    request_log.register(app)
    app.register_blueprint(blueprint)
    discovery.register(app)
