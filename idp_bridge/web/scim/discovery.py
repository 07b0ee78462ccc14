"""Discovery (RFC 7644 §4), and what this server does not offer."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request

from idp_bridge.provisioning.directory import Directory
from idp_bridge.web import guard
from idp_bridge.web.scim.blueprint import PREFIX, blueprint, route
from idp_bridge.web.scim.door import opened
from idp_bridge.web.scim.wire import answer
from scim import errors, schemas

ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _discovery(path: str, document: Callable[..., Mapping[str, Any]]) -> None:
    """A document that anybody may read (RFC 7644 §4); a filter on it is 403, since all of it is always meant."""

    def view(**values: str) -> Response:
        if "filter" in request.args:
            raise errors.Forbidden("The discovery endpoints cannot be filtered.")
        return answer(document(guard.base_url() + PREFIX, **values))

    view.guard = "public"  # type: ignore[attr-defined]
    blueprint.add_url_rule(path, document.__name__, view, methods=["GET"], strict_slashes=False)


_discovery("/ServiceProviderConfig", schemas.service_provider_config)
_discovery("/ResourceTypes", schemas.resource_types_list)
_discovery("/ResourceTypes/<name>", schemas.resource_type_document)
_discovery("/Schemas", schemas.schemas_list)
_discovery("/Schemas/<urn>", schemas.schema_document)


@route("/Me", *ALL_METHODS)
@route("/Bulk", *ALL_METHODS)
@opened
def not_implemented(directory: Directory) -> Response:
    """RFC 7644 §3.11 lets a token that stands for a directory have no /Me; ServiceProviderConfig says no to bulk."""
    raise errors.NotImplementedByServer("This server does not offer this operation.")
