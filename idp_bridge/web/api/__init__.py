"""The management API at /api: JSON in ngrok's dialect, one file for each noun."""

from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask

from idp_bridge.web.api import (
    account,
    bot_users,
    credentials,
    documentation,
    events,
    groups,
    identity_conflicts,
    identity_providers,
    introspect,
    invitations,
    recovery_codes,
    role_mappings,
    roles,
    schema_extensions,
    scim_requests,
    scim_tokens,
    service_provider_keys,
    service_users,
    sessions,
    sign_in_flows,
    usage,
    users,
    webhooks,
    whoami,
)
from idp_bridge.web.api.dialect import Api, IdConverter
from idp_bridge.web.api.schemas import ID

VERSION = "1.0"  # of the API, not of the program

NOUNS = (
    account,
    users,
    sessions,
    invitations,
    bot_users,
    service_users,
    credentials,
    introspect,
    roles,
    identity_providers,
    service_provider_keys,
    scim_tokens,
    schema_extensions,
    scim_requests,
    sign_in_flows,
    identity_conflicts,
    groups,
    role_mappings,
    events,
    webhooks,
    usage,
    recovery_codes,
    whoami,
)


def register(app: Flask) -> None:
    """Mount /api, and describe it."""
    app.url_map.converters["id"] = IdConverter
    api = Api(spec_kwargs={"marshmallow_plugin": MarshmallowPlugin(), "security": [{"apiKey": []}]})
    api.register_converter(IdConverter, lambda _: {"type": "string", "pattern": ID})
    api.init_app(
        app,
        spec_kwargs={
            "title": "idp-bridge",
            "version": VERSION,
            "openapi_version": "3.1.0",
            "servers": [{"url": app.config["BASE_URL"]}],
        },
    )
    for name, scheme in documentation.SECURITY_SCHEMES.items():
        api.spec.components.security_scheme(name, scheme)
    for noun in NOUNS:
        api.register_blueprint(noun.blueprint)
    for name, schema in api.spec.components.schemas.items():
        if name.endswith("Patch"):
            schema["minProperties"] = 1
    document = api.spec.to_dict()
    documentation.describe_headers(document["paths"])
    documentation.register(app, document)
