"""What is said, changed after signing; and the envelope around a signed assertion made anew.

The envelope of an assertion that is signed alone is anybody's (node-saml #433): what it says can only add a refusal.
"""

from collections.abc import Iterator
from copy import deepcopy

from lxml import etree

from .. import idp
from .base import ASSERTION, SIGNATURE, VICTIM, Attack, Base, container, signed, xml

_P = f"{{{idp.SAMLP}}}"


def contents(base: Base) -> Iterator[Attack]:
    """Every text, every attribute and every element that a signature covers, changed, doubled, moved or taken away."""
    for index, cover in enumerate(signed(base.document)):
        for number, element in enumerate(cover.iter()):
            if any(item.tag == SIGNATURE for item in (element, *element.iterancestors())) and element is not cover:
                continue
            name = f"{etree.QName(element).localname} ({index}.{number})"
            if element.text and element.text.strip():
                yield f"text of {name}", _changed(base, index, number, lambda item: setattr(item, "text", VICTIM))
                yield (
                    f"text of {name} and a space",
                    _changed(base, index, number, lambda item: setattr(item, "text", f"{item.text} ")),
                )
            for attribute in element.attrib:
                yield (
                    f"{attribute} of {name}",
                    _changed(base, index, number, lambda item, at=attribute: item.set(at, f"{item.get(at)}x")),
                )
                yield (
                    f"{attribute} of {name} taken away",
                    _changed(base, index, number, lambda item, at=attribute: item.attrib.pop(at)),
                )
            if element is not cover:
                yield f"{name} taken away", _changed(base, index, number, _remove)
                yield f"{name} twice", _changed(base, index, number, lambda item: item.addnext(deepcopy(item)))


def _changed(base: Base, index: int, number: int, change) -> bytes:  # type: ignore[no-untyped-def]
    root = base.copy()
    change(next(item for position, item in enumerate(signed(root)[index].iter()) if position == number))
    return xml(root)


def _remove(element: etree._Element) -> None:
    element.getparent().remove(element)  # type: ignore[union-attr]


def envelope(base: Base) -> Iterator[Attack]:
    """The signed assertion in a Response of the stranger's own, which lies about where it comes from and goes to."""
    for attribute, values in {
        "Destination": (
            "https://other.example.com/acs",
            f"{idp.ACS}/",
            f"{idp.ACS} ",
            f"{idp.ACS}?x",
            idp.ACS.upper(),
            "",
        ),
        "InResponseTo": (None, "", "_other", f"{idp.REQUEST} ", idp.REQUEST.upper()),
        "Version": (None, "", "2", "2.00", "1.1", "3.0"),
    }.items():
        for value in values:
            for bare in (True, False):
                root = _stripped(base) if bare else base.copy()
                if value is None:
                    root.attrib.pop(attribute, None)
                else:
                    root.set(attribute, value)
                yield f"{attribute} {value!r}, {'unsigned' if bare else 'as signed'}", xml(root)
    for value in (
        "urn:oasis:names:tc:SAML:2.0:status:Responder",
        "urn:oasis:names:tc:SAML:2.0:status:success",
        "",
        "Success",
    ):
        root = _stripped(base)
        next(root.iter(f"{_P}StatusCode")).set("Value", value)
        yield f"status {value!r}", xml(root)
    for text in ("https://attacker.example", f"{idp.IDP} ", f"{idp.IDP}/", ""):
        root = _stripped(base)
        for issuer in root.findall(f"{{{idp.SAML}}}Issuer"):
            issuer.text = text
        yield f"issuer {text!r}", xml(root)
    for twice in ("Issuer", "Status", "StatusCode"):
        root = _stripped(base)
        found = next(root.iter(f"{{*}}{twice}"))
        found.addnext(deepcopy(found))
        yield f"{twice} twice", xml(root)
    for tag in (f"{_P}Respons", "Response", "{urn:oasis:names:tc:SAML:1.0:protocol}Response", f"{_P}ArtifactResponse"):
        root = _stripped(base)
        root.tag = tag
        yield f"root {tag}", xml(root)


def harmless(base: Base) -> Iterator[Attack]:
    """An envelope that is unsigned anyway may say what it likes beside the point."""
    root = _stripped(base)
    yield "no signature of the Response", xml(root)
    for attribute, value in (
        ("ID", "_other"),
        ("IssueInstant", "1999-01-01T00:00:00Z"),
        ("Consent", "urn:x"),
        ("x", "y"),
    ):
        root = _stripped(base)
        root.set(attribute, value)
        yield f"{attribute} {value}", xml(root)
    for name in ("Destination", "ID", "IssueInstant"):
        root = _stripped(base)
        root.attrib.pop(name, None)
        yield f"no {name}", xml(root)
    root = _stripped(base)
    etree.SubElement(root, f"{_P}Extensions").text = VICTIM
    yield "Extensions", xml(root)
    root = _stripped(base)
    for issuer in root.findall(f"{{{idp.SAML}}}Issuer"):
        root.remove(issuer)
    yield "no issuer", xml(root)
    root = _stripped(base)
    root[:] = list(reversed(root))
    yield "children in another order", xml(root)
    yield "in an own Response", xml(_own(base))


def _stripped(base: Base) -> etree._Element:
    """The Response without its own signature."""
    root = base.copy()
    for signature in root.findall(SIGNATURE):
        root.remove(signature)
    return root


def _own(base: Base) -> etree._Element:
    response = idp.unsigned(idp.SIMPLESAMLPHP)
    idp.swap(next(item for item in response if item.tag == ASSERTION), deepcopy(container(base.document)))
    return response
