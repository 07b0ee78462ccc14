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
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA1
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
LARGE = 180_000  # a response with more than a thousand; Entra ID sends 150 at most, others as many as there are
AUDIENCE, ACS = "https://sp.bench.test/metadata", "https://sp.bench.test/acs"
LOOPS = 10  # verifications between two looks at the clock
SESSION_COOKIE = "idp_bridge_session"
OAEP_SHA1 = OAEP(MGF1(SHA1()), SHA1(), None)  # what providers wrap keys with (XML Encryption 1.0)


class Signing(NamedTuple):
    """What of a message the provider signs."""

    response: bool
    assertion: bool


RESPONSE = Signing(response=True, assertion=False)
ASSERTION = Signing(response=False, assertion=True)
BOTH = Signing(response=True, assertion=True)
FLOOR, KEY = "floor: signxml alone", "floor: one RSA-2048 decryption"


class Kind(NamedTuple):
    """One kind of response: how large, what is signed, whether it is encrypted; and the mark it is held against."""

    name: str
    signing: Signing
    mark: float
    """At most so many times the rows that `beside` names, taken together."""
    beside: tuple[str, ...] = (FLOOR,)
    size: int = SIZE
    encrypted: bool = False


KINDS = (
    Kind("response signed", RESPONSE, 2),
    Kind("assertion signed", ASSERTION, 2),
    Kind("both signed", BOTH, 2, (FLOOR, FLOOR)),
    Kind("assertion signed, encrypted", ASSERTION, 1.5, ("assertion signed",), encrypted=True),
    Kind("both signed, encrypted", BOTH, 1.5, ("both signed",), encrypted=True),
    Kind("assertion signed, 180 KB", ASSERTION, 25, ("assertion signed",), size=LARGE),
)


@dataclass
class Verification:
    """How long one kind of response takes to verify, beside signxml alone in the same rounds."""

    name: str
    bytes: int
    limit: float | None = None
    """The mark in milliseconds of this run; None for a floor."""
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
    messages = {kind.name: _made(provider, kind, keys.certificate) for kind in KINDS}
    trust = Trust(entity_id=provider.entity_id, certificates=(parse_certificate(provider.keys.certificate_pem),))
    sp = ServiceProvider(entity_id=AUDIENCE, acs_url=ACS, decryption_keys=(keys.key,))
    bare, pem = base64.b64decode(messages["response signed"]), provider.keys.certificate_pem
    sealed = keys.key.public_key().encrypt(bytes(32), OAEP_SHA1)
    jobs: dict[str, Callable[[], object]] = {
        FLOOR: lambda: XMLVerifier().verify(bare, x509_cert=pem),
        KEY: lambda: keys.key.decrypt(sealed, OAEP_SHA1),
    }
    for name, message in messages.items():
        jobs[name] = lambda message=message: verify(message, trust=trust, sp=sp, now=datetime.now(UTC))  # type: ignore[misc]
    sizes = [len(bare), len(sealed), *(len(base64.b64decode(message)) for message in messages.values())]
    results = {name: Verification(name, size) for name, size in zip(jobs, sizes, strict=True)}
    for job in jobs.values():
        _milliseconds(job)
    for _ in range(rounds):
        times = [_milliseconds(job) for job in jobs.values()]
        for result, ms in zip(results.values(), times, strict=True):
            result.milliseconds.append(ms)
            result.multiples.append(ms / times[0])
    for kind in KINDS:
        wanted = kind.mark * sum(results[name].ms for name in kind.beside)
        results[kind.name].limit = wanted + (results[KEY].ms if kind.encrypted else 0)
    return list(results.values())


def _made(provider: Provider, kind: Kind, certificate: x509.Certificate) -> str:
    attributes = _sized_attributes(provider, kind.signing, kind.size)
    return _message(provider, attributes, kind.signing, certificate if kind.encrypted else None)


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


def _sized_attributes(provider: Provider, signing: Signing, size: int = SIZE) -> Attributes:
    """A person's attributes with so many groups that a response of them is of the wanted size."""

    def of(count: int) -> tuple[Attributes, int]:
        groups = tuple(f"Bench group {number:04}" for number in range(count))
        attributes = {**provider.shape.attributes(provider.people[0]), "groups": groups}
        return attributes, len(base64.b64decode(_message(provider, attributes, signing)))

    (_, least), (_, more) = of(0), of(100)
    return of(round((size - least) / (more - least) * 100))[0]


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
