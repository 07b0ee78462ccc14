"""Who is this, in this account? The first search that knows her decides; nobody is ever adopted silently."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from operator import or_
from typing import Any

from peewee import SQL, fn

from idp_bridge import clock, db, identity_links, invitations, look_alikes, members
from idp_bridge.models import (
    Account,
    DirectoryEmail,
    DirectoryUser,
    IdentityLink,
    IdentityProvider,
    Invitation,
    Member,
)
from idp_bridge.sign_in.table import State
from idp_bridge.statement import Statement, parameter
from idp_bridge.text import fold
from scim.attributes import fold as coarse


@dataclass(frozen=True)
class Identity:
    """What a verified assertion says of somebody: SAML's NameID and the claims that were mapped.

    ``groups`` None: the assertion said nothing of groups, or only where they can be asked for (``groups_overage``, as
    Entra ID does for many); the roles held stay.
    """

    name_id: str
    name_id_format: str
    email: str
    first_name: str = ""
    last_name: str = ""
    display_name: str = ""
    groups: tuple[str, ...] | None = None
    groups_overage: bool = False

    @property
    def name(self) -> str:
        """The name to show."""
        return self.display_name or " ".join(part for part in (self.first_name, self.last_name) if part)


@dataclass(frozen=True)
class Found:
    """Who it is, as far as this account knows. ``candidates``: who could be meant where nobody is taken for her."""

    state: State
    member: Member | None = None
    invitation: Invitation | None = None
    by_link: bool = False  # the one that another link would be
    candidates: tuple[str, ...] = ()


def may_assert(provider: IdentityProvider, email: str) -> bool:
    """Whether the provider's ``domains`` allow the address: whole domains, none named means any."""
    domain = fold(email.rpartition("@")[2])  # lower() would read the Kelvin sign as a k
    return not provider.domains or domain in provider.domains


def identify(account: Account, provider: IdentityProvider, identity: Identity) -> Found:
    """Who is this, in this account: the first of these that knows her decides.

    1. this provider's directory, by externalId; 2. a link made before, at a sign-in or by an administrator; 3. this
    provider's directory, by userName; 4. its record's e-mail addresses; 5. a member of the account with the address;
    6. an invitation to it. An address may have been somebody else's once: whom this provider knows by another NameID,
    she is not. Where the NameID is a name that can be given away, a userName or an address, and the directory has given
    it to somebody else since it was linked, an administrator says who is meant. Nor is she found by an address that
    passes for another (look_alikes.py).
    """
    asked = {
        "account": account.id,
        "provider": provider.id,
        "name_id": identity.name_id,
        "name_id_format": identity.name_id_format,
        "name_key": fold(identity.name_id),
        "email_key": fold(identity.email),
        "recorded_key": coarse(identity.email),
        "named_key": coarse(identity.name_id),
    }
    passes = _passes_for_another(account, identity.email)
    named = _BY_ID.instances(**asked)
    linked = [member for member, step, _ in named if step == Step.LINK]
    left: list[Member] = []
    for step, known in _searches(identity, asked, named, by_address=passes is None):
        live = [member for member in known if member.removed_at is None]
        if step is Step.LINK and live and (heirs := _heirs(identity, asked, named)):
            return Found(State.AMBIGUOUS, candidates=tuple(sorted({member.id for member in (*live, *heirs)})))
        if live:
            return _known(live, provider, identity, step=step, linked=linked)
        left += known
    return _absent(account, identity.email, left) if passes is None else Found(State.LOOK_ALIKE, candidates=passes)


class Step(IntEnum):
    """The searches, in their order."""

    EXTERNAL_ID = 1
    LINK = 2
    USER_NAME = 3  # it equals the NameID
    ADDRESS_AS_USER_NAME = 4
    RECORDED_ADDRESS = 5
    ADDRESS = 6


_BY_ADDRESS_ONLY = frozenset({Step.ADDRESS_AS_USER_NAME, Step.RECORDED_ADDRESS, Step.ADDRESS})
_NAMED = frozenset({Step.USER_NAME, Step.RECORDED_ADDRESS})  # by which a directory gives a name to somebody


