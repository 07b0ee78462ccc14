"""Every way this door says no: one reason per check, and who has to act.

`Rejected` carries private facts for the log and the audit event: `got`, `want`, and what else is known. The public
sentence is a fixed text from `REASONS`: nothing that came in a message is ever shown to a person, and the document is
kept nowhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, NamedTuple

Side = Literal["identity_provider", "service_provider", "person"]

FACT_LENGTH = 300
NOTHING = "nothing"  # in place of a fact where nothing came


class Reason(StrEnum):
    """Stable names: they appear in events, logs and documentation. The order is that of the checks."""

    MESSAGE_TOO_LARGE = "message_too_large"
    NOT_BASE64 = "not_base64"
    NOT_XML = "not_xml"
    NOT_A_RESPONSE = "not_a_response"
    XML_ENCODING = "xml_encoding"
    XML_DOCTYPE = "xml_doctype"
    XML_COMMENT = "xml_comment"
    XML_NAMESPACE = "xml_namespace"
    XML_TOO_COMPLEX = "xml_too_complex"
    VERSION_UNSUPPORTED = "version_unsupported"
    STRUCTURE = "structure"
    ASSERTION_COUNT = "assertion_count"
    ID_INVALID = "id_invalid"
    ID_DUPLICATE = "id_duplicate"
    SIGNATURE_PLACEMENT = "signature_placement"
    SIGNATURE_STRUCTURE = "signature_structure"
    SIGNATURE_ALGORITHM = "signature_algorithm"
    SIGNATURE_WEAK = "signature_weak"
    SIGNATURE_REFERENCE = "signature_reference"
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_INVALID = "signature_invalid"
    DIGEST_MISMATCH = "digest_mismatch"
    CERTIFICATE_UNUSABLE = "certificate_unusable"
    STATUS_NOT_SUCCESS = "status_not_success"
    ENCRYPTION_REQUIRED = "encryption_required"
    ENCRYPTION_ALGORITHM = "encryption_algorithm"
    ENCRYPTION_PLACEMENT = "encryption_placement"
    DECRYPTION_FAILED = "decryption_failed"
    ISSUER_MISMATCH = "issuer_mismatch"
    DESTINATION_MISMATCH = "destination_mismatch"
    TIME_MALFORMED = "time_malformed"
    CONDITIONS_MISSING = "conditions_missing"
    CONDITION_UNKNOWN = "condition_unknown"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    AUDIENCE_MISSING = "audience_missing"
    AUDIENCE_MISMATCH = "audience_mismatch"
    SUBJECT_MISSING = "subject_missing"
    NAME_ID_MISSING = "name_id_missing"
    NAME_ID_MALFORMED = "name_id_malformed"
    NAME_ID_TRANSIENT = "name_id_transient"
    CONFIRMATION_MISSING = "confirmation_missing"
    CONFIRMATION_INVALID = "confirmation_invalid"
    RECIPIENT_MISMATCH = "recipient_mismatch"
    CONFIRMATION_EXPIRED = "confirmation_expired"
    IN_RESPONSE_TO_MISMATCH = "in_response_to_mismatch"
    UNSOLICITED_NOT_ALLOWED = "unsolicited_not_allowed"
    AUTHN_STATEMENT_MISSING = "authn_statement_missing"
    AUTHENTICATION_STALE = "authentication_stale"
    SESSION_EXPIRED = "session_expired"
    ATTRIBUTE_MALFORMED = "attribute_malformed"
    EMAIL_AMBIGUOUS = "email_ambiguous"
    EMAIL_MALFORMED = "email_malformed"
    # The last five need a database or a browser, so the caller raises them; they live here to share the table.
    EMAIL_MISSING = "email_missing"
    REQUEST_UNKNOWN = "request_unknown"
    OTHER_BROWSER = "other_browser"
    ASSERTION_REPLAYED = "assertion_replayed"
    REQUEST_NOT_NAMED = "request_not_named"
    # Of logout messages only (LOGOUT_REASONS); most of the others hold for them too.
    NOT_A_LOGOUT_MESSAGE = "not_a_logout_message"
    QUERY_MALFORMED = "query_malformed"
    NOT_DEFLATED = "not_deflated"
    ENCRYPTED_ID = "encrypted_id"
    LOGOUT_UNKNOWN = "logout_unknown"


#: What only a logout message can be refused for: no sign-in ends so.
LOGOUT_REASONS = frozenset(
    {
        Reason.NOT_A_LOGOUT_MESSAGE,
        Reason.QUERY_MALFORMED,
        Reason.NOT_DEFLATED,
        Reason.ENCRYPTED_ID,
        Reason.LOGOUT_UNKNOWN,
    }
)


class ReasonText(NamedTuple):
    side: Side
    """Who has to act: the identity provider's administrator, ours (the connection's settings), or the person."""
    public: str
    """One plain sentence (or two) that names the next step."""


@dataclass(frozen=True)
class Check:
    """One check that was made: for an administrator's eyes, like the facts of a refusal."""

    name: str
    passed: bool
    got: str = ""
    want: str = ""


