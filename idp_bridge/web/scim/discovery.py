"""Discovery (RFC 7644 §4), and what this server does not offer: /Me, and other versions of the protocol."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, request
from werkzeug.routing import BaseConverter

from idp_bridge.provisioning.directory import Directory
from idp_bridge.web import guard
from idp_bridge.web.scim.blueprint import PREFIX, blueprint, route
from idp_bridge.web.scim.door import catalogue, opened
from idp_bridge.web.scim.wire import answer
from scim import errors, quirks, schemas

ROOT, _, VERSION = PREFIX.rpartition("/")

ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _discovery(path: str, document: Callable[..., Mapping[str, Any]]) -> None:
    """A document that anybody may read (RFC 7644 §4), who sends a token that of her own directory; a wrong token is
    401 here as everywhere, since providers test theirs here. A filter is 403: all of it is always meant."""

    def view(**values: str) -> Response:
        asked = catalogue()
        if "filter" in request.args:
            raise errors.Forbidden("The discovery endpoints cannot be filtered.")
        found = document(guard.base_url() + PREFIX, catalogue=asked, **values)
        if quirks.is_strict_reader(request.headers.get("User-Agent", ""), request.headers.get("Accept", "")):
            found = quirks.for_strict_reader(found, user_urn=schemas.USER_URN)
        return answer(found)

    view.guard = "public"  # type: ignore[attr-defined]
    blueprint.add_url_rule(path, document.__name__, view, methods=["GET"], strict_slashes=False)


_discovery("/ServiceProviderConfig", schemas.service_provider_config)
_discovery("/ResourceTypes", schemas.resource_types_list)
_discovery("/ResourceTypes/<name>", schemas.resource_type_document)
_discovery("/Schemas", schemas.schemas_list)
_discovery("/Schemas/<urn>", schemas.schema_document)


@route("/Me", *ALL_METHODS)
@opened
def me(directory: Directory) -> Response:
    """501 (RFC 7644 §3.11): a token stands for a directory, and no user of it is the one who asks."""
    raise errors.NotImplementedByServer("There is no /Me here: a SCIM token stands for a directory, and for no person.")


class _OfOtherVersion(BaseConverter):
    """A path that begins with a version segment, `v` and a number, which is not ours (RFC 7644 §3.13)."""

    part_isolating = False
    regex = rf"{VERSION[0]}(?!{VERSION[1:]}(?:/|$))[0-9].*"


@opened
def other_version(directory: Directory, path: str) -> Response:
    """400 invalidVers, for every method and endpoint."""
    raise errors.InvalidVers(f"This server speaks SCIM 2.0 only: the base URL is {directory.base_url}.")


def register(app: Flask) -> None:
    """The addresses of other versions, which stand beside the blueprint's."""
    app.url_map.converters["of_other_version"] = _OfOtherVersion
    app.add_url_rule(f"{ROOT}/<of_other_version:path>", "scim_version", other_version, methods=ALL_METHODS)