def _heirs(identity: Identity, asked: dict[str, Any], named: list[Any]) -> list[Member]:
    """The members other than the linked one whose userName the NameID is, or an address of whose record, by a word of
    the directory that is younger than the link: of an administrator who has said since then whose it is, the link
    counts."""
    ((owner, linked),) = [(member, said) for member, step, said in named if step == Step.LINK]
    younger = [
        (member, step)
        for member, step, said in named
        if step in _NAMED and member.removed_at is None and member.id != owner.id
        if said.modified_at >= linked.modified_at
    ]
    recorded: set[str] = set()
    if any(step == Step.RECORDED_ADDRESS for _, step in younger):
        found = _BY_RECORDED_ADDRESS.instances(**{**asked, "recorded_key": asked["named_key"]})
        recorded = {member.id for member, record in found if _has_address(record, identity.name_id)}
    return [member for member, step in younger if step == Step.USER_NAME or member.id in recorded]


def _searches(
    identity: Identity, asked: dict[str, Any], named: list[Any], *, by_address: bool
) -> Iterator[tuple[Step, list[Member]]]:
    """Whom each finds, asked for one after the other: most sign-ins end at the second."""
    for step in (Step.EXTERNAL_ID, Step.LINK):
        yield step, [member for member, its_step, _ in named if its_step == step]
    called = _BY_USER_NAME.instances(**asked)
    named_so = [member for member, record in called if record.user_name_key == asked["name_key"]]
    by_name_id = any(member.removed_at is None for member in named_so)
    yield Step.USER_NAME if by_name_id else Step.ADDRESS_AS_USER_NAME, [member for member, _ in called]
    if by_address:
        recorded = _BY_RECORDED_ADDRESS.instances(**asked)
        yield Step.RECORDED_ADDRESS, [member for member, record in recorded if _has_address(record, identity.email)]
        yield Step.ADDRESS, [member for (member,) in _BY_ADDRESS.instances(**asked)]


_COLUMNS = tuple(Member._meta.sorted_fields)


def _in_directory(condition: Any, *columns: Any) -> Any:
    return _behind((DirectoryUser.identity_provider == parameter("provider")) & condition, *columns)


def _behind(records: Any, *columns: Any) -> Any:
    behind = Member.select(*columns).join(DirectoryUser, on=(DirectoryUser.member == Member.id))
    return behind.where(Member.account == parameter("account"), records)


def _by_id() -> Any:
    """What the provider says by a NameID, in one statement: of whom it has pushed, and of whom it has signed in; and
    when it was said, read as a record's ``modified_at``.

    An externalId is hers while its record lives, and the former hers of somebody who is gone: whom the directory has
    sent again under another, she is not."""
    said_at = fn.COALESCE(DirectoryUser.named_at, DirectoryUser.modified_at)
    lives = DirectoryUser.deleted_at.is_null()
    by_external_id = (DirectoryUser.external_id == parameter("name_id")) & (lives | Member.removed_at.is_null(False))
    by_user_name = (DirectoryUser.user_name_key == parameter("name_key")) & lives
    pushed = _in_directory(by_external_id, *_COLUMNS, SQL(f"{Step.EXTERNAL_ID:d}"), said_at)
    called = _in_directory(by_user_name, *_COLUMNS, SQL(f"{Step.USER_NAME:d}"), said_at)
    recorded = _behind(_with_recorded_address("named_key"), *_COLUMNS, SQL(f"{Step.RECORDED_ADDRESS:d}"), said_at)
    linked = (
        Member.select(*_COLUMNS, SQL(f"{Step.LINK:d}"), IdentityLink.created_at)
        .join(IdentityLink, on=(IdentityLink.member == Member.id))
        .where(
            IdentityLink.identity_provider == parameter("provider"),
            IdentityLink.name_id_format == parameter("name_id_format"),
            IdentityLink.name_id == parameter("name_id"),
            Member.account == parameter("account"),
        )
    )
    return pushed.distinct().union_all(linked).union_all(called).union_all(recorded)


