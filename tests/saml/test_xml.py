"""The one parser: what it lets through is plain, and what it refuses it refuses before reading on."""

import base64
import time

import pytest
from lxml import etree

from idp_bridge.saml import NotSaml, Reason, Rejected, xml

LIMITS = xml.Limits(octets=1000, elements=5, depth=3, declarations=4, in_scope=2, scopes=6, attributes=2, name=5)


@pytest.mark.parametrize(
    ("document", "reason", "got", "want"),
    [
        (b"<x/>" + b" " * 997, Reason.MESSAGE_TOO_LARGE, "1001 octets", "1000"),
        (b"<x>" + b"<y/>" * 5 + b"</x>", Reason.XML_TOO_COMPLEX, "6 elements, 2 deep", "5 elements, 3 deep"),
        (b"<a><a><a><a/></a></a></a>", Reason.XML_TOO_COMPLEX, "4 elements, 4 deep", "5 elements, 3 deep"),
        (b'<a b="" c="" d=""/>', Reason.XML_TOO_COMPLEX, "3 attributes of one element", "2"),
        (b'<a xmlns="u:abcd"/>', Reason.XML_TOO_COMPLEX, "a namespace name of 6 characters", "5"),
        (
            b'<a xmlns:a="u:a" xmlns:b="u:b" xmlns:c="u:c"/>',
            Reason.XML_TOO_COMPLEX,
            "3 namespace declarations, 3 in scope",
            "4, 2 in scope",
        ),
        (
            b"<x>" + b'<y xmlns:a="u:a" xmlns:b="u:b"/>' * 3 + b"</x>",
            Reason.XML_TOO_COMPLEX,
            "5 namespace declarations, 1 in scope",
            "4, 2 in scope",
        ),
        (
            b'<x xmlns:a="u:a" xmlns:b="u:b">' + b"<y/>" * 3 + b"</x>",
            Reason.XML_TOO_COMPLEX,
            "8 namespace declarations in the scopes of all elements",
            "6",
        ),
    ],
)
def test_limits_are_kept(document: bytes, reason: Reason, got: str, want: str) -> None:
    """Octets, elements, depth, attributes, namespaces in scope and declarations in all: each has its cap."""
    with pytest.raises(Rejected) as caught:
        xml.parse(document, limits=LIMITS)
    assert (caught.value.reason, caught.value.facts) == (reason, {"got": got, "want": f"{want} at most"})


def test_limits_themselves_are_inside() -> None:
    """What just fits is read: scope is counted where it is, not over the whole document."""
    fits = b"<x>" + b'<y xmlns:a="u:a" xmlns:b="u:b"/>' + b'<y/><z a="" b=""><z xmlns="u:abc" xmlns:q="u:q"/></z></x>'
    assert len(xml.parse(fits.ljust(1000), limits=LIMITS)) == 3


@pytest.mark.parametrize(
    "declaration",
    [
        b'<?xml version="1.0"?>',
        b"<?xml version='1.0' encoding='utf-8'?>",
        b'<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n',
        b"\xef\xbb\xbf",
        b"\n",
    ],
)
def test_usual_beginnings_are_read(declaration: bytes) -> None:
    """XML 1.0 in UTF-8, said or unsaid."""
    assert xml.parse(declaration + b"<x>\xc3\xa4</x>").text == "\u00e4"


def test_cdata_is_only_another_spelling() -> None:
    """The one parser turns it into text, and that text is what gets canonicalised and read."""
    assert xml.text(xml.parse(b"<x>a<![CDATA[<b>]]>c</x>")) == "a<b>c"


def test_metadata_may_hold_comments() -> None:
    """Shibboleth writes long comments into its metadata; they are dropped, and text around them stays whole."""
    root = xml.parse(b"<!--a--><x>b<!--c-->d<?e f?></x>", limits=xml.METADATA)
    assert (xml.text(root), len(root)) == ("bd", 0)


def test_facts_never_hold_the_document() -> None:
    """A broken message is described by its position."""
    with pytest.raises(NotSaml) as caught:
        xml.parse(b"<secret>words</other>")
    assert caught.value.facts == {"got": "not XML at line 1, column 22", "want": "well-formed XML"}
    assert str(caught.value) == "not_xml"


def test_detached_element_keeps_its_namespaces() -> None:
    """No tail, no parent, every prefix still bound."""
    root = etree.fromstring('<a xmlns="u:a" xmlns:p="u:p"><p:b><c/></p:b>tail</a>')
    assert xml.detach(root[0]) == b'<p:b xmlns:p="u:p" xmlns="u:a"><c/></p:b>'


CONTEXT = etree.fromstring('<a xmlns="u:a" xmlns:p="u:p?a&amp;b=\'c\'"><b/></a>')[0]


