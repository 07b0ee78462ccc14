"""The SAML benchmarks: verifying one response beside signxml alone, and a whole sign-in over HTTP."""

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography import x509
from saml2 import BINDING_HTTP_REDIRECT
from signxml.verifier import XMLVerifier

from idp_bridge.saml.certificate import parse_certificate
from idp_bridge.saml.response import ServiceProvider, Trust, verify
from idp_bridge.simulator.crypto import make_key_pair
from idp_bridge.simulator.flavours import Attributes
from idp_bridge.simulator.saml_idp import Provider, sign_response
from tests.bench.client import Answer, Connection, encode
from tests.bench.lanes import Figures, Lane, in_turns
from tests.bench.stage import Stage

SIZE = 8_000  # bytes of XML: a response with some forty groups
AUDIENCE, ACS = "https://sp.bench.test/metadata", "https://sp.bench.test/acs"
LOOPS = 10  # verifications between two looks at the clock
SESSION_COOKIE = "idp_bridge_session"


class Signing(NamedTuple):
    """What of a message the provider signs."""

    response: bool
    assertion: bool


BOTH = Signing(response=True, assertion=True)
SIGNED = {
    "response signed": Signing(response=True, assertion=False),
    "assertion signed": Signing(response=False, assertion=True),
    "both signed": BOTH,
}


@dataclass
class Verification:
    """How long one kind of response takes to verify, beside signxml alone in the same rounds."""

    name: str
    bytes: int
    milliseconds: list[float] = field(default_factory=list)
    multiples: list[float] = field(default_factory=list)

    @property
    def ms(self) -> float:
        """Median milliseconds for one."""
        return median(self.milliseconds)

    @property
    def multiple(self) -> float:
        """Median multiple of the floor's time in the same round; 1 costs what signxml alone costs."""
        return median(self.multiples)


def verifications(provider: Provider, *, rounds: int) -> list[Verification]:
    """The floor first: one ``XMLVerifier().verify`` with the pinned certificate, everything else as it comes.

    It parses, checks one signature over the whole response, and hands out the signed tree; it knows nothing of SAML.
    """
    keys = make_key_pair("bench")
    sized = {name: _sized_attributes(provider, signing) for name, signing in SIGNED.items()}
    messages = {name: _message(provider, sized[name], signing) for name, signing in SIGNED.items()}
    messages["both signed, encrypted"] = _message(provider, sized["both signed"], BOTH, keys.certificate)
    trust = Trust(entity_id=provider.entity_id, certificates=(parse_certificate(provider.keys.certificate_pem),))
    sp = ServiceProvider(entity_id=AUDIENCE, acs_url=ACS, decryption_keys=(keys.key,))
    bare, pem = base64.b64decode(messages["response signed"]), provider.keys.certificate_pem
    jobs: dict[str, Callable[[], object]] = {"floor: signxml alone": lambda: XMLVerifier().verify(bare, x509_cert=pem)}
    for name, message in messages.items():
        jobs[name] = lambda message=message: verify(message, trust=trust, sp=sp, now=datetime.now(UTC))  # type: ignore[misc]
    sizes = [len(bare), *(len(base64.b64decode(message)) for message in messages.values())]
    results = [Verification(name, size) for name, size in zip(jobs, sizes, strict=True)]
    for job in jobs.values():
        _milliseconds(job)
    for _ in range(rounds):
        times = [_milliseconds(job) for job in jobs.values()]
        for result, ms in zip(results, times, strict=True):
            result.milliseconds.append(ms)
            result.multiples.append(ms / times[0])
    return results


def _milliseconds(job: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(LOOPS):
        job()
    return (time.process_time() - began) * 1e3 / LOOPS


def _message(provider: Provider, attributes: Attributes, signing: Signing, to: x509.Certificate | None = None) -> str:
    return sign_response(
        provider,
        provider.people[0],
        acs_url=ACS,
        audience=AUDIENCE,
        in_response_to="_request",
        attributes=attributes,
        sign_response=signing.response,
        sign_assertion=signing.assertion,
        encrypt_to=to,
    )


def _sized_attributes(provider: Provider, signing: Signing) -> Attributes:
    """A person's attributes with so many groups that a response of them is of the wanted size."""
    for count in range(5, 200, 5):
        groups = tuple(f"Bench group {n}" for n in range(count))
        attributes = {**provider.shape.attributes(provider.people[0]), "groups": groups}
        if len(base64.b64decode(_message(provider, attributes, signing))) >= SIZE:
            return attributes
    raise RuntimeError(f"{count} groups make no response of {SIZE} bytes")


# --- over HTTP --------------------------------------------------------------------------------------------------


class SignIn:
    """Sign-ins begun at us and answered by the simulated Okta; what is measured is the ACS post that ends each.

    The post brings the browser's cookie, as it does where provider and product share a site, so that it verifies the
    response, uses up request and assertion, finds the member and opens the session, all in one request.
    """

    PREPARED = 150  # a slice; signing them is the provider's work, and off the clock

    def __init__(self, stage: Stage, *, rounds: int, seconds: float) -> None:
        self._stage, self._rounds, self._seconds = stage, rounds, seconds
        self._cookie = ""
        self._attributes = _sized_attributes(stage.okta, BOTH)
        with Connection(stage.product.port) as connection:
            metadata = connection.send(encode("GET", f"{self._path}/metadata")).body.decode()
        self._sp = stage.okta.register_sp(metadata)

    @property
    def _path(self) -> str:
        return f"/saml/{self._stage.provider_id}"

    def run(self) -> Iterator[Figures]:
        """Over one connection, and over four."""
        lane = Lane("POST acs, session opened", self._stage.product, self._posts, 303, _has_session)
        for connections in (1, 4):
            yield from in_turns([lane], rounds=self._rounds, seconds=self._seconds, connections=connections)

    def _posts(self) -> list[bytes]:
        with Connection(self._stage.product.port) as connection:
            return [self._post(connection, number) for number in range(self.PREPARED)]

    def _post(self, connection: Connection, number: int) -> bytes:
        people = self._stage.okta.people
        person = people[number % len(people)]
        response = sign_response(
            self._stage.okta,
            person,
            in_response_to=self._start(connection),
            acs_url=self._sp.acs_url,
            audience=self._sp.entity_id,
            attributes={**self._attributes, **self._stage.okta.shape.attributes(person)},
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": self._cookie}
        return encode("POST", f"{self._path}/acs", headers=headers, body=urlencode({"SAMLResponse": response}).encode())

    def _start(self, connection: Connection) -> str:
        """Begin in one and the same browser; the id of the request that the provider gets."""
        answer = connection.send(encode("GET", f"{self._path}/start", headers={"Cookie": self._cookie}))
        for cookie in answer.header("Set-Cookie"):
            self._cookie = cookie.partition(";")[0]
        query = parse_qs(urlsplit(answer.header("Location")[0]).query)
        fields = {name: values[0] for name, values in query.items()}
        return self._stage.okta.parse_request(fields, BINDING_HTTP_REDIRECT).request_id


def _has_session(answer: Answer) -> bool:
    return any(cookie.startswith(f"{SESSION_COOKIE}=") for cookie in answer.header("Set-Cookie"))
