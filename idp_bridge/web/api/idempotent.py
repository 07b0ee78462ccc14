"""``Idempotency-Key`` on POST (draft-ietf-httpapi-idempotency-key-header): asked again under the same key, the same
caller hears the first answer again, marked ``Idempotent-Replayed: true`` as Stripe marks it.

Whoever asks again is authenticated and authorised again first. Refusals are not kept: what was refused has changed
nothing, and may be right in a minute. What the key stands for is the method, the address and the body, byte for byte.
"""

import re
from collections.abc import Callable, Mapping

from flask import Response, request

from idp_bridge import db, idempotency
from idp_bridge.errors import Code, Invalid
from idp_bridge.idempotency import Answer, Request
from idp_bridge.web.guard import actor, credential_kind

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST = 255
KEY = rf"^[\x21-\x7e]{{1,{LONGEST}}}$"

#: POSTs that the header changes nothing of, by operationId, and why.
INDIFFERENT: Mapping[str, str] = {
    "introspect": "it only looks, and must be right at this moment",
    "report_usage": "its body has a key of its own",
    "report_usage_batch": "its body has keys of its own",
    "refresh_identity_provider_metadata": "it looks at what is there now, each time",
}


def once(answer: Callable[[], Response]) -> Response:
    """``answer``, unless it was made before under the request's key. Inside the transaction of the change.
    Raises Invalid, Conflict."""
    key = request.headers.get(HEADER)
    if key is None or not db.database.in_transaction():
        return answer()
    if not re.fullmatch(KEY, key):
        raise Invalid(
            f"{HEADER} must be 1 to {LONGEST} printable ASCII characters without spaces.",
            code=Code.INVALID_PARAMETER,
            fields={HEADER: ["malformed"]},
        )
    shown = f"{credential_kind().name} {actor().goes_back_to or ''}"
    asked = Request(account=actor().account, caller=str(actor().id), shown=shown, key=key, said=_said())
    first = idempotency.begin(asked)
    if first is not None:
        return _replayed(first)
    made = answer()
    idempotency.keep(asked, Answer(status=made.status_code, body=made.get_data(as_text=True)))
    return made


def _said() -> bytes:
    """With what the caller and the plan allow: who may do less by now than when she was answered does not hear it
    again."""
    rights = " ".join([actor().account.plan, *sorted((*actor().roles, *actor().permissions))])
    return f"{request.method} {request.full_path}\n{rights}\n".encode() + request.get_data()


def _replayed(first: Answer) -> Response:
    return Response(first.body, first.status, {REPLAYED: "true"}, mimetype="application/json")