@pytest.mark.parametrize("before", [b"", b" \n", b"\xef\xbb\xbf", b'<?xml version="1.0" encoding="UTF-8"?>\n'])
def test_fragment_is_read_where_it_stood(before: bytes) -> None:
    """Prefixes that were declared around it are bound; beside it there is nothing."""
    root = xml.parse_in_context(before + b"<p:x><y/></p:x> ", CONTEXT)
    assert (root.tag, root[0].tag) == ("{u:p?a&b='c'}x", "{u:a}y")
    assert (root.getprevious(), root.getnext()) == (None, None)
    assert (root.tail or "").strip() == ""


@pytest.mark.parametrize("fragment", [b"", b"text", b"<x/><y/>", b"<x/>text", b"text<x/>", b" "])
def test_fragment_is_one_element(fragment: bytes) -> None:
    """No text around it, no second one."""
    with pytest.raises(Rejected) as caught:
        xml.parse_in_context(fragment, CONTEXT)
    assert caught.value.reason is Reason.STRUCTURE


@pytest.mark.parametrize(
    "fragment", [b"</_><_>", b"<x/></_>", b"</_><x/><_>", b"<x/></_><!--", b"<q:x/>", b"<!--x--><x/>"]
)
def test_fragment_cannot_leave_its_frame(fragment: bytes) -> None:
    """Neither by closing it, nor with a prefix that nothing declares, nor past the parser's rules."""
    with pytest.raises(Rejected) as caught:
        xml.parse_in_context(fragment, CONTEXT)
    assert caught.value.reason in {Reason.NOT_XML, Reason.XML_COMMENT}


def test_bombs_cost_nothing() -> None:
    """A document type ends the work before any parser starts."""
    entities = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 100) for n in range(1, 60))
    started = time.perf_counter()
    with pytest.raises(Rejected) as caught:
        xml.parse(b"<!DOCTYPE x [" + entities + b"]><x>&e59;</x>")
    assert caught.value.reason is Reason.XML_DOCTYPE
    assert time.perf_counter() - started < 0.5


def test_document_type_is_refused_in_the_tree_too() -> None:
    """Should one ever get past the look at the octets, the tree still has it."""
    with pytest.raises(Rejected) as caught:
        xml._check_tree(etree.fromstring(b"<!DOCTYPE x><x/>"), xml.MESSAGE)
    assert caught.value.reason is Reason.XML_DOCTYPE


def test_what_was_written_here_and_cannot_be_read_is_a_refusal() -> None:
    """Not a crash."""
    with pytest.raises(Rejected) as caught:
        xml.reparse(b"<x")
    assert (caught.value.reason, caught.value.facts["got"]) == (Reason.NOT_XML, "not XML the second time")


def test_names_beyond_ascii_survive() -> None:
    """A tag cannot hold a character reference: what is written out is UTF-8."""
    root = xml.parse("<a><\u00e4\u4e16 \u00f6='\u00fc\u20ac'/></a>".encode())
    assert xml.reparse(xml.detach(root[0])).items() == [("\u00f6", "\u00fc\u20ac")]


@pytest.mark.parametrize("octets", [b"", b"a", b"ab", b"abc", b"\xff" * 100])
def test_base64_in_its_one_spelling(octets: bytes) -> None:
    """Text or octets, in lines or not."""
    written = base64.b64encode(octets).decode()
    assert xml.from_base64(written) == octets
    assert xml.from_base64(written.encode()) == octets
    assert xml.from_base64(" \r\n".join(written[n : n + 3] for n in range(0, len(written), 3)) + "\t") == octets


@pytest.mark.parametrize(
    "written", ["YQ", "YQ=", "YQ===", "YR==", "YQ==YQ==", "=YQ=", "Y!Q=", "Y-_=", "\u00e4", "YWJj="]
)
def test_base64_in_any_other_spelling(written: str) -> None:
    """Two spellings of one message are one too many."""
    with pytest.raises(ValueError, match=r"."):
        xml.from_base64(written)


@pytest.mark.parametrize(
    ("unit", "most"),
    [("<a/>", 9_000), ('<a b="" c="" d="" e=""/>', 6_500), ('<a xmlns:a="u:a" xmlns:b="u:b"/>', 3_900)],
)
def test_largest_documents_are_cheap(unit: str, most: int) -> None:
    """What just fits through the limits is parsed and looked through in a moment."""
    document = f"<x>{unit * most}</x>".encode()
    assert len(document) < xml.MESSAGE.octets
    times = []
    for _ in range(5):
        began = time.process_time()
        xml.parse(document)
        times.append(time.process_time() - began)
    assert min(times) < 0.05
