"""The table of refusals: complete, plain, and without a leak."""

import pytest

from idp_bridge.saml import REASONS, NotSaml, Reason, Rejected


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_tells_somebody_what_to_do(reason: Reason) -> None:
    """A side that must act, and a sentence with a next step, free of jargon from the message."""
    text = REASONS[reason]
    assert text.side in {"identity_provider", "service_provider", "person"}
    assert text.public.endswith(".")
    assert any(word in text.public for word in ("Ask your administrator", "Please", "tell your administrator"))
    assert reason.value == reason.name.lower()


def test_facts_are_private_short_and_fixed() -> None:
    """`str()` is the bare reason; facts are text, cut, and cannot be changed; what is not known is no fact."""
    refused = Rejected(Reason.AUDIENCE_MISMATCH, got="x" * 1000, want=5, element=None)
    assert str(refused) == "audience_mismatch"
    assert refused.facts == {"got": "x" * 300, "want": "5"}
    assert refused.text is REASONS[Reason.AUDIENCE_MISMATCH]
    with pytest.raises(TypeError):
        refused.facts["got"] = "y"  # type: ignore[index]


def test_no_saml_is_a_refusal_too() -> None:
    """Who catches `Rejected` catches everything."""
    assert issubclass(NotSaml, Rejected)
