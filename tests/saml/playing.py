"""Plays one folder of `fixtures/saml/`: what arrives, under which trust, at which time."""

import base64
import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from idp_bridge.saml import ServiceProvider, Trust, parse_certificate, read, verify

FOLDER = Path(__file__).parents[2] / "fixtures" / "saml"


def case_of(folder: Path) -> dict[str, Any]:
    """What is configured and expected, as the file says it."""
    return dict(json.loads((folder / "case.json").read_text()))


def message(folder: Path) -> str:
    """The form field: `message.txt` as it is, or `response.xml` (grown by spaces behind it where the case says so)."""
    if (folder / "message.txt").exists():
        return (folder / "message.txt").read_text()
    octets = (folder / "response.xml").read_bytes().ljust(case_of(folder).get("padded_to", 0))
    return base64.b64encode(octets).decode()


def sides(folder: Path) -> tuple[Trust, ServiceProvider, datetime]:
    case = case_of(folder)
    certificates = tuple(parse_certificate(text) for text in case["trust"].pop("certificates"))
    key = case["service_provider"].pop("decryption_key", None)
    keys = (load_pem_private_key(key.encode(), None),) if key else ()
    sp = ServiceProvider(decryption_keys=keys, **case["service_provider"])  # type: ignore[arg-type]
    return Trust(certificates=certificates, **case["trust"]), sp, datetime.fromisoformat(case["now"])


def play(folder: Path) -> dict[str, Any]:
    """What is said, as JSON; raises `Rejected`."""
    trust, sp, now = sides(folder)
    said = verify(message(folder), trust=trust, sp=sp, now=now)
    claims = asdict(read(said, case_of(folder).get("attribute_mapping", {})))
    return {"name_id": said.name_id, "name_id_format": said.name_id_format, "claims": json.loads(json.dumps(claims))}
