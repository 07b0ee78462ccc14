"""Who is this? Where the rules of sign_in/identify.py and of provisioning do not say, nobody is taken for anybody: the
sign-in or the request is refused, and the question waits here for an administrator.

A question is one row, however often it comes up. It is written in a transaction of its own, after what raised it was
rolled back. Each provider has ``KEPT`` of them at most: what it asks beyond displaces what came up longest ago, what is
decided before what is open.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from peewee import Case as CaseOf

from idp_bridge import clock, events, grants, identity_links, ids, member_roles, members, notices, tokens
from idp_bridge.actors import Actor
from idp_bridge.db import column
from idp_bridge.errors import Code, Conflict, Invalid, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, IdentityConflict, IdentityLink, IdentityProvider, Member
from idp_bridge.notices import Notice
from idp_bridge.text import fold

KEPT = 1_000
MAILED_EVERY = timedelta(days=1)  # of one provider, unless a day was quiet; the page has them all
CANDIDATES = 20  # of one question; a directory may give one address to ever so many

OPEN, RESOLVED, DISMISSED = STATES = ("open", "resolved", "dismissed")


class Kind(StrEnum):
    """What makes it a question."""

    AMBIGUOUS = "ambiguous"  # several members could be meant
    IDENTITY_CHANGED = "identity_changed"  # a member's address, under another NameID than this provider has called her
    ANOTHER_PROVIDER = "another_provider"  # another provider of the account speaks for the member
    SECOND_DIRECTORY = "second_directory"  # another directory of the account manages the member
    LOOK_ALIKE = "look_alike"  # an address that mixes scripts, or passes for a member's


@dataclass(frozen=True)
class Case:
    """A question. It is the same one where ``kind`` and the name that the provider uses are: the NameID of an
    assertion, else the userName of a record."""

    kind: Kind
    email: str
    name_id: str | None = None
    name_id_format: str | None = None
    user_name: str | None = None
    candidates: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What is equal of equal questions of one provider."""
        return tokens.digest(json.dumps([self.kind, self.name_id, self.name_id_format, fold(self.user_name or "")]))


class Disputed(Conflict):
    """Refused because of such a question, which whoever ends the transaction writes down (``note``)."""

    def __init__(self, message: str, case: Case, *, code: Code | None = None) -> None:
        super().__init__(message, code=code)
        self.case = case


def of_account(account: Account, *, state: str | None = OPEN) -> Any:
    """The account's questions, as a query, each with its ``identity_provider``; of every state where that is None."""
    found = (
        IdentityConflict.select(IdentityConflict, IdentityProvider)
        .join(IdentityProvider)
        .where(IdentityConflict.account == account)
    )
    return found if state is None else found.where(IdentityConflict.state == state)


def any_open(account: Account) -> bool:
    """Whether something waits for an administrator."""
    waiting = IdentityConflict.select().where(IdentityConflict.account == account, IdentityConflict.state == OPEN)
    return bool(waiting.exists())


def get(account: Account, conflict_id: str) -> IdentityConflict:
    """The question of this account, decided or not. Raises NotFound."""
    found = of_account(account, state=None).where(IdentityConflict.id == conflict_id).get_or_none()
    if found is None:
        raise NotFound(f"There is no identity conflict {conflict_id} in this account.")
    conflict: IdentityConflict = found
    return conflict


def candidates(conflicts: Sequence[IdentityConflict]) -> dict[str, Member]:
    """The members named by these questions who are members still, by id."""
    named = {
        member_id for conflict in conflicts for member_id in (*conflict.candidates, conflict.member_id) if member_id
    }
    found = Member.select().where(Member.id.in_(named), Member.removed_at.is_null()) if named else ()
    return {member.id: member for member in found}


# --- asking -----------------------------------------------------------------------------------------------------


def note(actor: Actor, provider: IdentityProvider, case: Case) -> str:
    """Write the question down, or that it has come up again, in the caller's transaction; its id.

    Administrators hear of a new one. One that was dismissed stays so; one that was resolved, and comes up all the same,
    is open again.
    """
    moment, new_id = clock.now(), ids.new("conf")
    new = IdentityConflict.insert(
        id=new_id,
        account=actor.account,
        identity_provider=provider,
        kind=case.kind.value,
        case_digest=case.digest,
        email=case.email,
        name_id=case.name_id,
        name_id_format=case.name_id_format,
        user_name=case.user_name,
        candidates=list(case.candidates[:CANDIDATES]),
        created_at=moment,
        seen_at=moment,
    )
    reopened = CaseOf(None, [(IdentityConflict.state == RESOLVED, OPEN)], IdentityConflict.state)
    upserted: Any = new.on_conflict(
        conflict_target=[IdentityConflict.identity_provider, IdentityConflict.case_digest],
        preserve=[IdentityConflict.email, IdentityConflict.candidates, IdentityConflict.seen_at],
        update={IdentityConflict.occurrences: IdentityConflict.occurrences + 1, IdentityConflict.state: reopened},
    ).returning(IdentityConflict.id)
    (row,) = upserted.execute()
    if row.id == new_id:
        _make_room(provider)
        _tell(actor, provider, case, new_id)
    return str(row.id)


def _make_room(provider: IdentityProvider) -> None:
    """The open ones stay before the decided, the latest before the older."""
    is_decided = CaseOf(None, [(IdentityConflict.state == OPEN, 0)], 1)
    own = IdentityConflict.select(IdentityConflict.id).where(IdentityConflict.identity_provider == provider)
    beyond = column(own.order_by(is_decided, IdentityConflict.seen_at.desc()).offset(KEPT).limit(KEPT))
    if beyond:
        IdentityConflict.delete().where(IdentityConflict.id.in_(beyond)).execute()


