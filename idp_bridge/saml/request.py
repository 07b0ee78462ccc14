"""AuthnRequests (Core 3.4.1): built with pysaml2's typed objects, signed and sent by `sending`."""

from datetime import datetime

from saml2 import saml, samlp

from idp_bridge.saml.metadata import POST, Endpoint
from idp_bridge.saml.sending import Sent, SigningKey, instant, new_id, send

__all__ = ["authn_request"]


def authn_request(
    *,
    sp_entity_id: str,
    acs_url: str,
    sso: Endpoint,
    now: datetime,
    identifier: str | None = None,
    relay_state: str | None = None,
    force_authn: bool = False,
    name_id_format: str | None = None,
    signing_key: SigningKey | None = None,
) -> Sent:
    """One AuthnRequest for `sso`, by that endpoint's binding; `identifier` is an NCName that nobody can guess.

    A NameIDPolicy is sent only when a format is asked for: providers refuse what they do not know.
    """
    policy = samlp.NameIDPolicy(format=name_id_format, allow_create="true") if name_id_format else None
    request = samlp.AuthnRequest(
        id=identifier or new_id(),
        version="2.0",
        issue_instant=instant(now),
        destination=sso.url,
        assertion_consumer_service_url=acs_url,
        protocol_binding=POST,
        issuer=saml.Issuer(text=sp_entity_id),
        force_authn="true" if force_authn else None,
        name_id_policy=policy,
    )
    return send(
        request,
        name="SAMLRequest",
        binding=sso.binding,
        url=sso.url,
        relay_state=relay_state,
        signing_key=signing_key,
    )