def fact(value: object) -> str:
    """A value in a few words; a time as RFC 3339 has it, in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)[:FACT_LENGTH]


class Rejected(Exception):
    """A message that was refused. `str()` is the bare reason, so that no message content leaks by accident."""

    checks: tuple[Check, ...] = ()
    """Every check that was made, in order; the last one is the one that failed."""

    def __init__(self, reason: Reason, **facts: object) -> None:
        super().__init__(reason.value)
        self.reason = reason
        known = {name: fact(value) for name, value in facts.items() if value is not None}
        self.facts: Mapping[str, str] = MappingProxyType(known)

    @property
    def text(self) -> ReasonText:
        return REASONS[self.reason]


class NotSaml(Rejected):
    """What arrived is no SAML response at all: the web layer answers 400 instead of 403."""


_RETRY = "Please go back to the sign-in page and start again."
_NOT_SAML = ReasonText(
    "identity_provider",
    f"What came from your identity provider is not a sign-in answer. {_RETRY} If it happens again, tell your "
    "administrator.",
)
_BROKEN = ReasonText(
    "identity_provider",
    "Your identity provider's answer has a form that is not accepted. Ask your administrator to check its SAML "
    "settings.",
)
_SIGNING = ReasonText(
    "identity_provider",
    "Your identity provider's answer is not signed in a way that is accepted. Ask your administrator to have the "
    "assertion signed with RSA or ECDSA and SHA-256.",
)
_CERTIFICATE = ReasonText(
    "service_provider",
    "Your identity provider's signature does not match its certificate on file here. Ask your administrator to "
    "upload the provider's current certificate or metadata.",
)
_ENCRYPTION = ReasonText(
    "identity_provider",
    "Your identity provider encrypted its answer in a way that is not accepted. Ask your administrator to use "
    "RSA-OAEP with AES-GCM.",
)
_CLOCK = ReasonText(
    "identity_provider",
    f"Your identity provider's answer is too old, or its clock is wrong. {_RETRY} If it happens again, tell your "
    "administrator.",
)
_ACS = ReasonText(
    "identity_provider",
    "Your identity provider answered for another address. Ask your administrator to compare its ACS URL "
    "(reply URL) with the one shown in the connection's settings.",
)
_ENTITY = ReasonText(
    "identity_provider",
    "Your identity provider answered for another application. Ask your administrator to compare its audience "
    "(SP entity ID) with the one shown in the connection's settings.",
)
_NAME_ID = ReasonText(
    "identity_provider",
    "Your identity provider did not say who you are in a lasting way. Ask your administrator to send a NameID of "
    "format emailAddress or persistent.",
)
_EMAIL = ReasonText(
    "identity_provider",
    "Your identity provider did not send one usable e-mail address for you. Ask your administrator to check the "
    "attribute mapping.",
)
_NOT_A_LOGOUT = ReasonText(
    "identity_provider", "What your browser brought is not a sign-out message. Please sign out here once more."
)

REASONS: Mapping[Reason, ReasonText] = MappingProxyType(
    {
        Reason.MESSAGE_TOO_LARGE: ReasonText(
            "identity_provider",
            "Your identity provider's answer is too large. Ask your administrator to send fewer groups.",
        ),
        Reason.NOT_BASE64: _NOT_SAML,
        Reason.NOT_XML: _NOT_SAML,
        Reason.NOT_A_RESPONSE: _NOT_SAML,
        Reason.XML_ENCODING: _BROKEN,
        Reason.XML_DOCTYPE: _BROKEN,
        Reason.XML_COMMENT: _BROKEN,
        Reason.XML_NAMESPACE: _BROKEN,
        Reason.XML_TOO_COMPLEX: _BROKEN,
        Reason.VERSION_UNSUPPORTED: _BROKEN,
        Reason.STRUCTURE: _BROKEN,
        Reason.ASSERTION_COUNT: _BROKEN,
        Reason.ID_INVALID: _BROKEN,
        Reason.ID_DUPLICATE: _BROKEN,
        Reason.SIGNATURE_PLACEMENT: _BROKEN,
        Reason.SIGNATURE_STRUCTURE: _SIGNING,
        Reason.SIGNATURE_ALGORITHM: _SIGNING,
        Reason.SIGNATURE_WEAK: ReasonText(
            "identity_provider",
            "Your identity provider signs in a way that is no longer safe. Ask your administrator to switch it to "
            "SHA-256 and to an RSA key of 2048 bits or more.",
        ),
        Reason.SIGNATURE_REFERENCE: _SIGNING,
        Reason.SIGNATURE_MISSING: _SIGNING,
        Reason.SIGNATURE_INVALID: _CERTIFICATE,
        Reason.DIGEST_MISMATCH: ReasonText(
            "identity_provider", f"The answer was changed after your identity provider had signed it. {_RETRY}"
        ),
        Reason.CERTIFICATE_UNUSABLE: _CERTIFICATE,
        Reason.STATUS_NOT_SUCCESS: ReasonText(
            "identity_provider",
            "Your identity provider refused to sign you in. Ask your administrator whether this application is "
            "assigned to you.",
        ),
        Reason.ENCRYPTION_REQUIRED: ReasonText(
            "identity_provider",
            "This connection accepts encrypted assertions only. Ask your administrator to switch on assertion "
            "encryption at the identity provider.",
        ),
        Reason.ENCRYPTION_ALGORITHM: _ENCRYPTION,
        Reason.ENCRYPTION_PLACEMENT: _ENCRYPTION,
        Reason.DECRYPTION_FAILED: ReasonText(
            "identity_provider",
            "Your identity provider's answer could not be decrypted into a signed assertion. Ask your administrator "
            "to give it the current encryption certificate from the connection's metadata, and to sign assertions.",
        ),
        Reason.ISSUER_MISMATCH: ReasonText(
            "service_provider",
            "The answer comes from another identity provider than the one configured. Ask your administrator to "
            "compare the provider's entity ID (issuer) with the connection's settings.",
        ),
        Reason.DESTINATION_MISMATCH: _ACS,
        Reason.TIME_MALFORMED: _BROKEN,
        Reason.CONDITIONS_MISSING: _BROKEN,
        Reason.CONDITION_UNKNOWN: _BROKEN,
        Reason.NOT_YET_VALID: _CLOCK,
        Reason.EXPIRED: _CLOCK,
        Reason.AUDIENCE_MISSING: _ENTITY,
        Reason.AUDIENCE_MISMATCH: _ENTITY,
        Reason.SUBJECT_MISSING: _NAME_ID,
        Reason.NAME_ID_MISSING: _NAME_ID,
        Reason.NAME_ID_MALFORMED: _NAME_ID,
        Reason.NAME_ID_TRANSIENT: _NAME_ID,
        Reason.CONFIRMATION_MISSING: _BROKEN,
        Reason.CONFIRMATION_INVALID: _BROKEN,
        Reason.RECIPIENT_MISMATCH: _ACS,
        Reason.CONFIRMATION_EXPIRED: _CLOCK,
        Reason.IN_RESPONSE_TO_MISMATCH: ReasonText(
            "person", f"This answer does not belong to the sign-in that you started. {_RETRY}"
        ),
        Reason.UNSOLICITED_NOT_ALLOWED: ReasonText(
            "person",
            "This connection does not accept sign-ins started at the identity provider. Please start from our "
            "sign-in page.",
        ),
        Reason.AUTHN_STATEMENT_MISSING: _BROKEN,
        Reason.AUTHENTICATION_STALE: ReasonText(
            "identity_provider",
            "Your identity provider was to ask you to sign in anew, and it did not. "
            f"{_RETRY} If it happens again, tell your administrator.",
        ),
        Reason.SESSION_EXPIRED: ReasonText(
            "person", "Your session at the identity provider has ended. Please sign in there again."
        ),
        Reason.ATTRIBUTE_MALFORMED: _BROKEN,
        Reason.EMAIL_AMBIGUOUS: _EMAIL,
        Reason.EMAIL_MALFORMED: _EMAIL,
        Reason.EMAIL_MISSING: _EMAIL,
        Reason.REQUEST_UNKNOWN: ReasonText(
            "person", f"This sign-in was already finished, took too long, or was never begun here. {_RETRY}"
        ),
        Reason.OTHER_BROWSER: ReasonText(
            "person", f"This sign-in was begun in another browser, or this one does not keep cookies. {_RETRY}"
        ),
        Reason.ASSERTION_REPLAYED: ReasonText("person", f"This answer was already used once. {_RETRY}"),
        Reason.REQUEST_NOT_NAMED: ReasonText(
            "identity_provider",
            "Your identity provider does not say which question it answers. Please start at our sign-in page; if that "
            "does not help, ask your administrator to have it answer requests with InResponseTo.",
        ),
        Reason.NOT_A_LOGOUT_MESSAGE: _NOT_A_LOGOUT,
        Reason.QUERY_MALFORMED: _NOT_A_LOGOUT,
        Reason.NOT_DEFLATED: _NOT_A_LOGOUT,
        Reason.ENCRYPTED_ID: ReasonText(
            "identity_provider",
            "Your identity provider encrypted whom it signs out. Ask your administrator to switch off the encryption "
            "of the NameID in logout requests.",
        ),
        Reason.LOGOUT_UNKNOWN: ReasonText(
            "person",
            "This sign-out was already finished, took too long, or was never begun here. Please sign out once more.",
        ),
    }
)
