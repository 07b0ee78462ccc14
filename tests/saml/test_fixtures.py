"""Plays `fixtures/saml/`: a folder dropped in there is a test, without a line of code."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from idp_bridge.saml import Rejected, ServiceProvider, Trust, parse_certificate, read, verify

from . import idp

FOLDER = Path(__file__).parents[2] / "fixtures" / "saml"


def cases(kind: str) -> list[Any]:
    """Every folder of this kind: `response.xml` is what arrives, `case.json` what is configured and expected."""
    folders = sorted(path.parent for path in (FOLDER / kind).glob("*/case.json"))
    return [pytest.param(folder, id=folder.name) for folder in folders]


def play(folder: Path) -> dict[str, Any]:
    """What is said, as JSON; raises `Rejected`."""
    case = json.loads((folder / "case.json").read_text())
    certificates = tuple(parse_certificate(text) for text in case["trust"].pop("certificates"))
    said = verify(
        idp.post((folder / "response.xml").read_bytes()),
        trust=Trust(certificates=certificates, **case["trust"]),
        sp=ServiceProvider(**case["service_provider"]),
        now=datetime.fromisoformat(case["now"]),
    )
    claims = asdict(read(said, case.get("attribute_mapping", {})))
    return {"name_id": said.name_id, "name_id_format": said.name_id_format, "claims": json.loads(json.dumps(claims))}


def expected(folder: Path) -> Any:
    return json.loads((folder / "case.json").read_text())["expect"]


@pytest.mark.parametrize("folder", cases("good"))
def test_each_products_form_is_accepted(folder: Path) -> None:
    """Each product's form says who somebody is."""
    assert play(folder) == expected(folder)


@pytest.mark.parametrize("folder", [*cases("bad"), *cases("attacks")])
def test_bad_and_forged_messages_are_refused(folder: Path) -> None:
    """Each for its own reason."""
    with pytest.raises(Rejected) as caught:
        play(folder)
    assert caught.value.reason == expected(folder)["refused"]


@pytest.mark.parametrize(("kind", "least"), [("good", 5), ("bad", 8), ("attacks", 10)])
def test_fixtures_are_there(kind: str, least: int) -> None:
    """A walk over nothing would pass too."""
    assert len(cases(kind)) >= least
