"""No forged message gets in, whatever the honest message was that it was made from."""

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from idp_bridge.saml import Rejected, verify

from . import idp
from .attacks import VICTIM, attacks


@pytest.mark.parametrize("shape", idp.SHAPES, ids=lambda shape: shape.name)
def test_forged_messages_are_refused(shape: idp.Shape) -> None:
    """The untouched message is accepted; every message made from it is refused with a reason, never with a crash."""
    document = idp.good(shape)
    trust, sp = idp.trust(allow_idp_initiated=True), idp.service_provider()
    assert verify(idp.post(document), trust=trust, sp=sp, now=idp.NOW).name_id != VICTIM
    accepted = []
    for name, forged in attacks(document):
        try:
            verify(idp.post(forged), trust=trust, sp=sp, now=idp.NOW)
        except Rejected:
            continue
        accepted.append(name)
    assert accepted == []


def _surgery(data: st.DataObject, root: etree._Element, evil: etree._Element) -> None:
    """One step: a node of the good or of the evil message goes somewhere in the good one, or something goes away."""
    nodes = list(root.iter())
    donors = [*nodes, *evil.iter()]
    source, target = data.draw(st.sampled_from(donors)), data.draw(st.sampled_from(nodes))
    step = data.draw(
        st.sampled_from(["append", "insert", "before", "after", "replace", "remove", "text", "attributes"])
    )
    graft = deepcopy(source)
    if step == "append":
        target.append(graft)
    elif step == "insert":
        target.insert(0, graft)
    elif step == "text":
        target.text = source.text
    elif step == "attributes":
        target.attrib.update(source.attrib)
    elif target is root:
        return
    elif step == "before":
        target.addprevious(graft)
    elif step == "after":
        target.addnext(graft)
    elif step == "replace":
        idp.swap(target, graft)
    else:
        target.getparent().remove(target)  # type: ignore[union-attr]


GOOD = {shape.name: idp.good(shape) for shape in idp.SHAPES}
SAID = {
    name: verify(idp.post(document), trust=idp.trust(), sp=idp.service_provider(), now=idp.NOW)
    for name, document in GOOD.items()
}


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_surgery_with_parts_of_two_messages_changes_what_is_read(data: st.DataObject) -> None:
    """Cut from a good message and from one by a stranger, put together anyhow: refused, or exactly what was signed."""
    name = data.draw(st.sampled_from(sorted(GOOD)))
    root = deepcopy(GOOD[name])
    response = idp.unsigned(idp.OKTA, name_id=VICTIM)
    idp.swap(idp.assertion_of(response), idp.sign(idp.assertion_of(response), idp.attacker()))
    evil = idp.sign(response, idp.attacker())
    for _ in range(data.draw(st.integers(1, 4))):
        _surgery(data, root, evil)
    try:
        said = verify(idp.post(root), trust=idp.trust(), sp=idp.service_provider(), now=idp.NOW)
    except Rejected:
        return
    assert said == SAID[name]
