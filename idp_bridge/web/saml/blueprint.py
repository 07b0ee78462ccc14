"""The blueprint that every part of /saml adds its routes to."""

from flask import Blueprint

blueprint = Blueprint("saml", __name__, url_prefix="/saml/<provider_id>")
