"""What is foreign is read in a thread of its own: nothing of it stays in the process, and no message meets another."""

import base64
import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from idp_bridge.saml import MetadataError, Reason, Rejected, logout, read_idp_metadata, verify
from idp_bridge.saml.apart import apart
from idp_bridge.saml.redaction import redacted

from . import documents, idp

STATM = Path("/proc/self/statm")


def test_work_is_done_in_another_thread_and_its_result_comes_back() -> None:
    """Arguments in, result out; the thread is gone by then."""
    threads: list[threading.Thread] = []

    @apart
    def work(number: int, *, times: int) -> int:
        """What it is for."""
        threads.append(threading.current_thread())
        return number * times

    assert work(3, times=2) == 6
    assert threads[0] is not threading.current_thread()
    assert not threads[0].is_alive()
    assert (work.__name__, work.__doc__) == ("work", "What it is for.")


def _frames(error: BaseException) -> list[str]:
    found, traceback = [], error.__traceback__
    while traceback is not None:
        found.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return found


@pytest.mark.parametrize(
    ("error", "seen"),
    [(Rejected(Reason.STRUCTURE), False), (MetadataError("no"), False), (ZeroDivisionError("ours"), True)],
)
def test_refusals_come_back_bare_and_faults_with_their_frames(error: Exception, seen: bool) -> None:
    """Frames hold the document: an answer does not take them along; a fault of ours needs them in the log."""

    @apart
    def failing() -> None:
        try:
            int("a document")
        except ValueError:
            raise error from None

    with pytest.raises(type(error)) as caught:
        failing()
    assert caught.value is error
    assert ("failing" in _frames(error)) is seen
    assert (error.__context__ is not None) is seen


def _held(root: object) -> Iterator[object]:
    """All that it holds, as far as the garbage collector sees."""
    seen, ahead = set(), [root]
    while ahead:
        item = ahead.pop()
        if id(item) not in seen and not isinstance(item, type):
            seen.add(id(item))
            yield item
            ahead.extend(gc.get_referents(item))


def _said(work: Callable[[], Any]) -> object:
    try:
        return work()
    except (Rejected, MetadataError) as refusal:
        return refusal.with_traceback(None)  # without the frames of this test


def _verified(document: bytes) -> Any:
    return verify(idp.post(document), trust=idp.trust(), sp=idp.service_provider(), now=idp.NOW)


def _signed_out(document: bytes) -> Any:
    form = {"SAMLRequest": base64.b64encode(document).decode()}
    return logout.from_form(form, trust=idp.trust(), slo_url="https://sp.example.com/slo", now=idp.NOW)


DOORS: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "sign-in": (_verified, etree.tostring(idp.good(idp.OKTA))),
    "encrypted sign-in": (_verified, etree.tostring(idp.good(idp.ENCRYPTED_CBC))),
    "logout": (_signed_out, b"<x/>"),
    "redaction": (redacted, etree.tostring(idp.good(idp.OKTA))),
    "metadata": (lambda document: read_idp_metadata(document, now=idp.NOW), documents.entity().encode()),
}


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("refused", [False, True])
def test_nothing_of_the_tree_leaves(name: str, refused: bool) -> None:
    """An element keeps its document, and that the dictionary of the thread that is gone."""
    door, document = DOORS[name]
    said = _said(
        lambda: door(document.replace(b"Issuer>", b"Izzuer>").replace(b"entityID", b"x") if refused else document)
    )
    kinds = {type(item).__module__ for item in _held(said)}
    assert kinds
    assert "lxml.etree" not in kinds


def _names(number: int) -> bytes:
    """A document of 60 KiB in which no name was ever seen before: of elements, attributes, prefixes and namespaces."""
    row = '<e{n}x{i:04} a{n}x{i:04}="" xmlns:p{n}x{i:04}="urn:n{n}x{i:04}"/>'
    return ("<r>" + "".join(row.format(n=number, i=i) for i in range(1_200)) + "</r>").encode()


@pytest.mark.skipif(not STATM.exists(), reason="reads /proc")
@pytest.mark.parametrize("name", [name for name in DOORS if name != "encrypted sign-in"])
def test_names_of_strangers_do_not_stay_in_memory(name: str) -> None:
    """Document after document with fresh names: resident memory is what it was after the first ones.

    Kept, the names of each would take some 200 KiB.
    """
    door, _ = DOORS[name]
    begun = 0.0
    for number in range(200):
        if number == 50:
            begun = _resident()
        _said(lambda number=number: door(_names(number)))  # type: ignore[misc]
    assert _resident() - begun < 8


def _resident() -> float:
    """In MiB."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * 4096 / 2**20


def test_a_message_is_not_read_by_the_light_of_another() -> None:
    """What a thread has read before decides nothing: `#default` is honoured before and after a stranger wrote it."""
    document = etree.tostring(idp.good(idp.DEFAULT_LISTED))
    for stranger in (b"<x/>", b'<x xmlns:x="#default"/>'):
        assert _verified(document).name_id == "ann@example.com"
        assert _said(lambda stranger=stranger: _verified(stranger)).reason  # type: ignore[attr-defined, misc]
    assert _verified(document).name_id == "ann@example.com"
