"""What a kept message must not say of a person: every value of NameIDs and attributes, where she was, what a provider
wrote in its own words, and every ciphertext.

Done on the tree, so that an administrator still sees the structure, the ids and the signatures that were refused. The
result is for reading: its signatures hold no longer.
"""

from lxml import etree

from idp_bridge.saml import xml
from idp_bridge.saml.apart import apart
from idp_bridge.saml.errors import Rejected

MARK = "[redacted]"

_VALUES = (
    f"{{{xml.SAML}}}NameID",
    f"{{{xml.SAML}}}AttributeValue",
    f"{{{xml.SAML}}}BaseID",
    f"{{{xml.SAMLP}}}StatusMessage",
    f"{{{xml.SAMLP}}}StatusDetail",
    f"{{{xml.XENC}}}CipherValue",
)
# Of NameID (Core 2.2.2); of SubjectConfirmationData and SubjectLocality (2.4.1.2, 2.7.2.1).
_ATTRIBUTES = frozenset({"SPProvidedID", "Address", "DNSName"})


@apart
def redacted(document: bytes) -> bytes | None:
    """The document without those values; None where it is none that can be read, so that nothing slips by unread."""
    try:
        root = xml.parse(document)
    except Rejected:
        return None
    for element in list(root.iter(*_VALUES)):
        _empty(element)
    for element in root.iter():
        for name in _ATTRIBUTES.intersection(map(str, element.attrib)):
            element.set(name, MARK)
    return etree.tostring(root, encoding="utf-8")


def _empty(element: etree._Element) -> None:
    """An attribute's value may be a whole tree (eduPersonTargetedID holds a NameID); its type is kept."""
    for child in list(element):
        element.remove(child)
    element.text = MARK