def _called() -> Any:
    """Whose userName it is, or was when she left: one that a member has given up is no longer hers. A union, because
    the living and the deleted have an index each, and a single name is looked up in it even by who knows no numbers."""
    lives = DirectoryUser.deleted_at.is_null()
    gone = DirectoryUser.deleted_at.is_null(False) & Member.removed_at.is_null(False)
    found = [
        _in_directory((DirectoryUser.user_name_key == parameter(name)) & state, *_BY_USER_NAME.columns)
        for name in ("name_key", "email_key")
        for state in (lives, gone)
    ]
    return reduce(or_, found)  # peewee's UNION: who is found by both is found once


def _recorded_under_address() -> Any:
    """Apart from the userName, which the index of addresses leaves out. That is coarser than our comparison (see
    provisioning/emails.py), so the documents come with it."""
    return _behind(_with_recorded_address("recorded_key"), *_BY_RECORDED_ADDRESS.columns)


def _with_recorded_address(key: str) -> Any:
    """The living records of the provider's directory. By their own columns either database would rather read all of
    it."""
    named = DirectoryEmail.select(DirectoryEmail.user).where(
        DirectoryEmail.identity_provider == parameter("provider"), DirectoryEmail.value_key == parameter(key)
    )
    return DirectoryUser.id.in_(named) & db.unindexed(DirectoryUser.deleted_at.is_null())


def _at_address() -> Any:
    return Member.select(*_COLUMNS).where(
        Member.account == parameter("account"), Member.email_key == parameter("email_key")
    )


_BY_ID = Statement((*_COLUMNS, SQL(""), DirectoryUser.modified_at), _by_id)
_BY_USER_NAME: Statement = Statement((*_COLUMNS, DirectoryUser.user_name_key), _called)
_BY_RECORDED_ADDRESS: Statement = Statement(
    (*_COLUMNS, DirectoryUser.id, DirectoryUser.resource), _recorded_under_address
)
_BY_ADDRESS = Statement(_COLUMNS, _at_address)


def _has_address(record: DirectoryUser, email: str) -> bool:
    return any(fold(str(entry.get("value", ""))) == fold(email) for entry in record.resource.get("emails", ()))


def _known(
    live: list[Member], provider: IdentityProvider, identity: Identity, *, step: Step, linked: list[Member]
) -> Found:
    """Of several, the one whom an administrator or a sign-in has linked is meant."""
    if len(live) > 1 and (chosen := [member for member in live if member in linked]):
        live, step = chosen, Step.LINK
    ids = tuple(sorted({member.id for member in live}))
    if len(ids) > 1:
        return Found(State.AMBIGUOUS, candidates=ids)
    member, by_link = live[0], step is Step.LINK
    if not by_link and member.identity_provider_id not in (None, provider.id):
        return Found(State.ELSEWHERE, member, candidates=ids)
    if step in _BY_ADDRESS_ONLY and identity_links.known_otherwise(provider, member, name_id=identity.name_id):
        return Found(State.OTHERWISE, candidates=ids)
    return Found(State.ACTIVE if member.active else State.SUSPENDED, member, by_link=by_link)


def _passes_for_another(account: Account, email: str) -> tuple[str, ...] | None:
    """Whether the address mixes scripts or holds what nobody sees, or is another script's picture of a member's; then
    the members whom it passes for, who may be none. What is plain ASCII costs nothing here."""
    if email.isascii():
        return None
    passed_for = members.passed_for(account, email)
    if not passed_for and not look_alikes.is_disguised(email):
        return None
    return tuple(sorted(member.id for member in passed_for))


def _absent(account: Account, address: str, left: list[Member]) -> Found:
    """Nobody who is a member now. An invitation made since her directory deleted her counts for more than that, and one
    from before for nothing; past the days in which the DELETE can be undone she is somebody new."""
    since = clock.now() - members.RESTORABLE
    deleted = [member for member in left if member.removed_at is not None and member.removed_at > since]
    invitation = invitations.standing(account, address)
    if invitation and invitations.outweighs(invitation, deleted) and not invitations.is_outweighed(invitation):
        return Found(State.INVITED, invitation=invitation)
    return Found(State.DEPROVISIONED, deleted[0]) if deleted else Found(State.UNKNOWN)
