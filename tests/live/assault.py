"""Everything that the attack generator makes of a message that pysaml2 signed, posted to a live service:
`python -m tests.live.assault`. The suite posts a part of it, see test_saml.py."""

import base64
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from lxml import etree

from idp_bridge.saml import parse_certificate
from tests.bench.client import Connection as Wire
from tests.bench.client import encode
from tests.live.parties import Browser, Connection, connect, new_sqlite, provider, saml_fields, serving
from tests.saml import idp as documents
from tests.saml.attacks import Attack, Base, forgeries

SENDERS = 4
HUNG_UP = 0  # a body that is far too long is not read to its end
REFUSALS = frozenset({400, 403, 413, HUNG_UP})
ACCEPTED = 303

#: What the provider is set to, by what the messages are called then.
BASES: dict[str, dict[str, Any]] = {
    "assertion signed": {},
    "response signed": {"sign_assertion": False, "sign_response": True},
    "both signed": {"sign_response": True},
    "AES-256-CBC": {"cipher": "aes256-cbc"},
    "AES-256-GCM, response signed": {"cipher": "aes256-gcm", "sign_assertion": False, "sign_response": True},
}


def base_of(connection: Connection, name: str) -> tuple[Base, dict[str, str]]:
    """A message that the provider sends now, to be attacked, and the form that it came in."""
    fields = saml_fields(Browser().follow(Browser().get(connection.start_url), until="SAMLResponse"))
    known = connection.provider
    (pinned,) = known.certificates("first")
    metadata = etree.fromstring(connection.sp_metadata())
    carried = metadata.find(f".//*[@use='encryption']//{{{documents.DS}}}X509Certificate")
    assert carried is not None
    own = x509.load_der_x509_certificate(base64.b64decode(carried.text or "")).public_key()
    assert isinstance(own, RSAPublicKey)
    document = etree.fromstring(base64.b64decode(fields["SAMLResponse"]))
    return Base(name, document, parse_certificate(pinned), own), fields


def post(connection: Connection, attacks: Iterable[Attack]) -> dict[str, int]:
    """Post each to the connection; the status of each answer by the name of the attack, HUNG_UP where there is none."""
    address = urlsplit(connection.row["acs_url"])

    def status(attack: Attack) -> int:
        request = _request(address.path, attack[1])
        try:
            with Wire(address.port or 0) as wire:
                return wire.send(request).status
        except ConnectionError:
            return HUNG_UP

    named = list(attacks)
    with ThreadPoolExecutor(SENDERS) as senders:
        return dict(zip((name for name, _ in named), senders.map(status, named), strict=True))


def _request(path: str, message: bytes | str) -> bytes:
    field = message if isinstance(message, str) else base64.b64encode(message).decode()
    body = urlencode({"SAMLResponse": field}).encode()
    return encode("POST", path, headers={"Content-Type": "application/x-www-form-urlencoded"}, body=body)


def main() -> None:
    """Every forgery of every base; raises where one gets anything but a refusal."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with provider(folder / "keys") as known, serving(new_sqlite(folder), folder) as service:
            for title, settings in BASES.items():
                known.reset(person="ana@acme.test")
                connection = connect(
                    service, known, allow_idp_initiated=True, want_assertions_encrypted="cipher" in settings
                )
                known.set(**settings)
                base, fields = base_of(connection, title)
                began = time.monotonic()
                statuses = post(connection, forgeries(base))
                counted = dict(Counter(statuses.values()))
                print(f"{title}: {len(statuses)} in {time.monotonic() - began:.0f} s: {counted}", flush=True)
                wrong = [attack for attack, status in statuses.items() if status not in REFUSALS]
                honest = post(connection, [("itself", fields["SAMLResponse"])])
                if wrong or service.sessions(connection) or honest != {"itself": ACCEPTED}:
                    raise RuntimeError(f"{wrong}, {service.sessions(connection)} sessions, {honest}")


if __name__ == "__main__":
    main()