def _tell(actor: Actor, provider: IdentityProvider, case: Case, conflict_id: str) -> None:
    events.record(actor, Type.IDENTITY_CONFLICT_CREATED, {"id": conflict_id, **_told(provider.id, case)})
    # Who chose the wrong button is told which one is hers. A provider that renames everybody raises a thousand.
    if case.kind is not Kind.ANOTHER_PROVIDER and not _is_one_of_many(provider, conflict_id):
        notices.to_administrators(actor.account, Notice.IDENTITY_CONFLICT, email=case.email, provider=provider.name)


def _is_one_of_many(provider: IdentityProvider, conflict_id: str) -> bool:
    lately = IdentityConflict.select().where(
        IdentityConflict.identity_provider == provider,
        IdentityConflict.created_at > clock.now() - MAILED_EVERY,
        IdentityConflict.id != conflict_id,
        IdentityConflict.kind != Kind.ANOTHER_PROVIDER,
    )
    return bool(lately.exists())


def _told(provider_id: str, case: Case) -> dict[str, Any]:
    return {
        "kind": case.kind.value,
        "identity_provider_id": provider_id,
        "email": case.email,
        "name_id": case.name_id,
        "user_name": case.user_name,
        "candidates": list(case.candidates[:CANDIDATES]),
    }


# --- deciding ---------------------------------------------------------------------------------------------------


def resolve(actor: Actor, conflict: IdentityConflict, member_id: str) -> None:
    """It is this member. What an assertion asked is a link from now on, by which her next sign-in knows her; what a
    directory asked holds for its next request.

    Whoever decides opens that member's place to somebody, and shuts out whom the name has meant so far: nobody does for
    an administrator but an administrator, and for nobody who may do more than she. Raises Forbidden, Invalid, NotFound.
    """
    member = members.get(actor.account, member_id)
    member_roles.check_touch(actor, member)
    held = member_roles.roles_of(actor.account, member)
    grants.check(actor, held)
    _check_choice(conflict, member_id)
    if (former := _called_so_far(conflict)) is not None:
        member_roles.check_touch(actor, former)
    if conflict.kind == Kind.SECOND_DIRECTORY:  # of two directories the one counts for which this was said last
        IdentityConflict.update(state=DISMISSED).where(
            IdentityConflict.kind == conflict.kind, IdentityConflict.member == member
        ).execute()
    if conflict.name_id is not None and conflict.name_id_format is not None:
        _link(conflict, member, name_id=conflict.name_id, name_id_format=conflict.name_id_format)
    _decide(actor, conflict, RESOLVED, member)


def dismiss(actor: Actor, conflict: IdentityConflict) -> None:
    """Nobody is meant: it is refused as before, and waits no longer. It can be resolved later all the same."""
    _decide(actor, conflict, DISMISSED, None)


def decided(provider: IdentityProvider, case: Case) -> str | None:
    """Who is meant, as an administrator has said of this very question; None where she has not."""
    row = IdentityConflict.get_or_none(
        IdentityConflict.identity_provider == provider,
        IdentityConflict.case_digest == case.digest,
        IdentityConflict.state == RESOLVED,
    )
    return row.member_id if row else None


def is_to_choose(conflict: IdentityConflict) -> bool:
    """Whether it can be a member: whom a directory pushes under a look-alike address has become one of her own."""
    return conflict.kind != Kind.LOOK_ALIKE or conflict.name_id is not None


def _check_choice(conflict: IdentityConflict, member_id: str) -> None:
    if conflict.kind == Kind.SECOND_DIRECTORY and member_id not in conflict.candidates:
        raise Invalid(
            "A directory takes over the member who has the address that it sent, and nobody else.",
            fields={"member_id": ["not the member with this address"]},
        )
    if not is_to_choose(conflict):
        raise Invalid(
            "Her directory has made her a member of her own. Suspend her here, or have the address corrected there.",
            fields={"member_id": ["she is a member already"]},
        )


def _called_so_far(conflict: IdentityConflict) -> Member | None:
    """Whom the provider means by this very name, by a link that a resolution takes away."""
    return (
        Member.select()
        .join(IdentityLink)
        .where(
            IdentityLink.identity_provider == conflict.identity_provider_id,
            IdentityLink.name_id_format == conflict.name_id_format,
            IdentityLink.name_id == conflict.name_id,
        )
        .get_or_none()
    )


def _link(conflict: IdentityConflict, member: Member, *, name_id: str, name_id_format: str) -> None:
    provider = conflict.identity_provider
    if conflict.kind == Kind.IDENTITY_CHANGED:  # what she was called before may be somebody else's name one day
        IdentityLink.delete().where(IdentityLink.member == member, IdentityLink.identity_provider == provider).execute()
    identity_links.remember(provider, member, name_id=name_id, name_id_format=name_id_format)


def _decide(actor: Actor, conflict: IdentityConflict, state: str, member: Member | None) -> None:
    conflict.state, conflict.member = state, member
    conflict.decided_by, conflict.decided_at = actor.subject, clock.now()
    conflict.save(
        only=[
            IdentityConflict.state,
            IdentityConflict.member,
            IdentityConflict.decided_by,
            IdentityConflict.decided_at,
        ]
    )
    events.record(
        actor,
        Type.IDENTITY_CONFLICT_RESOLVED,
        {
            "id": conflict.id,
            "kind": conflict.kind,
            "identity_provider_id": conflict.identity_provider_id,
            "email": conflict.email,
            "name_id": conflict.name_id,
            "user_name": conflict.user_name,
            "resolution": state,
            "user_id": member.id if member else None,
        },
    )
