"""The same messages to two independent verifiers: python3-saml on libxmlsec1, and pygamlastan in Rust.

Nothing that both refuse is accepted here, nothing that both accept from an honest provider is refused here, and whoever
accepts a message reads the same person from it. Where they differ for a reason that is known, it stands in a table.
`make fuzz` goes on from here with other seeds.
"""

from random import Random

import pytest

from . import idp
from .attacks import Base
from .comparing import CASES, SEED, complaint_about_forgery, complaint_about_honesty, sampled
from .honest import message
from .others import Said, answers
from .test_attacks import SHAPES


@pytest.mark.parametrize("shape", SHAPES)
def test_all_three_read_the_same_from_each_products_form(shape: str) -> None:
    """The two others would not be much of a proof if they refused everything."""
    base = Base.of(SHAPES[shape])
    assert complaint_about_honesty(base.document, idp.idp()) is None
    understood = [
        answer for answer in answers(idp.post(base.document), base.certificate).values() if isinstance(answer, Said)
    ]
    assert understood or shape in {"lasso", "signature_last"}


@pytest.mark.parametrize("part", range(4))
def test_honest_messages_of_any_form_are_accepted(part: int) -> None:
    """Mixtures of what real providers write, with everything that the standard lets them add."""
    for number in range(part, CASES, 4):
        made = message(Random(f"{SEED}:{number}"))
        complaint = complaint_about_honesty(made.document, made.by)
        assert complaint is None, f"seed {SEED}:{number}: {complaint}\n{made.said}"


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_accepted_that_both_others_refuse(shape: str) -> None:
    """A sample of all forgeries and of all spellings of the good message."""
    base = Base.of(SHAPES[shape])
    for name, forged in sampled(base, Random(f"{SEED}:{shape}"), one_in=150):
        complaint = complaint_about_forgery(forged, base.certificate)
        assert complaint is None, f"{name}: {complaint}"
