"""The wire between a simulated provider and a SCIM server: sends, measures, retries as providers do, takes notes.

Owns the findings of one run. Knows no dialect: what is sent, and what a bad answer means, stands in `okta.py`
and `entra.py`.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, quote_plus

import requests

from idp_bridge.simulator import answers
from idp_bridge.simulator.answers import Answer, Check, Mismatch

PATIENCE_SECONDS = 60.0
NO_ANSWER = 0
THROTTLED_TRIES = 10
LONGEST_WAIT_SECONDS = 60


class Unreachable(Exception):
    """Nobody answers at that URL, or the connection breaks."""


class Unauthorised(Exception):
    """The server does not accept the token."""


@dataclass(frozen=True)
class Finding:
    """One thing the provider would choke on; `times` says how often this run met it."""

    step: str
    request: str
    got: str
    want: str
    consequence: str
    times: int = 1


@dataclass(frozen=True)
class Manners:
    """How a provider speaks HTTP: its headers, the media types it reads, how it writes a query."""

    name: str
    headers: Mapping[str, str]
    media_types: frozenset[str]
    media_type_consequence: str
    plus_for_space: bool

    def query(self, parameters: Mapping[str, str]) -> str:
        """The query string as this provider writes it."""
        encode: Callable[[str], str] = quote_plus if self.plus_for_space else lambda text: quote(text, safe="")
        return "&".join(f"{name}={encode(value)}" for name, value in parameters.items())


@dataclass
class Wire:
    """One run's connection to one server."""

    session: requests.Session
    base_url: str
    token: str
    manners: Manners
    requests_sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    _findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)

    @property
    def findings(self) -> list[Finding]:
        """What was found so far, in the order of the run."""
        return list(self._findings.values())

    def call(
        self,
        step: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        checks: Sequence[Check] = (),
        otherwise: str,
        authorization: str | None = None,
    ) -> Answer | None:
        """Sends one request and notes every check that fails; None when the first check, the decisive one, did.

        `otherwise` says in the provider's words what follows from a failed check. Raises Unreachable.
        """
        target = path + (f"?{self.manners.query(query)}" if query else "")
        answer = self._patiently(step, method, target, body, authorization)
        request = f"{method} {target}"
        for check in (answers.media_type(self.manners.media_types), answers.json_object):
            if mismatch := check(answer):
                self._note(step, mismatch.want, request, mismatch, self.manners.media_type_consequence)
        for place, check in enumerate(checks):
            if mismatch := check(answer):
                self._note(step, place, request, mismatch, otherwise)
                if place == 0:
                    # A wrong status explains all that is missing in the body: one finding, not five.
                    return None
        return answer

    def note(self, step: str, request: str, mismatch: Mismatch, consequence: str) -> None:
        """Keeps a finding that no single answer shows; the same one again is only counted."""
        self._note(step, mismatch.want, request, mismatch, consequence)

    def _note(self, step: str, kind: object, request: str, mismatch: Mismatch, consequence: str) -> None:
        key = (step, str(kind), consequence)
        if before := self._findings.get(key):
            self._findings[key] = replace(before, times=before.times + 1)
        else:
            self._findings[key] = Finding(step, request, mismatch.got, mismatch.want, consequence)

    def _patiently(
        self, step: str, method: str, target: str, body: Mapping[str, Any] | None, authorization: str | None
    ) -> Answer:
        for _ in range(THROTTLED_TRIES):
            answer = self._send(method, target, body, authorization)
            if answer.seconds > PATIENCE_SECONDS:
                slow = Mismatch(f"an answer after {answer.seconds:.0f} s", "an answer within 60 s")
                self.note(step, f"{method} {target}", slow, f"{self.manners.name} gives the request up.")
            if answer.status != 429:
                return answer
            time.sleep(self._asked_wait(step, f"{method} {target}", answer))
        return answer

    def _asked_wait(self, step: str, request: str, answer: Answer) -> int:
        asked = answer.headers.get("Retry-After", "")
        if asked.isdigit():
            return min(int(asked), LONGEST_WAIT_SECONDS)
        wrong = Mismatch(f"Retry-After {asked or 'missing'}", "Retry-After in whole seconds")
        self.note(step, request, wrong, f"{self.manners.name} waits five minutes before it tries again.")
        return 1

    def _send(self, method: str, target: str, body: Mapping[str, Any] | None, authorization: str | None) -> Answer:
        headers = {**self.manners.headers, "Authorization": authorization or f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        started = time.monotonic()
        try:
            got = self.session.request(
                method,
                self.base_url + target,
                data=data,
                headers=headers,
                timeout=PATIENCE_SECONDS + 5,
                allow_redirects=False,
            )
        except requests.ReadTimeout:
            waited = time.monotonic() - started
            return Answer(status=NO_ANSWER, media_type="", text="", seconds=waited, headers={})
        except requests.RequestException as error:
            raise Unreachable(f"{self.base_url} does not answer: {_reason(error)}.") from error
        self.requests_sent += 1
        self.statuses[got.status_code] += 1
        return Answer(
            status=got.status_code,
            media_type=got.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
            text=got.content.decode("utf-8", "replace"),
            seconds=time.monotonic() - started,
            headers=got.headers,
        )


def _reason(error: requests.RequestException) -> str:
    """The innermost cause, which alone says something to a person ("Connection refused")."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return str(getattr(cause, "strerror", None) or cause).rstrip(".")
