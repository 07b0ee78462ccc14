"""The SAML 2.0 service provider's door: bytes, trust and the time in; a frozen Assertion out, or a reason.

What this package refuses to do:

- It touches no database, no network, no clock and no file, and knows nothing of Flask. The caller consumes the
  request id and stores the assertion id; both stand in the result.
- It takes no key from a message. Only certificates pinned for this one identity provider verify anything.
- It reads nothing that was not signed: every value of the result comes from the re-parsed bytes whose digest
  was checked.
- It does not repair: a message of a strange form is refused with one `Reason`, never read in a second way.
- It implements no Artifact, ECP, SOAP, attribute query, EncryptedID or EncryptedAttribute.

It is the only importer of lxml, signxml and pysaml2 (besides the simulator, which plays the other side).
"""

from idp_bridge.saml.attributes import Claims, read
from idp_bridge.saml.certificate import Certificate, MetadataError, parse_certificate
from idp_bridge.saml.checks import CHECKS, Checks
from idp_bridge.saml.errors import REASONS, Check, NotSaml, Reason, ReasonText, Rejected
from idp_bridge.saml.metadata import POST, REDIRECT, Endpoint, IdpMetadata, NotVouchedFor, read_idp_metadata
from idp_bridge.saml.own_metadata import SpConfig, sp_metadata
from idp_bridge.saml.profile import check_fresh
from idp_bridge.saml.request import authn_request
from idp_bridge.saml.response import CLOCK_SKEW, Assertion, ServiceProvider, Trust, verify
from idp_bridge.saml.sending import Sent, SigningKey

__all__ = [
    "CHECKS",
    "CLOCK_SKEW",
    "POST",
    "REASONS",
    "REDIRECT",
    "Assertion",
    "Certificate",
    "Check",
    "Checks",
    "Claims",
    "Endpoint",
    "IdpMetadata",
    "MetadataError",
    "NotSaml",
    "NotVouchedFor",
    "Reason",
    "ReasonText",
    "Rejected",
    "Sent",
    "ServiceProvider",
    "SigningKey",
    "SpConfig",
    "Trust",
    "authn_request",
    "check_fresh",
    "parse_certificate",
    "read",
    "read_idp_metadata",
    "sp_metadata",
    "verify",
]
