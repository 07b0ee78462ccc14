"""GET /saml/<idp_id>/metadata: our side of the connection, signed, for the provider to read."""

from flask import request
from werkzeug.wrappers import Response

from idp_bridge import db, idps, sp_keys
from idp_bridge.web import guard
from idp_bridge.web.guard import public
from idp_bridge.web.saml.blueprint import blueprint

MEDIA_TYPE = "application/samlmetadata+xml"  # Metadata, appendix A


@blueprint.get("/metadata")
@public
def sp_metadata(provider_id: str) -> Response:
    """Our metadata for this connection; its URL is our entity ID there. The same bytes until it says something else."""
    provider = idps.with_account(provider_id)
    if not sp_keys.published(provider):
        with db.transaction():
            sp_keys.signing(provider)
    answer = Response(idps.sp_metadata(provider, guard.base_url()), mimetype=MEDIA_TYPE)
    answer.headers["Cache-Control"] = "no-cache"  # kept, but asked about each time: a next key must not come late
    answer.add_etag()
    return answer.make_conditional(request)
