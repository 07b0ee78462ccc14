"""What is verified in place of a plaintext that was none, so that a failed decryption takes the time of any other.

Whoever can tell "no XML" from "badly signed XML" by the clock decrypts AES-CBC, one request after another (Jager and
Somorovsky 2011). So a decoy of about the same size goes through the same parser and the same rules, up to a signature
that fits the pinned key in kind and length, and that no key has made: nothing here can ever be accepted.
"""

import base64
from collections.abc import Sequence

from idp_bridge.saml import pinned
from idp_bridge.saml.certificate import Certificate
from idp_bridge.saml.xml import DS, SAML, XENC

_EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
_FRAME = (
    f'<saml:Assertion xmlns:saml="{SAML}" ID="_decoy" Version="2.0"><ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>'
    f'<ds:CanonicalizationMethod Algorithm="{_EXC_C14N}"/><ds:SignatureMethod Algorithm="%s"/>'
    f'<ds:Reference URI="#_decoy"><ds:Transforms><ds:Transform Algorithm="{DS}enveloped-signature"/>'
    f'<ds:Transform Algorithm="{_EXC_C14N}"/></ds:Transforms><ds:DigestMethod Algorithm="{XENC}sha256"/>'
    "<ds:DigestValue>ZGVjb3k=</ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue>%s</ds:SignatureValue>"
    "</ds:Signature><saml:AttributeStatement>%s</saml:AttributeStatement></saml:Assertion>"
)
_FILLING = '<saml:Attribute Name="decoy"><saml:AttributeValue>decoy</saml:AttributeValue></saml:Attribute>'


def decoy(certificates: Sequence[Certificate], *, size: int) -> bytes:
    """An assertion of about `size` octets that none of these certificates vouches for."""
    method, length = pinned.form(certificates)
    value = base64.b64encode(b"\x01" * length).decode("ascii")
    return (_FRAME % (method, value, _FILLING * ((size - len(_FRAME)) // len(_FILLING)))).encode()
